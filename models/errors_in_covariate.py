r"""A covariate that is measured with error: logistic regression on what it really is.

What it shows: a latent variable of each row in a nonlinear place, seen through two kinds of
observations. The covariate of a person was measured twice, with an error of the same size as what
sets persons apart; the outcome depends on the true value,

.. math:: x_i \sim N(\mu, \tau^2), \quad w_{ij} \sim N(x_i, \sigma^2), \quad
          \operatorname{logit} P(y_i = 1) = a + b x_i .

A regression on the mean of the measurements finds a slope nearer to zero than b is (attenuation,
or regression dilution); measurements that are part of the model do not dilute it. ``psg.sample``
integrates the true values out.

The rows are made up, so that the truth is known.

References
----------
.. [1] Carroll, R. J., Ruppert, D., Stefanski, L. A. and Crainiceanu, C. M. (2006). Measurement
   Error in Nonlinear Models, 2nd edition. Chapman and Hall. https://doi.org/10.1201/9781420010138
.. [2] Richardson, S. and Gilks, W. R. (1993). A Bayesian approach to measurement error problems in
   epidemiology using conditional independence models. American Journal of Epidemiology 138,
   430-442. https://doi.org/10.1093/oxfordjournals.aje.a116875
"""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pymc as pm

from scipy import special

from pymc_sgld.types import Array

COMPARED = ("auto", "nuts")
VARIABLES = ("intercept", "slope", "centre", "between", "within")
TRUTH = {"intercept": -1.0, "slope": 1.5, "centre": 0.5, "between": 1.0, "within": 1.0}
OCCASIONS = 2


class Persons(NamedTuple):
    """Measurements, of shape (persons, occasions), and outcomes, 0 or 1."""

    measured: Array
    outcome: Array


def load_data(rows: int | None = None) -> Persons:
    """Return 20,000 made-up persons, or as many as are asked for."""
    rng = np.random.default_rng(0)
    true = TRUTH["centre"] + TRUTH["between"] * rng.standard_normal(rows or 20_000)
    measured = true[:, None] + TRUTH["within"] * rng.standard_normal((len(true), OCCASIONS))
    chance = special.expit(TRUTH["intercept"] + TRUTH["slope"] * true)
    return Persons(measured, (rng.random(len(true)) < chance).astype(int))


def build_model(data: Persons) -> pm.Model:
    """Declare the model for data as :func:`load_data` returns them."""
    coords = {"person": np.arange(len(data.outcome)), "occasion": np.arange(OCCASIONS)}
    with pm.Model(coords=coords) as model:
        intercept, slope = pm.Normal("intercept", 0, 2), pm.Normal("slope", 0, 2)
        centre = pm.Normal("centre", 0, 2)
        between, within = pm.HalfNormal("between", 2), pm.HalfNormal("within", 2)
        true = pm.Normal("true", centre, between, dims="person")
        pm.Normal(
            "measured", true[:, None], within, observed=data.measured, dims=("person", "occasion")
        )
        pm.Bernoulli(
            "outcome", logit_p=intercept + slope * true, observed=data.outcome, dims="person"
        )
    return model


def without_errors(data: Persons) -> pd.DataFrame:
    """Return estimate and standard error of a regression on the mean of the measurements."""
    from statsmodels.api import Logit, add_constant

    found = Logit(data.outcome, add_constant(data.measured.mean(axis=1))).fit(disp=0)
    index = pd.Index(["intercept", "slope"])
    return pd.DataFrame({"mean": found.params, "sd": found.bse}, index=index)


def tables(draws: Any, data: Persons) -> dict[str, pd.DataFrame]:
    """Return the truth, what the draws say of it, and the regression that knows of no errors."""
    posterior = draws["posterior"].to_dataset()
    mean, sd = (getattr(posterior, name)(("chain", "draw")) for name in ("mean", "std"))
    table = pd.DataFrame(
        {
            "truth": TRUTH,
            "mean": {name: float(mean[name]) for name in TRUTH},
            "sd": {name: float(sd[name]) for name in TRUTH},
        }
    )
    table["gap in its sds"] = (table["mean"] - table["truth"]) / table["sd"]
    naive = without_errors(data).add_prefix("measurements taken for the truth: ")
    return {"with and without the errors": table.join(naive)}


def show(draws: Any, data: Persons) -> dict[str, Any]:
    """Return shares of the outcome by what was measured, and two curves of its chance."""
    import matplotlib.pyplot as plt

    posterior = draws["posterior"].to_dataset().stack(sample=("chain", "draw"))
    intercept, slope = (posterior[name].to_numpy()[::8, None] for name in ("intercept", "slope"))
    average = data.measured.mean(axis=1)
    edges = np.quantile(average, np.linspace(0, 1, 31))
    group = np.clip(np.searchsorted(edges, average) - 1, 0, 29)
    line = np.linspace(edges[0], edges[-1], 200)
    curves = special.expit(intercept + slope * line)
    low, middle, high = np.quantile(curves, [0.05, 0.5, 0.95], axis=0)
    naive = without_errors(data)["mean"]
    figure, axis = plt.subplots(figsize=(7, 3.8), layout="constrained")
    places, shares = (
        [values[group == number].mean() for number in range(30)]
        for values in (average, data.outcome)
    )
    axis.plot(places, shares, "o", color="0.5", markersize=4, label="by the mean measured")
    axis.plot(line, middle, label="by the true value: median, 90 % band")
    axis.fill_between(line, low, high, alpha=0.25)
    axis.plot(
        line,
        special.expit(naive["intercept"] + naive["slope"] * line),
        "--",
        color="0.3",
        label="regression on the mean measured",
    )
    axis.set(xlabel="covariate", ylabel="chance of the outcome", ylim=(0, 1))
    axis.legend(frameon=False, fontsize=8)
    return {"attenuation": figure}
