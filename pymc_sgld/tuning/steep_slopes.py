"""How much steeper the posterior is, a little way from the mode, than the Gaussian picture says.

Where a posterior reaches the end of its support, as that of a positive slope does that the data do
not push off zero, its density by the transformed variable is far from a Gaussian: it falls
exponentially towards the end and much faster on the other side. A step that is right for the
curvature at the mode is too long there, and the draws are too wide without a sign of it.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pymc_sgld.model_graph import BlockFunction, doing
from pymc_sgld.tuning.laplace import Laplace
from pymc_sgld.types import Array

_AWAY = 1.5  # posterior sds at which the slope is looked at
_WIDE = 0.1  # sd of a transformed variable, in units of its transform: below, it is far from an end
_STEEP = 1.2  # times the Gaussian's slope
_POWER = 1.25
_MOST_LOOKED_AT = 20  # variables, the widest first: each costs two passes through the data


class SteepSlopes(NamedTuple):
    """Where the posterior is steeper than the Gaussian picture, and what steps are right there."""

    entries: tuple[int, ...] = ()  # of the position, the steepest first
    step_factor: float = 1.0  # on a step size that is chosen
    data_passes: float = 0.0


GAUSSIAN = SteepSlopes()


def steep_slopes(
    function: BlockFunction, laplace: Laplace, transformed: Sequence[int]
) -> SteepSlopes:
    r"""Look at the slope along transformed variables, 1.5 posterior sds to each side of the mode.

    Along the direction in which the Gaussian picture has the others follow, :math:`d_j =
    \Sigma_{\cdot j} / \sigma_j`, its slope is :math:`-t` at a distance of t sds. Where the
    posterior's is :math:`\kappa` times that, the step is multiplied by :math:`\kappa^{-5/4}`.

    Parameters
    ----------
    function : BlockFunction
    laplace : Laplace
        Of all rows, with a finite covariance.
    transformed : sequence of int
        Entries of the position that are variables with an end, in unconstrained space.

    Returns
    -------
    SteepSlopes
        Nothing is looked at, and no pass taken, where no such variable is wide.
    """
    scales = np.sqrt(np.diag(laplace.covariance))
    wide = [j for j in transformed if scales[j] > _WIDE]
    wide = sorted(wide, key=lambda j: -scales[j])[:_MOST_LOOKED_AT]
    if not wide:
        return GAUSSIAN
    doing("looking at the slopes of variables near the end of their support")
    here = _slope(function, laplace, laplace.position)
    steepness = {}
    for j in wide:
        direction = laplace.covariance[:, j] / scales[j]
        slopes = [
            -side * direction @ (_slope(function, laplace, at) - here) / _AWAY
            for side in (-1.0, 1.0)
            for at in [laplace.position + side * _AWAY * direction]
        ]
        steepest = max(slopes)
        if np.isfinite(steepest) and steepest > _STEEP:
            steepness[j] = float(steepest)
    steep = tuple(sorted(steepness, key=lambda j: -steepness[j]))
    factor = steepness[steep[0]] ** -_POWER if steep else 1.0
    return SteepSlopes(steep, factor, 1.0 + 2 * len(wide))


def _slope(function: BlockFunction, laplace: Laplace, position: Array) -> Array:
    with np.errstate(invalid="ignore", over="ignore"):
        slope = function.full(position.astype(laplace.position.dtype))[1]
    return np.asarray(slope, dtype=float)
