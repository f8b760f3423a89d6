"""The Laplace approximation: exact where the posterior is normal, refused where there is none."""

import sys

from types import SimpleNamespace

import numpy as np
import pymc as pm
import pytest

from pymc.exceptions import SamplingError
from scipy import stats

import pymc_sgld as psg

from pymc_sgld.comparison.methods import run_laplace
from pymc_sgld.tuning import find_laplace, on_all_rows


def draw(model, n_draws, **options):
    return run_laplace(
        model,
        draws=n_draws,
        chains=1,
        random_seed=0,
        compile_kwargs={"mode": "FAST_COMPILE"},
        **options,
    )


def test_it_is_exact_on_a_gaussian(regression):
    n_draws = 20_000
    posterior = draw(regression.model(), n_draws)["posterior"]
    draws = posterior["theta"].to_numpy()[0]
    sd = np.sqrt(np.diag(regression.covariance))
    # Of independent draws: errors of sd / sqrt(n), and chi-squared whitened squares.
    assert (np.abs(draws.mean(axis=0) - regression.mean) / sd < 4 / np.sqrt(n_draws)).all()
    white = np.linalg.solve(np.linalg.cholesky(regression.covariance), (draws - regression.mean).T)
    covariance = white @ white.T / n_draws
    assert np.abs(covariance - np.eye(3)).max() < 4 * np.sqrt(2 / n_draws)
    assert posterior.attrs["independent_draws"] == 1 and posterior.attrs["slope"] < 1e-6
    assert posterior["theta"].dims == ("chain", "draw", "feature")


def test_the_curvature_is_that_of_all_rows(monkeypatch, regression):
    """From that of a sample of 40 of the 300, mended along the directions where it is far off."""
    module = sys.modules["pymc_sgld.tuning.local_gaussian"]  # hidden by its function
    monkeypatch.setattr(module, "ROWS_OF_A_SAMPLE", 40)
    function = psg.row_model(regression.model()).block_function("FAST_COMPILE")
    rough = find_laplace(function, np.zeros(3), np.random.default_rng(0))
    assert np.abs(rough.covariance / regression.covariance - 1).max() > 1e-3
    calls = []
    counted = SimpleNamespace(full=lambda position: calls.append(1) or function.full(position))
    found = on_all_rows(counted, rough)
    np.testing.assert_allclose(found.covariance, regression.covariance, rtol=1e-6)
    np.testing.assert_allclose(found.position, regression.mean, rtol=1e-6)
    assert found.data_passes == rough.data_passes + len(calls)


def test_draws_come_in_the_models_own_variables():
    """A scale is drawn on the log scale: its draws are lognormal."""
    y = np.random.default_rng(1).normal(0.0, 2.0, size=200)
    with pm.Model(coords={"row": range(200)}) as model:
        sigma = pm.HalfNormal("sigma", 5.0)
        pm.Deterministic("double", 2 * sigma)
        pm.Deterministic("of_each_row", sigma * np.ones(200), dims="row")
        pm.Normal("y", 0.0, sigma, observed=y, dims="row")
    posterior = draw(model, 4_000)["posterior"]
    # log p(u) = -N u - S exp(-2u) / 2 - exp(2u) / 50 + u, u = log sigma
    total = (y**2).sum()
    grid = np.linspace(0, 2, 20_001)
    density = -199 * grid - total * np.exp(-2 * grid) / 2 - np.exp(2 * grid) / 50
    mode = grid[density.argmax()]
    curvature = 2 * total * np.exp(-2 * mode) + 4 * np.exp(2 * mode) / 50
    law = stats.lognorm(curvature**-0.5, scale=np.exp(mode))
    assert stats.kstest(posterior["sigma"].to_numpy()[0], law.cdf).pvalue > 1e-3
    np.testing.assert_array_equal(posterior["double"], 2 * posterior["sigma"])
    assert set(posterior.data_vars) == {"sigma", "double"}


def test_rows_that_cannot_be_taken_apart_are_taken_whole():
    walk = np.cumsum(np.random.default_rng(0).normal(size=50))
    with pm.Model() as model:
        drift = pm.Normal("drift", 0.0, 1.0)
        first = pm.Normal.dist()
        pm.GaussianRandomWalk("walk", mu=drift, sigma=1.0, init_dist=first, observed=walk)
    draws = draw(model, 20_000)["posterior"]["drift"].to_numpy()
    precision = 49 + 1
    np.testing.assert_allclose(draws.mean(), (walk[-1] - walk[0]) / precision, atol=0.004)
    np.testing.assert_allclose(draws.std(), precision**-0.5, rtol=0.02)


def test_no_mode():
    with pm.Model() as model:
        x = pm.Flat("x")
        pm.Normal("y", 0.0 * x, 1.0, observed=np.zeros(30))
    with pytest.raises(SamplingError, match="There is no Laplace approximation"):
        draw(model, 10)
