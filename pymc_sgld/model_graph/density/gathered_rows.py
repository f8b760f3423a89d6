"""Rows that see a few entries of long vectors each: which entries, and derivatives by them.

Where rows take group effects by index, as in ``a[student] + b[lecturer]``, a row's log-likelihood
is a function of the few numbers that it gathers, and of parameters that all rows share, such as
coefficients and a scale. The graph says which numbers these are. Derivatives by them are arrays of
one line a row, from which gradients and Hessians of all effects are sums: no row ever has the
length of the position.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pytensor
import pytensor.scalar as ps
import pytensor.tensor as pt

from pytensor.graph.basic import Variable
from pytensor.graph.replace import graph_replace
from pytensor.graph.rewriting.utils import rewrite_graph
from pytensor.graph.traversal import ancestors, io_toposort
from pytensor.tensor.elemwise import DimShuffle, Elemwise
from pytensor.tensor.shape import Reshape, SpecifyShape
from pytensor.tensor.subtensor import AdvancedSubtensor, Subtensor

from pymc_sgld.model_graph.density.block_function import BlockFunction
from pymc_sgld.model_graph.density.modes import compile_function, is_jax
from pymc_sgld.model_graph.density.pass_counter import count
from pymc_sgld.model_graph.density.row_density import RowDensity, RowLeaf

_SELECTING = (Subtensor, AdvancedSubtensor, Reshape, DimShuffle, SpecifyShape)
_ROWS_AT_ONCE = 200_000
_FEW = 3  # rows, to see shapes on


class RowDerivatives(NamedTuple):
    """Derivatives of some rows' log-likelihoods, and how they change along a direction."""

    scores: np.ndarray  # (n_rows, n_columns), by the gathered numbers
    along: np.ndarray  # (n_rows, n_columns), derivative of the scores along the direction
    shared: np.ndarray  # (n_shared,), that of the sum of the scores by shared parameters
    values: np.ndarray  # (n_rows,), derivative of the log-likelihoods along the direction


@dataclass(frozen=True, eq=False)
class GatheredGroup:
    """The rows of one group.

    Parameters
    ----------
    group : int
    n_columns : int
        Numbers that a row gathers.
    index : callable
        ``(position, *blocks) -> (n_rows, n_columns)``: the gathered numbers.
    derivatives : callable
        ``(position, direction, *blocks)`` to what :class:`RowDerivatives` has; the direction is
        one number for each column, and one for each shared parameter.
    """

    group: int
    n_columns: int
    index: Any
    derivatives: Any


@dataclass(frozen=True, eq=False)
class GatheredRows:
    """All groups of rows, and which parameters they share.

    Parameters
    ----------
    groups : tuple of GatheredGroup
    shared : array of int
        Entries of the position that rows depend on otherwise than by index.
    n_dim : int
        Length of the position.
    """

    groups: tuple[GatheredGroup, ...]
    shared: np.ndarray
    n_dim: int

    def entries(self, function: BlockFunction, group: GatheredGroup) -> np.ndarray:
        """Return which entries of the position each row gathers, shape (total_size, n_columns).

        Raises
        ------
        ValueError
            Where the graph does something else than select.
        """
        dtype = function.dtype
        numbers = np.arange(self.n_dim).astype(dtype)
        other = np.random.default_rng(0).permutation(self.n_dim).astype(dtype)
        found = []
        for blocks, _ in _pieces(function, group.group):
            chosen = np.asarray(group.index(numbers, *blocks)).astype(np.int64)
            if not np.array_equal(other[chosen], np.asarray(group.index(other, *blocks))):
                raise ValueError("Rows compute with what they gather before they select from it.")
            found.append(chosen)
        return np.concatenate(found)

    def derivatives(
        self,
        function: BlockFunction,
        group: GatheredGroup,
        position: np.ndarray,
        columns: Sequence[float] | np.ndarray,
        shared: np.ndarray,
    ) -> Iterator[tuple[slice, RowDerivatives]]:
        """Yield pieces of the rows and their derivatives, along a direction that all have.

        Parameters
        ----------
        function : BlockFunction
            Has the data.
        group : GatheredGroup
        position : array, shape (n_dim,)
        columns : array, shape (n_columns,)
            Of the direction, by gathered number.
        shared : array, shape (n_shared,)
        """
        dtype = function.dtype
        direction = np.concatenate([columns, shared]).astype(dtype)
        position = np.asarray(position, dtype=dtype)
        for blocks, rows in _pieces(function, group.group):
            count((rows.stop - rows.start) / sum(function.total_sizes))
            found = group.derivatives(position, direction, *blocks)
            yield rows, RowDerivatives(*(np.asarray(one, dtype=float) for one in found))


def gathered_rows(row_model: RowDensity, mode: Any) -> GatheredRows | None:
    """Find what rows gather, and compile the derivatives; None where they gather nothing.

    Parameters
    ----------
    row_model : RowDensity
        Of data that are in memory.
    mode : str or pytensor Mode
    """
    if any(row_model.streamed) or is_jax(mode):
        return None
    graphs, seen = [], set[Variable]()
    for number in range(len(row_model.groups)):
        terms = [term for term in row_model.terms if term.group == number]
        leaves = [leaf for leaf in row_model.leaves if leaf.group == number]
        logp = sum((term.logp for term in terms), start=pt.zeros(()))
        apart = {one: one.type() for one in _selections(row_model, logp, leaves)}
        [logp] = graph_replace([logp], apart, strict=False)
        seen |= set(ancestors([logp]))
        graphs.append((number, leaves, logp, apart))
    if not any(apart for *_, apart in graphs):
        return None
    shared = {
        name: part
        for name, part in zip(row_model.layout.names, row_model.slices, strict=True)
        if part in seen
    }
    groups = []
    for graph in graphs:
        group = _compiled(row_model, mode, shared, *graph)
        if group is None:
            return None
        groups.append(group)
    return GatheredRows(tuple(groups), row_model.layout.entries(list(shared)), row_model.n_dim)


def _selections(row_model: RowDensity, logp: Variable, leaves: list[RowLeaf]) -> list[Variable]:
    """Return the outermost graphs that take entries of the position by the rows' data."""
    blocks, slices = {leaf.block for leaf in leaves}, set(row_model.slices)
    moves, selected, by_rows = set(slices), set(slices), set(blocks)
    outermost: dict[Variable, None] = {}
    for node in io_toposort([*slices, *blocks], [logp]):
        first, rest = node.inputs[:1], node.inputs[1:]
        selects = isinstance(node.op, _SELECTING) or _is_cast(node.op)
        selects &= selected.issuperset(first) and moves.isdisjoint(rest)
        if not moves.isdisjoint(node.inputs):
            moves.update(node.outputs)
        if not by_rows.isdisjoint(node.inputs):
            by_rows.update(node.outputs)
        if selects:
            selected.update(node.outputs)
        else:
            outermost |= dict.fromkeys(x for x in node.inputs if x in selected and x in by_rows)
    return list(outermost)


def _is_cast(op: Any) -> bool:
    return isinstance(op, Elemwise) and isinstance(op.scalar_op, ps.Cast)


def _compiled(
    row_model: RowDensity,
    mode: Any,
    shared: Mapping[str, Variable],
    group: int,
    leaves: list[RowLeaf],
    logp: Variable,
    apart: dict[Variable, Variable],
) -> GatheredGroup | None:
    """Compile what a group's rows gather, and the derivatives; None where rows are not in front."""
    position, blocks = row_model.position, [leaf.block for leaf in leaves]
    dtype, n_rows = position.type.dtype, blocks[0].shape[0]
    shapes = _shapes(position, list(apart), leaves)
    if any(shape[:1] != (_FEW,) for shape in shapes):
        return None
    of_shared = {part: part.type() for part in shared.values()}
    [logp] = graph_replace([logp], of_shared, strict=False)
    logp = rewrite_graph(logp, include=("canonicalize", "stabilize"))
    by = [*apart.values(), *of_shared.values()]
    sizes = [shape[1:] for shape in shapes]
    sizes += [shape for name, shape in row_model.layout if name in shared]
    direction = pt.vector("direction", dtype=dtype)
    ends = np.cumsum([0, *(int(np.prod(size)) for size in sizes)]).tolist()
    parts = [
        direction[first:last].reshape(size)
        for first, last, size in zip(ends[:-1], ends[1:], sizes, strict=True)
    ]
    ways = [
        pt.cast(pt.zeros_like(one) + part, one.type.dtype)
        for one, part in zip(by, parts, strict=True)
    ]
    scores = pytensor.grad(logp.sum(), by, disconnected_inputs="ignore")
    [values, *along] = _pushed_forward([logp, *scores], by, ways)
    n_selected = len(apart)
    outputs = [
        _side_by_side(scores[:n_selected], n_rows, dtype),
        _side_by_side(along[:n_selected], n_rows, dtype),
        _end_to_end(along[n_selected:], dtype),
        pt.zeros((n_rows,), dtype=dtype) + values,
    ]
    back = {new: old for old, new in (apart | of_shared).items()}
    outputs = graph_replace(outputs, back, strict=False)
    index = _side_by_side(list(apart), n_rows, dtype)
    return GatheredGroup(
        group,
        ends[n_selected],
        compile_function([position, *blocks], index, mode=mode),
        compile_function([position, direction, *blocks], outputs, mode=mode),
    )


def _pushed_forward(
    outputs: Sequence[Variable], by: Sequence[Variable], ways: Sequence[Variable]
) -> list[Variable]:
    """Return the derivatives of graphs along a direction, by two gradients.

    PyTensor's own loses a direction where two of ``by`` have the same derivative, as summands do.
    """
    weights = [one.type() for one in outputs]
    total = sum(((w * one).sum() for w, one in zip(weights, outputs, strict=True)), start=0.0)
    slopes = pytensor.grad(total, by, disconnected_inputs="ignore")
    along = sum(((way * one).sum() for way, one in zip(ways, slopes, strict=True)), start=0.0)
    found = pytensor.grad(along, weights, disconnected_inputs="ignore")
    at_any = {w: pt.zeros_like(one) for w, one in zip(weights, outputs, strict=True)}
    return list(graph_replace(found, at_any, strict=False))


def _shapes(
    position: Variable, selections: list[Variable], leaves: list[RowLeaf]
) -> list[tuple[int, ...]]:
    """Return the shapes of what a few rows gather."""
    blocks = [leaf.block for leaf in leaves]
    shapes = compile_function(
        [position, *blocks], [one.shape for one in selections], mode="FAST_COMPILE"
    )
    few = [np.resize(leaf.values()[:_FEW], (_FEW, *leaf.values().shape[1:])) for leaf in leaves]
    few = [one.astype(block.type.dtype) for one, block in zip(few, blocks, strict=True)]
    [n_dim] = position.type.shape
    found = shapes(np.zeros(n_dim, dtype=position.type.dtype), *few)
    return [tuple(int(size) for size in one) for one in found]


def _side_by_side(parts: Sequence[Variable], n_rows: Variable, dtype: str) -> Variable:
    if not parts:
        return pt.zeros((n_rows, 0), dtype=dtype)
    flat = [pt.cast(one.reshape((n_rows, -1)), dtype) for one in parts]
    return pt.concatenate(flat, axis=1)


def _end_to_end(parts: Sequence[Variable], dtype: str) -> Variable:
    if not parts:
        return pt.zeros((0,), dtype=dtype)
    return pt.concatenate([pt.cast(one.reshape((-1,)), dtype) for one in parts])


def _pieces(function: BlockFunction, group: int) -> Iterator[tuple[list[Any], slice]]:
    """Yield the blocks of a group's leaves for some rows at a time, and which rows."""
    total = int(function.total_sizes[group])
    some: list[Any] = [slice(0, 1)] * len(function.total_sizes)
    at_once = min(_ROWS_AT_ONCE, function.default_chunk())
    for first in range(0, total, at_once):
        rows = slice(first, min(first + at_once, total))
        some[group] = rows
        read = zip(function.read(some), function.array_groups, strict=True)
        yield [block for block, of in read if of == group], rows
