"""Rows of random variables in a predictive graph, and of what is wrapped around them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt

from pytensor.compile.ops import ViewOp
from pytensor.graph.basic import Apply, Variable

from pymc_sgld.model_graph.rewrite.errors import CannotTakeRows
from pymc_sgld.model_graph.rewrite.naming import op_name
from pymc_sgld.model_graph.rewrite.private_api import MinibatchRandomVariable, RandomVariable
from pymc_sgld.model_graph.rewrite.take_rows import RowRequest, register_row_rule


@register_row_rule(ViewOp)
@register_row_rule(MinibatchRandomVariable)
def rows_of_view(op: Any, node: Apply, output: int, axis: int, rows: RowRequest) -> Variable:
    """Continue behind a `pm.Deterministic`, or a ``total_size``."""
    return rows.take(node.inputs[0], axis)


@register_row_rule(RandomVariable)
def rows_of_random_variable(
    op: RandomVariable, node: Apply, output: int, axis: int, rows: RowRequest
) -> Variable:
    """Draw rows from rows of the parameters, in a posterior predictive graph."""
    generators = getattr(rows.rewriter, "generators", None)
    if generators is None or output == 0:
        raise CannotTakeRows(f"{op_name(node)} is drawn at random inside the log-density")
    if rows.index is not None:
        raise CannotTakeRows("rows of a random variable are picked by position")
    out = node.outputs[1]
    batch_ndim = out.type.ndim - op.ndim_supp
    if axis >= batch_ndim:
        raise CannotTakeRows(
            f"the rows are entries of one draw of {op.name or type(op).__name__}, which are not "
            "independent"
        )
    params = []
    for param, ndim in zip(op.dist_params(node), op.ndims_params, strict=True):
        own = axis - (batch_ndim - (param.type.ndim - ndim))
        params.append(rows.take(param, own) if own >= 0 else param)
    size: list[Any] = [int(n) for n in rows.evaluator.shape(out)[:batch_ndim]]
    size[axis] = rows.count
    generator = pytensor.shared(np.random.default_rng(len(generators)))
    generators.append(generator)
    return op.make_node(generator, pt.stack(size).astype("int64"), *params).outputs[1]
