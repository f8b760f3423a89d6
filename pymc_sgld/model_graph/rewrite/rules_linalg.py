"""Row rules of products and solves: dense, batched and sparse."""

from __future__ import annotations

from typing import Any

from pytensor.graph.basic import Apply, Variable
from pytensor.sparse import math as sparse_math
from pytensor.tensor.basic import ExtractDiag
from pytensor.tensor.blockwise import Blockwise
from pytensor.tensor.linalg.solvers.core import SolveBase
from pytensor.tensor.math import Dot

from pymc_sgld.model_graph.rewrite.rules_elementwise import output_of
from pymc_sgld.model_graph.rewrite.take_rows import RowRequest, register_row_rule


@register_row_rule(Dot)
@register_row_rule(sparse_math.Dot)
@register_row_rule(sparse_math.StructuredDot)
@register_row_rule(sparse_math.TrueDot)
def rows_of_dot(op: Any, node: Apply, output: int, axis: int, rows: RowRequest) -> Variable:
    """Rows of a product are rows of the left factor; columns, of the right one."""
    left, right = node.inputs
    if axis == 0:
        return op(rows.take_full(left, 0), right)
    return op(left, rows.take_full(right, 1))


@register_row_rule(Blockwise)
def rows_of_blockwise(
    op: Blockwise, node: Apply, output: int, axis: int, rows: RowRequest
) -> Variable:
    """Batch axes behave elementwise; core axes depend on the core operation."""
    n_batch = op.batch_ndim(node)
    if axis < n_batch:
        inputs = []
        for x, signature in zip(node.inputs, op.inputs_sig, strict=True):
            own = axis - (n_batch - (x.type.ndim - len(signature)))
            inputs.append(rows.take(x, own) if own >= 0 else x)
        return output_of(op, output, *inputs)
    return _rows_of_core(op, node, output, axis - n_batch, rows)


def _rows_of_core(op: Blockwise, node: Apply, output: int, core: int, rows: RowRequest) -> Variable:
    core_op = op.core_op
    if isinstance(core_op, Dot):
        left, right = node.inputs
        if core == 0:
            return op(rows.take_full(left, left.type.ndim - 2), right)
        return op(left, rows.take_full(right, right.type.ndim - 1))
    if isinstance(core_op, SolveBase) and core_op.b_ndim == 2 and core == 1:
        matrix, columns = node.inputs
        return op(matrix, rows.take_full(columns, columns.type.ndim - 1))
    raise rows.refuse_mixing(node, output)


@register_row_rule(ExtractDiag)
def rows_of_diagonal(
    op: ExtractDiag, node: Apply, output: int, axis: int, rows: RowRequest
) -> Variable:
    """Axes other than the two diagonal ones come first in the output."""
    [x] = node.inputs
    others = [i for i in range(x.type.ndim) if i not in (op.axis1, op.axis2)]
    if axis >= len(others):
        raise rows.refuse_mixing(node, output)
    return op(rows.take(x, others[axis]))
