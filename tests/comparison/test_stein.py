"""Kernel Stein discrepancies of methods: against scores in closed form, and weights as counts."""

import numpy as np
import pymc as pm
import pytest
import xarray as xr

from xarray import DataTree

from pymc_sgld.comparison.stein import compare_stein
from pymc_sgld.diagnostics import kernel_stein_discrepancy
from pymc_sgld.posterior import NoScoreError

Y = np.random.default_rng(0).normal(size=(40, 2))


@pytest.fixture(scope="module")
def model():
    with pm.Model() as model:
        mean = pm.Normal("mean", 0, 1, shape=2)
        pm.Normal("y", mean, 2, observed=Y)
    return model


def score(draws):
    return Y.sum(axis=0) / 4 - draws * (1 + 40 / 4)


def tree(draws, weights=None):
    groups = {"posterior": xr.Dataset({"mean": (("chain", "draw", "side"), draws)})}
    if weights is not None:
        groups["sample_stats"] = xr.Dataset({"step_size_weight": (("chain", "draw"), weights)})
    return DataTree.from_dict(groups)


@pytest.fixture(scope="module")
def results():
    """Draws with weights 1 and 2, the second kind repeated, and a reference of another width."""
    values = np.random.default_rng(1).normal(size=(2, 60, 2)) / np.sqrt(11)
    weights = np.repeat([1.0, 2.0], 30) * np.ones((2, 1))
    repeated = np.repeat(values, weights[0].astype(int), axis=1)
    reference = values * [2.0, 1.0] + values[:, ::-1]
    return {
        "weighted": tree(values, weights),
        "repeated": tree(repeated),
        "reference": tree(reference),
    }


def test_of_known_scores_in_units_of_the_reference(model, results):
    found = compare_stein(results, model, "reference", 40)
    draws = {name: one["posterior"]["mean"].to_numpy().reshape(-1, 2) for name, one in
             results.items()}  # fmt: skip
    covariance = np.cov(draws["reference"].T)
    for name in ("repeated", "reference"):
        expected = kernel_stein_discrepancy(draws[name], score(draws[name]), covariance)
        assert found.loc[name, "ksd"] == pytest.approx(expected.value, rel=1e-9)
        assert found.loc[name, "ksd_of_exact_draws"] == pytest.approx(expected.of_exact_draws)
    assert found["ksd"].nunique() > 1


def test_weights_count_as_repetitions(model, results):
    found = compare_stein(results, model, "repeated", 40)["ksd"]
    assert found["weighted"] == pytest.approx(found["repeated"], rel=1e-9)


def test_more_draws_than_pay_are_thinned_and_too_many_parameters_are_refused(model, results):
    """Beyond 400,000 rows a hundred draws of all chains are looked at, the last among them."""
    found = compare_stein(results, model, "reference", 4_000_000).loc["repeated", "ksd"]
    draws = results["repeated"]["posterior"]["mean"].to_numpy()[:, 1::2].reshape(-1, 2)
    covariance = np.cov(results["reference"]["posterior"]["mean"].to_numpy().reshape(-1, 2).T)
    expected = kernel_stein_discrepancy(draws, score(draws), covariance)
    assert found == pytest.approx(expected.value, rel=1e-9)
    with pm.Model() as large:
        pm.Normal("x", shape=501)
    draws = xr.Dataset({"x": (("chain", "draw", "at"), np.zeros((2, 3, 501)))})
    with pytest.raises(NoScoreError, match="501 parameters are too many"):
        compare_stein({"one": DataTree.from_dict({"posterior": draws})}, large, "one", 1)
