"""ArviZ's statistics of chains, which is loaded when the first is asked for.

Loading takes as long as loading PyMC, and to import this package should not.
"""

from typing import Any

import numpy as np

from pymc_sgld.types import Array

_AXES = {"chain_axis": 0, "draw_axis": 1}


def effective_draws(draws: Array, method: str = "bulk") -> Array:
    """Return how many independent draws would know as much.

    Parameters
    ----------
    draws : array, shape (n_chains, n_draws, ...)
    method : {"bulk", "mean"}, default "bulk"
        Of what: "mean" for the error of the mean.

    Returns
    -------
    array, shape (...)
    """
    from arviz_stats import ess

    return np.asarray(ess(draws, method=method, **_AXES), dtype=float)


def r_hat(draws: Array) -> Array:
    """Return the rank-normalised split R-hat.

    Parameters
    ----------
    draws : array, shape (n_chains, n_draws, ...)

    Returns
    -------
    array, shape (...)
    """
    from arviz_stats import rhat

    return np.asarray(rhat(draws, **_AXES), dtype=float)


def error_of_mean(draws: Array) -> Any:
    """Return the Monte Carlo standard error of the mean.

    Parameters
    ----------
    draws : array, shape (n_chains, n_draws, ...)

    Returns
    -------
    array, shape (...)
    """
    from arviz_stats import mcse

    return mcse(draws, method="mean", **_AXES)
