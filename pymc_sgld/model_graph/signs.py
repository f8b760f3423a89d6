"""Signs that an expression has whatever its parameters are, as far as its operations tell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytensor.scalar as ps

from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Constant, Variable
from pytensor.tensor.basic import Alloc, Join
from pytensor.tensor.elemwise import DimShuffle, Elemwise
from pytensor.tensor.shape import Reshape, SpecifyShape
from pytensor.tensor.subtensor import AdvancedSubtensor, Subtensor

from pymc_sgld.model_graph.affine_paths import has_zeros

_POSITIVE = (ps.Exp, ps.Sigmoid, ps.Softplus, ps.Cosh)
_KEEPS = (ps.Sqrt, ps.Sqr, ps.Abs, ps.Neg, ps.Cast, ps.Identity, ps.Reciprocal)
_MOVES = (DimShuffle, Reshape, SpecifyShape, Subtensor, AdvancedSubtensor)


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
    if isinstance(node.op, (*_MOVES, Alloc)):
        return _sign(node.inputs[0])
    if isinstance(node.op, Join):
        return _common([_sign(x) for x in node.inputs if x.type.ndim])
    return 0


def _common(signs: Sequence[int]) -> int:
    """Return the sign that all have, else 0."""
    return signs[0] if len(set(signs)) == 1 else 0


def _sign_of_elemwise(operation: Any, inputs: Sequence[Variable]) -> int:
    if isinstance(operation, _POSITIVE):
        return 1
    if isinstance(operation, _KEEPS):
        own = _sign(inputs[0])
        if isinstance(operation, ps.Neg):
            return -own
        return abs(own) if isinstance(operation, ps.Sqrt | ps.Sqr | ps.Abs) else own
    if isinstance(operation, ps.Pow):
        return 1 if _sign(inputs[0]) == 1 else 0
    signs = [_sign(x) for x in inputs]
    if isinstance(operation, ps.Mul | ps.TrueDiv):
        return int(np.prod(signs))
    if isinstance(operation, ps.Add):
        return _common(signs)
    if isinstance(operation, ps.Switch):
        return _common(signs[1:])
    return 0
