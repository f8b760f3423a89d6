r"""Two crossed groupings with normal errors, exactly: effects integrated out, scales by weights.

Given the three scales the posterior of effects and mean is Gaussian, with the effects of the first
grouping on the diagonal of the precision, for no row has two of them. So they are eliminated,

.. math:: S = A_{\beta\beta} - A_{\beta a} A_{aa}^{-1} A_{a\beta},

and what is left is dense and of the size of the second. The density of the scales is known up to a
constant; they are drawn from the Gaussian at its mode, made wider, and weighted.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy

from scipy import optimize, special
from scipy.sparse import csr_array, diags_array, hstack
from scipy.stats import qmc

from models._datasets import Array
from models.evidence.moments import Moments, labels_of

_POINTS = 256
_WIDER = 1.2
_DIFFERENCE = 0.02


class Given(NamedTuple):
    """What is known at some scales: log-density, and means and variances of all others."""

    logp: float
    mean: Array  # of mu, z_a, z_b
    variance: Array


class Crossed:
    """Ratings y of things b by raters a, with a normal prior of the mean, half normal scales.

    Parameters
    ----------
    y : array, shape (n_rows,)
    first, second : array of int, shape (n_rows,)
        Codes of the two groupings.
    sizes : tuple of int
        Levels of each.
    mean : float
        Prior mean of mu, whose prior sd is 1.
    scales : tuple of float
        Prior scales of tau_a, tau_b and s.
    """

    def __init__(
        self,
        y: Array,
        first: Array,
        second: Array,
        sizes: tuple[int, int],
        mean: float,
        scales: tuple[float, float, float],
    ) -> None:
        self.prior_mean, self.scales, self.sizes = mean, np.array(scales), sizes
        self.y = y - mean
        self.counts = np.bincount(first, minlength=sizes[0]).astype(float)
        together = csr_array((np.ones(len(y)), (first, second)), shape=sizes)
        self.others = csr_array(hstack([csr_array(self.counts[:, None]), together]))
        inner = np.diag(np.r_[len(y), np.bincount(second, minlength=sizes[1])].astype(float))
        inner[0, 1:] = inner[1:, 0] = np.diag(inner)[1:]
        self.inner = inner
        self.of_first = np.bincount(first, self.y, sizes[0])
        self.of_others = np.r_[self.y.sum(), np.bincount(second, self.y, sizes[1])]

    def given(self, logs: Array, *, moments: bool = False) -> Given:
        """Return the log-density of the logs of the scales, and what is known at them."""
        tau_a, tau_b, s = np.exp(logs)
        own = self.counts / s**2 + 1 / tau_a**2
        others = self.others / s**2
        schur = self.inner / s**2 + np.diag(np.r_[1.0, np.full(self.sizes[1], tau_b**-2)])
        schur -= (others.T @ diags_array(1 / own) @ others).toarray()
        lower = scipy.linalg.cho_factor(schur, lower=True)
        slope_a, slope = self.of_first / s**2, self.of_others / s**2
        left = slope - others.T @ (slope_a / own)
        best = scipy.linalg.cho_solve(lower, left)
        determinant = np.log(own).sum() + 2 * np.log(np.diag(lower[0])).sum()
        n_a, n_b = self.sizes
        logp = -len(self.y) * logs[2] - n_a * logs[0] - n_b * logs[1] - determinant / 2
        logp += (left @ best + slope_a @ (slope_a / own) - self.y @ self.y / s**2) / 2
        logp += (logs - (np.exp(logs) / self.scales) ** 2 / 2).sum()  # half normal, of logs
        if not moments:
            return Given(float(logp), best, best)
        inverse = scipy.linalg.cho_solve(lower, np.eye(len(best)))
        effects = (slope_a - others @ best) / own
        spread = 1 / own + ((others @ inverse) * others.toarray()).sum(axis=1) / own**2
        means = np.r_[best[0] + self.prior_mean, effects / tau_a, best[1:] / tau_b]
        of_others = np.diag(inverse)
        return Given(
            float(logp), means, np.r_[of_others[0], spread / tau_a**2, of_others[1:] / tau_b**2]
        )

    def moments(self) -> Moments:
        """Return the moments of ``mu``, ``s``, ``tau_a``, ``tau_b``, ``z_a`` and ``z_b``."""
        found = optimize.minimize(lambda at: -self.given(at).logp, np.log(self.scales) - 1)
        hessian = _hessian(lambda at: -self.given(at).logp, found.x)
        factor = _WIDER * np.linalg.cholesky(np.linalg.inv(hessian))
        normal = qmc.MultivariateNormalQMC(np.zeros(3), rng=np.random.default_rng(0))
        points = normal.random(_POINTS)
        each = [self.given(found.x + factor @ point, moments=True) for point in points]
        logs = np.array([one.logp for one in each]) + (points**2).sum(axis=1) / 2
        weights = np.exp(logs - special.logsumexp(logs))
        tau_a, tau_b, s = np.exp(found.x[:, None] + factor @ points.T)
        scales = np.column_stack([s, tau_a, tau_b])
        means = np.column_stack([scales, [one.mean for one in each]])
        within = np.column_stack([np.zeros_like(scales), [one.variance for one in each]])
        mean = weights @ means
        square = within + (means - mean) ** 2
        sd = np.sqrt(weights @ square)
        mean_error = np.sqrt(weights**2 @ (means - mean) ** 2)
        sd_error = np.sqrt(weights**2 @ (square - sd**2) ** 2) / (2 * sd)
        labels = ["s", "tau_a", "tau_b", "mu"]
        labels += labels_of("z_a", self.sizes[:1]) + labels_of("z_b", self.sizes[1:])
        how = f"effects integrated out, {_POINTS} scales, effective {1 / (weights**2).sum():.0f}"
        return Moments(labels, mean, sd, mean_error, sd_error, how)


def _hessian(function: Callable[[Array], float], at: Array) -> Array:
    ways = _DIFFERENCE * np.eye(len(at))

    def mixed(a: Array, b: Array) -> float:
        same = function(at + a + b) + function(at - a - b)
        return (same - function(at + a - b) - function(at - a + b)) / (4 * _DIFFERENCE**2)

    return np.array([[mixed(a, b) for b in ways] for a in ways])
