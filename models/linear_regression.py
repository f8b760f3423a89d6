r"""Linear regression with its closed form: progress of diabetes in 442 patients.

What it shows: a posterior that is known exactly, with slopes that are strongly correlated (the
covariates are: five of them are measurements of one blood sample). With the conjugate prior

.. math:: \sigma^2 \sim \text{InverseGamma}(a_0, b_0), \qquad
    \beta \mid \sigma^2 \sim N(0, \sigma^2 s^2 I)

the coefficients have a multivariate t distribution and the variance an inverse gamma one:
:func:`reference` has their moments.

The data are those of Efron et al. (2004), ten covariates and a measure of progress a year later,
standardised here; they come with scikit-learn.

References
----------
.. [1] Efron, B., Hastie, T., Johnstone, I. and Tibshirani, R. (2004). Least angle regression.
   Annals of Statistics 32. https://doi.org/10.1214/009053604000000067
.. [2] Gelman, A. et al. (2013). Bayesian Data Analysis, 3rd edition, chapter 14. CRC Press.
"""

from typing import Any

import numpy as np
import pandas as pd
import pymc as pm

from models._datasets import some_rows, standardised

SAMPLING = {"sampler": "sgld_cv", "batch_size": 64}
COMPARED = ("sgld", "sgld_cv", "baoa", "mala", "nuts", "advi")
PRIOR_SCALE = 3.0  # s, of a slope over the sd of the noise
PRIOR_SHAPE, PRIOR_RATE = 2.0, 1.0  # a_0 and b_0: a variance of about that of the outcome


def load_data(rows: int | None = None) -> pd.DataFrame:
    """Return the covariates and the outcome ``progress``, standardised; a row is a patient."""
    from sklearn.datasets import load_diabetes

    table = load_diabetes(as_frame=True).frame.rename(columns={"target": "progress"})
    table = table.iloc[some_rows(len(table), rows)]
    return pd.DataFrame(standardised(table), columns=table.columns, index=table.index)


def build_model(data: pd.DataFrame) -> pm.Model:
    """Declare the model for data as :func:`load_data` returns them."""
    covariates = data.drop(columns="progress")
    with pm.Model(coords={"covariate": list(covariates.columns)}) as model:
        x = pm.Data("x", covariates.to_numpy(), dims=("patient", "covariate"))
        variance = pm.InverseGamma("variance", PRIOR_SHAPE, PRIOR_RATE)
        sigma = pm.math.sqrt(variance)
        intercept = pm.Normal("intercept", 0, PRIOR_SCALE * sigma)
        slope = pm.Normal("slope", 0, PRIOR_SCALE * sigma, dims="covariate")
        mean = intercept + (x * slope).sum(axis=1)
        pm.Normal("progress", mean, sigma, observed=data["progress"].to_numpy(), dims="patient")
    return model


def reference(data: pd.DataFrame) -> pd.DataFrame:
    """Return the exact moments of the posterior."""
    covariates = data.drop(columns="progress")
    design = np.column_stack([np.ones(len(data)), covariates])
    outcome = data["progress"].to_numpy()
    precision = design.T @ design + np.eye(design.shape[1]) / PRIOR_SCALE**2
    covariance = np.linalg.inv(precision)
    mean = covariance @ design.T @ outcome
    shape = PRIOR_SHAPE + len(data) / 2
    rate = PRIOR_RATE + (outcome @ outcome - mean @ precision @ mean) / 2
    expected = rate / (shape - 1)
    sd = np.sqrt(expected * np.diag(covariance))
    names = ["intercept", *(f"slope[{name}]" for name in covariates.columns)]
    table = pd.DataFrame({"mean": mean, "sd": sd}, index=names)
    table.loc["variance"] = [expected, expected / np.sqrt(shape - 2)]
    return table


def show(draws: Any, data: pd.DataFrame) -> dict[str, Any]:
    """Return the slopes as drawn, beside their exact 90 % intervals."""
    import matplotlib.pyplot as plt

    from scipy import stats

    slopes = draws["posterior"]["slope"].stack(sample=("chain", "draw"))
    names = slopes["covariate"].to_numpy()
    low, middle, high = np.quantile(slopes.transpose("covariate", "sample"), [0.05, 0.5, 0.95], 1)
    exact = reference(data).loc[[f"slope[{name}]" for name in names]]
    # a t distribution of so many degrees of freedom, by its mean and sd
    freedom = 2 * PRIOR_SHAPE + len(data)
    half = stats.t(freedom).ppf(0.95) * exact["sd"] * np.sqrt(1 - 2 / freedom)
    place = np.arange(len(names))[::-1]
    figure, axis = plt.subplots(figsize=(6.5, 3.8), layout="constrained")
    axis.errorbar(exact["mean"], place - 0.15, xerr=half, fmt="k|", capsize=3, label="exact")
    axis.errorbar(
        middle, place + 0.15, xerr=[middle - low, high - middle], fmt="o", markersize=4,
        label="drawn",
    )  # fmt: skip
    axis.axvline(0, color="0.7", linewidth=0.8, zorder=0)
    axis.set_yticks(place, names)
    axis.set_xlabel("slope, sds of the outcome for one sd of the covariate")
    axis.legend(frameon=False)
    return {"slopes": figure}
