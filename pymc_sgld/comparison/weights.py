"""Draws that count for more or less: those of a chain whose step size changes."""

from typing import Any

import numpy as np
import xarray as xr

from xarray import DataTree

from pymc_sgld.diagnostics import resampled_draws
from pymc_sgld.records import STEP_SIZE_WEIGHT
from pymc_sgld.types import Array

_EQUAL = 1e-9


def weights_of(result: DataTree) -> Array | None:
    """Return the weight of every draw, shape (n_chains, n_draws), adding up to 1.

    They are the steps' time increments of each draw, the statistic ``step_size_weight``. Chains
    count alike, whatever step size each has chosen; None where the draws of each do as well.
    """
    statistics: Any = result.get("sample_stats")
    if statistics is None or STEP_SIZE_WEIGHT not in statistics:
        return None
    weights = statistics[STEP_SIZE_WEIGHT].transpose("chain", "draw").to_numpy().astype(float)
    if not (weights.min(axis=1) < (1 - _EQUAL) * weights.max(axis=1)).any():
        return None
    return np.asarray(weights / weights.sum(axis=1, keepdims=True) / len(weights))


def resampled(result: DataTree, seed: int = 0) -> DataTree:
    """Return plain draws in place of weighted ones, as many, for what knows nothing of weights.

    See :func:`pymc_sgld.diagnostics.resampled_draws`. A result without weights comes back as it is.
    """
    weights = weights_of(result)
    if weights is None:
        return result
    posterior = result["posterior"].to_dataset().transpose("chain", "draw", ...)
    draw = xr.DataArray(resampled_draws(weights, seed), dims=("chain", "draw"))
    chain = xr.DataArray(np.arange(len(weights)), dims="chain")
    plain = posterior.drop_vars(["chain", "draw"], errors="ignore").isel(chain=chain, draw=draw)
    coords = {name: posterior[name] for name in ("chain", "draw")}
    return DataTree.from_dict({"posterior": plain.assign_coords(coords)})
