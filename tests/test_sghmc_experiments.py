"""Experiments of the literature whose outcome is known: SGHMC's, and one on what ESS cannot see."""

import numpy as np
import pytest

from pymc_sgld.samplers import StochasticGradientLangevin
from tests.benchmarks.sghmc_experiments import distance, gaussian_points, quartic_draws
from tests.linear_chain import SettledChain

N_CHAINS = 12_000  # each gives one draw, so that this is the effective sample size
KOLMOGOROV = 1.95 / np.sqrt(N_CHAINS)  # passed by chance once in a thousand times


def test_quartic_with_noisy_gradients():
    """Chen et al. 2014, figure 1: without friction the law is wrong, with it it is right."""
    for name, bias in (("naive, exact gradient", 0), ("sghmc, noise_compensation", 0.005)):
        assert distance(quartic_draws(name, N_CHAINS)).kolmogorov < KOLMOGOROV + bias, name
    assert distance(quartic_draws("naive", N_CHAINS)).kolmogorov > 1.4 * KOLMOGOROV
    assert distance(quartic_draws("naive, one long trajectory", N_CHAINS)).kolmogorov > 0.1


@pytest.mark.parametrize("measure", ["time", "paper_time"])
def test_correlated_gaussian_with_noisy_gradients(measure):
    """Chen et al. 2014, figure 3: at equal autocorrelation time SGHMC's covariance is better."""
    points = gaussian_points()
    times, errors = {}, {}
    for name, row in points.items():
        assert np.all(np.diff([point.error for point in row]) < 0)
        times[name] = np.log([getattr(point, measure) for point in row])
        errors[name] = np.log([point.error for point in row])
    first = max(row[0] for row in times.values())
    last = min(row[-1] for row in times.values())
    assert first < last
    for time in np.linspace(first, last, 5):
        sgld, sghmc = (np.interp(time, times[name], errors[name]) for name in ("sgld", "sghmc"))
        assert np.exp(sgld - sghmc) > 3


def test_effective_sample_size_is_best_where_the_law_is_worst():
    """Nemeth and Fearnhead 2021: ESS picks the largest step, the error of the law the smallest.

    What a run of 10,000 draws gets wrong in all, its bias and its sampling error, is least between.
    """
    rotation = np.array([[1.0, 1.0], [-1.0, 1.0]]) / np.sqrt(2)
    covariance = rotation.T @ np.diag([3.0, 1.0]) @ rotation
    chains = [
        SettledChain(StochasticGradientLangevin(), covariance, step_size / 2, noise=0.1**2)
        for step_size in np.geomspace(1e-4, 1, 9)
    ]
    for coordinate in (0, 1):
        ess = [1 / chain.autocorrelation_times[coordinate] for chain in chains]
        excess = [chain.covariance[coordinate, coordinate] / 2 - 1 for chain in chains]
        total = [chain.variance_error(10_000)[coordinate] for chain in chains]
        assert np.all(np.diff(ess) > 0)
        assert np.all(np.diff(excess) > 0) and excess[0] > 0
        assert 0 < np.argmin(total) < len(chains) - 1


def test_autocorrelations_of_a_chain_known_by_heart():
    """SGLD on N(0, 1) is an autoregression: what the exact experiments above rest on."""
    chain = SettledChain(StochasticGradientLangevin(), np.eye(1), 0.2, noise=1.0)
    correlations = chain.autocovariances(9)[:, 0] / chain.covariance[0, 0]
    np.testing.assert_allclose(correlations, 0.8 ** np.arange(9), rtol=1e-12)
    np.testing.assert_allclose(chain.autocorrelation_times, 1.8 / 0.2, rtol=1e-12)
    np.testing.assert_allclose(chain.covariance, (0.4 + 0.04) / (1 - 0.64), rtol=1e-12)
