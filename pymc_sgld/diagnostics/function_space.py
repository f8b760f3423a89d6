"""Mixing of predictions, for models whose parameters are not identified, such as networks."""

from typing import NamedTuple

import numpy as np

from pymc_sgld.diagnostics.convergence import effective_draws, r_hat
from pymc_sgld.types import Array


class FunctionSpace(NamedTuple):
    """R-hat and effective draws over the points that are predicted."""

    r_hat: Array  # (n_points,)
    ess: Array  # (n_points,), bulk

    @property
    def mixed(self) -> bool:
        """Whether the predictions mix: median R-hat 1.05, largest 1.2, 100 effective draws."""
        return bool(
            np.median(self.r_hat) <= 1.05 and self.r_hat.max() <= 1.2 and self.ess.min() >= 100
        )


def function_space_mixing(predictions: Array) -> FunctionSpace:
    """Return R-hat and ESS of predictions at each of some points.

    The weights of a network may be exchanged without changing what it predicts, so that their own
    R-hat is large for draws that are good; chains that agree do so in their predictions.

    Parameters
    ----------
    predictions : array, shape (n_chains, n_draws, ...)
        Such as the mean of the outcome at some tens of points held out. At least 2 chains.

    Returns
    -------
    FunctionSpace
        Points where all draws predict the same are left out.

    Raises
    ------
    ValueError
        If there is one chain, or a prediction is not finite.

    References
    ----------
    .. [1] Izmailov, P., Vikram, S., Hoffman, M. D. and Wilson, A. G. (2021). What are Bayesian
       neural network posteriors really like? ICML. https://arxiv.org/abs/2104.14421
    """
    predictions = np.asarray(predictions, dtype=float)
    if predictions.ndim < 2 or len(predictions) < 2:
        raise ValueError(
            f"predictions have shape {predictions.shape}, but at least 2 chains are needed, from "
            "independent starts: shape (n_chains, n_draws, ...)."
        )
    if not np.isfinite(predictions).all():
        raise ValueError("Some predictions are not finite: the chain may have diverged there.")
    points = predictions.reshape(*predictions.shape[:2], -1)
    points = points[..., points.std(axis=(0, 1)) > 0]
    return FunctionSpace(
        r_hat(points),
        effective_draws(points),
    )
