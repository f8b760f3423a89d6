"""A mixture of three Gaussians, its labels summed out.

What it shows: clustering without discrete variables. Which component a row came from has no
gradient; summed out (`pm.NormalMixture`) the density of a row is smooth in weights, means and sds.
Components may change places without changing the likelihood. The means are therefore ordered,
which leaves one mode of the six.

The rows are made up, so that the truth is known. The reference needs no sampler: with many rows the
posterior is nearly a normal distribution around the maximum of the likelihood, which EM finds
(scikit-learn), with the inverse of the observed information as its covariance. It leaves out the
prior and what is skewed, of the order of a hundredth of a sd and one over the rows.

References
----------
.. [1] McLachlan, G. and Peel, D. (2000). Finite Mixture Models. Wiley.
   https://doi.org/10.1002/0471721182
.. [2] van der Vaart, A. W. (1998). Asymptotic Statistics, chapter 10. Cambridge.
   https://doi.org/10.1017/CBO9780511802256
"""

from typing import Any

import numpy as np
import pandas as pd
import pymc as pm

from scipy import special, stats
from scipy.optimize import approx_fprime

from pymc_sgld.types import Array

COMPARED = ("auto", "sgld", "sgld_cv", "nuts", "advi")
WEIGHTS = np.array([0.3, 0.5, 0.2])
MEANS = np.array([-3.0, 0.5, 4.0])
SDS = np.array([0.8, 1.2, 0.6])


def load_data(rows: int | None = None) -> Array:
    """Return 20,000 made-up rows, or as many as are asked for."""
    rng = np.random.default_rng(0)
    component = rng.choice(3, p=WEIGHTS, size=rows or 20_000)
    return np.asarray(rng.normal(MEANS[component], SDS[component]))


def build_model(data: Array) -> pm.Model:
    """Declare the model for data as :func:`load_data` returns them."""
    coords = {"component": ["left", "middle", "right"], "row": np.arange(len(data))}
    with pm.Model(coords=coords) as model:
        weight = pm.Dirichlet("weight", np.full(3, 2.0), dims="component")
        mean = pm.Normal(
            "mean",
            0,
            5,
            dims="component",
            transform=pm.distributions.transforms.ordered,
            initval=np.quantile(data, [1 / 6, 1 / 2, 5 / 6]),
        )
        sd = pm.Gamma("sd", 2, 1, dims="component")
        pm.NormalMixture("y", weight, mean, sd, observed=data, dims="row")
    return model


def log_likelihood(weights: Array, means: Array, sds: Array, data: Array) -> float:
    """Return the log-likelihood of all rows; each argument but the data has shape (3,)."""
    each = np.log(weights) + stats.norm.logpdf(data[:, None], means, sds)
    return float(special.logsumexp(each, axis=1).sum())


def reference(data: Array) -> pd.DataFrame:
    """Return the maximum of the likelihood and the sds that the observed information gives."""
    from sklearn.mixture import GaussianMixture

    start = np.quantile(data, [1 / 6, 1 / 2, 5 / 6])[:, None]
    found = GaussianMixture(3, tol=1e-10, max_iter=5000, means_init=start).fit(data[:, None])
    order = np.argsort(found.means_[:, 0])
    weights, means = found.weights_[order], found.means_[order, 0]
    sds = np.sqrt(found.covariances_[order, 0, 0])

    def slope(free: Array) -> Array:
        """Return the gradient in two weights, the means and the sds."""
        weight = np.append(free[:2], 1 - free[:2].sum())
        distance = (data[:, None] - free[2:5]) / free[5:]
        density = stats.norm.pdf(distance) / free[5:]
        share = weight * density
        share /= share.sum(axis=1, keepdims=True)
        by_weight = (share / weight).sum(axis=0)
        by_mean = (share * distance / free[5:]).sum(axis=0)
        by_sd = (share * (distance**2 - 1) / free[5:]).sum(axis=0)
        return np.concatenate([by_weight[:2] - by_weight[2], by_mean, by_sd])

    free = np.concatenate([weights[:2], means, sds])
    information = -approx_fprime(free, slope, 1e-6)
    covariance = np.linalg.inv((information + information.T) / 2)
    third = np.sqrt(covariance[:2, :2].sum())  # of one minus the other two
    errors = np.sqrt(np.diag(covariance))
    names = [f"{of}[{at}]" for of in ("weight", "mean", "sd") for at in ("left", "middle", "right")]
    return pd.DataFrame(
        {
            "mean": np.concatenate([weights, means, sds]),
            "sd": np.concatenate([errors[:2], [third], errors[2:]]),
        },
        index=names,
    )


def show(draws: Any, data: Array) -> dict[str, Any]:
    """Return the rows' histogram under the density of the mixture and of its components."""
    import matplotlib.pyplot as plt

    posterior = draws["posterior"].to_dataset().stack(sample=("chain", "draw"))
    weight, mean, sd = (
        posterior[name].transpose("sample", "component").to_numpy()[::10, :, None]
        for name in ("weight", "mean", "sd")
    )
    line = np.linspace(data.min(), data.max(), 400)
    parts = weight * stats.norm.pdf(line, mean, sd)
    low, middle, high = np.quantile(parts.sum(axis=1), [0.05, 0.5, 0.95], axis=0)
    figure, axis = plt.subplots(figsize=(7, 3.6), layout="constrained")
    axis.hist(data, 100, density=True, color="0.85", label=f"{len(data):,} rows")
    for number, name in enumerate(draws["posterior"]["component"].to_numpy()):
        axis.plot(line, parts[:, number].mean(axis=0), "--", linewidth=1, label=f"{name}")
    axis.plot(line, middle, "k", linewidth=1, label="mixture, with 90 % band")
    axis.fill_between(line, low, high, color="k", alpha=0.25)
    axis.set(xlabel="y", ylabel="density")
    figure.legend(frameon=False, fontsize=8, loc="outside right upper")
    return {"mixture": figure}
