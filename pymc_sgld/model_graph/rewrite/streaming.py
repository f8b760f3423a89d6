"""Models written on small placeholders, whose rows the caller feeds block by block.

``pm.Data("X", np.zeros((2, 3)))`` stands for an array that is not in memory. Its values mean
nothing, and neither does its length: nothing may be evaluated from them. The user says how
many rows there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Apply, Constant, Variable
from pytensor.graph.traversal import ancestors, walk
from pytensor.sparse.type import SparseTensorType
from pytensor.tensor.shape import Shape, Shape_i
from pytensor.tensor.subtensor import AdvancedSubtensor
from pytensor.tensor.type import TensorType

from pymc_sgld.model_graph.rewrite.errors import CannotTakeRows, RowError
from pymc_sgld.model_graph.rewrite.evaluator import Evaluator
from pymc_sgld.model_graph.rewrite.factors import Factors
from pymc_sgld.model_graph.rewrite.fold_and_cost import Liveness, frontier, rebuild
from pymc_sgld.model_graph.rewrite.naming import listed, name_of, names_below, op_name
from pymc_sgld.model_graph.rewrite.take_rows import RowRequest, RowRewriter

type TotalSize = int | Mapping[str, int] | None


def through_values(variables: Sequence[Variable]) -> list[Variable]:
    """Return what expressions depend on by value, not only by shape."""

    def expand(var: Variable) -> Any:
        node = var.owner
        return None if node is None or isinstance(node.op, Shape | Shape_i) else node.inputs

    return list(walk(variables, expand))


class PlaceholderEvaluator(Evaluator):
    """An evaluator that never takes the values of a placeholder for data.

    Parameters
    ----------
    point : dict
        As for `Evaluator`.
    placeholders : iterable of SharedVariable
    """

    def __init__(self, point: dict[Variable, np.ndarray], placeholders: Iterable[Variable]) -> None:
        super().__init__(point)
        self._facts.update((var, (True, False)) for var in placeholders)


class StreamedRowRewriter(RowRewriter):
    """A rewrite in which some groups of rows come from the caller.

    Parameters
    ----------
    evaluator, parameters
        As for `RowRewriter`.
    sizes : dict of str to int
        Name of an observed variable to its number of rows.
    dims : set of str
        Dimensions whose data are streamed.
    """

    def __init__(
        self, evaluator: Evaluator, parameters: set[Variable], sizes: dict[str, int], dims: set[str]
    ) -> None:
        super().__init__(evaluator, parameters)
        self.sizes = sizes
        self.dims = dims
        self.lengths: dict[int, int] = {}

    def rows(
        self,
        group: int,
        *,
        minibatch: Apply | None = None,
        length: int | None = None,
        keep_parameters: bool = False,
    ) -> RowRequest:
        """Return the request for the rows of a group; `length` is the placeholder's."""
        if group not in self.lengths:
            return super().rows(
                group, minibatch=minibatch, length=length, keep_parameters=keep_parameters
            )
        extent = self.lengths[group]
        return StreamedRowRequest(self, group, extent, extent, minibatch, keep_parameters)

    def block(
        self,
        key: Any,
        group: int,
        name: str,
        *,
        source: Variable | None = None,
        axis: int = 0,
        derived: Any = None,
        of: Variable | None = None,
    ) -> Variable:
        """Return the block of a leaf; refuse one whose rows the caller could not feed."""
        if group in self.lengths and source is None:
            raise CannotTakeRows(
                f"the position of a row decides what happens to it ({name}), and the rows of a "
                "stream have none. Compute what depends on it beforehand, and feed it as pm.Data"
            )
        return super().block(key, group, name, source=source, axis=axis, derived=derived, of=of)

    def sources(self) -> set[Variable]:
        """Return the placeholders that row terms read."""
        own = [leaf for leaf in self.leaves if leaf.group in self.lengths]
        return {leaf.source for leaf in own if leaf.source is not None}


class StreamedRowRequest(RowRequest):
    """A request for rows that only the caller has."""

    def at(self, index: np.ndarray, extent: int) -> RowRequest:
        """Return this request if `index` changes nothing; rows of a stream have no position."""
        index = np.where(index < 0, index + extent, index)
        if extent == self.extent and np.array_equal(index, np.arange(extent)):
            return self
        raise CannotTakeRows(
            "its rows are picked by fixed positions (y[1:], x[index]), and the rows of a stream "
            "have none. Pick or shift the rows beforehand, and feed them as pm.Data of their own"
        )

    def positions(self) -> Variable:
        """Refuse: the position of a row in a stream is not known."""
        raise CannotTakeRows(
            "the position of a row enters as a number (arange). Feed it as pm.Data of its own"
        )

    def derived(self, var: Variable, axis: int) -> Variable:
        """Refuse: it cannot be evaluated once for all rows."""
        raise CannotTakeRows(
            f"an expression of {names_below(var)} mixes rows or counts them (arange), and would "
            "have to be evaluated for all at once. Compute it beforehand, and feed its rows as "
            "pm.Data"
        )

    def _take(self, var: Variable, axis: int) -> Variable:
        try:
            return super()._take(var, axis)
        except CannotTakeRows as error:
            node = var.owner
            names = [name_of(v) for v in ancestors([var]) if _is_placeholder(v, self)]
            of_data = self.rewriter.parameters.isdisjoint(ancestors([var]))
            general = str(error).startswith(("rows are mixed", "no row rule"))
            if node is None or not names or not of_data or not general:
                raise
            raise CannotTakeRows(
                f"{names[0]} is streamed, but {op_name(node)} of it needs all rows. Compute it "
                "beforehand, and feed its rows as pm.Data"
            ) from None

    def _take_leaf(self, var: Variable, axis: int) -> Variable:
        if var in self.rewriter.parameters:
            return self._take_parameter(var, axis)
        length = self.evaluator.length(var, axis)
        if not isinstance(var, SharedVariable) or var.type.shape[axis] is not None:
            what = "is a constant" if isinstance(var, Constant) else "has a type of fixed length"
            name = name_of(var) if var.name else f"a {name_of(var)}"
            raise CannotTakeRows(
                f"{name} {what}, with the {length} rows of the placeholder baked in. Make it "
                'pm.Data("<name>", ...) without shape=, so that its rows can be fed'
            )
        if isinstance(var.type, SparseTensorType):
            raise CannotTakeRows(
                f"{name_of(var)} is sparse, which cannot be streamed. Feed it dense"
            )
        return super()._take_leaf(var, axis)


def _is_placeholder(var: Variable, rows: RowRequest) -> bool:
    return isinstance(var, SharedVariable) and not rows.evaluator.is_data(var)


def rewriter_for(
    model: pm.Model,
    values: dict[Variable, np.ndarray],
    factors: Factors,
    total_size: TotalSize,
) -> RowRewriter:
    """Return the rewrite of a model's own data, or of streamed data.

    Raises
    ------
    RowError
        If `total_size` is no positive number, or names what the model does not have.
    """
    sizes = _sizes(total_size, factors)
    lengths = {o.name: _n_rows(o.value, values, model) for o in factors.observed if o.name in sizes}
    sizes = {name: n for name, n in sizes.items() if lengths[name] != n}
    if not sizes:
        return RowRewriter(Evaluator(values), set(values))
    streamed = [o for o in factors.observed if o.name in sizes]
    for observed in streamed:
        if observed.minibatch is not None:
            raise RowError(
                f"'{observed.name}' is observed on a pm.Minibatch, whose rows are in memory. Leave "
                "total_size out of row_model, or write the model on pm.Data placeholders."
            )
    short = {lengths[name] for name in sizes}
    below = set(ancestors([o.value for o in streamed]))
    possible = [
        v
        for v in model.data_vars
        if v in below or short.intersection(v.get_value(borrow=True).shape)
    ]
    dims = {o.dims[0] for o in streamed if o.dims and o.dims[0] is not None}
    evaluator = PlaceholderEvaluator(values, possible)
    return StreamedRowRewriter(evaluator, set(values), sizes, {d for d in dims if d is not None})


def _n_rows(value: Variable, values: dict[Variable, np.ndarray], model: pm.Model) -> int:
    return max(Evaluator(values).shape(value)[:1], default=1)


def _sizes(total_size: TotalSize, factors: Factors) -> dict[str, int]:
    """Return the number of rows of each observed variable it was given for."""
    if total_size is None:
        return {}
    names = [o.name for o in factors.observed]
    dims: dict[str, list[str]] = {}
    for observed in factors.observed:
        if observed.dims and observed.dims[0] is not None:
            dims.setdefault(observed.dims[0], []).append(observed.name)
    given = total_size if isinstance(total_size, Mapping) else dict.fromkeys(names, total_size)
    sizes: dict[str, int] = {}
    for key, number in given.items():
        if key not in names and key not in dims:
            raise RowError(
                f"'{key}' in total_size is no observed variable and no dimension of rows. Observed "
                f"variables are {listed(names)}, their first dimensions "
                f"{listed(dims) or '(none)'}; use one of these."
            )
        whole = isinstance(number, int | np.integer) and not isinstance(number, bool)
        if not whole or number < 1:
            raise RowError(
                f"'{key}' has total_size {number!r}, which must be a whole number >= 1: the number "
                "of rows that will be streamed."
            )
        sizes |= dict.fromkeys(dims.get(key, [key]), int(number))
    return sizes


def streamed_size(rewriter: RowRewriter, name: str) -> int | None:
    """Return the number of rows of an observed variable if they are streamed."""
    return rewriter.sizes.get(name) if isinstance(rewriter, StreamedRowRewriter) else None


def is_streamed(rewriter: RowRewriter, group: int) -> bool:
    """Whether the rows of a group come from the caller."""
    return isinstance(rewriter, StreamedRowRewriter) and group in rewriter.lengths


def begin(rewriter: RowRewriter, group: int, name: str, length: int) -> None:
    """Note that a group is streamed, where its observed variable is; `length` is written."""
    if isinstance(rewriter, StreamedRowRewriter) and name in rewriter.sizes:
        if rewriter.lengths.setdefault(group, length) != length:
            raise RowError(
                f"'{name}' has a placeholder of {length} rows, but other data of its row dimension "
                f"one of {rewriter.lengths[group]}. Make the placeholders equally long."
            )


def groups_for(rewriter: RowRewriter, part: Variable, length: int) -> list[int]:
    """Return the groups whose rows the first axis of a potential may be."""
    reads = isinstance(rewriter, StreamedRowRewriter) and not rewriter.sources().isdisjoint(
        through_values([part])
    )
    found = []
    for i, group in enumerate(rewriter.groups):
        if is_streamed(rewriter, i):
            if (
                reads
                and isinstance(rewriter, StreamedRowRewriter)
                and rewriter.lengths[i] == length
            ):
                found.append(i)
        # A potential on the full data cannot share the rows of a pm.Minibatch.
        elif group.total_size == length and rewriter.draws[i] is None:
            found.append(i)
    return found


def refuse_placeholders(
    rewriter: RowRewriter, outputs: Sequence[Variable], blocks: set[Variable], model: pm.Model
) -> None:
    """Raise if a placeholder's values, or its length, are left in a pushed graph.

    Parameters
    ----------
    rewriter : RowRewriter
    outputs : sequence of Variable
        The terms and the prior.
    blocks : set of Variable
    model : pm.Model
    """
    if not isinstance(rewriter, StreamedRowRewriter) or not rewriter.lengths:
        return
    sources = rewriter.sources() | {
        v for v in model.data_vars if rewriter.dims.intersection(_dims_of(v, model))
    }
    lengths = set(rewriter.lengths.values())
    doubtful = {
        v
        for v in model.data_vars
        if v not in sources and not _dims_of(v, model) and v.get_value(borrow=True).shape[:1]
    }
    doubtful = {v for v in doubtful if v.get_value(borrow=True).shape[0] in lengths}
    liveness = Liveness(outputs, rewriter.parameters, blocks)
    for node in dict.fromkeys(v.owner for v in through_values(outputs) if v.owner is not None):
        if isinstance(node.op, Shape | Shape_i):
            continue
        for position, var in enumerate(node.inputs):
            if var in sources:
                raise RowError(
                    f"{name_of(var)} is streamed, but {op_name(node)} of it needs all rows at "
                    "every step. Compute it beforehand from all the data, and pass it as a "
                    "constant."
                )
            is_table = position == 0 and isinstance(node.op, AdvancedSubtensor)
            if var in doubtful and not is_table:
                raise RowError(
                    f"{name_of(var)} is as long as a placeholder of streamed rows and enters in "
                    f"full through {op_name(node)}. If it is streamed too, compute what is made of "
                    "it beforehand; if not, write the placeholders with another number of rows."
                )
    _refuse_lengths(rewriter, frontier(outputs, liveness), sources)


def _dims_of(var: Variable, model: pm.Model) -> set[str | None]:
    return set(model.named_vars_to_dims.get(var.name) or ())


def _refuse_lengths(
    rewriter: StreamedRowRewriter, fixed: Sequence[Variable], sources: set[Variable]
) -> None:
    """Raise if a number would differ had the placeholders one row more."""
    suspects = [v for v in fixed if not sources.isdisjoint(ancestors([v]))]
    suspects = [v for v in suspects if isinstance(v.type, TensorType) or v.type.ndim == 0]
    if not suspects:
        return
    replace: dict[Variable, Variable] = {}
    for leaf in rewriter.leaves:
        if leaf.group in rewriter.lengths and isinstance(leaf.source, SharedVariable):
            value = leaf.source.get_value(borrow=True)
            first = np.take(value, [0], axis=leaf.axis)
            longer = np.concatenate([value, first], axis=leaf.axis)
            replace[leaf.source] = pt.constant(longer)
    values = rewriter.evaluator.values(suspects)
    try:
        altered: list[Any] = rewriter.evaluator.values(rebuild(suspects, replace))
    except (ValueError, TypeError, AssertionError, IndexError):
        altered = [None] * len(suspects)
    for var, value, other in zip(suspects, values, altered, strict=True):
        if other is None or not np.array_equal(value, other):
            [source, *_] = [v for v in ancestors([var]) if v in sources]
            raise RowError(
                f"{name_of(source)} is streamed, but its number of rows "
                f"({source.name}.shape[0], or a mean over rows) enters as a number: that of the "
                "placeholder. Write the number of rows that is meant."
            )
