"""Row rules of operations that make, join or reshape arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytensor.tensor as pt

from pytensor.graph.basic import Apply, Variable
from pytensor.tensor.basic import Alloc, AllocEmpty, ARange, Join, Split
from pytensor.tensor.reshape import JoinDims, SplitDims
from pytensor.tensor.shape import Reshape

from pymc_sgld.model_graph.rewrite.take_rows import RowRequest, register_row_rule

# Parts of a row axis that are each pushed by themselves: the graph grows with their number.
_MOST_PIECES = 16


@register_row_rule(Alloc)
def rows_of_alloc(op: Alloc, node: Apply, output: int, axis: int, rows: RowRequest) -> Variable:
    """Take rows of the value and put the batch's length into the shape."""
    value, *shape = node.inputs
    own = axis - (len(shape) - value.type.ndim)
    if own >= 0:
        value = rows.take(value, own)
    lengths = node.outputs[output].type.shape
    fills = [n == 1 and (i == axis or lengths[i] != 1) for i, n in enumerate(value.type.shape)]
    if value.type.ndim == len(shape) and not any(fills):
        return value  # repeats nothing
    shape[axis] = rows.count
    return op(value, *shape)


@register_row_rule(ARange)
def rows_of_arange(op: ARange, node: Apply, output: int, axis: int, rows: RowRequest) -> Variable:
    """Row numbers are one more block of data."""
    start, _, step = node.inputs
    return pt.cast(start + step * rows.positions(), node.outputs[output].type.dtype)


@register_row_rule(AllocEmpty)
def rows_of_empty(
    op: AllocEmpty, node: Apply, output: int, axis: int, rows: RowRequest
) -> Variable:
    """Stand zeros in for entries that are all set later."""
    shape = [pt.constant(1) if i == axis else n for i, n in enumerate(node.inputs)]
    return pt.zeros(shape, dtype=op.dtype)


@register_row_rule(Join)
def rows_of_join(op: Join, node: Apply, output: int, axis: int, rows: RowRequest) -> Variable:
    """Join along another axis; Join does not broadcast, so equal rows are repeated.

    Joined along the row axis, each row is picked from the part it came from.
    """
    if axis != op.axis:
        return op(*(rows.take_full(x, axis) for x in node.inputs))
    if len(node.inputs) > _MOST_PIECES or rows.minibatch is not None:
        raise rows.refuse_mixing(node, output)
    lengths = [rows.evaluator.length(x, axis) for x in node.inputs]
    starts = np.concatenate([[0], np.cumsum(lengths)])
    positions = np.arange(starts[-1])
    part = np.searchsorted(starts, positions, side="right") - 1
    shape: list[Any] = [1] * node.outputs[output].type.ndim
    shape[axis] = rows.count
    own_part = rows.at(part, len(lengths)).positions().reshape(shape)
    picked: Variable | None = None
    for k, (x, length) in enumerate(zip(node.inputs, lengths, strict=True)):
        if length == 0:
            continue
        # Rows of the other parts read this part's nearest row, and are not used.
        inside = np.clip(positions - starts[k], 0, length - 1)
        taken = rows.at(inside, length).take(x, axis)
        picked = taken if picked is None else pt.switch(pt.eq(own_part, k), taken, picked)
    if picked is None:
        raise rows.refuse_mixing(node, output)
    return pt.cast(picked, node.outputs[output].type.dtype)


@register_row_rule(Split)
def rows_of_split(op: Split, node: Apply, output: int, axis: int, rows: RowRequest) -> Variable:
    """Split along another axis."""
    x, lengths = node.inputs
    if axis == op.axis:
        raise rows.refuse_mixing(node, output)
    parts: list[Variable] = op(rows.take_full(x, axis), lengths, return_list=True)
    return parts[output]


@register_row_rule(Reshape)
@register_row_rule(JoinDims)
@register_row_rule(SplitDims)
def rows_of_reshape(op: Any, node: Apply, output: int, axis: int, rows: RowRequest) -> Variable:
    """Keep the row axis apart, merge it with others (long format), or split it off."""
    x, out = node.inputs[0], node.outputs[output]
    before = rows.evaluator.shape(x)
    after = rows.evaluator.shape(out)
    leading = int(np.prod(after[:axis]))
    matches = [
        i
        for i, length in enumerate(before)
        if length == after[axis] and int(np.prod(before[:i])) == leading
    ]
    shape: list[Any] = [int(n) for n in after]
    shape[axis] = rows.count
    if matches:
        taken = rows.take_full(x, matches[-1])
    else:
        taken = _from_merged(x, before, after, axis, rows)
        taken = _from_split(x, before, after, axis, rows) if taken is None else taken
    if taken is None:
        raise rows.refuse_mixing(node, output)
    return pt.reshape(taken, shape, ndim=len(shape))


def _from_merged(
    x: Variable, before: tuple[int, ...], after: tuple[int, ...], axis: int, rows: RowRequest
) -> Variable | None:
    """Return rows of axes of `x` merged into one: row r is entry (r // K, r % K)."""
    first = _axes_up_to(before, int(np.prod(after[:axis])))
    last = _axes_up_to(before, int(np.prod(after[: axis + 1])))
    if first is None or last is None or rows.minibatch is not None:
        return None
    merged = list(range(first, last))
    entries = np.unravel_index(np.arange(after[axis]), before[first:last])
    longest = max(merged, key=lambda i: before[i])
    indices: list[Any] = [slice(None)] * len(before)
    for i, entry in zip(merged, entries, strict=True):
        request = rows.at(entry, before[i])
        if i == longest:
            x = request.take_full(x, i)
            indices[i] = pt.arange(rows.count)
        else:
            indices[i] = request.positions()
    return x[tuple(indices)]


def _from_split(
    x: Variable, before: tuple[int, ...], after: tuple[int, ...], axis: int, rows: RowRequest
) -> Variable | None:
    """Return rows of one axis of `x` split into several: row r is entries r*K, ..., r*K + K-1."""
    for i in range(len(before)):
        first = _axes_up_to(after, int(np.prod(before[:i])))
        last = _axes_up_to(after, int(np.prod(before[: i + 1])))
        if first is None or last is None or not first <= axis < last:
            continue
        others = [after[j] for j in range(first, last) if j != axis]
        n_pieces = int(np.prod(others))
        if n_pieces > _MOST_PIECES or rows.minibatch is not None:
            return None
        grid = np.arange(before[i]).reshape(after[first:last])
        positions = np.moveaxis(grid, axis - first, -1).reshape(n_pieces, after[axis])
        pieces = [rows.at(where, before[i]).take_full(x, i) for where in positions]
        # (..., K, n, ...) with the pieces just before the rows; then the rows to their place.
        stacked = pt.stack(pieces, axis=i)
        lead, tail = [int(n) for n in before[:i]], [int(n) for n in before[i + 1 :]]
        stacked = stacked.reshape((*lead, *others, rows.count, *tail))
        return pt.moveaxis(stacked, i + len(others), i + axis - first)
    return None


def _axes_up_to(shape: tuple[int, ...], size: int) -> int | None:
    """Return how many leading axes have this many entries in all."""
    for i in range(len(shape) + 1):
        if int(np.prod(shape[:i])) == size:
            return i
    return None
