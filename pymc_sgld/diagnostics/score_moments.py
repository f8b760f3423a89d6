r"""How wide a chain is, measured by the score: Stein's identity in first and second moments.

For a posterior :math:`p` of any shape, :math:`E_p[\nabla\log p(\theta)] = 0` and
:math:`E_p[(\theta - m)\, \nabla \log p(\theta)^\top] = -I`. For the draws of a chain that settles
in another law the left sides differ, and by how much the second does is how much too wide or too
narrow the draws are. The score may be an unbiased estimate from a batch of rows, if the batch is
drawn independently of the draw: no pass through the data is needed.
"""

from typing import NamedTuple

import arviz as az
import numpy as np

from pymc_sgld.diagnostics.score_regression import score_covariance
from pymc_sgld.types import Array

_TINY = np.finfo(float).tiny


class ScoreMoments(NamedTuple):
    """Measured inflation of posterior sds, by parameter."""

    sd_ratio: Array  # (n_dim,), sd of the draws over that of the posterior
    standard_error: Array  # (n_dim,)


class MeanScore(NamedTuple):
    """The mean of the score by parameter, in posterior sds."""

    value: Array  # (n_dim,), 0 for the posterior: how far its mean lies above that of the draws
    standard_error: Array  # (n_dim,)


def score_moments(
    positions: Array,
    scores: Array,
    covariance: Array | None = None,
    temperature: float = 1.0,
    *,
    draws: Array | None = None,
) -> ScoreMoments:
    r"""Return the measured ratio of the draws' sds to the posterior's.

    For parameter j, with a fixed matrix :math:`S` near the posterior covariance,

    .. math:: r_j^2 = -\frac{1}{T S_{jj}}\, E\left[(\theta - m)_j\, (S\, \hat g(\theta))_j\right],

    which is 1 for the posterior itself, whatever S. For draws of covariance C from a Gaussian
    posterior of covariance :math:`\Sigma` it is :math:`C_{jj} / (T \Sigma_{jj})` with
    :math:`S = \Sigma`, and the same to first order in the difference with :math:`S = C`.

    Parameters
    ----------
    positions : array, shape (n_chains, n_draws, n_dim)
    scores : array, shape (n_chains, n_draws, n_dim)
        Gradient of the log-posterior at the positions, or unbiased estimates that are independent
        of them.
    covariance : array, shape (n_dim, n_dim), optional
        S; not made from the same draws. Default: by a regression of the scores on the positions, in
        each half of the draws for the other half.
    temperature : float, default 1
    draws : array, shape (n_chains, n_more, n_dim), optional
        All draws, where only some of them have scores. Their squares are what the moments are made
        of, but for the score's departure from a line: the more of them, the smaller the error.

    Returns
    -------
    ScoreMoments
        With the Monte Carlo error that the autocorrelation of the draws leaves. The ratio is 0
        where the moment is negative: the density rises away from the mean of the draws.

    Notes
    -----
    It says nothing of the mean (of a stationary chain the mean of the score is zero wherever the
    chain is), nor of modes and regions that were never visited.

    References
    ----------
    .. [1] Stein, C. (1972). A bound for the error in the normal approximation to the distribution
       of a sum of dependent random variables. Proceedings of the Sixth Berkeley Symposium, vol. 2.
    """
    everything = positions if draws is None else draws
    # by chain: chains at different modes would else be measured by the distance of these
    mean = everything.mean(axis=1, keepdims=True)
    centred = positions - mean
    series, scale = np.empty(centred.shape), np.zeros(centred.shape[-1])
    for fold, matrix in _folds(positions, scores, covariance, everything):
        own = np.diag(matrix)
        series[:, fold] = -centred[:, fold] * (scores[:, fold] @ matrix) / own / temperature
        scale = scale + own
    square = (everything - mean) ** 2 / scale
    of_scored = centred**2 / scale
    slope = _slope(of_scored, series)
    left = series - slope * of_scored
    value = left.mean(axis=(0, 1)) + slope * square.mean(axis=(0, 1))
    error = np.hypot(_error(left), slope * _error(square))
    value = value / _lost_to_the_mean(everything)
    ratio = np.sqrt(np.maximum(value, 0.0))
    # near zero the root is not a line: its error is the root of the error
    return ScoreMoments(ratio, error / (2 * np.maximum(ratio, np.sqrt(error) + _TINY)))


def mean_score(
    positions: Array,
    scores: Array,
    covariance: Array | None = None,
    *,
    draws: Array | None = None,
) -> MeanScore:
    r"""Return the mean of the score, :math:`E[(S \hat g)_j] / \sqrt{S_{jj}}`, which should be zero.

    For a Gaussian posterior it is the distance from the mean of the draws to that of the posterior,
    in posterior sds. A stationary chain has zero whatever its bias, so that another value means
    that the chain is not stationary, or that the draws belong to another model.

    Parameters
    ----------
    positions, scores, covariance, draws
        As for :func:`score_moments`.

    Returns
    -------
    MeanScore
    """
    if covariance is None:
        covariance = score_covariance(positions, scores, draws)
    series = scores @ covariance / np.sqrt(np.diag(covariance))
    return MeanScore(series.mean(axis=(0, 1)), _error(series))


def _folds(
    positions: Array, scores: Array, covariance: Array | None, draws: Array
) -> list[tuple[slice, Array]]:
    """Return each part of the draws with the matrix S for it, made from the others."""
    if covariance is not None:
        return [(slice(None), covariance)]
    half = positions.shape[1] // 2
    first, second = slice(None, half), slice(half, None)
    return [
        (here, score_covariance(positions[:, there], scores[:, there], draws))
        for here, there in ((first, second), (second, first))
    ]


def _slope(control: Array, series: Array) -> Array:
    """Return the slope of a regression through all chains, by parameter."""
    control = control - control.mean(axis=(0, 1))
    square = (control**2).sum(axis=(0, 1))
    together = (control * (series - series.mean(axis=(0, 1)))).sum(axis=(0, 1))
    return np.asarray(together / np.maximum(square, _TINY))


def _error(series: Array) -> Array:
    """Return the Monte Carlo error of the mean, by parameter; 0 for one that does not change."""
    with np.errstate(invalid="ignore", divide="ignore"):
        found = np.asarray(az.mcse(series, method="mean", chain_axis=0, draw_axis=1))
    return np.where(series.std(axis=(0, 1)) > 0, found, 0.0)


def _lost_to_the_mean(draws: Array) -> Array:
    """Return the share of the variance that is left around a chain's own mean."""
    with np.errstate(invalid="ignore", divide="ignore"):
        ess = np.asarray(az.ess(draws, method="mean", chain_axis=0, draw_axis=1))
    of_a_chain = np.maximum(np.nan_to_num(ess, nan=np.inf) / len(draws), 2.0)
    return np.asarray(1 - 1 / of_a_chain)
