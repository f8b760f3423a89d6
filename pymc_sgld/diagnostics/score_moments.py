r"""How wide a chain is, measured by the score: Stein's identity in second moments.

For a posterior :math:`p` of any shape, :math:`E_p[(\theta - m)\, \nabla \log p(\theta)^\top] = -I`.
For the draws of a chain that settles in another law the left side differs, and by how much it does
is how much too wide or too narrow the draws are. The score may be an unbiased estimate from a batch
of rows, if the batch is drawn independently of the draw: no pass through the data is needed.
"""

from typing import NamedTuple

import arviz as az
import numpy as np

from pymc_sgld.types import Array


class ScoreMoments(NamedTuple):
    """Measured inflation of posterior sds, by parameter."""

    sd_ratio: Array  # (n_dim,), sd of the draws over that of the posterior
    standard_error: Array  # (n_dim,)


def score_moments(
    positions: Array, scores: Array, covariance: Array, temperature: float = 1.0
) -> ScoreMoments:
    r"""Return the measured ratio of the draws' sds to the posterior's.

    For parameter j, with a fixed matrix :math:`S` near the posterior covariance,

    .. math:: r_j^2 = -\frac{1}{T S_{jj}}\, E\left[(\theta - m)_j\, (S\, \hat g(\theta))_j\right],

    which is 1 for the posterior itself, whatever S, and :math:`\kappa` for draws whose covariance
    is :math:`\kappa` times a Gaussian posterior's.

    Parameters
    ----------
    positions : array, shape (n_chains, n_draws, n_dim)
    scores : array, shape (n_chains, n_draws, n_dim)
        Gradient of the log-posterior at the positions, or unbiased estimates that are independent
        of them.
    covariance : array, shape (n_dim, n_dim)
        S; not made from the same draws.
    temperature : float, default 1

    Returns
    -------
    ScoreMoments
        With the Monte Carlo error that the autocorrelation of the draws leaves.

    Notes
    -----
    It says nothing of the mean (of a stationary chain the mean of the score is zero wherever the
    chain is), nor of modes and regions that were never visited.

    References
    ----------
    .. [1] Stein, C. (1972). A bound for the error in the normal approximation to the distribution
       of a sum of dependent random variables. Proceedings of the Sixth Berkeley Symposium, vol. 2.
    """
    # by chain: chains at different modes would else be measured by the distance of these
    centred = positions - positions.mean(axis=1, keepdims=True)
    series = -centred * (scores @ covariance) / np.diag(covariance) / temperature
    mean = series.mean(axis=(0, 1))
    error = np.array([az.mcse(series[..., j], method="mean") for j in range(series.shape[-1])])
    with np.errstate(invalid="ignore"):
        ratio = np.sqrt(mean)
    return ScoreMoments(ratio, error / (2 * np.maximum(ratio, 1e-3)))
