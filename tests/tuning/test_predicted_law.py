"""The closed form of the inflation against SciPy's Lyapunov solver, and the choice of step."""

import numpy as np
import pytest
import scipy.linalg

from pymc_sgld.samplers import (
    Baoa,
    Baoab,
    NoseHooverThermostat,
    StochasticGradientHamiltonian,
    StochasticGradientLangevin,
)
from pymc_sgld.tuning import GaussianLaw, LinearLaw

SGLD = LinearLaw(StochasticGradientLangevin())


def random_chain(seed, n_dim=4):
    rng = np.random.default_rng(seed)
    a, v = rng.normal(size=(2, n_dim, n_dim))
    factor = np.tril(rng.normal(size=(n_dim, n_dim))) + 3 * np.eye(n_dim)
    return GaussianLaw(SGLD, a @ a.T + np.eye(n_dim), 30 * v @ v.T, factor)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_stationary_covariance_solves_the_lyapunov_equation(seed, temperature):
    chain = random_chain(seed)
    h = 0.7 / chain.curvature_eigenvalue
    step = np.eye(4) - h * chain.precision
    innovation = h**2 * chain.noise + 2 * h * temperature * np.eye(4)
    solved = scipy.linalg.solve_discrete_lyapunov(step, innovation)
    expected = chain.factor @ solved @ chain.factor.T
    np.testing.assert_allclose(chain.stationary_covariance(h, temperature), expected, rtol=1e-9)


def test_one_dimension_is_welling_and_teh():
    """(1 + alpha) / (1 - h A / 2), alpha the ratio of gradient noise to injected noise."""
    precision, noise, h = 2.5, 40.0, 0.05
    chain = GaussianLaw(SGLD, np.array([[precision]]), np.array([[noise]]), np.eye(1))
    alpha = h**2 * noise / (2 * h)
    assert chain.noise_ratio(h) == pytest.approx(alpha)
    variance = chain.stationary_covariance(h)[0, 0]
    assert variance == pytest.approx((1 + alpha) / precision / (1 - h * precision / 2))
    assert chain.sd_inflation(h) == pytest.approx(np.sqrt(variance * precision) - 1, rel=1e-6)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0])
def test_threshold_step_keeps_every_sd_within_the_target(seed, temperature):
    chain = random_chain(seed)
    h = chain.threshold_step_size(temperature)
    assert 0 < chain.sd_inflation(h, temperature) <= 0.05 + 1e-6


@pytest.mark.parametrize(
    "rule",
    [
        StochasticGradientLangevin(),
        StochasticGradientHamiltonian(2.0),
        Baoa(0.5),
        Baoa(np.inf),
        Baoab(1.0),
    ],
)
@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_threshold_is_met_where_all_directions_are_alike(rule, temperature):
    """The sd at the chosen step is too wide by what is tolerated, for every rule."""
    chain = GaussianLaw(LinearLaw(rule), np.eye(3), 50 * np.eye(3), np.eye(3))
    for target_bias in (0.05, 0.2):
        h = chain.threshold_step_size(temperature, target_bias)
        assert chain.sd_inflation(h, temperature) == pytest.approx(target_bias, abs=1e-6)


def test_a_large_model_uses_its_directions_one_by_one(monkeypatch):
    """Beyond the limit noise that couples directions is left out: same diagonal, no more."""
    from pymc_sgld.tuning import predicted_law

    rng = np.random.default_rng(0)
    noise = np.diag(rng.uniform(1, 30, 6))
    chain = GaussianLaw(SGLD, np.diag(rng.uniform(0.5, 2, 6)), noise, np.eye(6))
    coupled = chain.stationary_covariance(0.1)
    monkeypatch.setattr(predicted_law, "_LARGEST_COUPLED", 2)
    np.testing.assert_allclose(chain.stationary_covariance(0.1), coupled, rtol=1e-12)


def test_beyond_stability_the_inflation_is_infinite():
    chain = GaussianLaw(SGLD, np.diag([1.0, 10.0]), np.zeros((2, 2)), np.eye(2))
    assert np.isfinite(chain.sd_inflation(0.19)) and chain.sd_inflation(0.21) == np.inf


@pytest.mark.parametrize("rule", [NoseHooverThermostat(), Baoa(np.inf), Baoab()])
def test_a_rule_bounds_its_own_steps(rule):
    """Without noise a splitting that is exact on a Gaussian would take steps up to 2."""
    chain = GaussianLaw(LinearLaw(rule), np.eye(2), np.zeros((2, 2)), np.eye(2))
    assert chain.threshold_step_size() == rule.largest_step <= 1.2
    assert np.isnan(chain.sd_inflation(0.01)) == bool(rule.nonlinear_state)
