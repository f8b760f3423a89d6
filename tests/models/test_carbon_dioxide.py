"""Bases against the kernel, the weights against the exact process, and the forecast."""

import dataclasses

import numpy as np
import pytest

from models import carbon_dioxide
from models.carbon_dioxide import MIDDLE, hilbert_space, random_features


@pytest.fixture(scope="module")
def data():
    return carbon_dioxide.load_data()


def test_data(data):
    assert len(data) == 2225 and not data.isna().any().any()
    assert data["year"].iloc[0] == pytest.approx(1958.24, abs=0.01)
    assert data["co2"].iloc[0] == 316.1 and data["co2"].iloc[-1] == 371.5


@pytest.mark.parametrize(("smooth", "error"), [(hilbert_space, 0.003), (random_features, 0.2)])
def test_basis_against_the_kernel(smooth, error):
    """Columns times columns is the kernel, to a share of each part's variance.

    Random features are off by the order of one over the root of their number.
    """
    kernel = carbon_dioxide.KERNEL
    years = np.linspace(1958, 2012, 80)
    away = np.abs(years[:, None] - years)
    for amplitude, length in (
        (kernel.trend, kernel.trend_length),
        (kernel.medium, kernel.medium_length),
    ):
        columns = smooth(years - MIDDLE, amplitude, length)
        exact = amplitude**2 * np.exp(-(away**2) / (2 * length**2))
        assert np.abs(columns @ columns.T - exact).max() < error * amplitude**2
    if smooth is hilbert_space:
        columns = carbon_dioxide.basis(years)
        season = columns[:, 2 : 4 * carbon_dioxide.HARMONICS + 4]
        growth = 1 + kernel.season_growth**2 * np.outer(years - MIDDLE, years - MIDDLE)
        waves = np.exp(-2 * (np.sin(np.pi * away) / kernel.season_smoothness) ** 2)
        exact = kernel.season**2 * growth * waves
        assert np.abs(season @ season.T - exact).max() < 1e-4 * kernel.season**2
        whole = carbon_dioxide.exact_kernel(kernel)(years[:, None] - MIDDLE)
        whole -= kernel.noise**2 * np.eye(len(years))
        allowed = 0.003 * (kernel.trend**2 + kernel.medium**2 + kernel.season**2)
        assert np.abs(columns @ columns.T - whole).max() < allowed


def test_closed_form_against_the_exact_process(data):
    """On every tenth week: the forecast of the weights is that of the process."""
    some = data.iloc[::10].reset_index(drop=True)
    later = np.linspace(1985, 2001, 60)
    exact = carbon_dioxide.exact_forecast(some, later)
    found = carbon_dioxide.forecast(*carbon_dioxide.weights(some), later, hilbert_space)
    assert np.abs(found["mean"] - exact["mean"]).max() < 0.1 * exact["sd"].min()
    np.testing.assert_allclose(found["sd"], exact["sd"], rtol=0.02)
    assert found["sd"].iloc[-1] > 2 * found["sd"].iloc[0]  # the bands widen


def test_the_model_is_the_closed_form(data):
    """The gradient is zero at the mean of the weights, and the curvature the inverse covariance."""
    some = data.iloc[::40].reset_index(drop=True)
    mean, covariance = carbon_dioxide.weights(some)
    model = carbon_dioxide.build_model(some)
    logp = model.compile_logp(mode="FAST_COMPILE")
    top = float(logp({"weight": mean}))
    rng = np.random.default_rng(0)
    precision = np.linalg.inv(covariance)
    for _ in range(3):
        away = np.linalg.cholesky(covariance) @ rng.normal(size=len(mean))
        fall = -away @ precision @ away / 2
        assert float(logp({"weight": mean + away})) - top == pytest.approx(fall, rel=1e-6)
    assert carbon_dioxide.seen(some)["year"].max() < 1990


def test_forecast_from_draws(data):
    """Draws of the closed form, taken for a sampler's, give its forecast."""
    from xarray import Dataset, DataTree

    some = data.iloc[::40].reset_index(drop=True)
    mean, covariance = carbon_dioxide.weights(some)
    drawn = np.random.default_rng(1).multivariate_normal(mean, covariance, size=(2, 4000))
    tree = DataTree.from_dict({"posterior": Dataset({"weight": (("chain", "draw", "c"), drawn)})})
    later = np.linspace(1990, 2001, 5)
    exact = carbon_dioxide.forecast(mean, covariance, later, hilbert_space)
    found = carbon_dioxide.drawn_forecast(tree, later)
    assert (np.abs(found["mean"] - exact["mean"]) < 5 * exact["sd"] / np.sqrt(8000)).all()
    np.testing.assert_allclose(found["sd"], exact["sd"], rtol=0.05)


@pytest.mark.slow
def test_the_kernels_parameters_are_those_that_are_fitted(data):
    fitted = dataclasses.asdict(carbon_dioxide.fit_kernel(data))
    given = dataclasses.asdict(carbon_dioxide.KERNEL)
    assert fitted == pytest.approx(given, rel=0.05)


@pytest.mark.statistical
def test_draws_have_the_closed_form(data):
    import pymc_sgld as psg

    with carbon_dioxide.build_model(data):
        draws = psg.sample(
            draws=1000, chains=2, cores=1, random_seed=1, progressbar=False,
            **carbon_dioxide.SAMPLING,
        )  # fmt: skip
    later = np.linspace(1985, 2001, 9)
    exact = carbon_dioxide.forecast(*carbon_dioxide.weights(data), later, hilbert_space)
    found = carbon_dioxide.drawn_forecast(draws, later)
    assert (np.abs(found["mean"] - exact["mean"]) < 0.2 * exact["sd"]).all()
    np.testing.assert_allclose(found["sd"], exact["sd"], rtol=0.1)
