r"""The posterior covariance as the scores see it: a regression of scores on positions.

For a Gaussian posterior :math:`\nabla\log p(\theta) = -P(\theta - \mu)` whatever law the draws
have, so that draws that are too wide, and their scores, still give the right :math:`P^{-1}`.
"""

import numpy as np

from scipy.linalg import solve_triangular

from pymc_sgld.types import Array

_DRAWS_PER_PARAMETER = 3  # fewer, and the covariance of the draws is taken as it is
_ROUNDING = 1e-9
_EXTREME = 20.0  # ratio of scales, squared, beyond which a regression is not believed


def score_covariance(positions: Array, scores: Array, draws: Array | None = None) -> Array:
    r"""Return the covariance of the Gaussian whose scores are nearest to those given.

    In coordinates in which the draws have unit covariance, minus the slope of the scores, A, is
    shrunk towards the identity by as much of :math:`|A - I|^2` as the scatter of the scores around
    the line explains.

    Parameters
    ----------
    positions, scores : array, shape (n_chains, n_draws, n_dim)
        The scores may be estimates from batches.
    draws : array, shape (n_chains, n_more, n_dim), optional
        More draws, for the coordinates. Default: the positions.

    Returns
    -------
    array, shape (n_dim, n_dim)
        Positive definite. For few positions the covariance of the draws. A parameter that does not
        move has variance 1, and no covariance with others.
    """
    spread = _spread(positions if draws is None else draws)
    moving = np.diag(spread) > np.finfo(float).tiny
    found = np.eye(len(spread))
    found[np.ix_(moving, moving)] = _regressed(
        positions[..., moving], scores[..., moving], spread[np.ix_(moving, moving)]
    )
    return found


def _regressed(positions: Array, scores: Array, spread: Array) -> Array:
    """Return what the regression makes of the covariance of the draws, all of which move."""
    n_dim = len(spread)
    centred = (positions - positions.mean(axis=1, keepdims=True)).reshape(-1, n_dim)
    if len(centred) < _DRAWS_PER_PARAMETER * n_dim:
        return spread
    factor = np.linalg.cholesky(spread)
    unit = solve_triangular(factor, centred.T, lower=True).T
    pulled = (scores - scores.mean(axis=1, keepdims=True)).reshape(-1, n_dim) @ factor
    slope = -np.linalg.lstsq(unit, pulled, rcond=None)[0]
    residual = pulled + unit @ slope
    freedom = max(1, len(unit) - n_dim)
    noise = n_dim * float((residual**2).sum()) / freedom / len(unit)
    off = (slope + slope.T) / 2 - np.eye(n_dim)
    kept = max(0.0, 1 - noise / max(float((off**2).sum()), np.finfo(float).tiny))
    values, vectors = np.linalg.eigh(np.eye(n_dim) + kept * off)
    root = factor @ vectors / np.sqrt(np.clip(values, 1 / _EXTREME, _EXTREME))
    return np.asarray(root @ root.T)


def _spread(draws: Array) -> Array:
    """Return the covariance within chains, shrunk towards its diagonal if they are short."""
    n_dim = draws.shape[-1]
    centred = (draws - draws.mean(axis=1, keepdims=True)).reshape(-1, n_dim)
    covariance = centred.T @ centred / len(centred)
    few = len(centred) < _DRAWS_PER_PARAMETER * n_dim
    share = min(1.0, n_dim / len(centred)) if few else _ROUNDING
    shrunk = (1 - share) * covariance
    np.fill_diagonal(shrunk, np.diag(covariance))
    return np.asarray(shrunk)
