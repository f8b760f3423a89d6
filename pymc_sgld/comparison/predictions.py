"""Posterior predictive draws of every method, in chunks of rows."""

from collections.abc import Mapping

import numpy as np
import pymc as pm
import xarray as xr

from xarray import DataTree

from pymc_sgld.comparison.progress import shown
from pymc_sgld.posterior import posterior_predictive
from pymc_sgld.posterior.chosen_rows import thinned
from pymc_sgld.posterior.weighted_draws import plain_draws
from pymc_sgld.validate import check_arguments

_NUMBERS = 20_000_000  # of one method


def add(
    results: Mapping[str, DataTree],
    model: pm.Model | None,
    draws: int,
    random_seed: int | None,
    progressbar: bool = False,
) -> None:
    """Add the groups ``posterior_predictive`` and ``observed_data``; see `Comparison.predict`."""
    random_seed = check_arguments(draws=draws, random_seed=random_seed, progressbar=progressbar)[
        "random_seed"
    ]
    if model is None:
        raise ValueError(
            "There is no model to predict with: the comparison was made of draws alone. Pass it: "
            "compare(draws, model)."
        )
    observed = {var.name: np.asarray(model.rvs_to_values[var].eval()) for var in model.observed_RVs}
    most = max(1, _NUMBERS // max(1, sum(values.size for values in observed.values())))
    for result in shown(results.values(), "Predictions", progressbar):
        few = thinned(plain_draws(result), min(draws, most))
        predicted = posterior_predictive(
            few, model, random_seed=random_seed, extend_inferencedata=False
        )
        result["posterior_predictive"] = xr.DataTree(dataset=predicted)
        data = {
            name: (predicted[name].dims[2:], values)
            for name, values in observed.items()
            if name in predicted and predicted[name].shape[2:] == values.shape
        }
        result["observed_data"] = xr.DataTree(dataset=xr.Dataset(data))
