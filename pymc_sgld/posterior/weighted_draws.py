"""Draws of a falling step size, made to count alike."""

from typing import Any

import numpy as np
import xarray as xr

from pymc_sgld.diagnostics import resampled_draws
from pymc_sgld.posterior.log_likelihood import posterior_of
from pymc_sgld.records import STEP_SIZE_WEIGHT
from pymc_sgld.types import Array

_EQUAL = 1e-6  # relative difference of weights that count as equal


def resample(idata: Any, weights: Any = None, *, seed: int = 0) -> xr.DataTree:
    r"""Return plain draws instead of weighted ones, so that every function of ArviZ applies.

    Where the step size falls, draws stand for steps of different lengths, and expectations are
    :math:`\sum_t \epsilon_t f(\theta_t) / \sum_t \epsilon_t` (Welling and Teh's equation 11). Here
    draws are repeated or left out in proportion, in the order of time, in each chain.

    Parameters
    ----------
    idata : DataTree
    weights : array or DataArray, shape (n_chains, n_draws), optional
        Default: the statistic ``step_size_weight`` of the run.
    seed : int, default 0

    Returns
    -------
    DataTree
        Posterior and sample statistics of the draws that were taken, all others as they were.

    Raises
    ------
    ValueError
        If there are no weights, or they do not fit the draws.

    References
    ----------
    .. [1] Welling, M. and Teh, Y. W. (2011). Bayesian learning via stochastic gradient Langevin
       dynamics. ICML. https://dl.acm.org/doi/10.5555/3104482.3104568
    """
    if weights is None:
        weights = step_weights(idata)
        if weights is None:
            raise ValueError(
                "idata has no statistic 'step_size_weight', so nothing says how to weight the "
                "draws. Pass weights= of shape (n_chains, n_draws); draws of NUTS count alike."
            )
    weights = np.asarray(weights, dtype=float)
    posterior = posterior_of(idata)
    wanted = (posterior.sizes["chain"], posterior.sizes["draw"])
    if weights.shape != wanted:
        raise ValueError(
            f"weights have shape {weights.shape}, but there are {wanted[0]} chains of {wanted[1]} "
            "draws: pass one weight for each."
        )
    groups = {name: idata[name].to_dataset() for name in idata.children}
    if count_alike(weights):
        return xr.DataTree.from_dict(groups)
    picks = xr.DataArray(resampled_draws(weights, seed), dims=("chain", "draw"))
    chains = xr.DataArray(np.arange(wanted[0]), dims="chain")
    for name in ("posterior", "sample_stats"):
        if name in groups:
            own = groups[name]
            taken = own.drop_vars(["chain", "draw"], errors="ignore").isel(chain=chains, draw=picks)
            groups[name] = taken.assign_coords(chain=own["chain"], draw=own["draw"])
    return xr.DataTree.from_dict(groups)


def step_weights(idata: Any) -> Array | None:
    """Return the weights of a run, shape (n_chains, n_draws); None where it has none."""
    if "sample_stats" not in idata or STEP_SIZE_WEIGHT not in idata["sample_stats"]:
        return None
    return np.asarray(idata["sample_stats"][STEP_SIZE_WEIGHT].transpose("chain", "draw"))


def count_alike(weights: Array) -> bool:
    """Whether weights are equal, but for rounding."""
    return bool(np.ptp(weights) <= _EQUAL * np.max(weights))
