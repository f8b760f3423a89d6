"""Expected log predictive density: against closed forms, and against ArviZ on stored arrays."""

import arviz as az
import numpy as np
import pymc as pm
import pytest
import xarray as xr

from scipy import stats
from xarray import DataTree

from pymc_sgld.comparison.elpd import compare_elpd, pointwise
from pymc_sgld.posterior.chosen_rows import PointwiseLogLikelihood

N, CHAINS, DRAWS = 120, 4, 500
Y = np.random.default_rng(3).normal(1.0, 2.0, size=N)


def gaussian(y=Y, **options):
    """A mean with prior N(0, 3^2), rows N(mu, 2^2)."""
    with pm.Model() as model:
        mu = pm.Normal("mu", 0.0, 3.0)
        pm.Normal("y", mu, 2.0, observed=y, **options)
    return model


def law_of_mean(y):
    precision = len(y) / 4 + 1 / 9
    return y.sum() / 4 / precision, 1 / precision


def exact_draws(seed=0):
    mean, variance = law_of_mean(Y)
    draws = mean + np.sqrt(variance) * np.random.default_rng(seed).normal(size=(CHAINS, DRAWS))
    dataset = xr.Dataset(
        {"mu": (("chain", "draw"), draws)},
        coords={"chain": np.arange(CHAINS), "draw": np.arange(DRAWS)},
    )
    return DataTree.from_dict({"posterior": dataset})


def closed_form():
    """Leave each row out: the others' posterior predicts it, N(m, v + 2^2)."""
    found = []
    for i in range(N):
        mean, variance = law_of_mean(np.delete(Y, i))
        found.append(stats.norm.logpdf(Y[i], mean, np.sqrt(variance + 4)))
    return np.array(found)


@pytest.fixture(scope="module")
def results():
    return {"exact": exact_draws(0), "again": exact_draws(1)}


@pytest.fixture(scope="module")
def whole(results):
    return compare_elpd(results, gaussian(), "exact", draws=CHAINS * DRAWS)


def test_elpd_of_a_gaussian_model_is_the_closed_form(whole):
    exact = closed_form()
    row = whole.loc[("exact", "y")]
    # Monte Carlo error of 2,000 draws, of a sum with about one effective parameter.
    np.testing.assert_allclose(row["elpd"], exact.sum(), atol=0.1)
    np.testing.assert_allclose(row["se"], np.sqrt(N * exact.var(ddof=1)), rtol=0.01)
    assert row["rows"] == row["rows_looked_at"] == N and row["bad_pareto_k"] == 0
    again = whole.loc[("again", "y")]
    np.testing.assert_allclose(again["difference"], again["elpd"] - row["elpd"], atol=1e-9)
    assert abs(again["difference"]) < 0.1 and again["difference_se"] < 0.1


def test_it_is_what_arviz_says_of_a_log_likelihood_in_one_piece(whole, results):
    stored = results["exact"].copy()
    pm.compute_log_likelihood(
        stored, model=gaussian(), progressbar=False, compile_kwargs={"mode": "FAST_COMPILE"}
    )
    expected, row = az.loo(stored), whole.loc[("exact", "y")]
    np.testing.assert_allclose(row["elpd"], expected.elpd, rtol=1e-10)
    np.testing.assert_allclose(row["se"], expected.se, rtol=1e-10)
    np.testing.assert_allclose(row["p_loo"], expected.p, rtol=1e-6)


def test_a_model_that_is_scaled_on_minibatches_has_the_same_elpd(whole, results):
    """PyMC's own pointwise log-likelihood is of ten random rows, and twelve times as large."""
    scaled = gaussian(pm.Minibatch(Y, batch_size=10), total_size=N)
    found = compare_elpd(results, scaled, "exact", draws=CHAINS * DRAWS)
    np.testing.assert_allclose(found["elpd"], whole["elpd"], rtol=1e-10)


def test_a_sample_of_rows_is_arvizs_difference_estimator(results):
    both = compare_elpd(
        results, gaussian(), "exact", draws=CHAINS * DRAWS, most_whole=50, sampled=60, seed=5
    )
    found, again = both.loc[("exact", "y")], both.loc[("again", "y")]
    rows = np.sort(np.random.default_rng(5).choice(N, 60, replace=False))
    stored = results["exact"].copy()
    pm.compute_log_likelihood(
        stored, model=gaussian(), progressbar=False, compile_kwargs={"mode": "FAST_COMPILE"}
    )
    stored["observed_data"] = DataTree(xr.Dataset({"y": ("y_dim_0", Y)}))

    def at_mean(observed, data):
        mean = data["posterior"]["mu"].mean(("chain", "draw"))
        return xr.apply_ufunc(stats.norm.logpdf, observed, mean, 2.0)

    expected = az.loo_subsample(stored, rows, method="plpd", log_lik_fn=at_mean)
    np.testing.assert_allclose(found["elpd"], expected.elpd, rtol=1e-8)
    np.testing.assert_allclose(found["se"], expected.se, rtol=1e-8)
    assert found["rows"] == N and found["rows_looked_at"] == 60
    np.testing.assert_allclose(found["elpd"], closed_form().sum(), atol=0.3)
    # the estimator is linear in the rows, so that of differences is the difference
    assert again["difference"] == pytest.approx(again["elpd"] - found["elpd"], abs=1e-9)
    assert abs(again["difference"]) < 0.1 and 0 < again["difference_se"] < 0.1


def test_axes_beside_the_rows_are_left_out_one_by_one():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(30, 2))
    with pm.Model() as model:
        mu = pm.Normal("mu", shape=2)
        pm.Normal("y", mu, 1.0, observed=values)
    posterior = values.mean(axis=0) + rng.normal(size=(2, 300, 2)) / np.sqrt(31)
    idata = az.from_dict({"posterior": {"mu": posterior}})
    likelihood = PointwiseLogLikelihood.of(model, idata)
    found = pointwise(likelihood, idata, [np.arange(30)])["y"]
    pm.compute_log_likelihood(
        idata, model=model, progressbar=False, compile_kwargs={"mode": "FAST_COMPILE"}
    )
    expected = az.loo(idata, pointwise=True).elpd_i
    np.testing.assert_allclose(found.elpd, expected.sum("y_dim_1"), rtol=1e-10)
