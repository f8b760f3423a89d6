r"""The posterior covariance as the scores see it: a regression of scores on positions.

For a Gaussian posterior :math:`\nabla\log p(\theta) = -P(\theta - \mu)` whatever law the draws
have, so that draws that are too wide, and their scores, still give the right :math:`P^{-1}`.
"""

import numpy as np
import scipy

from pymc_sgld.diagnostics.shrinkage import effective_number, shrunk_covariance
from pymc_sgld.types import Array

_DRAWS_PER_PARAMETER = 1.5  # fewer, and the covariance of the draws is taken as it is
_EXTREME = 20.0  # ratio of scales, squared, beyond which a regression is not believed
_PENALTIES = np.geomspace(1e-10, 1e2, 37)  # over the mean square of the regressors


def score_covariance(positions: Array, scores: Array, draws: Array | None = None) -> Array:
    r"""Return the covariance of the Gaussian whose scores are nearest to those given.

    In coordinates in which the draws have unit covariance, minus the slope of the scores, A, is a
    ridge regression with the identity for its centre, and the penalty that predicts left-out scores
    best: with scores that are a line it is that line, with scores that are noise the identity.

    Parameters
    ----------
    positions, scores : array, shape (n_chains, n_draws, n_dim)
        The scores may be estimates from batches.
    draws : array, shape (n_chains, n_more, n_dim), optional
        More draws, for the coordinates. Default: the positions.

    Returns
    -------
    array, shape (n_dim, n_dim)
        Positive definite. For few draws their covariance, shrunk towards its diagonal. A parameter
        that does not move has variance 1, and no covariance with others.

    Notes
    -----
    Of draws whose own moments are to be judged by it, it is made without these draws:
    :func:`score_moments` takes other chains.
    """
    return regressed_covariance(positions, scores, draws)[0]


def regressed_covariance(
    positions: Array, scores: Array, draws: Array | None = None
) -> tuple[Array, bool]:
    """Return what :func:`score_covariance` does, and whether the scores had a part in it."""
    everything = positions if draws is None else draws
    shrunk = shrunk_covariance(everything)
    spread, moving = shrunk.matrix(), shrunk.unit.any(axis=0)
    enough = effective_number(everything) >= _DRAWS_PER_PARAMETER * moving.sum()
    if not (moving.any() and enough):
        return spread, False
    among = np.ix_(moving, moving)
    of_scores = _regressed(positions[..., moving], scores[..., moving], spread[among])
    if of_scores is None:
        return spread, False
    spread[among] = of_scores
    return spread, True


def _regressed(positions: Array, scores: Array, spread: Array) -> Array | None:
    """Return what the regression makes of the covariance of the draws, all of which move.

    None where the scores do not predict one another.
    """
    n_dim = len(spread)
    factor = np.linalg.cholesky(spread)
    centred = (positions - positions.mean(axis=1, keepdims=True)).reshape(-1, n_dim)
    unit = scipy.linalg.solve_triangular(factor, centred.T, lower=True).T
    pulled = (scores - scores.mean(axis=1, keepdims=True)).reshape(-1, n_dim) @ factor
    off = _ridge(unit, -(pulled + unit), len(positions))
    if off is None:
        return None
    values, vectors = np.linalg.eigh(np.eye(n_dim) + (off + off.T) / 2)
    root = factor @ vectors / np.sqrt(np.clip(values, 1 / _EXTREME, _EXTREME))
    return np.asarray(root @ root.T)


def _ridge(unit: Array, response: Array, n_means: int) -> Array | None:
    """Return the slopes of a ridge regression, its penalty chosen by leaving each draw out.

    None where no slopes at all predict better.
    """
    if len(unit) <= n_means:
        return None
    left, square = _left_vectors(unit)
    along = left.T @ response
    of_none = response / (1 - n_means / len(unit))
    best, chosen = float((of_none**2).sum()), None
    for penalty in _PENALTIES * max(square.mean(), np.finfo(float).tiny):
        kept = square / (square + penalty)
        leverage = np.minimum(left**2 @ kept + n_means / len(unit), 1 - 1e-9)
        error = (response - left @ (kept[:, None] * along)) / (1 - leverage)[:, None]
        size = float((error**2).sum())
        if size < best:
            best, chosen = size, penalty
    if chosen is None:
        return None
    return np.asarray(unit.T @ (left @ (along / (square + chosen)[:, None])))


def _left_vectors(unit: Array) -> tuple[Array, Array]:
    """Return left singular vectors and squared singular values, from the smaller product."""
    n_draws, n_dim = unit.shape
    if n_draws <= n_dim:
        square, left = scipy.linalg.eigh(unit @ unit.T)
        return left, np.maximum(square, 0.0)
    square, right = scipy.linalg.eigh(unit.T @ unit)
    known = square > 1e-12 * square[-1]
    return unit @ (right[:, known] / np.sqrt(square[known])), square[known]
