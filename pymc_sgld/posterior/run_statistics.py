"""What the statistics of a run say of it: which kind of sampler drew, and at which temperature."""

from typing import Any

import numpy as np
import xarray as xr

from pymc_sgld import records
from pymc_sgld.posterior.draws import posterior_of
from pymc_sgld.posterior.verdicts import BATCHES, EXACT, OTHER, TUNED, WHOLE

_STEADY = 1e-6  # relative change of a temperature that stays the same


def kind_of_sampler(idata: Any) -> str:
    """Return what kind of sampler drew, for advice on what can be wrong."""
    statistics = statistics_of(idata)
    # the second is what NUTS records, of every library
    if records.ACCEPTANCE_RATE in statistics or "n_steps" in statistics:
        return EXACT
    if records.STEP_SIZE_WEIGHT not in statistics:
        return OTHER
    noise = statistics.get(records.GRADIENT_NOISE_RATIO)
    if noise is not None and not noise.to_numpy().any():
        return WHOLE
    return TUNED if posterior_of(idata).attrs.get(records.SAMPLER) == "auto" else BATCHES


def temperature_of(idata: Any) -> float | None:
    """Return the temperature of the draws, 1 where nothing is said; None if it changes."""
    recorded = statistics_of(idata).get(records.TEMPERATURE)
    if recorded is None:
        return 1.0
    values = recorded.to_numpy()
    return float(values.mean()) if np.ptp(values) <= _STEADY * values.max() else None


def statistics_of(idata: Any) -> xr.Dataset:
    """Return the sample statistics, empty where there are none."""
    try:
        statistics: xr.Dataset = idata["sample_stats"].to_dataset()
    except (KeyError, TypeError, AttributeError):
        return xr.Dataset()
    return statistics
