"""Expected log predictive density by leave-one-out, on all rows or on a sample of them."""

import warnings

from collections.abc import Mapping
from typing import Any, NamedTuple

import arviz as az
import numpy as np
import pandas as pd
import pymc as pm
import xarray as xr

from xarray import DataTree

from pymc_sgld.comparison.progress import shown
from pymc_sgld.posterior.chosen_rows import PointwiseLogLikelihood, thinned
from pymc_sgld.posterior.weighted_draws import plain_draws
from pymc_sgld.types import Array

DRAWS, MOST_WHOLE, SAMPLED = 1_000, 5_000, 2_000


class Pointwise(NamedTuple):
    """Leave-one-out of one observed variable under one method."""

    looked_at: Array  # (n,), rows that were
    elpd: Array  # (n,), of these
    p_loo: float
    bad: int  # Pareto shapes above what is good
    approximation: Array | None  # (N,), of every row at the mean; None: all looked at


def compare_elpd(
    results: Mapping[str, DataTree],
    model: pm.Model,
    reference: str,
    *,
    draws: int = DRAWS,
    most_whole: int = MOST_WHOLE,
    sampled: int = SAMPLED,
    seed: int = 0,
    progressbar: bool = False,
    data: Any = None,
) -> pd.DataFrame:
    r"""Return the leave-one-out elpd of every method and observed variable.

    The pointwise log-likelihood is evaluated anew, unscaled: one that was stored while a model was
    on `pm.Minibatch` holds random rows times N / n, and would be wrong. Up to `most_whole` rows
    are all looked at, by :func:`arviz.loo`. Of more a simple random sample is, the same for all
    methods, and the difference estimator of [1]_ goes from there to all N, as in
    :func:`arviz.loo_subsample` with ``method="plpd"``,

    .. math:: \sum_{i=1}^N \tilde\pi_i + \frac{N}{m} \sum_{i \in S} (\pi_i - \tilde\pi_i),

    with the log-likelihood :math:`\tilde\pi_i` of each row at the mean of the draws: one pass
    through the data, in chunks. Nothing of the size draws x N is ever held.

    Parameters
    ----------
    results : dict of str to DataTree
        The draws. Weighted ones are resampled first.
    model : pm.Model
    reference : str
        The method that differences are taken from, row by row.
    draws : int
        At most so many draws are used, evenly spaced.
    most_whole, sampled : int
        Rows.
    seed : int
        Of the sample of rows.
    progressbar : bool, default False
    data : dict of str to source, or a table, optional
        Rows that are not in the model: see :func:`pymc_sgld.sample`.

    Returns
    -------
    DataFrame
        A row for each method and observed variable: ``elpd`` and ``se``; ``difference`` from the
        reference (positive: predicts better) and ``difference_se``; ``p_loo``; ``rows``, and
        ``rows_looked_at``; ``bad_pareto_k``, of these. Rows are what is left out, and what
        the standard errors are over; where an observed variable has more axes than the rows, its
        entries are left out one by one and summed over.

    References
    ----------
    .. [1] Magnusson, M., Riis Andersen, M., Jonasson, J. and Vehtari, A. (2019). Bayesian
       leave-one-out cross-validation for large data. ICML.
       https://proceedings.mlr.press/v97/magnusson19a.html
    """
    # where some lack the latents of rows, these are integrated out for all
    names = [variable.name for variable in model.free_RVs]
    fewest = min(results.values(), key=lambda one: sum(name in one["posterior"] for name in names))
    likelihood = PointwiseLogLikelihood.of(model, fewest, data)
    sizes = [None if n <= most_whole else min(sampled, n) for n in likelihood.total_sizes]
    rows = likelihood.function.random_rows(sizes, np.random.default_rng(seed))
    found = {
        label: pointwise(likelihood, thinned(plain_draws(result), draws), rows)
        for label, result in shown(results.items(), "Leave-one-out", progressbar)
    }
    table = {
        (label, name): _figures(one, found[reference][name])
        for label, by_name in found.items()
        for name, one in by_name.items()
    }
    return pd.DataFrame.from_dict(table, orient="index").rename_axis(["method", "observed"])


def pointwise(
    likelihood: PointwiseLogLikelihood, idata: DataTree, rows: list[Array]
) -> dict[str, Pointwise]:
    """Return leave-one-out of the chosen rows, by observed variable."""
    entries = likelihood.at_draws(idata, rows)
    is_sample = [len(r) < n for r, n in zip(rows, likelihood.total_sizes, strict=True)]
    at_mean = likelihood.at_mean(idata) if any(is_sample) else {}
    found = {}
    for name, values in entries.items():
        group = likelihood.group_of(name)
        of_rows, shapes, good = _leave_one_out(idata, values)
        lpd = np.logaddexp.reduce(values, axis=(0, 1)) - np.log(values.shape[0] * values.shape[1])
        p_loo = _by_row(lpd) - of_rows
        whole = group is None or not is_sample[group]
        n_rows = len(of_rows) if whole or group is None else likelihood.total_sizes[group]
        found[name] = Pointwise(
            np.arange(n_rows) if whole or group is None else rows[group],
            of_rows,
            float(p_loo.mean() * n_rows),
            int((shapes > good).sum()),
            None if whole else at_mean[name],
        )
    return found


def _leave_one_out(idata: DataTree, values: Array) -> tuple[Array, Array, float]:
    """Return what `arviz.loo` says of each row, the Pareto shapes, and what a good one is."""
    dims = ["chain", "draw", *(f"axis_{i}" for i in range(values.ndim - 2))]
    tree = DataTree.from_dict(
        {
            "posterior": idata["posterior"].to_dataset(),
            "log_likelihood": xr.Dataset({"y": (dims, values)}),
        }
    )
    with warnings.catch_warnings():  # of Pareto shapes: they are counted
        warnings.simplefilter("ignore", UserWarning)
        found = az.loo(tree, var_name="y", pointwise=True)
    return _by_row(found.elpd_i.to_numpy()), found.pareto_k.to_numpy(), float(found.good_k)


def _by_row(values: Array) -> Array:
    return np.reshape(values, (np.shape(values)[0] if np.ndim(values) else 1, -1)).sum(axis=1)


def _figures(own: Pointwise, other: Pointwise) -> dict[str, Any]:
    elpd, se = _total(own.elpd, own.approximation, own.looked_at)
    approximation = None
    if own.approximation is not None and other.approximation is not None:
        approximation = own.approximation - other.approximation
    difference, difference_se = _total(own.elpd - other.elpd, approximation, own.looked_at)
    n_rows = len(own.elpd) if own.approximation is None else len(own.approximation)
    return {
        "elpd": elpd,
        "se": se,
        "difference": difference,
        "difference_se": difference_se,
        "p_loo": own.p_loo,
        "rows": n_rows,
        "rows_looked_at": len(own.elpd),
        "bad_pareto_k": own.bad,
    }


def _total(values: Array, approximation: Array | None, looked_at: Array) -> tuple[float, float]:
    """Return a sum over all rows, and its standard error as an estimate of what is expected."""
    if approximation is None:
        n_rows = len(values)
        spread = values.var(ddof=1) if n_rows > 1 else np.nan
        return float(values.sum()), float(np.sqrt(n_rows * spread))
    everywhere = xr.DataArray(approximation, dims="row")
    total, _, error = xr.DataArray(values, dims="row").azstats.diff_srs_estimator(
        lpd_approx_sample=everywhere.isel(row=looked_at),
        lpd_approx_all=everywhere,
        n_data_points=len(approximation),
    )
    return float(total), float(error)
