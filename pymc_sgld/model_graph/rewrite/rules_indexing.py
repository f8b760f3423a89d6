"""Row rules of indexing, basic and advanced, and of assignments to indexed entries."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytensor.tensor as pt

from pytensor.graph.basic import Apply, Variable
from pytensor.tensor.subtensor import (
    AdvancedIncSubtensor,
    AdvancedSubtensor,
    IncSubtensor,
    Subtensor,
)
from pytensor.tensor.type import TensorType

from pymc_sgld.model_graph.rewrite.errors import CannotTakeRows
from pymc_sgld.model_graph.rewrite.index_layout import FULL, IndexLayout, is_full, without_masks
from pymc_sgld.model_graph.rewrite.naming import names_below
from pymc_sgld.model_graph.rewrite.private_api import indices_from_subtensor
from pymc_sgld.model_graph.rewrite.row_axes import MAX_FULL
from pymc_sgld.model_graph.rewrite.take_rows import RowRequest, register_row_rule

# Tables up to this length are computed whole where they are short beside the data.
_LONG_TABLE = 1000


def through_slice(rows: RowRequest, entry: slice, x: Variable, axis: int) -> RowRequest:
    """Return the request on `x` behind a slice of one of its axes."""
    if is_full(entry):
        return rows
    length = rows.evaluator.length(x, axis)
    positions = rows.evaluator.array(pt.arange(length)[entry])
    if len(positions) == 1:  # one entry for all rows
        positions = np.repeat(positions, rows.extent)
    return rows.at(positions, length)


@register_row_rule(Subtensor)
def rows_of_subtensor(
    op: Subtensor, node: Apply, output: int, axis: int, rows: RowRequest
) -> Variable:
    """Map the axis past the dropped ones; partial slices compose."""
    x, *flat = node.inputs
    indices: list[Any] = [*indices_from_subtensor(flat, op.idx_list)]
    indices += [FULL] * (x.type.ndim - len(indices))
    own = [i for i, entry in enumerate(indices) if isinstance(entry, slice)][axis]
    taken = through_slice(rows, indices[own], x, own).take(x, own)
    indices[own] = FULL
    return taken[tuple(indices)]


@register_row_rule(AdvancedSubtensor)
def rows_of_advanced_subtensor(
    op: AdvancedSubtensor, node: Apply, output: int, axis: int, rows: RowRequest
) -> Variable:
    """Take rows of the index arrays, or of the indexed array."""
    x, *flat = node.inputs
    layout = IndexLayout(x, list(indices_from_subtensor(flat, op.idx_list)))
    own = layout.sliced_axis(axis)
    if own is not None:
        taken = through_slice(rows, layout.indices[own], x, own).take(x, own)
        indices = list(layout.indices)
        indices[own] = FULL
        return taken[tuple(indices)]
    composed = _through_index(x, layout, axis, rows)
    if composed is not None:
        return composed
    if rows.minibatch is None and rows.evaluator.is_data(x) and _is_row_sized(x, layout, rows):
        raise CannotTakeRows("a table as long as the data is indexed by row")
    indices = list(layout.indices)
    for i in layout.arrays:
        joint = layout.joint_axis(i, axis)
        if joint >= 0:
            indices[i] = rows.take(indices[i], joint)
    indices = _with_full_index(indices, layout, axis, rows)
    return x[tuple(indices)]


def _with_full_index(
    indices: list[Any], layout: IndexLayout, axis: int, rows: RowRequest
) -> list[Any]:
    """Repeat one index array if all turned out equal for every row."""
    varying = [(i, layout.joint_axis(i, axis)) for i in layout.arrays]
    varying = [(i, joint) for i, joint in varying if joint >= 0]
    if all(indices[i].type.shape[joint] == 1 for i, joint in varying):
        i, joint = varying[0]
        shape = [indices[i].shape[d] for d in range(indices[i].type.ndim)]
        shape[joint] = rows.count
        indices[i] = pt.alloc(indices[i], *shape)
    return indices


def _is_row_sized(x: Variable, layout: IndexLayout, rows: RowRequest) -> bool:
    return any(rows.evaluator.length(x, i) >= rows.length for i in layout.arrays)


def _through_index(
    x: Variable, layout: IndexLayout, axis: int, rows: RowRequest
) -> Variable | None:
    """Return ``x[v, w]`` by taking rows ``v[rows]`` of `x` first, where that is worth it.

    Worth it where `x` is about as long as the data, or longer than a batch may be: then ``x``
    is work per row, not a small table of groups. Needed for
    ``p[arange(N)[:, None], y[:, None]]`` (Categorical) and for ``mu[observed]`` (imputation).
    """
    for position in layout.arrays:
        index = layout.indices[position]
        joint = layout.joint_axis(position, axis)
        if joint < 0 or (x.owner is None and x in rows.rewriter.parameters):
            continue
        length = rows.evaluator.length(x, position)
        shape = rows.evaluator.shape(index)
        only_rows = all(n == 1 for d, n in enumerate(shape) if d != joint)
        if _is_small(length, rows) or not only_rows or not rows.evaluator.is_data(index):
            continue
        numbers = rows.evaluator.array(index).reshape(-1)
        try:
            taken = rows.at(numbers, length).take_full(x, position)
        except CannotTakeRows:
            if length == rows.extent and np.array_equal(numbers, np.arange(length)):
                raise  # every row picks from its own: no table
            continue
        return _pick(taken, layout, position, joint, axis, rows)
    return None


def _is_small(length: int, rows: RowRequest) -> bool:
    """Whether a table is cheaper to compute whole than for the rows of a batch."""
    short = length <= MAX_FULL or (10 * length < rows.length and length <= _LONG_TABLE)
    return short and length < rows.length


def _pick(
    taken: Variable, layout: IndexLayout, position: int, joint: int, axis: int, rows: RowRequest
) -> Variable:
    """Index the rows that were taken by the remaining index arrays."""
    indices = list(layout.indices)
    if len(layout.arrays) == 1 and layout.n_joint == 1:
        indices[position] = FULL
        return taken[tuple(indices)]
    shape: list[Any] = [1] * indices[position].type.ndim
    shape[joint] = rows.count
    indices[position] = pt.arange(rows.count).reshape(shape)
    for other in layout.arrays:
        own = layout.joint_axis(other, axis)
        if other != position and own >= 0:
            indices[other] = rows.take(indices[other], own)
    return taken[tuple(indices)]


@register_row_rule(IncSubtensor)
def rows_of_inc_subtensor(
    op: IncSubtensor, node: Apply, output: int, axis: int, rows: RowRequest
) -> Variable:
    """Assign to other axes row by row, or to a fixed set of rows."""
    x, y, *flat = node.inputs
    indices: list[Any] = [*indices_from_subtensor(flat, op.idx_list)]
    indices += [FULL] * (x.type.ndim - len(indices))
    if not is_full(indices[axis]):
        return _rows_of_assignment(op, node, indices, axis, rows)
    kept = [i for i, entry in enumerate(indices) if isinstance(entry, slice)]
    own = kept.index(axis) - (len(kept) - y.type.ndim)
    taken = rows.take_full(x, axis)
    value = rows.take(y, own) if own >= 0 else y
    view = taken[tuple(indices)]
    return pt.set_subtensor(view, value) if op.set_instead_of_inc else pt.inc_subtensor(view, value)


@register_row_rule(AdvancedIncSubtensor)
def rows_of_advanced_inc_subtensor(
    op: AdvancedIncSubtensor, node: Apply, output: int, axis: int, rows: RowRequest
) -> Variable:
    """Assign to a fixed set of rows, given by data."""
    x, _, *flat = node.inputs
    indices = without_masks([*indices_from_subtensor(flat, op.idx_list)])
    indices += [FULL] * (x.type.ndim - len(indices))
    return _rows_of_assignment(op, node, indices, axis, rows)


def _rows_of_assignment(
    op: Any, node: Apply, indices: list[Any], axis: int, rows: RowRequest
) -> Variable:
    """Return rows of ``x`` with the entries at `indices` set to ``y``, from data positions."""
    x, y, *_ = node.inputs
    can = op.set_instead_of_inc and isinstance(x.type, TensorType) and rows.minibatch is None
    if not can or not all(_is_known(entry, rows) for entry in indices):
        raise rows.refuse_mixing(node)
    places = [
        _positions(entry, rows.evaluator.length(x, i), rows)
        if isinstance(entry, slice)
        else rows.evaluator.array(entry)
        for i, entry in enumerate(indices)
    ]
    others = [entry for i, entry in enumerate(indices) if i != axis]
    if np.ndim(places[axis]) == 1 and all(map(is_full, others)) and y.type.ndim == x.type.ndim:
        return _with_whole_rows(node, places[axis], axis, rows)
    # A slice selects an axis by itself: only arrays are broadcast against each other.
    selection = [
        _as_slice(place) if isinstance(entry, slice) else place
        for entry, place in zip(indices, places, strict=True)
    ]
    origin = np.full(rows.evaluator.shape(x), -1, dtype=np.int64)
    shape = rows.evaluator.shape(y)
    entries = np.arange(int(np.prod(shape)), dtype=np.int64).reshape(shape)
    origin[tuple(selection)] = np.broadcast_to(entries, origin[tuple(selection)].shape)
    return _with_entries(node, np.moveaxis(origin, axis, 0), axis, rows)


def _is_known(entry: Any, rows: RowRequest) -> bool:
    """Whether an index depends on data alone."""
    parts = [entry.start, entry.stop, entry.step] if isinstance(entry, slice) else [entry]
    return all(not isinstance(p, Variable) or rows.evaluator.is_data(p) for p in parts)


def _positions(entry: slice, length: int, rows: RowRequest) -> np.ndarray:
    return rows.evaluator.array(pt.arange(length)[entry])


def _as_slice(positions: np.ndarray) -> slice:
    """Return the slice that selects evenly spaced positions."""
    if len(positions) == 0:
        return slice(0, 0)
    step = int(positions[1] - positions[0]) if len(positions) > 1 else 1
    stop = int(positions[-1]) + step
    return slice(int(positions[0]), stop if stop >= 0 else None, step)


def _with_whole_rows(node: Apply, targets: np.ndarray, axis: int, rows: RowRequest) -> Variable:
    x, y, *_ = node.inputs
    origin = np.full(rows.evaluator.length(x, axis), -1, dtype=np.int64)
    origin[targets] = np.arange(len(targets))
    block = _block_of(node, origin, axis, "assigned rows", rows)
    shape: list[Any] = [1] * x.type.ndim
    shape[axis] = rows.count
    values = y if y.type.shape[axis] == 1 else pt.take(y, pt.maximum(block, 0), axis=axis)
    return pt.switch(block.reshape(shape) >= 0, values, rows.take(x, axis))


def _with_entries(node: Apply, origin: np.ndarray, axis: int, rows: RowRequest) -> Variable:
    """Set entries from `origin`, their place in the flattened value or -1, rows on axis 0."""
    x, y, *_ = node.inputs
    block = pt.moveaxis(_block_of(node, origin, axis, "assigned entries", rows), 0, axis)
    if rows.evaluator.is_data(y) and origin.size:
        # The values come with the row, instead of being picked from as many as there are data.
        given = rows.evaluator.array(y).reshape(-1)
        full = given[np.maximum(origin, 0)] if given.size else np.zeros(origin.shape, given.dtype)
        name = f"{names_below(y)} in place"
        values = pt.moveaxis(_block_of(node, full, axis, name, rows), 0, axis)
    else:
        values = pt.take(y.reshape((-1,)), pt.maximum(block, 0))
    if (origin >= 0).all():
        return values
    return pt.switch(block >= 0, values, rows.take(x, axis))


def _block_of(node: Apply, array: np.ndarray, axis: int, name: str, rows: RowRequest) -> Variable:
    """Return the block of an array made here, rows on axis 0."""
    own = np.ascontiguousarray(array if rows.index is None else array[rows.index])
    return rows.rewriter.block((name, node, axis, rows.key), rows.group, name, derived=own)
