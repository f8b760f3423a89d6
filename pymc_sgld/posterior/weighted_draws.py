"""What the draws of a run weigh where its step size changes, and draws that count alike instead.

A draw stands for the time its steps took, so that within a chain expectations are averages over
time (Welling and Teh's equation 11). Between chains there is no such rule. Each chain's average
estimates the same expectation, whatever its step size; the unit of a step size is set by the
chain's own preconditioner, so that those of two chains need not be comparable; and where they are,
the longer steps have the larger bias, and would be given the larger weight. So every chain counts
alike, and weights are relative to those of the same chain. Two chains of different but constant
step sizes are therefore plain draws.
"""

from typing import Any

import numpy as np
import xarray as xr

from pymc_sgld.diagnostics import resampled_draws
from pymc_sgld.posterior.draws import posterior_of
from pymc_sgld.records import STEP_SIZE_WEIGHT
from pymc_sgld.types import Array
from pymc_sgld.validate import check_arguments, shown

# Relative difference of weights that count as equal: sums of steps differ by rounding, and no
# expectation changes by more than this many sds.
_EQUAL = 1e-6


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
    check_arguments(seed=seed)
    posterior = posterior_of(idata)
    if weights is None:
        weights = _recorded(idata)
        if weights is None:
            raise ValueError(
                "idata has no statistic 'step_size_weight', so nothing says how to weight the "
                "draws. Pass weights= of shape (n_chains, n_draws); draws of NUTS count alike."
            )
    wanted = (posterior.sizes["chain"], posterior.sizes["draw"])
    weights = _as_weights(weights, wanted)
    groups = {name: idata[name].to_dataset() for name in idata.children}
    if _count_alike(weights):
        return xr.DataTree.from_dict(groups)
    picks = xr.DataArray(resampled_draws(weights, seed), dims=("chain", "draw"))
    chains = xr.DataArray(np.arange(wanted[0]), dims="chain")
    for name in ("posterior", "sample_stats"):
        if name in groups:
            own = groups[name]
            taken = own.drop_vars(["chain", "draw"], errors="ignore").isel(chain=chains, draw=picks)
            groups[name] = taken.assign_coords(chain=own["chain"], draw=own["draw"])
    return xr.DataTree.from_dict(groups)


def weights_of(idata: Any) -> Array | None:
    """Return the weight of every draw, shape (n_chains, n_draws), adding up to 1.

    Every chain has the same share of them. None where nothing is recorded, or where the draws of
    each chain count alike.
    """
    weights = _recorded(idata)
    if weights is None or _count_alike(weights):
        return None
    return np.asarray(weights / weights.sum(axis=1, keepdims=True) / len(weights))


def plain_draws(idata: Any) -> Any:
    """Return draws that count alike: resampled where the step size changes, else as they are."""
    return idata if weights_of(idata) is None else resample(idata)


def _as_weights(given: Any, wanted: tuple[int, int]) -> Array:
    """Return weights of shape (n_chains, n_draws), or raise."""
    if isinstance(given, xr.DataArray):
        if set(given.dims) != {"chain", "draw"}:
            raise ValueError(
                f"weights have the dimensions {', '.join(map(str, given.dims)) or '(none)'}, and "
                "'chain' and 'draw' are needed: rename them, or pass an array."
            )
        given = given.transpose("chain", "draw", ...)
    try:
        weights = np.asarray(given, dtype=float)
    except (TypeError, ValueError):
        raise TypeError(
            f"weights must be numbers of shape {wanted}, one for each draw, got {shown(given)}."
        ) from None
    if weights.shape != wanted:
        raise ValueError(
            f"weights have shape {weights.shape}, but there are {wanted[0]} chains of {wanted[1]} "
            "draws: pass one weight for each."
        )
    if not (np.isfinite(weights).all() and (weights >= 0).all()):
        wrong = weights[~(np.isfinite(weights) & (weights >= 0))]
        raise ValueError(f"weights must be >= 0 and finite, got {wrong[0]} among them.")
    if not (weights.sum(axis=1) > 0).all():
        chain = int(np.flatnonzero(weights.sum(axis=1) <= 0)[0])
        raise ValueError(
            f"All weights of chain {chain} are 0: leave the chain out, or give it weights."
        )
    return weights


def _recorded(idata: Any) -> Array | None:
    """Return the statistic of a run, shape (n_chains, n_draws); None where it has none."""
    if "sample_stats" not in idata or STEP_SIZE_WEIGHT not in idata["sample_stats"]:
        return None
    recorded = idata["sample_stats"][STEP_SIZE_WEIGHT].transpose("chain", "draw")
    return np.asarray(recorded, dtype=float)


def _count_alike(weights: Array) -> bool:
    """Whether the weights of each chain are equal, but for rounding."""
    return bool((np.ptp(weights, axis=1) <= _EQUAL * np.max(weights, axis=1)).all())
