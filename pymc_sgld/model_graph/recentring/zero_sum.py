"""The scale of a vector that sums to zero: a number that multiplies all of it."""

from __future__ import annotations

from collections.abc import Sequence

import pytensor.scalar as ps

from pytensor.graph.basic import Apply, Variable
from pytensor.graph.traversal import io_toposort
from pytensor.tensor.basic import Join
from pytensor.tensor.elemwise import CAReduce, DimShuffle, Elemwise
from pytensor.tensor.shape import SpecifyShape
from pytensor.tensor.subtensor import AdvancedSubtensor, Subtensor

from pymc_sgld.model_graph.recentring.affine_paths import Walk, factors_of, is_same

_LINEAR = (Join, DimShuffle, SpecifyShape, Subtensor, AdvancedSubtensor)


def zero_sum_scale(
    z: Variable, outputs: Sequence[Variable], walk: Walk
) -> tuple[Variable | None, list[Variable]]:
    """Return the number that scales a vector wherever it enters, and what is added to it then.

    The vector is made of its value, one entry shorter, by sums with known coefficients. Where such
    sums end, all of it must be multiplied by the same number.

    Parameters
    ----------
    z : TensorVariable
        The value.
    outputs : sequence of TensorVariable
    walk : Walk
        Knows what depends on what.

    Returns
    -------
    scale : TensorVariable or None
        Of length one on every axis.
    beside : list of TensorVariable
    """
    linear, scales = {z}, []
    scaled: set[Variable] = set()
    beside: list[Variable] = []
    for node in io_toposort([*walk.blocks, *walk.parameters], outputs):
        touched = [x for x in node.inputs if x in linear]
        if any(x in scaled for x in node.inputs):
            beside += _numbers_added(node, walk, scaled)
        if not touched:
            continue
        if _is_linear(node, linear, walk):
            linear.update(node.outputs)
            continue
        scale = _scale(node, touched[0], walk)
        if scale is None:
            return None, []
        scales.append(scale)
        scaled.update(node.outputs)
    if not scales or not all(is_same(scales[0], other) for other in scales):
        return None, []
    return scales[0], beside


def _is_linear(node: Apply, linear: set[Variable], walk: Walk) -> bool:
    """Whether a node adds up entries of the vector with coefficients that are data."""
    others = [x for x in node.inputs if x not in linear]
    if any(walk.has_parameters(x) or walk.roots(x) & walk.blocks for x in others):
        return isinstance(node.op, AdvancedSubtensor) and not any(map(walk.has_parameters, others))
    if isinstance(node.op, Elemwise):
        operation = node.op.scalar_op
        if isinstance(operation, ps.Add | ps.Sub):
            return not others
        known = ps.Mul | ps.Neg | ps.Cast | ps.Identity
        first = isinstance(operation, ps.TrueDiv) and node.inputs[0] in linear
        return len(others) == len(node.inputs) - 1 and (isinstance(operation, known) or first)
    of_sum = isinstance(node.op, CAReduce) and isinstance(node.op.scalar_op, ps.Add)
    return isinstance(node.op, _LINEAR) or of_sum


def _scale(node: Apply, z: Variable, walk: Walk) -> Variable | None:
    """Return the number that a node multiplies the vector by."""
    if not isinstance(node.op, Elemwise) or not isinstance(node.op.scalar_op, ps.Mul):
        return None
    factors = [f for x in node.inputs if x is not z for f in factors_of(x)]
    numbers = [f for f in factors if walk.has_parameters(f)]
    if len(numbers) != 1 or any(length != 1 for length in numbers[0].type.shape):
        return None
    return numbers[0] if not walk.roots(numbers[0]) & walk.blocks else None


def _numbers_added(node: Apply, walk: Walk, scaled: set[Variable]) -> list[Variable]:
    if not isinstance(node.op, Elemwise) or not isinstance(node.op.scalar_op, ps.Add):
        return []
    others = [x for x in node.inputs if x not in scaled and walk.has_parameters(x)]
    return [x for x in others if all(length == 1 for length in x.type.shape)]
