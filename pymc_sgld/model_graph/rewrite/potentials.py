"""Split a scalar potential into vectors that may have rows, and what remains."""

from __future__ import annotations

import pytensor.tensor as pt

from pytensor.graph.basic import Variable
from pytensor.scalar.basic import Add, Mul, Neg, Sub, TrueDiv
from pytensor.tensor.elemwise import DimShuffle, Elemwise
from pytensor.tensor.math import Sum


def split_sums(potential: Variable) -> list[Variable]:
    """Return expressions whose sums add up to the potential's sum.

    Undoes full sums and, on scalars, ``+``, ``-`` and products or quotients with a scalar:
    ``c * v.sum()`` becomes the vector ``c * v``.
    """
    parts: list[Variable] = []
    stack: list[tuple[Variable | None, Variable]] = [(None, potential)]
    while stack:
        factor, var = stack.pop()
        inner = _inner(factor, var)
        if inner is None:
            parts.append(var if factor is None else factor * var)
        else:
            stack.extend(inner)
    return parts[::-1]


def _inner(factor: Variable | None, var: Variable) -> list[tuple[Variable | None, Variable]] | None:
    """Return the (factor, expression) pairs a scalar is made of, or None if it is one piece."""
    node = var.owner
    if node is None or var.type.ndim != 0:
        return None
    if isinstance(node.op, Sum | DimShuffle):
        return [(factor, node.inputs[0])]
    if not isinstance(node.op, Elemwise):
        return None
    kind, inputs = node.op.scalar_op, list(node.inputs)
    if isinstance(kind, Add):
        return [(factor, x) for x in inputs]
    if isinstance(kind, Sub):
        return [(factor, inputs[0]), (_times(factor, pt.constant(-1.0)), inputs[1])]
    if isinstance(kind, Neg):
        return [(_times(factor, pt.constant(-1.0)), inputs[0])]
    if isinstance(kind, TrueDiv) and _is_sum(inputs[0]):
        return [(_times(factor, 1 / inputs[1]), inputs[0])]
    if isinstance(kind, Mul) and any(map(_is_sum, inputs)):
        position = [_is_sum(x) for x in inputs].index(True)
        others = inputs[:position] + inputs[position + 1 :]
        for x in others:
            factor = _times(factor, x)
        return [(factor, inputs[position])]
    return None


def _times(factor: Variable | None, other: Variable) -> Variable:
    return other if factor is None else factor * other


def _is_sum(var: Variable) -> bool:
    """Whether a scalar is a sum, or made of sums by what `_inner` undoes."""
    inner = _inner(None, var)
    if inner is None:
        return False
    return isinstance(var.owner.op, Sum) or any(_is_sum(x) for _, x in inner)
