"""Visits to a doctor with an overdispersion of their own: a Poisson regression, lognormal by row.

What it shows: a latent variable in each row of real data, and how such a model is held against one
with a closed form. The data and the covariates are those of :mod:`models.health_visits`, 20,190
person-years. There a count is negative binomial, which is a Poisson count whose mean has a Gamma
distribution around the regression; here its logarithm is normal. Everything else is the same, so
that the expected log densities of new rows (``az.compare``) say which of the two fits better.

References
----------
.. [1] Bulmer, M. G. (1974). On fitting the Poisson lognormal distribution to species-abundance
   data. Biometrics 30, 101-110. https://doi.org/10.2307/2529621
"""

from typing import Any

import numpy as np
import pandas as pd
import pymc as pm

from scipy import stats

from models import health_visits

COMPARED = ("auto", "nuts")
VARIABLES = ("intercept", "slope", "spread")


def load_data(rows: int | None = None) -> pd.DataFrame:
    """Return the data of :mod:`models.health_visits`."""
    return health_visits.load_data(rows)


def build_model(data: pd.DataFrame) -> pm.Model:
    """Declare the model for data as :func:`load_data` returns them."""
    covariates = health_visits.covariates(data)
    coords = {"covariate": list(covariates.columns), "person_year": np.arange(len(data))}
    with pm.Model(coords=coords) as model:
        x = pm.Data("x", covariates.to_numpy(dtype=float), dims=("person_year", "covariate"))
        intercept = pm.Normal("intercept", mu=0.0, sigma=2.0)
        slope = pm.Normal("slope", mu=0.0, sigma=1.0, dims="covariate")
        # Of the log of the expected visits of a person-year around the regression: within a factor
        # e^2 of it, if it is 1.
        spread = pm.HalfNormal("spread", sigma=1.0)
        excess = pm.Normal("excess", mu=0.0, sigma=spread, dims="person_year")
        pm.Poisson(
            "visits",
            mu=pm.math.exp(intercept + (x * slope).sum(axis=1) + excess),
            observed=data["mdvis"].to_numpy(),
            dims="person_year",
        )
    return model


def frequencies(draws: Any, data: pd.DataFrame, most: int = 20) -> pd.DataFrame:
    """Return how often each number of visits occurs, and is expected at the posterior means.

    Parameters
    ----------
    draws : DataTree
    data : DataFrame
    most : int, default 20
        Number of visits up to which.

    Returns
    -------
    DataFrame
        With the columns ``observed`` and ``expected``, in rows, and the visits as index.
    """
    posterior = draws["posterior"].to_dataset().mean(("chain", "draw"))
    covariates = health_visits.covariates(data).to_numpy(dtype=float)
    log_mean = float(posterior["intercept"]) + covariates @ posterior["slope"].to_numpy()
    nodes, weights = np.polynomial.hermite_e.hermegauss(61)
    weights = weights / weights.sum()
    visits = np.arange(most + 1)
    expected = np.zeros(most + 1)
    for node, weight in zip(nodes, weights, strict=True):
        mean = np.exp(log_mean + float(posterior["spread"]) * node)
        expected += weight * stats.poisson.pmf(visits[:, None], mean).sum(axis=1)
    observed = np.bincount(data["mdvis"], minlength=most + 1)[: most + 1]
    index = pd.Index(visits, name="visits")
    return pd.DataFrame({"observed": observed, "expected": expected}, index=index)


def show(draws: Any, data: pd.DataFrame) -> dict[str, Any]:
    """Return how often each number of visits occurs, beside what the model expects."""
    import matplotlib.pyplot as plt

    table = frequencies(draws, data)
    figure, axis = plt.subplots(figsize=(7, 3.6), layout="constrained")
    axis.bar(table.index, table["observed"], color="0.8", label="observed")
    axis.plot(table.index, table["expected"], "o", markersize=4, label="Poisson-lognormal")
    axis.set(xlabel="visits in a year", ylabel="person-years", xticks=table.index[::2])
    axis.set_title(f"{len(data):,} person-years, at the posterior means", fontsize=10)
    axis.legend(frameon=False, fontsize=8)
    return {"frequencies": figure}
