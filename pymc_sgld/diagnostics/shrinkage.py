r"""A covariance from few draws: that of the draws, shrunk towards its diagonal.

It is kept as the draws themselves, so that a product with vectors costs no matrix of parameters
squared: what makes it affordable for many thousand parameters.
"""

from typing import NamedTuple

import numpy as np

from pymc_sgld.diagnostics.convergence import effective_draws
from pymc_sgld.types import Array

_TINY = np.finfo(float).tiny
_ROUNDING = 1e-9  # least share of the diagonal, which keeps the matrix definite
_DRAWS_PER_PARAMETER = 3  # effective ones: with more, nothing is shrunk
_LOOKED_AT = 50  # parameters whose effective number of draws stands for all


class ShrunkCovariance(NamedTuple):
    r""":math:`S = D^{1/2} \{(1 - \rho) Z^\top Z / n + \rho I\} D^{1/2}`."""

    unit: Array  # (n, n_dim), Z: draws around their means, over their sds
    share: float  # rho
    sd: Array  # (n_dim,)

    @property
    def variance(self) -> Array:
        """The diagonal."""
        return np.asarray(self.sd**2)

    def times(self, vectors: Array) -> Array:
        """Return the products with vectors, shape (..., n_dim)."""
        scaled = vectors * self.sd
        among = (1 - self.share) / len(self.unit) * ((scaled @ self.unit.T) @ self.unit)
        return np.asarray((among + self.share * scaled) * self.sd)

    def matrix(self) -> Array:
        """Return the matrix, shape (n_dim, n_dim)."""
        correlation = (1 - self.share) / len(self.unit) * (self.unit.T @ self.unit)
        np.fill_diagonal(correlation, 1.0)
        return np.asarray(correlation * self.sd[:, None] * self.sd)


def shrunk_covariance(draws: Array) -> ShrunkCovariance:
    r"""Return the covariance within chains, if draws are few shrunk by what chance makes of it.

    With fewer than three effective draws a parameter the share of the diagonal is that of the
    oracle approximating estimator, in units of the sds and with the effective number of draws n:

    .. math:: \rho = \frac{\|R\|^2 + p^2}{(n + 1)(\|R\|^2 - p)}

    for the correlations R of p parameters, at most 1.

    Parameters
    ----------
    draws : array, shape (n_chains, n_draws, n_dim)

    Returns
    -------
    ShrunkCovariance
        A parameter that does not move has variance 1, and no covariance with others.

    References
    ----------
    .. [1] Chen, Y., Wiesel, A., Eldar, Y. C. and Hero, A. O. (2010). Shrinkage algorithms for MMSE
       covariance estimation. IEEE Transactions on Signal Processing 58.
    """
    n_dim = draws.shape[-1]
    centred = (draws - draws.mean(axis=1, keepdims=True)).reshape(-1, n_dim)
    variance = np.mean(centred**2, axis=0)
    moves = variance > _TINY
    sd = np.where(moves, np.sqrt(variance), 1.0)
    unit = np.where(moves, centred / sd, 0.0)
    number, n_moves, share = effective_number(draws), int(moves.sum()), _ROUNDING
    if number < _DRAWS_PER_PARAMETER * n_moves:
        # the smaller of the two products has the same square
        gram = unit @ unit.T if len(unit) < n_dim else unit.T @ unit
        square = float((gram**2).sum()) / len(unit) ** 2
        scatter = (number + 1) * max(square - n_moves, _TINY)
        share = min(1.0, (square + n_moves**2) / scatter)
    return ShrunkCovariance(unit, share, sd)


def effective_number(draws: Array) -> float:
    """Return how many independent draws would leave the squares as uncertain: a median."""
    n_dim = draws.shape[-1]
    some = draws[..., :: -(-n_dim // _LOOKED_AT)]
    square = (some - some.mean(axis=1, keepdims=True)) ** 2
    n_draws = float(np.prod(draws.shape[:2]))
    if draws.shape[1] < 4:  # too short for autocorrelations
        return n_draws
    with np.errstate(invalid="ignore", divide="ignore"):
        ess = effective_draws(square, "mean")
    known = ess[np.isfinite(ess)]
    return float(min(np.median(known), n_draws)) if len(known) else n_draws
