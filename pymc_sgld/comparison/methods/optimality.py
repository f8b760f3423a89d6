"""How far a Gaussian fit is from the best of its family, by the slope of its objective."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from pymc_sgld.model_graph import RowModel
from pymc_sgld.types import Array

MEAN_OFF, SD_OFF = 0.1, 0.1  # most, of a fit that has converged
_FEWEST_DRAWS = 1_000
_DRAWS_PER_PARAMETER = 3
_MOST_REGRESSED = 300  # parameters whose gradients are regressed on all of them
_ROWS = 2_000  # of each group, for an estimate of a gradient


class Optimality(NamedTuple):
    """Distance of a fit from the best of its family; (0, 1, 1) at the best."""

    mean_off: float  # largest, in fitted sds
    sd_ratio_min: float  # fitted sd over the best
    sd_ratio_max: float

    @property
    def is_reached(self) -> bool:
        """Whether means are within 0.1 sd of the best, and sds within 10 %."""
        ratios = np.array([1 / self.sd_ratio_min, self.sd_ratio_max])
        return bool(self.mean_off < MEAN_OFF and (ratios < 1 + SD_OFF).all())

    def __str__(self) -> str:
        """Say it in words."""
        return (
            f"its means are up to {self.mean_off:.2g} of its sds, and its sds "
            f"{self.sd_ratio_min:.2f} to {self.sd_ratio_max:.2f} times, those of the best fit of "
            "its kind"
        )


def judge(mean: Array, covariance: Array, scores: Callable[[Array], Array]) -> Optimality:
    r"""Return how far a normal fit q = N(m, S) is from the one with the best lower bound.

    The slope of the evidence lower bound vanishes where

    .. math:: E_q[\nabla \log p] = 0, \quad -E_q[(\theta - m) \nabla \log p^T] = I

    (of the second the diagonal alone, if S is diagonal). With draws z of q in units of its own sds,
    gradients are regressed on them, :math:`g \approx a - B z`, which is exact where p is normal.
    Then the means are off by :math:`B^{-1} a`, and the sds too wide by the roots of the diagonal of
    B; of its eigenvalues, if S is not diagonal.

    Parameters
    ----------
    mean : array, shape (n_dim,)
    covariance : array, shape (n_dim, n_dim)
    scores : callable
        From positions, shape (n_draws, n_dim), to unbiased gradients of the log-density there.

    References
    ----------
    .. [1] Opper, M. and Archambeau, C. (2009). The variational Gaussian approximation revisited.
       Neural Computation 21. https://doi.org/10.1162/neco.2008.08-07-592
    """
    n_dim = len(mean)
    variances = np.diag(covariance)
    is_diagonal = not (covariance - np.diag(variances)).any()
    factor = np.diag(np.sqrt(variances)) if is_diagonal else np.linalg.cholesky(covariance)
    n_draws = max(_FEWEST_DRAWS, _DRAWS_PER_PARAMETER * min(n_dim, _MOST_REGRESSED))
    normal = np.random.default_rng(0).standard_normal((n_draws, n_dim))
    slopes = scores(mean + normal @ factor.T) @ factor
    if n_dim <= _MOST_REGRESSED:
        design = np.column_stack([np.ones(n_draws), normal])
        solution = np.linalg.lstsq(design, slopes, rcond=None)[0]
        intercept, curvature = solution[0], -(solution[1:] + solution[1:].T) / 2
        off = np.linalg.solve(curvature, intercept)
    else:
        intercept, is_diagonal = slopes.mean(axis=0), True
        curvature = np.diag(-((normal - normal.mean(axis=0)) * slopes).mean(axis=0))
        off = intercept / np.diag(curvature)
    squares = np.diag(curvature) if is_diagonal else np.linalg.eigvalsh(curvature)
    ratios = np.sqrt(np.maximum(squares, 1e-12))
    return Optimality(float(np.abs(off).max()), float(ratios.min()), float(ratios.max()))


class Scores:
    """Gradients of the log-posterior at draws that lie around their mean.

    On all rows, or where there are many on 2,000 of each group, drawn anew for each gradient, with
    a control variate at the mean of the draws.
    """

    def __init__(self, rows: RowModel, random_seed: Any) -> None:
        self.function = rows.block_function("FAST_COMPILE")
        self.generator = np.random.default_rng(random_seed)

    def __call__(self, positions: Array) -> Array:
        """Return unbiased gradients, shape (n_draws, n_dim)."""
        function, sizes = self.function, self.function.total_sizes
        if all(size <= 2 * _ROWS for size in sizes):
            return np.array([function.full(one)[1] for one in positions])
        centre = positions.mean(axis=0)
        at_centre = function.full(centre)[1]
        return np.array([self._difference(one, centre) + at_centre for one in positions])

    def _difference(self, position: Array, centre: Array) -> Array:
        rows = [
            self.generator.choice(size, min(size, _ROWS), replace=False, shuffle=False)
            for size in self.function.total_sizes
        ]
        there, here = self.function.batch(position, rows)[1], self.function.batch(centre, rows)[1]
        return np.asarray(there - here)
