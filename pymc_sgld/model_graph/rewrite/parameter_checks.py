"""PyMC's checks of parameters, row by row and without raising inside a compiled loop.

``Gamma(alpha=...)`` has log-density minus infinity where alpha is negative, and a finite
number if that is not checked. PyMC checks ``all(alpha > 0)`` over all rows at every
evaluation; here each row of a batch checks itself, and what holds by construction is
dropped.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytensor.tensor as pt

from pytensor.graph.basic import Apply, Variable
from pytensor.graph.traversal import toposort
from pytensor.scalar import basic as scalar
from pytensor.tensor.basic import MakeVector, ScalarFromTensor, TensorFromScalar
from pytensor.tensor.elemwise import DimShuffle, Elemwise
from pytensor.tensor.math import All

from pymc_sgld.model_graph.rewrite.errors import CannotTakeRows
from pymc_sgld.model_graph.rewrite.evaluator import Evaluator
from pymc_sgld.model_graph.rewrite.fold_and_cost import rebuild
from pymc_sgld.model_graph.rewrite.private_api import CheckParameterValue
from pymc_sgld.model_graph.rewrite.ranges import always_true
from pymc_sgld.model_graph.rewrite.take_rows import RowRequest, register_row_rule


def conditions_of(node: Apply, evaluator: Evaluator) -> list[Variable]:
    """Return the elementwise conditions of a check that do not hold by construction."""
    conditions: list[Variable] = []
    stack = list(node.inputs[1:])
    while stack:
        var = stack.pop()
        op = None if var.owner is None else var.owner.op
        conjunction = isinstance(op, Elemwise) and isinstance(op.scalar_op, scalar.AND)
        wrapper = isinstance(op, All | MakeVector | ScalarFromTensor | TensorFromScalar)
        scalar_shuffle = isinstance(op, DimShuffle) and var.owner.inputs[0].type.ndim == 0
        if conjunction or wrapper or scalar_shuffle:
            stack.extend(var.owner.inputs)
        elif not always_true(var, evaluator):
            conditions.append(var)
    return conditions


@register_row_rule(CheckParameterValue)
def rows_of_check(
    op: CheckParameterValue, node: Apply, output: int, axis: int, rows: RowRequest
) -> Variable:
    """Give a row minus infinity where its own parameters are outside their range."""
    logp = rows.take(node.inputs[0], axis)
    shape: list[int | str] = ["x"] * node.inputs[0].type.ndim
    for condition in conditions_of(node, rows.evaluator):
        lengths = rows.evaluator.shape(condition)
        if rows.extent not in lengths:
            logp = pt.switch(pt.all(condition), logp, -np.inf)
            continue
        own = lengths.index(rows.extent)
        try:
            taken = rows.take(condition, own)
        except CannotTakeRows:
            continue  # a condition across rows; the log-density itself does not need it
        others = [i for i in range(taken.type.ndim) if i != own]
        each = pt.all(taken, axis=others) if others else taken
        order = list(shape)
        order[axis] = 0
        logp = pt.switch(each.dimshuffle(order), logp, -np.inf)
    return logp


def checks_as_switches(outputs: Sequence[Variable], evaluator: Evaluator) -> list[Variable]:
    """Replace the checks of expressions kept whole by minus infinity where they fail."""
    replace: dict[Variable, Variable] = {}
    for node in toposort(outputs):
        if isinstance(node.op, CheckParameterValue):
            logp = node.inputs[0]
            for condition in conditions_of(node, evaluator):
                logp = pt.switch(pt.all(condition), logp, -np.inf)
            replace[node.outputs[0]] = logp
    # Checks inside checks: replaced from the innermost outwards.
    done: dict[Variable, Variable] = {}
    for old, new in replace.items():
        done[old] = rebuild([new], done)[0] if done else new
    return rebuild(outputs, done) if done else list(outputs)
