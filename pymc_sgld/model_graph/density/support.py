"""Whether a log-density can be minus infinity, or no number, at some position: its support.

Seen in the graph: a switch to minus infinity by a condition on the parameters that does not hold by
construction, or the logarithm or root of what may be negative. Transforms keep PyMC's own variables
inside of their supports; potentials, CustomDists, and bounds of data that depend on parameters, are
what remains.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pytensor.tensor as pt

from pymc.distributions.transforms import CircularTransform, ZeroSumTransform
from pytensor.graph.basic import Apply, Constant, Variable
from pytensor.graph.traversal import ancestors
from pytensor.scalar import basic as scalar
from pytensor.tensor.elemwise import Elemwise

from pymc_sgld.model_graph.density.row_density import RowDensity
from pymc_sgld.model_graph.rewrite.evaluator import Evaluator
from pymc_sgld.model_graph.rewrite.named_dims import lowered
from pymc_sgld.model_graph.rewrite.ranges import always_true, range_of

_OF_POSITIVE = (scalar.Log, scalar.Log2, scalar.Log10, scalar.Sqrt)

_WITHOUT_ENDS = (type(None), ZeroSumTransform, CircularTransform)  # transforms of all numbers

_AT_POINTS = (scalar.EQ, scalar.NEQ, scalar.IsInf, scalar.IsNan)


class Support(NamedTuple):
    """Which parts of a density can be minus infinity."""

    anywhere: bool
    rows: bool  # by rows that a batch does not see

    @property
    def is_bounded(self) -> bool:
        """Whether there are positions outside."""
        return self.anywhere or self.rows


EVERYWHERE = Support(anywhere=False, rows=False)  # of a density that is never minus infinity


def support_of(row_model: RowDensity) -> Support:
    """Return which parts of a row model can be minus infinity.

    Looked at are potentials, priors without a transform, and of the rows what a batch does not
    see: conditions on parameters and data together.
    """
    model, evaluator = row_model.model, row_model.evaluator
    priors = [rv for rv in model.free_RVs if model.rvs_to_transforms[rv] is None]
    factors = [*priors, *model.potentials]
    whole = lowered(
        [
            pt.as_tensor(graph, allow_xtensor_conversion=True)
            for graph in (model.logp(vars=factors, sum=False) if factors else [])
        ]
    )
    rows = [term.logp for term in row_model.terms]
    live = _made_of(whole, set(model.value_vars))
    both = _made_of(rows, {row_model.position})
    both &= _made_of(rows, {leaf.block for leaf in row_model.leaves})
    of_rows = (_is_switched_off(node, both, evaluator) for node in _nodes(rows, both))
    return Support(
        any(
            _is_switched_off(node, live, evaluator) or _has_no_value(node, live, evaluator)
            for node in _nodes(whole, live)
        ),
        any(of_rows),
    )


def transformed_entries(row_model: RowDensity) -> tuple[int, ...]:
    """Return which entries of the position are variables with an end, in unconstrained space."""
    model = row_model.model
    names = [
        model.rvs_to_values[rv].name
        for rv in model.free_RVs
        if not isinstance(model.rvs_to_transforms[rv], _WITHOUT_ENDS)
    ]
    return tuple(row_model.layout.entries(names).tolist())


def _made_of(graphs: Iterable[Variable], leaves: set[Variable]) -> set[Variable]:
    """Return the variables of some graphs that depend on some leaves."""
    live = set(leaves)
    for var in _in_order(graphs):
        if var.owner is not None and any(parent in live for parent in var.owner.inputs):
            live.add(var)
    return live


def _in_order(graphs: Iterable[Variable]) -> list[Variable]:
    """Return all variables of some graphs, inputs first."""
    return list(reversed(list(dict.fromkeys(_depth_first(graphs)))))


def _depth_first(graphs: Iterable[Variable]) -> list[Variable]:
    """Return variables so that in the reverse, at its last place, each follows its inputs."""
    done: list[Variable] = []
    seen: set[Variable] = set()
    stack: list[tuple[Variable, bool]] = [(graph, False) for graph in graphs]
    while stack:
        var, finished = stack.pop()
        if finished:
            done.append(var)
        elif var not in seen:
            seen.add(var)
            stack.append((var, True))
            if var.owner is not None:
                stack.extend((parent, False) for parent in var.owner.inputs)
    return done[::-1]


def _nodes(graphs: list[Variable], among: set[Variable]) -> set[Apply]:
    return {var.owner for var in ancestors(graphs) if var in among and var.owner is not None}


def _has_no_value(node: Apply, live: set[Variable], evaluator: Evaluator) -> bool:
    """Whether a node is the logarithm or root of what may be negative."""
    if not isinstance(node.op, Elemwise):
        return False
    operation, first = node.op.scalar_op, node.inputs[0]
    if isinstance(operation, _OF_POSITIVE):
        return first in live and not range_of(first, evaluator).low >= 0
    return isinstance(operation, scalar.Log1p) and not range_of(first, evaluator).low >= -1


def _is_switched_off(node: Apply, live: set[Variable], evaluator: Evaluator) -> bool:
    """Whether a node is a switch to minus infinity by a condition on some variables."""
    if not isinstance(node.op, Elemwise) or not isinstance(node.op.scalar_op, scalar.Switch):
        return False
    condition, *branches = node.inputs
    if condition not in live or not any(map(_holds_minus_infinity, branches)):
        return False
    return not _is_at_points(condition) and not always_true(condition, evaluator)


def _is_at_points(condition: Variable) -> bool:
    """Whether a condition is one of equality, which no draw meets."""
    op = None if condition.owner is None else condition.owner.op
    return isinstance(op, Elemwise) and isinstance(op.scalar_op, _AT_POINTS)


def _holds_minus_infinity(branch: Variable) -> bool:
    while branch.owner is not None and len(branch.owner.inputs) == 1:
        branch = branch.owner.inputs[0]
    return isinstance(branch, Constant) and bool(np.isneginf(branch.data).any())
