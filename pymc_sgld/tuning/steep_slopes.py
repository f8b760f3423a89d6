"""How much steeper the posterior is, a little way from the mode, than the Gaussian picture says.

Where a posterior reaches the end of its support, as that of a positive slope does that the data do
not push off zero, its density by the transformed variable is far from a Gaussian: it falls
exponentially towards the end and much faster on the other side. A step that is right for the
curvature at the mode is too long there, and the draws are too wide without a sign of it.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from pymc_sgld.model_graph import BlockFunction, doing
from pymc_sgld.tuning.laplace import Laplace
from pymc_sgld.types import Array
from pymc_sgld.validate import and_more

_AWAY = 1.5  # posterior sds at which the slope is looked at
_NEAR = 0.1  # posterior sds at which it is that of the Gaussian
_WIDE = 0.1  # sd of a transformed variable, in units of its transform: below, it is far from an end
_STEEP = 1.2  # times the Gaussian's slope
_POWER = 1.25
_MOST_LOOKED_AT = 20  # variables, the widest first: each costs two passes through the data


class SteepSlopes(NamedTuple):
    """Where the posterior is steeper than the Gaussian picture, and what steps are right there."""

    entries: tuple[int, ...] = ()  # of the position, the steepest first
    step_factor: float = 1.0  # on a step size that is chosen
    data_passes: float = 0.0

    def in_words(self, labels: Sequence[str]) -> str:
        """Return what is said of the steps; "" where nothing is steep."""
        if not self.entries:
            return ""
        return (
            f"steps are {self.step_factor:.2g} as long as the curvature at the mode allows, for "
            f"near an end of its support the posterior of "
            f"{and_more([labels[j] for j in self.entries])} is steeper than a Gaussian"
        )


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

    def direction(j: int) -> Array:
        return np.asarray(laplace.covariance[:, j] / scales[j])

    return _looked_at(function, laplace.position, scales, direction, transformed, measures=False)


def steep_slopes_of_many(
    function: BlockFunction, mode: Array, scales: Array, transformed: Sequence[int]
) -> SteepSlopes:
    """Look at them where there is no covariance: along each variable by itself.

    The Gaussian's slope is then that of a small step; the others are held, which is right as far
    as they do not follow.

    Parameters
    ----------
    function : BlockFunction
    mode : array, shape (n_dim,)
        Of all rows.
    scales : array, shape (n_dim,)
        Posterior sds given all else, roughly.
    transformed : sequence of int
        As in :func:`steep_slopes`.
    """

    def direction(j: int) -> Array:
        alone = np.zeros(len(mode))
        alone[j] = scales[j]
        return alone

    return _looked_at(function, mode, scales, direction, transformed, measures=True)


def _looked_at(
    function: BlockFunction,
    mode: Array,
    scales: Array,
    direction: Callable[[int], Array],
    transformed: Sequence[int],
    *,
    measures: bool,
) -> SteepSlopes:
    """Look along the widest; ``measures`` also how long a direction is, in sds."""
    wide = [j for j in transformed if scales[j] > _WIDE]
    wide = sorted(wide, key=lambda j: -scales[j])[:_MOST_LOOKED_AT]
    if not wide:
        return GAUSSIAN
    doing("looking at the slopes of variables near the end of their support")

    def slope(at: Array) -> Array:
        with np.errstate(invalid="ignore", over="ignore"):
            return np.asarray(function.full(at.astype(mode.dtype))[1], dtype=float)

    def falls(along: Array, distance: float) -> float:
        return float(-along @ (slope(mode + distance * along) - here) / distance)

    here, steepness = slope(mode), {}
    for j in wide:
        along = direction(j)
        if measures:
            curvature = (falls(along, _NEAR) + falls(along, -_NEAR)) / 2
            if not curvature > 0:
                continue
            along = along / np.sqrt(curvature)
        steepest = max(falls(along, _AWAY), falls(along, -_AWAY))
        if np.isfinite(steepest) and steepest > _STEEP:
            steepness[j] = steepest
    steep = tuple(sorted(steepness, key=lambda j: -steepness[j]))
    factor = steepness[steep[0]] ** -_POWER if steep else 1.0
    return SteepSlopes(steep, factor, 1.0 + (4 if measures else 2) * len(wide))
