"""Means, sds and errors of every parameter, and their distances from those of the reference."""

from collections.abc import Mapping, Sequence
from typing import Any

import arviz as az
import numpy as np
import pandas as pd

from arviz_base import xarray_sel_iter
from arviz_base.labels import BaseLabeller
from scipy.stats import wasserstein_distance
from xarray import Dataset, DataTree

from pymc_sgld import records
from pymc_sgld.diagnostics import weighted_ess, weighted_mean, weighted_sd
from pymc_sgld.posterior.weighted_draws import weights_of
from pymc_sgld.types import Array

# Of the distance of n draws from their law: int sqrt(F (1 - F)) dx * sqrt(2 / pi) for a normal one.
_WASSERSTEIN_NOISE = 1.2884


def flat_posterior(result: DataTree, var_names: Sequence[str]) -> Dataset:
    """Return a posterior with a variable for each parameter, such as ``beta[north]``."""
    posterior = result["posterior"].to_dataset().transpose("chain", "draw", ...)
    labeller = BaseLabeller()
    return Dataset(
        {
            labeller.make_label_flat(name, chosen, at): posterior[name].sel(chosen, drop=True)
            for name, chosen, at in xarray_sel_iter(
                posterior, var_names=list(var_names), skip_dims={"chain", "draw"}
            )
        },
        attrs=posterior.attrs,
    )


def is_chain(posterior: Any) -> bool:
    """Whether draws come from a chain; if not, they are independent by construction."""
    return not posterior.attrs.get(records.INDEPENDENT_DRAWS, 0)


def moments(flat: Dataset, weights: Array | None) -> pd.DataFrame:
    r"""Return mean, sd, their errors, ESS and R-hat of every parameter.

    With weights, :math:`\hat m = \sum_i w_i x_i` as in equation (11) of [1]_; the bulk ESS is then
    :func:`pymc_sgld.diagnostics.weighted_ess`.

    Parameters
    ----------
    flat : Dataset
        A variable for each parameter.
    weights : array, shape (n_chains, n_draws), optional
        Adding up to 1.

    Returns
    -------
    DataFrame
        A row for each parameter: ``mean``, ``sd``, ``mcse_mean``, ``mcse_sd``, ``ess_bulk``,
        ``r_hat``. The last two are nan for independent draws; R-hat is for one chain, too.

    References
    ----------
    .. [1] Welling, M. and Teh, Y. W. (2011). Bayesian learning via stochastic gradient Langevin
       dynamics. ICML. https://dl.acm.org/doi/10.5555/3104482.3104568
    """
    table = pd.DataFrame(az.summary(flat, kind="all", round_to="none")).astype(float)
    table = table[["mean", "sd", "mcse_mean", "mcse_sd", "ess_bulk", "r_hat"]]
    if not is_chain(flat):
        n_draws = flat.sizes["chain"] * flat.sizes["draw"]
        table["mcse_mean"] = table["sd"] / np.sqrt(n_draws)
        table["ess_bulk"] = np.nan
    if not is_chain(flat) or flat.sizes["chain"] == 1:
        table["r_hat"] = np.nan
    if weights is not None:
        for label in table.index:
            values = _weighted(flat[label].to_numpy(), weights)
            table.loc[label, list(values)] = list(values.values())
    return table


def _weighted(draws: Array, weights: Array) -> dict[str, float]:
    mean, sd = float(weighted_mean(draws, weights)), float(weighted_sd(draws, weights))
    ess, squares = float(weighted_ess(draws, weights)), (draws - mean) ** 2
    of_squares = float(weighted_sd(squares, weights) / np.sqrt(weighted_ess(squares, weights)))
    return {
        "mean": mean,
        "sd": sd,
        "mcse_mean": sd / np.sqrt(ess),
        "mcse_sd": of_squares / (2 * sd),
        "ess_bulk": ess,
    }


def errors(
    own: pd.DataFrame, other: pd.DataFrame, draws: tuple[Dataset, Dataset], weights: Sequence[Any]
) -> pd.DataFrame:
    """Return distances from the reference, in its sds, with their standard errors.

    Parameters
    ----------
    own, other : DataFrame
        From :func:`moments`: of a method, and of the reference.
    draws : pair of Dataset
    weights : pair of array or None
        Of the same two.

    Returns
    -------
    DataFrame
        ``mean_error`` (signed) and ``mean_error_se``; ``sd_ratio`` and ``sd_ratio_se``;
        ``wasserstein``, the area between the two distribution functions, and
        ``wasserstein_noise``, what it would be on average for two normal samples of one law.
    """
    table = pd.DataFrame(index=other.index)
    sd = other["sd"]
    table["mean_error"] = (own["mean"] - other["mean"]) / sd
    table["mean_error_se"] = np.hypot(own["mcse_mean"], other["mcse_mean"]) / sd
    table["sd_ratio"] = own["sd"] / sd
    relative = np.hypot(own["mcse_sd"] / own["sd"], other["mcse_sd"] / sd)
    table["sd_ratio_se"] = table["sd_ratio"] * relative
    flat_weights = [None if one is None else one.ravel() for one in weights]
    table["wasserstein"] = [
        wasserstein_distance(*(one[label].to_numpy().ravel() for one in draws), *flat_weights)
        / sd[label]
        for label in table.index
    ]
    table["wasserstein_noise"] = _WASSERSTEIN_NOISE * table["mean_error_se"]
    return table


def compare_parameters(
    flat: Mapping[str, Dataset], results: Mapping[str, DataTree], reference: str
) -> pd.DataFrame:
    """Return moments and errors, a row for each method and parameter."""
    weights = {label: weights_of(result) for label, result in results.items()}
    summaries = {label: moments(flat[label], weights[label]) for label in flat}
    other = summaries[reference]
    tables = {}
    for label, own in summaries.items():
        if set(own.index) != set(other.index):
            odd = ", ".join(sorted(set(own.index) ^ set(other.index))[:5])
            raise ValueError(
                f"{label!r} and {reference!r} drew different elements of their variables ({odd}): "
                "they come from different models or data."
            )
        own = own.loc[other.index]
        pair = (flat[label], flat[reference])
        distances = errors(own, other, pair, (weights[label], weights[reference]))
        if label == reference:  # its errors against itself are none
            for name in ("mean_error_se", "sd_ratio_se", "wasserstein_noise"):
                distances[name] = 0.0
        tables[label] = own.join(distances)
    return pd.concat(tables, names=["method", "parameter"])
