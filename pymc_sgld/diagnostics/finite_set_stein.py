r"""A Stein discrepancy in linear time: witnesses at a few locations instead of all pairs."""

from typing import NamedTuple

import numpy as np

from pymc_sgld.diagnostics.whitening import check_scored, whiten
from pymc_sgld.types import Array
from pymc_sgld.validate import check_integer, check_positive


class FiniteSetStein(NamedTuple):
    """The squared discrepancy, its standard deviation for exact draws, and their ratio."""

    unbiased_square: float
    of_exact_draws: float  # root mean square, over repetitions, for independent exact draws
    ratio: float  # of the two; far above 2 the draws are not from the posterior


def finite_set_stein_discrepancy(
    draws: Array,
    scores: Array,
    covariance: Array | None = None,
    *,
    locations: int | Array = 10,
    length_scale: float = 1.0,
    seed: int = 0,
) -> FiniteSetStein:
    r"""Return the finite set Stein discrepancy, whose work is linear in the number of draws.

    With :math:`\xi(x, v) = s(x) k(x, v) + \nabla_x k(x, v)`, whose mean under p is zero for every
    location v, it is :math:`\frac{1}{dJ}\sum_{j \le J} |E_q\, \xi(x, v_j)|^2`, estimated without
    bias from pairs of different draws.

    Parameters
    ----------
    draws, scores : array, shape (n_draws, n_dim)
        As for :func:`kernel_stein_discrepancy`; scores from batches are allowed as well, if each
        batch is drawn independently of the draw: their noise has mean zero.
    covariance : array, shape (n_dim, n_dim), optional
        Default: that of the draws.
    locations : int or array of shape (n_locations, n_dim), default 10
        Where the witness is looked at, in the space of the draws; a number: as many points from a
        Gaussian with mean and covariance of the draws.
    length_scale : float, default 1
        :math:`\ell` of the kernel :math:`(1 + |x - y|^2 / \ell^2)^{-1/2}`, in posterior sds.
    seed : int, default 0
        Of the locations.

    Returns
    -------
    FiniteSetStein

    Notes
    -----
    The draws are taken as independent: thin them by their autocorrelation time first. The reference
    is estimated from the draws under test, as in [1]_, and is of the right size near the posterior.

    References
    ----------
    .. [1] Jitkrittum, W., Xu, W., Szabo, Z., Fukumizu, K. and Gretton, A. (2017). A linear-time
       kernel goodness-of-fit test. NeurIPS. https://arxiv.org/abs/1705.07673
    """
    draws, scores = check_scored(draws, scores)
    check_positive("length_scale", length_scale)
    positions, scores, factor = whiten(draws, scores, covariance)
    n_draws, n_dim = draws.shape
    if isinstance(locations, int | np.integer):
        check_integer("locations", locations, at_least=1)
        at = np.random.default_rng(seed).standard_normal((int(locations), n_dim))
    else:
        at = np.linalg.solve(factor, (np.atleast_2d(locations) - draws.mean(axis=0)).T).T
    features = np.concatenate(
        [_witness(positions, scores, one, length_scale) for one in at], axis=1
    ) / np.sqrt(n_dim * len(at))
    mean = features.mean(axis=0)
    square = (n_draws * mean @ mean - (features**2).sum() / n_draws) / (n_draws - 1)
    # under the null the statistic is a sum of products of independent pairs
    moments = features.T @ features / n_draws
    null = float(np.sqrt(2 / (n_draws * (n_draws - 1))) * np.linalg.norm(moments))
    return FiniteSetStein(float(square), null, float(square / null))


def _witness(positions: Array, scores: Array, location: Array, length_scale: float) -> Array:
    r"""Return :math:`\xi(x, v)` of every draw, shape (n_draws, n_dim)."""
    apart = (positions - location) / length_scale
    base = 1 + (apart**2).sum(axis=1, keepdims=True)
    return np.asarray(scores / np.sqrt(base) - apart / (length_scale * base**1.5))
