"""Proof at build time: the sum over a partition of the rows is the model's own log-density."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt

from pytensor.graph.basic import Apply, Variable
from pytensor.graph.replace import graph_replace
from pytensor.tensor.type import TensorType

from pymc_sgld.model_graph.block_function import BlockFunction
from pymc_sgld.model_graph.errors import RowError
from pymc_sgld.model_graph.factors import draw_of, minibatch_length, minibatch_nodes
from pymc_sgld.model_graph.private_api import ParameterValueError
from pymc_sgld.model_graph.row_model import RowModel
from pymc_sgld.model_graph.sources import sampled

_TOLERANCE = {"float64": 1e-8, "float32": 1e-4}
_N_POINTS = 2
_N_TRIES = 40


def verify(
    row_model: RowModel,
    mode: Any = None,
    *,
    rng: np.random.Generator,
    data: Mapping[str, Any] | None = None,
) -> float:
    """Compare value and gradient by rows with the untouched model, near the initial point.

    Parameters
    ----------
    row_model : RowModel
    mode : str or pytensor Mode, optional
        The mode that will sample; ``"NUMBA"`` if not given.
    rng : numpy.random.Generator
        Draws the points and the partition of the rows into unequal parts.
    data : dict of str to array or other row source, optional
        Of streamed data, see `RowModel.block_function`: a sample of its rows is compared. If
        not given, rows of the placeholders are.

    Returns
    -------
    float
        Worst relative error found.

    Raises
    ------
    RowError
        If they differ, or if no two points near the initial one have a finite value.
    """
    function, sample = sampled(row_model, mode, data, rng)
    reference = _Reference(
        row_model, "NUMBA" if mode is None else mode, sample, function.total_sizes
    )
    start = row_model.ravel(row_model.model.initial_point(random_seed=0))
    tolerance = _TOLERANCE[row_model.position.type.dtype]
    worst, compared = 0.0, 0
    for attempt in range(_N_TRIES):
        scale = 0.3 * 0.8**attempt
        position = start + scale * rng.normal(size=start.shape)
        rows = reference.draw_rows(rng)
        expected = reference(position, rows)
        if not all(np.isfinite(part).all() for part in expected):
            continue
        found = _by_parts(function, position, rows, reference.scales, rng)
        worst = max(worst, _difference(found, expected))
        compared += 1
        if worst > tolerance or compared == _N_POINTS:
            break
    if not compared:
        raise RowError(
            "Identity check impossible: the log-density of the model is not finite near its "
            "initial point. Give initvals at which it is finite."
        )
    if worst > tolerance:
        raise RowError(
            f"Identity check failed: the log-density by rows differs from the model's by "
            f"{worst:.1e} (relative). This is a bug in pymc_sgld; please report the model. "
            "Until then use pm.sample()."
        )
    return worst


class _Reference:
    """Value and gradient of the untouched model; under `pm.Minibatch`, on given rows."""

    def __init__(
        self,
        row_model: RowModel,
        mode: Any,
        sample: Mapping[Variable, np.ndarray],
        total_sizes: Sequence[int],
    ) -> None:
        self.row_model = row_model
        self.total_sizes = total_sizes
        logp = row_model.model.logp()
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
        gradient = pytensor.grad(logp, variables, disconnected_inputs="ignore")
        self.function = pytensor.function(
            [*variables, *indices],
            [logp, *gradient],
            mode=mode,
            givens={source: pt.constant(rows) for source, rows in sample.items()},
            on_unused_input="ignore",
        )

    @property
    def scales(self) -> list[float]:
        """Weight of each group: N / batch size where a Minibatch feeds it."""
        return [
            1.0 if size is None else group.total_size / size
            for group, size in zip(self.row_model.groups, self.batch_sizes, strict=True)
        ]

    def draw_rows(self, rng: np.random.Generator) -> list[np.ndarray]:
        """Draw the rows to compare on: all of them, or one batch where a Minibatch feeds."""
        return [
            rng.permutation(n) if size is None else rng.integers(0, n, size)
            for n, size in zip(self.total_sizes, self.batch_sizes, strict=True)
        ]

    def __call__(self, position: np.ndarray, rows: list[np.ndarray]) -> tuple[Any, np.ndarray]:
        point = self.row_model.unravel(position)
        extra = [r for r, size in zip(rows, self.batch_sizes, strict=True) if size is not None]
        try:
            value, *slopes = self.function(*point.values(), *extra)
        except ParameterValueError:
            # PyMC raises where the log-density is minus infinity.
            return -np.inf, np.zeros(position.shape)
        return value, np.concatenate([np.reshape(s, -1) for s in slopes])


def _fixed_rows(node: Apply, index: Variable) -> dict[Variable, Variable]:
    """Return the outputs of a `pm.Minibatch` with its random rows replaced by given ones."""
    *sources, _ = node.inputs
    return {out: source[index] for out, source in zip(node.outputs, sources, strict=False)}


def _by_parts(
    function: BlockFunction,
    position: np.ndarray,
    rows: list[np.ndarray],
    scales: list[float],
    rng: np.random.Generator,
) -> tuple[float, np.ndarray]:
    """Sum value and gradient over a random partition into parts of unequal size."""
    n_parts = 3
    parts = [_unequal_parts(r, n_parts, rng) for r in rows]
    value, gradient = 0.0, np.zeros(position.shape)
    for k in range(n_parts):
        blocks, weights = [], []
        for pieces, scale, whole in zip(parts, scales, rows, strict=True):
            piece = pieces[k]
            # A part without rows is fed one row that does not count.
            blocks.append(piece if len(piece) else whole[:1])
            weights.append(scale if len(piece) else 0.0)
        v, g = function.batch(position, blocks, prior_weight=float(k == 0), weights=weights)
        value += v
        gradient += g
    return value, gradient


def _unequal_parts(rows: np.ndarray, n_parts: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Cut rows into parts whose sizes differ, so that a leaked block length shows."""
    if len(rows) < 4:
        return [rows, rows[:0], rows[:0]]
    first = int(rng.integers(1, max(2, len(rows) // 4)))
    second = int(rng.integers(first + 1, max(first + 2, len(rows) // 2 + 1)))
    return [rows[:first], rows[first : first + second], rows[first + second :]][:n_parts]


def _difference(found: tuple[float, np.ndarray], expected: tuple[Any, np.ndarray]) -> float:
    """Return the larger of the relative errors of value and gradient."""
    errors = []
    for a, b in zip(found, expected, strict=True):
        scale = max(float(np.max(np.abs(b))), 1e-10)
        error = float(np.max(np.abs(np.asarray(a) - b))) / scale
        errors.append(error if np.isfinite(error) else np.inf)
    return max(errors)
