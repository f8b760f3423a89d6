"""Row rules of operations that make, join or reshape arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytensor.tensor as pt

from pytensor.graph.basic import Apply, Variable
from pytensor.tensor.basic import Alloc, ARange, Join
from pytensor.tensor.reshape import JoinDims, SplitDims
from pytensor.tensor.shape import Reshape

from pymc_sgld.model_graph.push import Rows, register_row_rule


@register_row_rule(Alloc)
def rows_of_alloc(op: Alloc, node: Apply, output: int, axis: int, rows: Rows) -> Variable:
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
def rows_of_arange(op: ARange, node: Apply, output: int, axis: int, rows: Rows) -> Variable:
    """Row numbers are one more block of data."""
    start, _, step = node.inputs
    return pt.cast(start + step * rows.positions(), node.outputs[output].type.dtype)


@register_row_rule(Join)
def rows_of_join(op: Join, node: Apply, output: int, axis: int, rows: Rows) -> Variable:
    """Join along another axis; Join does not broadcast, so equal rows are repeated."""
    if axis == op.axis:
        raise rows.refuse_mixing(node, output)
    return op(*(rows.take_full(x, axis) for x in node.inputs))


@register_row_rule(Reshape)
@register_row_rule(JoinDims)
@register_row_rule(SplitDims)
def rows_of_reshape(op: Any, node: Apply, output: int, axis: int, rows: Rows) -> Variable:
    """Keep the row axis apart where as many entries precede it before and after."""
    x, out = node.inputs[0], node.outputs[output]
    before = rows.evaluator.shape(x)
    after = rows.evaluator.shape(out)
    leading = int(np.prod(after[:axis]))
    matches = [
        i
        for i, length in enumerate(before)
        if length == after[axis] and int(np.prod(before[:i])) == leading
    ]
    if not matches:
        raise rows.refuse_mixing(node, output)
    shape: list[Any] = [int(n) for n in after]
    shape[axis] = rows.count
    return pt.reshape(rows.take_full(x, matches[-1]), shape, ndim=len(shape))
