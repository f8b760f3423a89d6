r"""How wide a chain is, measured by the score: Stein's identity in first and second moments.

For a posterior :math:`p` of any shape, :math:`E_p[\nabla\log p(\theta)] = 0` and
:math:`E_p[(\theta - m)\, \nabla \log p(\theta)^\top] = -I`. For the draws of a chain that settles
in another law the left sides differ, and by how much the second does is how much too wide or too
narrow the draws are. The score may be an unbiased estimate from a batch of rows, if the batch is
drawn independently of the draw: no pass through the data is needed.
"""

from typing import Any, NamedTuple

import numpy as np

from pymc_sgld.diagnostics.convergence import effective_draws
from pymc_sgld.diagnostics.score_regression import regressed_covariance
from pymc_sgld.diagnostics.shrinkage import shrunk_covariance
from pymc_sgld.types import Array

LARGEST_REGRESSED = 2000  # parameters: beyond, no matrix of them squared is made
_TINY = np.finfo(float).tiny
_FOLDS = 4
_APART = 0.1  # of half a chain, between what is judged and what judges it
_FEWEST_OF_HALVES = 10
_KEPT = 0.75  # of an effective number, at least
_DRAWS_PER_DEGREE = 10.0  # effective draws for a degree of freedom of a standard error
_LEAST_FREEDOM = 10.0
_FEWEST_DECIDING = 20.0  # scores, by their fourth moment, for an error that can be believed
_HARDLY = 0.2  # share of an error's square, below which it does not matter where it comes from

_Part = tuple[Any, ...]  # an index into chains and draws


class ScoreMoments(NamedTuple):
    """Measured inflation of posterior sds, by parameter."""

    sd_ratio: Array  # (n_dim,), sd of the draws over that of the posterior
    standard_error: Array  # (n_dim,), inf where a few scores decide
    degrees_of_freedom: Array  # (n_dim,), of the standard error
    of_scores: Array  # (n_dim,), share of its square that more scores of the same draws would lower


class MeanScore(NamedTuple):
    """The mean of the score by parameter, in posterior sds."""

    value: Array  # (n_dim,), 0 for the posterior: how far its mean lies above that of the draws
    standard_error: Array  # (n_dim,)


class _Error(NamedTuple):
    value: Array
    freedom: Array


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
        S; not made from the same draws. Default: for each chain from the others (of one chain, for
        each half from the other), by a regression of their scores on their positions, and where
        they are few, or parameters more than 2000, their covariance, shrunk towards its diagonal.
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
    S made from the draws it judges would make a width out of chance: with the covariance of n
    independent exact draws of D parameters for S the squared ratio is 1 + D/n in the mean.

    With the covariance of n other draws the variance of the squared ratio is 2 over the number of
    draws, of the squares, and 2D/n over the number of scored ones: twice, since each draw is judged
    by those that it judges.

    It says nothing of the mean (of a stationary chain the mean of the score is zero wherever the
    chain is), nor of modes and regions that were never visited.

    References
    ----------
    .. [1] Stein, C. (1972). A bound for the error in the normal approximation to the distribution
       of a sum of dependent random variables. Proceedings of the Sixth Berkeley Symposium, vol. 2.
    """
    return width_and_slope(positions, scores, covariance, temperature, draws=draws)[0]


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
    return width_and_slope(positions, scores, covariance, draws=draws)[1]


def width_and_slope(
    positions: Array,
    scores: Array,
    covariance: Array | None = None,
    temperature: float = 1.0,
    *,
    draws: Array | None = None,
) -> tuple[ScoreMoments, MeanScore]:
    """Return what :func:`score_moments` and :func:`mean_score` return, from the same S."""
    everything = positions if draws is None else draws
    # by chain: chains at different modes would else be measured by the distance of these
    mean = everything.mean(axis=1, keepdims=True)
    pull, variance, in_pairs = _pull(positions, scores, covariance, everything)
    centred = positions - mean
    series = -centred * pull / temperature
    scale = variance.mean(axis=(0, 1))
    square = (everything - mean) ** 2 / scale
    of_scored = centred**2 / scale
    slope = _slope(of_scored, series)
    left = series - slope * of_scored
    value = left.mean(axis=(0, 1)) + slope * square.mean(axis=(0, 1))
    of_left, of_square = _error(left), _error(square)
    # draws that judge one another make each product of two of them enter twice
    of_left = of_left._replace(value=of_left.value * np.sqrt(2 if in_pairs else 1))
    parts = np.stack([of_left.value, np.abs(slope) * of_square.value])
    error = np.sqrt((parts**2).sum(axis=0))
    freedom = _freedom(parts, np.stack([of_left.freedom, of_square.freedom]))
    of_scores = of_left.value**2 / np.maximum(error**2, _TINY)
    value = value / _lost_to_the_mean(everything)
    ratio = np.sqrt(np.maximum(value, 0.0))
    # near zero the root is not a line: its error is the root of the error
    error = error / (2 * np.maximum(ratio, np.sqrt(error) + _TINY))
    # of a level with few rows, which few batches hold, the few decide, and its error is not known
    error = np.where((of_scores > _HARDLY) & (_deciding(left) < _FEWEST_DECIDING), np.inf, error)
    slopes = pull * np.sqrt(variance)
    mean_slope = MeanScore(slopes.mean(axis=(0, 1)), _error(slopes).value)
    return ScoreMoments(ratio, error, freedom, of_scores), mean_slope


def _pull(
    positions: Array, scores: Array, covariance: Array | None, draws: Array
) -> tuple[Array, Array, bool]:
    """Return (S g)_j / S_jj at each scored draw, and S_jj, with an S from other draws.

    And whether some S is the covariance of the other draws, without their scores.
    """
    if covariance is not None:
        own = np.diag(covariance)
        return scores @ covariance / own, np.broadcast_to(own, scores.shape), False
    pull, variance, in_pairs = np.empty(scores.shape), np.empty(scores.shape), False
    for judged, others, more in _folds(positions, draws):
        if draws.shape[-1] > LARGEST_REGRESSED:
            shrunk = shrunk_covariance(draws[more])
            product, own, regressed = shrunk.times(scores[judged]), shrunk.variance, False
        else:
            matrix, regressed = regressed_covariance(positions[others], scores[others], draws[more])
            product, own = scores[judged] @ matrix, np.diag(matrix)
        pull[judged], variance[judged] = product / own, own
        in_pairs |= not regressed
    return pull, variance, in_pairs


def _folds(positions: Array, draws: Array) -> list[tuple[_Part, _Part, _Part]]:
    """Return each part of the scored draws, the other ones, and the draws S is made of.

    Those are other chains, which are independent; of one chain the other half, without what is
    next to the part that is judged.
    """
    n_chains, n_scored = positions.shape[:2]
    if n_chains > 1:
        groups = np.array_split(np.arange(n_chains), min(n_chains, _FOLDS))
        others = [np.setdiff1d(np.arange(n_chains), group) for group in groups]
        return [((group,), (rest,), (rest,)) for group, rest in zip(groups, others, strict=True)]
    every = slice(None)
    if n_scored < _FEWEST_OF_HALVES:  # too few to tell anything from
        return [((every,), (every,), (every,))]
    scored, more = n_scored // 2, draws.shape[1] // 2
    apart, more_apart = int(_APART * scored), int(_APART * more)
    return [
        (
            (every, slice(None, scored)),
            (every, slice(scored + apart, None)),
            (every, slice(more + more_apart, None)),
        ),
        (
            (every, slice(scored, None)),
            (every, slice(None, scored - apart)),
            (every, slice(None, more - more_apart)),
        ),
    ]


def _slope(control: Array, series: Array) -> Array:
    """Return the slope of a regression through all chains, by parameter."""
    control = control - control.mean(axis=(0, 1))
    square = (control**2).sum(axis=(0, 1))
    together = (control * (series - series.mean(axis=(0, 1)))).sum(axis=(0, 1))
    return np.asarray(together / np.maximum(square, _TINY))


def _error(series: Array) -> _Error:
    """Return the Monte Carlo error of the mean, by parameter; 0 for one that does not change.

    An effective number that chance made large would make an error too small to be true of many
    parameters: it is held to the median of all, by a quarter at most.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        ess = effective_draws(series, "mean")
    ess = np.where(np.isfinite(ess), ess, np.prod(series.shape[:2]))
    ess = np.minimum(ess, np.maximum(np.median(ess), _KEPT * ess))
    return _Error(
        series.std(axis=(0, 1)) / np.sqrt(ess), np.maximum(ess / _DRAWS_PER_DEGREE, _LEAST_FREEDOM)
    )


def _deciding(series: Array) -> Array:
    """Return of how many normal numbers squares would be as even as those of a series."""
    squares = (series - series.mean(axis=(0, 1))) ** 2
    total = squares.sum(axis=(0, 1))
    return np.asarray(3 * total**2 / np.maximum((squares**2).sum(axis=(0, 1)), _TINY))


def _freedom(errors: Array, freedom: Array) -> Array:
    """Return degrees of freedom of a sum of independent parts (Welch and Satterthwaite)."""
    whole = (errors**2).sum(axis=0) ** 2
    return np.asarray(whole / np.maximum((errors**4 / freedom).sum(axis=0), _TINY)).clip(
        _LEAST_FREEDOM, freedom.max()
    )


def _lost_to_the_mean(draws: Array) -> Array:
    """Return the share of the variance that is left around a chain's own mean."""
    with np.errstate(invalid="ignore", divide="ignore"):
        ess = effective_draws(draws, "mean")
    of_a_chain = np.maximum(np.nan_to_num(ess, nan=np.inf) / len(draws), 2.0)
    return np.asarray(1 - 1 / of_a_chain)
