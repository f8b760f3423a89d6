"""Models written with `pymc.dims`: their graphs of named dimensions, made plain."""

from __future__ import annotations

from collections.abc import Sequence

import pytensor.tensor as pt

from pytensor.compile.mode import optdb
from pytensor.graph.basic import Apply, Variable
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.rewriting.db import RewriteDatabaseQuery
from pytensor.graph.traversal import ancestors
from pytensor.xtensor.basic import TensorFromXTensor, XTensorFromTensor
from pytensor.xtensor.type import XTensorType, as_xtensor

from pymc_sgld.model_graph.rewrite.errors import CannotTakeRows
from pymc_sgld.model_graph.rewrite.take_rows import RowRequest, register_row_rule


def lowered(outputs: Sequence[Variable]) -> list[Variable]:
    """Return tensor graphs free of operations on named dimensions; others unchanged."""
    if not any(isinstance(v.type, XTensorType) for v in ancestors(outputs)):
        return list(outputs)
    graph = FunctionGraph(outputs=list(outputs), clone=True, copy_inputs=False, copy_orphans=False)
    optdb.query(RewriteDatabaseQuery(include=["lower_xtensor"])).rewrite(graph)
    return list(graph.outputs)


def dims_of(logp: Variable) -> tuple[str, ...] | None:
    """Return the dimension names of an expression with named dimensions, else None."""
    return tuple(logp.type.dims) if isinstance(logp.type, XTensorType) else None


def shaped_like(part: Variable, var: Variable) -> Variable:
    """Return a part of the position with the dimension names of its value variable."""
    if isinstance(var.type, XTensorType):
        return as_xtensor(part, dims=var.type.dims)
    return part


@register_row_rule(TensorFromXTensor)
def rows_of_unnamed(
    op: TensorFromXTensor, node: Apply, output: int, axis: int, rows: RowRequest
) -> Variable:
    """Gather from a parameter's table; data are evaluated once by the caller."""
    [x] = node.inputs
    if x.owner is not None and isinstance(x.owner.op, XTensorFromTensor):
        return rows.take(x.owner.inputs[0], axis)
    if x in rows.rewriter.parameters and rows.index is not None:
        return pt.take(node.outputs[0], rows.positions(), axis=axis)
    if x in rows.rewriter.parameters and rows.keep_parameters:
        return node.outputs[0]
    if x in rows.rewriter.parameters:
        raise CannotTakeRows(
            f"parameter '{x.name}' has one entry per row (local latent). "
            "Marginalise it: psg.sample does where a row has one or two, and psg.marginal_model "
            "returns the model; else write the density of a row with it integrated out"
        )
    raise CannotTakeRows(f"'{x.name}' has named dimensions")
