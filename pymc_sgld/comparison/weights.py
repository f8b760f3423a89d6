"""Draws that count for more or less: those of a chain whose step size changes."""

from typing import Any

import numpy as np
import xarray as xr

from xarray import DataTree

from pymc_sgld.types import Array

_EQUAL = 1e-9


def weights_of(result: DataTree) -> Array | None:
    """Return the weight of every draw, shape (n_chains, n_draws), adding up to 1.

    They are the steps' time increments of each draw, the statistic ``step_size_weight``; None
    where all draws count the same.
    """
    statistics: Any = result.get("sample_stats")
    if statistics is None or "step_size_weight" not in statistics:
        return None
    weights = statistics["step_size_weight"].transpose("chain", "draw").to_numpy().astype(float)
    if not weights.min() < (1 - _EQUAL) * weights.max():
        return None
    return np.asarray(weights / weights.sum())


def resampled(result: DataTree, seed: int = 0) -> DataTree:
    """Return plain draws in place of weighted ones, as many, for what knows nothing of weights.

    Systematic resampling within each chain: a draw comes as often as its weight says, to less than
    one. Draws keep their order. A result without weights comes back as it is.
    """
    weights = weights_of(result)
    if weights is None:
        return result
    posterior = result["posterior"].to_dataset().transpose("chain", "draw", ...)
    n_draws = posterior.sizes["draw"]
    first = np.random.default_rng(seed).uniform()
    chosen = []
    for one_chain in weights:
        ends = np.cumsum(one_chain / one_chain.sum())
        points = (first + np.arange(n_draws)) / n_draws
        chosen.append(np.searchsorted(ends, np.minimum(points, ends[-1])))
    index = xr.DataArray(np.array(chosen), dims=("chain", "draw"))
    plain = posterior.isel(chain=xr.DataArray(np.arange(len(chosen)), dims="chain"), draw=index)
    plain = plain.drop_vars("draw", errors="ignore").assign_coords(draw=posterior["draw"])
    return DataTree.from_dict({"posterior": plain.assign_attrs(posterior.attrs)})
