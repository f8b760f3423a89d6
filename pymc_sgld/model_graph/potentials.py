"""Split a scalar potential into vectors that may have rows, and what remains."""

from __future__ import annotations

from pytensor.graph.basic import Variable
from pytensor.scalar.basic import Add, Neg, Sub
from pytensor.tensor.elemwise import DimShuffle, Elemwise
from pytensor.tensor.math import Sum


def split_sums(potential: Variable) -> list[tuple[int, Variable]]:
    """Return (sign, expression) pairs whose signed sums add up to the potential's sum.

    Only `+`, `-`, unary minus and full sums are undone, and sums of vectors only where
    the parts have the same shape or are scalars by themselves.
    """
    parts: list[tuple[int, Variable]] = []
    stack = [(1, potential)]
    while stack:
        sign, var = stack.pop()
        node = var.owner
        if node is None:
            parts.append((sign, var))
        elif isinstance(node.op, Sum) and set(node.op.axis) == set(range(node.inputs[0].type.ndim)):
            stack.append((sign, node.inputs[0]))
        elif var.type.ndim == 0 and isinstance(node.op, DimShuffle):
            stack.append((sign, node.inputs[0]))
        elif var.type.ndim == 0 and isinstance(node.op, Elemwise):
            stack.extend(_terms(sign, var))
            if not _terms(sign, var):
                parts.append((sign, var))
        else:
            parts.append((sign, var))
    return parts[::-1]


def _terms(sign: int, var: Variable) -> list[tuple[int, Variable]]:
    node = var.owner
    scalar_op = node.op.scalar_op
    if isinstance(scalar_op, Add):
        return [(sign, x) for x in node.inputs]
    if isinstance(scalar_op, Sub):
        return [(sign, node.inputs[0]), (-sign, node.inputs[1])]
    if isinstance(scalar_op, Neg):
        return [(-sign, node.inputs[0])]
    return []
