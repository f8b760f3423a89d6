"""Against closed forms: the Ornstein-Uhlenbeck process, Boltzmann's law, orders of convergence."""

import numpy as np
import pytest

from scipy import stats

from models import diffusion
from models.diffusion import FokkerPlanck, binned, gap, random_walk, relative_entropy


@pytest.fixture(scope="module")
def data():
    return diffusion.load_data(4000)


def test_the_equation_against_ornstein_and_uhlenbeck():
    """U = a x^2 / 2: normal at every time, its mean and variance known."""
    a, temperature, start, time = 1.5, 2.0, 1.2, 0.4
    edges = np.linspace(-8, 8, 1601)
    equation = FokkerPlanck(lambda x: a * x**2 / 2, (edges[1:] + edges[:-1]) / 2, temperature)
    np.testing.assert_allclose(equation.edges, edges, atol=1e-12)
    law = equation.at(time, equation.start_at(start))
    mean = start * np.exp(-a * time)
    variance = temperature / a * (1 - np.exp(-2 * a * time))
    exact = np.diff(stats.norm(mean, variance**0.5).cdf(edges))
    assert gap(law, exact) < 1e-4
    assert equation.slowest_rate == pytest.approx(a, rel=1e-4)


def test_law_over_time(data):
    equation = diffusion.fokker_planck(data)
    start = equation.start_at(-1.0)
    assert start @ equation.grid == pytest.approx(-1)
    divergences = []
    for time in (0.0, 0.1, 1.0, 6.0, 7.0, 60.0):
        law = equation.at(time, start)
        assert law.sum() == pytest.approx(1, abs=1e-9) and law.min() > -1e-12
        divergences.append(relative_entropy(law.clip(0), equation.boltzmann))
    assert (np.diff(divergences) < 0).all()
    assert divergences[-1] < 1e-9
    # late, the divergence falls at twice the slowest rate
    assert np.log(divergences[3] / divergences[4]) == pytest.approx(
        2 * equation.slowest_rate, rel=0.02
    )
    density = np.exp(-data.energy(equation.grid))
    np.testing.assert_allclose(equation.boltzmann, density / density.sum(), rtol=1e-9)


def test_kramers_rate_is_right_where_the_barrier_is_high():
    for barrier, error in ((2.0, 0.1), (8.0, 0.06), (16.0, 0.03)):
        data = diffusion.Walkers(np.full(1, -1.0), barrier)
        exact = diffusion.fokker_planck(data).slowest_rate
        assert diffusion.kramers_rate(data) == pytest.approx(exact, rel=error)


def test_random_walk_and_scheme_end_in_the_equation(data):
    """Both at first order; the walk keeps Boltzmann's law at any spacing."""
    walk = diffusion.fokker_planck(data, 26)
    np.testing.assert_allclose(random_walk(walk, 1.0, walk.boltzmann), walk.boltzmann, rtol=1e-9)
    gaps = diffusion.walk_limit(data)["gap"].to_numpy()
    np.testing.assert_allclose(gaps[1:4] / gaps[2:], [2, 2, 2.5], rtol=0.1)
    equation = diffusion.fokker_planck(data)
    gaps = diffusion.euler_limit(equation)["gap"].to_numpy()
    np.testing.assert_allclose(gaps[2:4] / gaps[3:], 2, rtol=0.06)


def test_walkers_follow_the_equation(data):
    """Of 4,000 walkers, Kolmogorov's distance at three times; 0.001 of the scheme's own is added.

    The distance of a right sample exceeds 1.95 / sqrt(n) once in a thousand times.
    """
    times = (0.1, 1.0, 4.0)
    positions = diffusion.simulate(data, times, step_size=0.001, seed=1, verify=False)
    assert positions.shape == (3, 4000)
    equation = diffusion.fokker_planck(data)
    for time, places in zip(times, positions, strict=True):
        law = np.concatenate([[0], np.cumsum(equation.at(time, equation.start_at(-1.0)))])
        distance = stats.kstest(places, lambda x, f=law: np.interp(x, equation.edges, f)).statistic
        assert distance < 1.95 / np.sqrt(4000) + 0.002, time


def test_binned():
    np.testing.assert_array_equal(binned(np.arange(6.0), 2), [3, 12])
