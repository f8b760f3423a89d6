"""The other side of the identity check: value and gradient of the untouched model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pytensor
import pytensor.tensor as pt

from pytensor.compile.mode import Mode
from pytensor.graph.basic import Apply, Variable
from pytensor.graph.replace import graph_replace
from pytensor.graph.traversal import ancestors
from pytensor.tensor.type import TensorType
from pytensor.tensor.variable import TensorConstant

from pymc_sgld.model_graph.density.by_numpy import (
    AS_WRITTEN,
    STABILISED,
    numpy_function,
    takes_long_by_numpy,
)
from pymc_sgld.model_graph.density.modes import compile_function
from pymc_sgld.model_graph.density.row_model import RowModel
from pymc_sgld.model_graph.rewrite.factors import draw_of, minibatch_length, minibatch_nodes
from pymc_sgld.model_graph.rewrite.fold_and_cost import rebuild
from pymc_sgld.model_graph.rewrite.named_dims import shaped_like
from pymc_sgld.model_graph.rewrite.private_api import ParameterValueError

_LARGEST_CONSTANT = 16  # entries: longer ones are data, shorter ones often shapes

type Evaluated = tuple[Any, np.ndarray]


class Reference:
    """Value and gradient of the untouched model; under `pm.Minibatch`, on given rows.

    Evaluated by numpy, operation by operation, from the graph as it is written: in a few
    hundredths of a second where compiling takes several, anew for all other data, and by an
    evaluator that shares no code with the one that is checked.

    Parameters
    ----------
    row_model : RowModel
    sample : mapping of SharedVariable to ndarray
        What stands in for the placeholders of streamed data.
    total_sizes : sequence of int
        Rows of each group.
    """

    def __init__(
        self,
        row_model: RowModel,
        sample: Mapping[Variable, np.ndarray],
        total_sizes: Sequence[int],
    ) -> None:
        self.row_model = row_model
        self.total_sizes = total_sizes
        logp = row_model.model.logp(jacobian=row_model.jacobian is None)
        nodes = minibatch_nodes([logp])
        by_draw: dict[Variable, Variable] = {}
        replace: dict[Variable, Variable] = {}
        for node in nodes:
            draw = draw_of(node)
            if draw not in by_draw:
                size, _ = minibatch_length(node, row_model.evaluator)
                by_draw[draw] = TensorType("int64", shape=(size,))()
            replace.update(_fixed_rows(node, by_draw[draw]))
        if replace:
            logp = graph_replace([logp], replace, strict=False)[0]
        self.batch_sizes = [
            None if draw is None else by_draw[draw].type.shape[0] for draw in row_model.draws
        ]
        indices = [by_draw[draw] for draw in row_model.draws if draw is not None]
        variables = list(row_model.value_vars)
        if row_model.log_jacobian is not None:  # the model's own, at values that follow from u
            pairs = zip(variables, row_model.values, strict=True)
            [logp] = rebuild([logp], {var: shaped_like(value, var) for var, value in pairs})
            logp = logp + row_model.log_jacobian
            self._inputs, self._outputs = [row_model.position], [logp, row_model.gradient(logp)]
        else:
            gradient = pytensor.grad(logp, variables, disconnected_inputs="ignore")
            self._inputs, self._outputs = variables, [logp, *gradient]
        self._inputs = [*self._inputs, *indices]
        self._givens = {source: pt.constant(rows) for source, rows in sample.items()}

    @property
    def scales(self) -> list[float]:
        """Weight of each group: N / batch size where a Minibatch feeds it."""
        return [
            1.0 if size is None else group.total_size / size
            for group, size in zip(self.row_model.groups, self.batch_sizes, strict=True)
        ]

    @property
    def lengths(self) -> list[int]:
        """Number of rows of each group that are compared."""
        return [
            n if size is None else size
            for n, size in zip(self.total_sizes, self.batch_sizes, strict=True)
        ]

    def draw_rows(self, cuts: list[list[int]], rng: np.random.Generator) -> list[np.ndarray]:
        """Draw the rows to compare on: all of them, or one batch where a Minibatch feeds.

        The first two parts are random rows in random order, the others what remains, in
        order: reading all rows at random would cost more than the gradient.
        """
        return [
            _shuffled(n, cut[1] if len(cut) > 1 else n, rng)
            if size is None
            else rng.integers(0, n, size)
            for n, size, cut in zip(self.total_sizes, self.batch_sizes, cuts, strict=True)
        ]

    def __call__(self, position: np.ndarray, rows: list[np.ndarray]) -> Evaluated | None:
        """Return value and gradient at a position; None where they are not finite."""
        return self._at(position, rows, self._function) or self.stabilised(position, rows)

    def stabilised(self, position: np.ndarray, rows: list[np.ndarray]) -> Evaluated | None:
        """Return the same in forms that keep their digits, such as softplus(-x) for -log(sigmoid).

        As written, ``log1p(-sigmoid(x))`` has few digits left at x = 30 and none at 40.
        """
        return self._at(position, rows, self._stabilised_function)

    def _at(self, position: np.ndarray, rows: list[np.ndarray], function: Any) -> Evaluated | None:
        point = [position]
        if self.row_model.log_jacobian is None:
            point = list(self.row_model.unravel(position).values())
        extra = [r for r, size in zip(rows, self.batch_sizes, strict=True) if size is not None]
        try:
            with np.errstate(all="ignore"):
                value, *slopes = function(*point, *extra)
        except ParameterValueError:
            return None  # PyMC raises where the log-density is minus infinity.
        except NotImplementedError:  # sums of more terms than numpy takes at once
            value, *slopes = self._compiled_with_data_as_inputs(*point, *extra)
        gradient = np.concatenate([np.reshape(slope, -1) for slope in slopes])
        return (value, gradient) if np.isfinite(value) and np.isfinite(gradient).all() else None

    @cached_property
    def _function(self) -> Any:
        return self._compiled_with_data_as_inputs if self._is_slow else self._in_mode(AS_WRITTEN)

    @cached_property
    def _stabilised_function(self) -> Any:
        return self._function if self._is_slow else self._in_mode(STABILISED)

    @property
    def _is_slow(self) -> bool:
        return takes_long_by_numpy([*self._outputs, *self._givens.values()])

    def _in_mode(self, mode: Mode) -> Any:
        return numpy_function(self._inputs, self._outputs, mode, self._givens)

    @cached_property
    def _compiled_with_data_as_inputs(self) -> Any:
        """The function compiled by numba, where the same serves all data of these types."""
        outputs = self._outputs
        if self._givens:
            outputs = graph_replace(outputs, self._givens, strict=False)
        data = [v for v in ancestors(outputs) if _is_data(v)]
        stand_ins = [v.type() for v in data]
        outputs = rebuild(outputs, dict(zip(data, stand_ins, strict=True)))
        function = compile_function([*self._inputs, *stand_ins], outputs, mode="NUMBA")
        return _WithData(function, [v.data for v in data])


class _WithData(NamedTuple):
    """A compiled function, and the data that are its last arguments."""

    compiled: Any
    data: Sequence[np.ndarray]

    def __call__(self, *arguments: Any) -> Any:
        return self.compiled(*arguments, *self.data)


def _is_data(variable: Variable) -> bool:
    return isinstance(variable, TensorConstant) and variable.data.size > _LARGEST_CONSTANT


def _shuffled(n_rows: int, n_first: int, rng: np.random.Generator) -> np.ndarray:
    """Return all row numbers, random ones first and the rest in order."""
    first = rng.choice(n_rows, size=n_first, replace=False)
    rest = np.ones(n_rows, dtype=bool)
    rest[first] = False
    return np.concatenate([first, np.flatnonzero(rest)])


def _fixed_rows(node: Apply, index: Variable) -> dict[Variable, Variable]:
    """Return the outputs of a `pm.Minibatch` with its random rows replaced by given ones."""
    *sources, _ = node.inputs
    return {out: source[index] for out, source in zip(node.outputs, sources, strict=False)}
