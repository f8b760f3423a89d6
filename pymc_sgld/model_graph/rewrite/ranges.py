"""Sign and range of expressions, as far as their last operations tell.

PyMC guards log-probabilities by conditions such as ``sigma > 0``. Most hold by
construction (``sigma = exp(...)``); those need not be evaluated at every step.
"""

from __future__ import annotations

import math

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Apply, Constant, Variable
from pytensor.scalar import basic as scalar
from pytensor.scalar import math as scalar_math
from pytensor.tensor.basic import Alloc, Join
from pytensor.tensor.elemwise import CAReduce, DimShuffle, Elemwise
from pytensor.tensor.math import Sum
from pytensor.tensor.reshape import JoinDims, SplitDims
from pytensor.tensor.shape import Reshape, SpecifyShape
from pytensor.tensor.special import Softmax
from pytensor.tensor.subtensor import AdvancedSubtensor, Subtensor

from pymc_sgld.model_graph.rewrite.evaluator import Evaluator


@dataclass(frozen=True)
class Range:
    """Interval that holds every entry; `open_low` says that the lower end is excluded."""

    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False

    @property
    def is_positive(self) -> bool:
        """Whether every entry is above zero."""
        return self.low > 0 or (self.low == 0 and self.open_low)


_ANYTHING = Range()
_POSITIVE = Range(0.0, math.inf, True)
_UNIT = Range(0.0, 1.0)
_RANGES = {
    scalar.Exp: _POSITIVE,
    scalar_math.Softplus: _POSITIVE,
    scalar_math.Sigmoid: Range(0.0, 1.0, True),
    scalar.Sqr: Range(0.0),
    scalar.Abs: Range(0.0),
}
_SAME_ENTRIES = (
    Alloc,
    DimShuffle,
    Reshape,
    JoinDims,
    SplitDims,
    SpecifyShape,
    Subtensor,
    AdvancedSubtensor,
)


# For signs fewer operations count: those that keep every entry apart from zero.
_POSITIVE_OPERATIONS = (scalar.Exp, scalar_math.Sigmoid, scalar_math.Softplus, scalar.Cosh)
_KEEPS_SIGN = (
    scalar.Sqrt,
    scalar.Sqr,
    scalar.Abs,
    scalar.Neg,
    scalar.Cast,
    scalar.Identity,
    scalar.Reciprocal,
)
_MOVES_ENTRIES = (DimShuffle, Reshape, SpecifyShape, Subtensor, AdvancedSubtensor)


def range_of(var: Variable, evaluator: Evaluator, depth: int = 12) -> Range:
    """Return a range that holds the entries of `var`; wide where nothing is known."""
    if evaluator.is_data(var):
        values = np.asarray(evaluator.values([var])[0], dtype=float)
        if not values.size or np.isnan(values).any():
            return _ANYTHING
        return Range(float(values.min()), float(values.max()))
    node = var.owner
    if node is None or depth == 0:
        return _ANYTHING
    if isinstance(node.op, Softmax):
        return _UNIT
    if isinstance(node.op, _SAME_ENTRIES):
        return range_of(node.inputs[0], evaluator, depth - 1)
    if isinstance(node.op, Join):
        return _hull([range_of(x, evaluator, depth - 1) for x in node.inputs])
    if isinstance(node.op, CAReduce):
        inner = range_of(node.inputs[0], evaluator, depth - 1)
        is_sum = isinstance(node.op, Sum)
        return Range(0.0, math.inf, inner.is_positive) if is_sum and inner.low >= 0 else _ANYTHING
    if isinstance(node.op, Elemwise):
        return _range_of_elemwise(node, evaluator, depth)
    return _ANYTHING


def _range_of_elemwise(node: Apply, evaluator: Evaluator, depth: int) -> Range:
    kind = node.op.scalar_op
    if type(kind) in _RANGES:
        return _RANGES[type(kind)]
    parts = [range_of(x, evaluator, depth - 1) for x in node.inputs]
    positive = all(p.is_positive for p in parts)
    if isinstance(kind, scalar.Identity | scalar.Cast | scalar.Second):
        return parts[-1]
    if isinstance(kind, scalar.Switch):
        return _hull(parts[1:])
    if isinstance(kind, scalar.Sqrt | scalar.Reciprocal):
        return Range(0.0, math.inf, positive)
    if isinstance(kind, scalar.Log1p) and parts[0].low >= 0:
        return Range(0.0, math.inf, positive)
    if isinstance(kind, scalar.Add) and all(p.low >= 0 for p in parts):
        low = sum(p.low for p in parts)
        return Range(low, sum(p.high for p in parts), any(p.is_positive for p in parts))
    if isinstance(kind, scalar.Sub) and parts[0].low >= parts[1].high:
        return Range(parts[0].low - parts[1].high, math.inf)
    if isinstance(kind, scalar.Mul | scalar.TrueDiv) and all(p.low >= 0 for p in parts):
        unit = isinstance(kind, scalar.Mul) and all(p.high <= 1 for p in parts)
        return Range(0.0, 1.0 if unit else math.inf, positive)
    if isinstance(kind, scalar.Pow) and parts[0].low >= 0:
        return Range(0.0, math.inf, parts[0].is_positive)
    if isinstance(kind, scalar.ScalarMaximum):
        best = max(parts, key=lambda p: (p.low, p.open_low))
        return Range(best.low, math.inf, best.open_low)
    return _ANYTHING


def _hull(parts: list[Range]) -> Range:
    low = min(p.low for p in parts)
    open_low = all(p.low > low or p.open_low for p in parts)
    return Range(low, max(p.high for p in parts), open_low)


def always_true(condition: Variable, evaluator: Evaluator) -> bool:
    """Whether a boolean expression holds by construction."""
    node = condition.owner
    if evaluator.is_data(condition):
        return bool(np.all(evaluator.values([condition])[0]))
    if node is None:
        return False
    if isinstance(node.op, DimShuffle):
        return always_true(node.inputs[0], evaluator)
    if not isinstance(node.op, Elemwise):
        return False
    kind = node.op.scalar_op
    if isinstance(kind, scalar.AND):
        return all(always_true(x, evaluator) for x in node.inputs)
    if not isinstance(kind, scalar.GT | scalar.GE | scalar.LT | scalar.LE):
        return False
    larger, smaller = node.inputs
    if isinstance(kind, scalar.LT | scalar.LE):
        larger, smaller = smaller, larger
    above, below = range_of(larger, evaluator), range_of(smaller, evaluator)
    if above.low > below.high:
        return True
    strict = isinstance(kind, scalar.GT | scalar.LT)
    return above.low == below.high and (above.open_low or not strict) and abs(above.low) < math.inf


def surely_nonzero(var: Variable) -> bool:
    """Whether an expression has no zeros and changes no sign, whatever its parameters are."""
    return _sign(var) != 0


def _sign(var: Variable) -> int:
    """Return 1 or -1 where that is the sign of all entries by construction, else 0."""
    node = var.owner
    if node is None or isinstance(var, Constant | SharedVariable):
        known = isinstance(var, Constant | SharedVariable) and not has_zeros(var)
        if not known:
            return 0
        signs = np.unique(np.sign(np.asarray(var.eval(mode="FAST_COMPILE"))))
        return int(signs[0]) if len(signs) == 1 else 0
    if isinstance(node.op, Elemwise):
        return _sign_of_elemwise(node.op.scalar_op, node.inputs)
    if isinstance(node.op, (*_MOVES_ENTRIES, Alloc)):
        return _sign(node.inputs[0])
    if isinstance(node.op, Join):
        return _common([_sign(x) for x in node.inputs if x.type.ndim])
    return 0


def _common(signs: Sequence[int]) -> int:
    """Return the sign that all have, else 0."""
    return signs[0] if len(set(signs)) == 1 else 0


def _sign_of_elemwise(operation: Any, inputs: Sequence[Variable]) -> int:
    if isinstance(operation, _POSITIVE_OPERATIONS):
        return 1
    if isinstance(operation, _KEEPS_SIGN):
        own = _sign(inputs[0])
        if isinstance(operation, scalar.Neg):
            return -own
        return abs(own) if isinstance(operation, scalar.Sqrt | scalar.Sqr | scalar.Abs) else own
    if isinstance(operation, scalar.Pow):
        return 1 if _sign(inputs[0]) == 1 else 0
    signs = [_sign(x) for x in inputs]
    if isinstance(operation, scalar.Mul | scalar.TrueDiv):
        return int(np.prod(signs))
    if isinstance(operation, scalar.Add):
        return _common(signs)
    if isinstance(operation, scalar.Switch):
        return _common(signs[1:])
    return 0


def has_zeros(data: Variable) -> bool:
    """Whether an expression of data alone has an entry that is zero or not finite."""
    value = np.asarray(data.eval(mode="FAST_COMPILE"))
    return not (np.isfinite(value).all() and (value != 0).all())
