"""Visits to a doctor in the RAND Health Insurance Experiment: negative binomial regression.

What it shows: how a regression on counts is declared so that SG-MCMC, NUTS and ADVI take it as it
is. Nothing in it speaks of minibatches; the rows are recognised by the dim of the observed counts.

The data ship inside statsmodels: 20,190 person-years, the number of outpatient visits in each
(mean 2.9, variance 20.3), the terms of the insurance plan and the state of health. The counts
are overdispersed: with the nine covariates below the maximised log-likelihood is -62,420 for a
Poisson regression and -43,384 for the negative binomial one, which has one parameter more.

Persons were followed for three or five years, but the file has no column that names them. The
model takes person-years as independent given the parameters. That is good enough to compare
samplers on a real design, skewed and correlated; its posterior is too narrow to report.
"""

from typing import Any

import numpy as np
import pandas as pd
import pymc as pm

from models._datasets import some_rows

COMPARED = ("sgld", "sgld_cv", "nuts", "advi")

# Column of the file: name in the model.
CONTINUOUS = {
    "lncoins": "log coinsurance",
    "lpi": "log incentive payment",
    "fmde": "log maximum expenditure",
    "physlm": "physical limitation",
    "disea": "chronic diseases",
}
INDICATORS = {
    "idp": "individual deductible",
    "hlthg": "health good",
    "hlthf": "health fair",
    "hlthp": "health poor",
}


def load_data(rows: int | None = None) -> pd.DataFrame:
    """Return the data: one row a person-year, the outcome in the column ``mdvis``."""
    from statsmodels.datasets import randhie

    data = randhie.load_pandas().data
    return data.iloc[some_rows(len(data), rows)]


def covariates(data: pd.DataFrame) -> pd.DataFrame:
    """Return the columns of the regression, by the names that they have in the model."""
    # Standardised covariates: slopes on one scale can share one prior, and one step size.
    continuous = data[list(CONTINUOUS)].rename(columns=CONTINUOUS)
    continuous = (continuous - continuous.mean()) / continuous.std()
    return pd.concat([continuous, data[list(INDICATORS)].rename(columns=INDICATORS)], axis=1)


def build_model(data: pd.DataFrame) -> pm.Model:
    """Declare the model for data as :func:`load_data` returns them."""
    columns = covariates(data)

    # A coord has a name for each entry of a dim: results then say "slope[health poor]".
    # "person_year" needs no names; its length is that of the data.
    with pm.Model(coords={"covariate": list(columns.columns)}) as model:
        x = pm.Data("x", columns.to_numpy(dtype=float), dims=("person_year", "covariate"))

        # Log of the expected visits: within a factor e^4 = 55 of one visit at two sds, and a
        # covariate may change them by a factor of up to e^2 = 7. Wide against what the data say.
        intercept = pm.Normal("intercept", mu=0.0, sigma=2.0)
        slope = pm.Normal("slope", mu=0.0, sigma=1.0, dims="covariate")
        # The variance of a count with mean m is m + m^2 / shape.
        shape = pm.HalfNormal("shape", sigma=2.0)

        # The same as x @ slope, and as fast; but a matrix product in the model triples the time
        # that PyTensor needs to compile it for NUTS, from a quarter of a minute to 45 s.
        log_mean = intercept + (x * slope).sum(axis=1)

        pm.NegativeBinomial(
            "visits",
            mu=pm.math.exp(log_mean),
            alpha=shape,
            observed=data["mdvis"].to_numpy(),
            dims="person_year",
        )
    return model


def show(draws: Any, data: pd.DataFrame) -> dict[str, Any]:
    """Return the factors by which covariates change the expected visits, with 90 % intervals."""
    import matplotlib.pyplot as plt

    slopes = draws["posterior"]["slope"].stack(sample=("chain", "draw"))
    factors = np.exp(slopes).transpose("covariate", "sample")
    low, middle, high = np.quantile(factors, [0.05, 0.5, 0.95], axis=1)
    figure, axes = plt.subplots(figsize=(7, 3.6), layout="constrained")
    place = np.arange(len(middle))[::-1]
    axes.errorbar(middle, place, xerr=[middle - low, high - middle], fmt="o", markersize=4)
    axes.axvline(1.0, color="0.7", linewidth=0.8, zorder=0)
    axes.set_yticks(place, factors["covariate"].to_numpy())
    axes.set_xscale("log")
    ticks = [0.7, 0.8, 0.9, 1.0, 1.2, 1.5, 2.0]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.set_xlabel("factor on the expected visits (of one sd, or of the indicator)")
    axes.set_title("Median and 90 % interval", fontsize=10)
    return {"factors": figure}
