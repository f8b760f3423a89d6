"""What is written down of a run: its times, and what it cost in passes through the data."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pymc as pm
import xarray as xr

from xarray import DataTree

from pymc_sgld import records
from pymc_sgld.model_graph import RowModel
from pymc_sgld.model_graph.row_sized import row_sized_deterministics
from pymc_sgld.posterior.log_likelihood import as_dataset
from pymc_sgld.types import Array


def record(
    result: DataTree, sampler: str, seconds: Sequence[float], attributes: Mapping[str, Any]
) -> None:
    """Write the sampler's name, the wall seconds of its phases and more into the posterior."""
    posterior = result["posterior"]
    posterior.attrs.update(zip(records.PHASES, map(float, seconds), strict=True))
    posterior.attrs.update({records.SAMPLER: sampler, **attributes})


def draws_of_positions(model: pm.Model, rows: RowModel, positions: Array) -> DataTree:
    """Return unconstrained vectors as draws of one chain, in the model's own variables.

    Deterministics with an entry for each row are left out.

    Parameters
    ----------
    model : pm.Model
    rows : RowModel
        Of the model; says what the entries of a vector are.
    positions : array, shape (n_draws, n_dim)
    """
    row_sized = row_sized_deterministics(model)
    wanted = [var for var in model.unobserved_RVs if var.name not in row_sized]
    function = model.compile_fn(
        model.replace_rvs_by_values(wanted),
        inputs=list(rows.value_vars),
        mode="FAST_COMPILE",
        point_fn=False,
        on_unused_input="ignore",
    )
    results = [function(*rows.unravel(position).values()) for position in positions]
    arrays = {var.name: np.stack([one[i] for one in results]) for i, var in enumerate(wanted)}
    dims: dict[str, Any] = {var.name: model.named_vars_to_dims.get(var.name, ()) for var in wanted}
    sample = xr.Dataset(coords={"chain": [0], "draw": np.arange(len(positions))})
    return DataTree.from_dict({"posterior": as_dataset(arrays, dims, model, sample)})
