"""Gradient noise, the sampling threshold, Metropolis rejections and function space."""

import numpy as np
import pytest

from pymc_sgld.diagnostics import (
    batch_noise,
    function_space_mixing,
    langevin_rejection,
    sampling_threshold,
)
from pymc_sgld.samplers import StochasticGradientLangevin
from pymc_sgld.tuning import LinearLaw


def test_the_threshold_is_what_comes_on_top_of_the_variance():
    """Against the stationary law of the update itself, direction by direction."""
    step_size, temperature = 0.2, 1.5
    root = np.random.default_rng(0).normal(size=(3, 3))
    noise = root @ root.T
    found = sampling_threshold(step_size, noise, temperature)
    law = LinearLaw(StochasticGradientLangevin())
    for alpha, inflation, direction in zip(
        found.alpha, found.sd_inflation, found.directions.T, strict=True
    ):
        of_noise = direction @ noise @ direction
        with_noise = law.variance(step_size, 1.0, of_noise, temperature)
        without = law.variance(step_size, 1.0, 0.0, temperature)
        assert with_noise / without == pytest.approx(1 + alpha)
        assert with_noise / temperature == pytest.approx((1 + alpha) / (1 - step_size / 2))
        assert np.sqrt(with_noise / without) - 1 == pytest.approx(inflation)
    assert (np.diff(found.alpha) <= 0).all()
    assert "too wide" in found.meaning


def test_size_and_tail_of_the_noise():
    """Gaussian noise, and Pareto's of either sign, whose exponent is the tail index."""
    rng = np.random.default_rng(1)
    root = np.array([[2.0, 0.0], [1.0, 0.5]])
    gradients = 10 * rng.normal(size=(5000, 1, 2)) + rng.normal(size=(5000, 4, 2)) @ root.T
    found = batch_noise(gradients)
    np.testing.assert_allclose(found.covariance, root @ root.T, rtol=0.06)
    assert np.abs(found.excess_kurtosis).max() < 0.15 and found.tail_index > 5
    size = (2000, 200, 1)
    heavy = batch_noise((1 + rng.pareto(4, size)) * rng.choice([-1, 1], size))
    assert heavy.excess_kurtosis[0] > 3 and heavy.tail_index == pytest.approx(4, rel=0.05)
    with pytest.raises(ValueError, match="at least 2 batches"):
        batch_noise(np.zeros((5, 1, 2)))


def test_rejection_of_langevin_steps_on_a_gaussian():
    """There the exponent of the test is h (x^2 - y^2) / 4, worked out by hand."""
    rng = np.random.default_rng(2)
    step_size = 0.7
    x = rng.normal(size=(200, 1))
    y = (1 - step_size) * x + np.sqrt(2 * step_size) * rng.normal(size=(200, 1))
    found = langevin_rejection(
        x, y, -(x[:, 0] ** 2) / 2, -(y[:, 0] ** 2) / 2, -x, -y, step_size=step_size
    )
    wanted = 1 - np.minimum(1, np.exp(step_size * (x**2 - y**2) / 4))[:, 0]
    np.testing.assert_allclose(found, wanted, atol=1e-12)
    assert found.max() > 0.3


def test_rejection_does_not_depend_on_the_coordinates_of_the_preconditioner():
    rng = np.random.default_rng(3)
    root = rng.normal(size=(3, 3))
    before, after, slopes, back = rng.normal(size=(4, 50, 3))
    density = rng.normal(size=(2, 50))
    plain = langevin_rejection(
        before, after, *density, slopes, back, step_size=0.3, temperature=2.0
    )
    inverse = np.linalg.inv(root)
    moved = langevin_rejection(
        before @ root.T, after @ root.T, *density, slopes @ inverse, back @ inverse,
        step_size=0.3, temperature=2.0, covariance=root @ root.T,
    )  # fmt: skip
    np.testing.assert_allclose(moved, plain, atol=1e-9)
    lost = langevin_rejection(
        before, after, density[0], np.full(50, -np.inf), slopes, back, step_size=0.3
    )
    assert (lost == 1).all()


def test_chains_that_exchange_weights_agree_in_their_predictions():
    """y = a b x: the signs of a and b are free, chain by chain; their product is not."""
    rng = np.random.default_rng(4)
    sign = np.array([1, -1, 1, -1])[:, None]
    a = sign * (2 + 0.1 * rng.normal(size=(4, 500)))
    b = sign * (1 + 0.1 * rng.normal(size=(4, 500)))
    predictions = (a * b)[..., None] * np.linspace(-1, 1, 5)  # at x = 0 they do not change
    found = function_space_mixing(predictions)
    assert len(found.r_hat) == 4 and found.mixed and found.ess.min() > 1000
    apart = function_space_mixing(np.stack([a, a * b], axis=-1))
    assert apart.r_hat[0] > 1.5 > 1.01 > apart.r_hat[1] and not apart.mixed
    with pytest.raises(ValueError, match="at least 2 chains"):
        function_space_mixing(predictions[:1])
