"""Laplace priors in the Gaussian picture: against sums over a grid, and closed forms."""

import numpy as np
import pymc as pm
import pytest

import pymc_sgld as psg

from pymc_sgld.tuning import find_laplace, local_gaussian
from pymc_sgld.tuning.kinked_priors import over_the_width, smoothed_slope


@pytest.fixture(scope="module")
def lasso():
    """Normal rows with a known error sd; of three parameters the rows know well, little, nothing.

    The posterior falls into three, so that each is a sum over a line.
    """
    n, scale = 400, 0.5
    rng = np.random.default_rng(0)
    x = np.zeros((n, 3))
    x[:200, 0], x[200:, 1] = 1.0, 0.1
    y = 0.3 * x[:, 0] + rng.normal(size=n)
    with pm.Model() as model:
        b = pm.Laplace("b", 0, scale, shape=3)
        pm.Normal("y", (x * b).sum(axis=1), 1, observed=y)
    line = np.linspace(-12, 12, 200_001)
    logp = -np.abs(line)[:, None] / scale - 0.5 * ((x**2).sum(0) * line[:, None] ** 2)
    logp = logp + (x * y[:, None]).sum(0) * line[:, None]
    weight = np.exp(logp - logp.max(axis=0))
    weight /= weight.sum(axis=0)
    mean = line @ weight
    return psg.row_model(model).block_function(), mean, np.sqrt(line**2 @ weight - mean**2)


def test_the_picture_has_the_width_of_the_posterior(lasso):
    """At a point the curvature of two of three is far off: zero, or infinite at the kink."""
    function, mean, sd = lasso
    for start in (np.zeros(3), np.array([0.5, -2.0, 1.0])):
        found = find_laplace(function, start, np.random.default_rng(0))
        np.testing.assert_allclose(np.sqrt(np.diag(found.covariance)), sd, rtol=0.35)
        assert np.abs((found.position - mean) / sd).max() < 1
        assert found.gaussian.flat is None


def test_a_smooth_prior_is_left_as_it_is():
    with pm.Model() as model:
        mu, tau = pm.Normal("mu", 0, 3), pm.HalfNormal("tau", 1)
        pm.StudentT("y", nu=4, mu=mu, sigma=tau, observed=np.linspace(-2, 3, 100))
    function = psg.row_model(model).block_function()
    gaussian = local_gaussian(function, np.array([0.4, 0.2]), np.random.default_rng(0))
    assert not gaussian.widths.any()


def test_secants_and_slopes_of_a_laplace_prior(lasso):
    """2 / b over twice the width; the slope falls evenly from one side of the kink to the other."""
    prior = lasso[0].prior
    position, steps, of_rows = np.array([0.0, 0.3, 9.0]), np.full(3, 1e-3), np.diag([4.0, 1.0, 5.0])
    precision, widths = over_the_width(prior, position, steps, np.zeros((3, 3)), of_rows)
    expected = np.diag(precision)[:2]
    np.testing.assert_allclose(expected, 1 / (0.5 * widths[:2]), rtol=1e-10)
    np.testing.assert_allclose(widths[:2] ** -2.0, [4 + expected[0], 1 + expected[1]], rtol=0.05)
    assert widths[2] == 0 == precision[2, 2]
    more = smoothed_slope(prior, position, widths)
    np.testing.assert_allclose(more[1], 2.0 - 0.3 / widths[1] / 0.5, rtol=1e-10)
    assert more[2] == 0
