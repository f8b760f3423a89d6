r"""Expectations of a chain whose step size falls: draws weighted by the time they stand for.

.. math:: E f \approx \frac{\sum_t \epsilon_t f(\theta_t)}{\sum_t \epsilon_t}

References
----------
Welling, M. and Teh, Y. W. (2011). Bayesian learning via stochastic gradient Langevin dynamics.
ICML, equation (11). https://dl.acm.org/doi/10.5555/3104482.3104568
"""

import numpy as np

from pymc_sgld.diagnostics.convergence import error_of_mean
from pymc_sgld.types import Array


def weighted_mean(values: Array, weights: Array) -> Array:
    """Return the weighted mean over chains and draws.

    Parameters
    ----------
    values : array, shape (n_chains, n_draws, ...)
    weights : array, shape (n_chains, n_draws)

    Returns
    -------
    array, shape (...)
    """
    values, shares = _checked(values, weights)
    return np.asarray(np.tensordot(shares, values, axes=2))


def weighted_sd(values: Array, weights: Array) -> Array:
    """Return the weighted standard deviation, shapes as for :func:`weighted_mean`."""
    values, shares = _checked(values, weights)
    centred = values - np.tensordot(shares, values, axes=2)
    return np.asarray(np.sqrt(np.tensordot(shares, centred**2, axes=2)))


def weighted_quantile(values: Array, weights: Array, probabilities: Array) -> Array:
    """Return weighted quantiles, the smallest values with at least that share of weight below.

    Parameters
    ----------
    values : array, shape (n_chains, n_draws, ...)
    weights : array, shape (n_chains, n_draws)
    probabilities : array, shape (n_probabilities,)

    Returns
    -------
    array, shape (n_probabilities, ...)
    """
    values, shares = _checked(values, weights)
    probabilities = np.atleast_1d(np.asarray(probabilities, dtype=float))
    if not ((probabilities >= 0) & (probabilities <= 1)).all():
        raise ValueError(f"probabilities must be in [0, 1], got {probabilities.tolist()}.")
    flat = values.reshape(shares.size, -1)
    order = np.argsort(flat, axis=0, kind="stable")
    below = np.cumsum(shares.ravel()[order], axis=0)
    averages = np.empty((len(probabilities), flat.shape[1]))
    for column in range(flat.shape[1]):
        # rounding may leave the last sum just below 1
        at = np.searchsorted(below[:, column], probabilities - 1e-12, side="left")
        averages[:, column] = flat[order[np.minimum(at, len(order) - 1), column], column]
    return averages.reshape(len(probabilities), *values.shape[2:])


def weighted_ess(values: Array, weights: Array) -> Array:
    r"""Return how many independent draws from the posterior the weighted mean is worth.

    The variance of the values over that of their weighted mean. The mean's is that of the mean of
    :math:`w_t (x_t - \bar x) / \bar w`, autocorrelation included; for independent draws, with
    weights that do not depend on them, it comes to :math:`(\sum w)^2 / \sum w^2`.

    Parameters
    ----------
    values : array, shape (n_chains, n_draws, ...)
    weights : array, shape (n_chains, n_draws)

    Returns
    -------
    array, shape (...)
    """
    values, shares = _checked(values, weights)
    centred = values - np.tensordot(shares, values, axes=2)
    series = centred * shares.reshape(*shares.shape, *[1] * (values.ndim - 2)) * shares.size
    error = error_of_mean(series)
    return np.asarray(np.tensordot(shares, centred**2, axes=2) / error**2)


def resampled_draws(weights: Array, seed: int = 0) -> Array:
    """Return which draws to repeat and which to leave out, so that all count alike.

    Systematic resampling within each chain, in the order of time: a draw of share w comes
    ``n_draws * w`` times, rounded up or down.

    Parameters
    ----------
    weights : array, shape (n_chains, n_draws)
    seed : int, default 0

    Returns
    -------
    array of int, shape (n_chains, n_draws)

    Notes
    -----
    Resampling adds some variance to means; :func:`weighted_mean` has less.

    References
    ----------
    .. [1] Kitagawa, G. (1996). Monte Carlo filter and smoother for non-Gaussian nonlinear state
       space models. Journal of Computational and Graphical Statistics 5.
       https://doi.org/10.1080/10618600.1996.10474692
    """
    weights = check_weights(weights)
    n_draws = weights.shape[1]
    starts = np.random.default_rng(seed).random(len(weights))
    picks = []
    for start, own in zip(starts, weights, strict=True):
        below = np.cumsum(own) / own.sum() * n_draws
        at = np.searchsorted(below, start + np.arange(n_draws), side="right")
        picks.append(np.minimum(at, n_draws - 1))
    return np.array(picks)


def check_weights(weights: Array) -> Array:
    """Return weights as an array of shape (n_chains, n_draws), or raise."""
    weights = np.asarray(weights, dtype=float)
    if weights.ndim != 2:
        raise ValueError(f"weights must have shape (n_chains, n_draws), got {weights.shape}.")
    if not (np.isfinite(weights).all() and (weights >= 0).all()):
        raise ValueError("weights must be finite and >= 0: step sizes, summed over a draw's steps.")
    if not (weights.sum(axis=1) > 0).all():
        raise ValueError("The weights of a chain are all zero: nothing is left of it.")
    return weights


def _checked(values: Array, weights: Array) -> tuple[Array, Array]:
    weights, values = check_weights(weights), np.asarray(values, dtype=float)
    if values.shape[:2] != weights.shape:
        raise ValueError(
            f"values have shape {values.shape} and weights {weights.shape}, but both must begin "
            "with (n_chains, n_draws)."
        )
    return values, weights / weights.sum()
