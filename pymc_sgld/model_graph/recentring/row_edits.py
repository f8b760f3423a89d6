"""Rows that see the group effects themselves, without what shift and scale made of them."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import pytensor.scalar as ps
import pytensor.tensor as pt

from pytensor.graph.basic import Apply, Variable
from pytensor.tensor.elemwise import Elemwise

from pymc_sgld.model_graph.rewrite.fold_and_cost import rebuild

type Edits = Mapping[Apply, Collection[Variable]]


def rebuilt_with(
    outputs: Sequence[Variable], new: dict[Variable, Variable], edits: Edits
) -> list[Variable]:
    """Copy graphs with variables replaced, and without some operands of some operations.

    Where ``mu + tau * z[group]`` loses the summand mu and the factor tau, and z is replaced by u,
    it becomes ``u[group]``: nothing is left to cancel.

    Parameters
    ----------
    outputs : sequence of TensorVariable
    new : dict of Variable to Variable
    edits : mapping of Apply to collection of Variable
        For sums, products, quotients and matrix products, the operands that they lose.
    """

    def instead(node: Apply, made: dict[Variable, Variable]) -> Variable | None:
        if node not in edits:
            return None
        lost = edits[node]
        operation = node.op.scalar_op if isinstance(node.op, Elemwise) else None
        if isinstance(operation, ps.Add | ps.Sub):
            return _sum(_summands(node, 1, lost, edits, made))
        if isinstance(operation, ps.Mul):
            kept = _factors(node, lost, edits, made)
            return kept[0] if len(kept) == 1 else pt.mul(*kept)
        [kept_whole] = [x for x in node.inputs if x not in lost]
        return made.get(kept_whole, kept_whole)

    return rebuild(outputs, new, instead)


def _summands(
    node: Apply, sign: int, lost: Collection[Variable], edits: Edits, made: dict[Variable, Variable]
) -> list[tuple[int, Variable]]:
    """Return the signed terms of a sum that are left; sums in it are opened where they lose one."""
    subtracted = isinstance(node.op.scalar_op, ps.Sub)
    turned = isinstance(node.op.scalar_op, ps.Neg)
    parts: list[tuple[int, Variable]] = []
    for position, x in enumerate(node.inputs):
        own = -sign if turned or (subtracted and position == 1) else sign
        if x in lost:
            continue
        if _loses(x, lost, ps.Add | ps.Sub | ps.Neg):
            parts += _summands(x.owner, own, {*lost, *edits.get(x.owner, ())}, edits, made)
        else:
            parts.append((own, made.get(x, x)))
    return parts


def _factors(
    node: Apply, lost: Collection[Variable], edits: Edits, made: dict[Variable, Variable]
) -> list[Variable]:
    parts: list[Variable] = []
    for x in node.inputs:
        if x in lost:
            continue
        if _loses(x, lost, ps.Mul):
            parts += _factors(x.owner, {*lost, *edits.get(x.owner, ())}, edits, made)
        else:
            parts.append(made.get(x, x))
    return parts


def _loses(x: Variable, lost: Collection[Variable], operations: type) -> bool:
    """Whether an operand of an operand is among those that are lost."""
    node = x.owner
    if node is None or not isinstance(node.op, Elemwise):
        return False
    if not isinstance(node.op.scalar_op, operations):
        return False
    return any(one in lost or _loses(one, lost, operations) for one in node.inputs)


def _sum(terms: Sequence[tuple[int, Variable]]) -> Variable:
    positive = [x for sign, x in terms if sign > 0]
    negative = [x for sign, x in terms if sign < 0]
    total = pt.add(*positive) if len(positive) > 1 else (positive[0] if positive else None)
    for x in negative:
        total = -x if total is None else total - x
    return total
