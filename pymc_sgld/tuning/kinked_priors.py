r"""The curvature of a prior over the width of the posterior, where that at a point says nothing.

The log-density of a Laplace prior has no curvature but at its kink, where it is infinite. What a
chain feels is the average over the posterior, for which the secant stands,

.. math:: P_j = \frac{g_j(c - \sigma_j e_j) - g_j(c + \sigma_j e_j)}{2 \sigma_j},

with g the gradient of the log-prior and :math:`\sigma_j` the posterior sd of parameter j, which the
curvature of the rows and :math:`P_j` itself make. It belongs to the smoothed slope
:math:`[\log p(c + \sigma_j e_j) - \log p(c - \sigma_j e_j)] / 2 \sigma_j`, which is zero at a kink.
No rows are read.
"""

from collections.abc import Callable

import numpy as np

from pymc_sgld.types import Array

type ValueAndGradient = Callable[[Array], tuple[float, Array]]
_ROUNDS = 10  # in which sds and secants settle
_SETTLED = 0.02
_WIDEST = 10.0  # to begin with
_FLAT = 1e-6  # curvature over the secant, where the prior has none
_OTHERWISE = 0.25  # relative difference between the curvatures by a step and by twice that step


def over_the_width(
    prior: ValueAndGradient, position: Array, steps: Array, local: Array, of_rows: Array
) -> tuple[Array, Array]:
    """Return a prior's precision, and the widths that it is taken over.

    Parameters
    ----------
    prior : callable
        Log-prior and its gradient.
    position : array, shape (n_dim,)
    steps : array, shape (n_dim,)
        Of the differences that ``local`` was made of.
    local, of_rows : array, shape (n_dim, n_dim)
        Minus the Hessians of log-prior and log-likelihood at the position.

    Returns
    -------
    precision : array, shape (n_dim, n_dim)
        ``local``, but for the diagonal entries of parameters with a kink in their prior.
    widths : array, shape (n_dim,)
        0 for the other parameters.
    """
    kinked = _kinked(prior, position, steps, np.diag(local))
    widths, precision = np.zeros(len(position)), np.array(local, dtype=float)
    if not len(kinked):
        return precision, widths
    widths[kinked] = _WIDEST
    for _ in range(_ROUNDS):
        precision[kinked, kinked] = [_secant(prior, position, j, widths[j]) for j in kinked]
        whole = of_rows + precision
        if not np.isfinite(whole).all() or np.linalg.eigvalsh(whole)[0] <= 0:
            break
        now = np.sqrt(np.diag(np.linalg.inv(whole)))[kinked]
        if np.allclose(now, widths[kinked], rtol=_SETTLED):
            break
        widths[kinked] = now
    return precision, widths


def _kinked(prior: ValueAndGradient, position: Array, steps: Array, local: Array) -> Array:
    """Return the parameters whose prior bends, though not here, or here without measure."""
    entries = []
    for number, (step, curvature) in enumerate(zip(steps, local, strict=True)):
        wide = _secant(prior, position, number, 1.0)
        twice = _secant(prior, position, number, 2 * float(step))
        flat = abs(curvature) < _FLAT * wide
        if wide > 0 and (flat or abs(twice - curvature) > _OTHERWISE * abs(curvature)):
            entries.append(number)
    return np.array(entries, dtype=int)


def _secant(prior: ValueAndGradient, position: Array, number: int, width: float) -> float:
    ahead, behind = _pair(position, number, width)
    return float(prior(behind)[1][number] - prior(ahead)[1][number]) / (2 * width)


def smoothed_slope(prior: ValueAndGradient, position: Array, widths: Array) -> Array:
    """Return what the smoothed gradient of the log-prior has more than its gradient."""
    more = np.zeros(len(position))
    if not widths.any():
        return more
    gradient = prior(position)[1]
    for number in np.flatnonzero(widths):
        ahead, behind = _pair(position, int(number), widths[number])
        slope = float(prior(ahead)[0] - prior(behind)[0]) / (2 * widths[number])
        more[number] = slope - float(gradient[number])
    return more


def _pair(position: Array, number: int, width: float) -> tuple[Array, Array]:
    ahead, behind = position.copy(), position.copy()
    ahead[number] += width
    behind[number] -= width
    return ahead, behind
