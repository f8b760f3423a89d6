"""Row rules of operations that treat every row alike: elementwise, reductions, softmax."""

from __future__ import annotations

from typing import Any

from pytensor.compile.builders import OpFromGraph
from pytensor.graph.basic import Apply, Variable
from pytensor.raise_op import CheckAndRaise
from pytensor.tensor.elemwise import CAReduce, DimShuffle, Elemwise
from pytensor.tensor.extra_ops import CumOp
from pytensor.tensor.math import Argmax
from pytensor.tensor.shape import SpecifyShape
from pytensor.tensor.sort import ArgSortOp, SortOp
from pytensor.tensor.special import LogSoftmax, LogSumExp, Softmax

from pymc_sgld.model_graph.rewrite.private_api import IfElse
from pymc_sgld.model_graph.rewrite.take_rows import RowRequest, register_row_rule


def output_of(op: Any, output: int, *inputs: Variable) -> Variable:
    """Apply an operation to new inputs and return one of its outputs."""
    result = op(*inputs, return_list=True)
    return result[output]


@register_row_rule(Elemwise)
def rows_of_elemwise(
    op: Elemwise, node: Apply, output: int, axis: int, rows: RowRequest
) -> Variable:
    """Take rows of every input; inputs of length one on the axis broadcast."""
    return output_of(op, output, *(rows.take(x, axis) for x in node.inputs))


@register_row_rule(DimShuffle)
def rows_of_dimshuffle(
    op: DimShuffle, node: Apply, output: int, axis: int, rows: RowRequest
) -> Variable:
    """Follow the axis through the permutation."""
    return op(rows.take(node.inputs[0], op.new_order[axis]))


@register_row_rule(CAReduce)
@register_row_rule(Argmax)
def rows_of_reduction(op: Any, node: Apply, output: int, axis: int, rows: RowRequest) -> Variable:
    """Skip the reduced axes; the requested axis is among the kept ones."""
    [x] = node.inputs
    kept = [i for i in range(x.type.ndim) if i not in op.axis]
    return output_of(op, output, rows.take(x, kept[axis]))


@register_row_rule(Softmax)
@register_row_rule(LogSoftmax)
@register_row_rule(CumOp)
@register_row_rule(SortOp)
@register_row_rule(ArgSortOp)
def rows_of_normalised(op: Any, node: Apply, output: int, axis: int, rows: RowRequest) -> Variable:
    """Operations along axes of their own: they mix rows only if the row axis is one."""
    own = op.axis
    mixed = own is None or axis in (own if isinstance(own, tuple) else (own,))
    if mixed:
        raise rows.refuse_mixing(node, output)
    return output_of(op, output, rows.take(node.inputs[0], axis))


@register_row_rule(LogSumExp)
def rows_of_logsumexp(
    op: LogSumExp, node: Apply, output: int, axis: int, rows: RowRequest
) -> Variable:
    """Reduce like a sum, but rebuild the operation to keep its stable gradient."""
    [x] = node.inputs
    kept = [i for i in range(x.type.ndim) if i not in op.axis]
    return output_of(op, output, rows.take(x, kept[axis]))


@register_row_rule(OpFromGraph)
def rows_of_inner_graph(
    op: OpFromGraph, node: Apply, output: int, axis: int, rows: RowRequest
) -> Variable:
    """Continue inside the inner graph."""
    key = ("inlined", node)
    if key not in rows.rewriter.memo:
        outer = dict(zip(op.fgraph.inputs, node.inputs, strict=True))
        rows.rewriter.memo[key] = op.fgraph.bind(outer)
    inlined: Any = rows.rewriter.memo[key]
    return rows.take(inlined[output], axis)


@register_row_rule(SpecifyShape)
@register_row_rule(CheckAndRaise)
def rows_of_passthrough(op: Any, node: Apply, output: int, axis: int, rows: RowRequest) -> Variable:
    """Drop checks: they hold for all rows or were made when the model was read."""
    return rows.take(node.inputs[0], axis)


@register_row_rule(IfElse)
def rows_of_ifelse(op: IfElse, node: Apply, output: int, axis: int, rows: RowRequest) -> Variable:
    """Take rows of both branches of a condition that is the same for all rows."""
    condition, *branches = node.inputs
    n_outputs = len(node.outputs)
    kept = [branches[output], branches[output + n_outputs]]
    return IfElse(1)(condition, *(rows.take_full(x, axis) for x in kept))
