"""The landscapes against what is known of them, and what the methods reach."""

import numpy as np
import pytest

from models import annealing
from models.annealing import LANDSCAPES
from pymc_sgld.schedules import constant, geometric_cooling


@pytest.mark.parametrize("name", LANDSCAPES)
def test_lowest_points(name):
    """No point of a fine grid is lower, and no slope is left; each point is its own valley."""
    landscape = LANDSCAPES[name]
    lowest = [landscape.function(one) for one in landscape.lowest]
    np.testing.assert_allclose(lowest, lowest[0], atol=1e-5)
    line = np.linspace(-landscape.reach, landscape.reach, 401)
    grid = np.stack(np.meshgrid(*[line] * len(landscape)), axis=-1).reshape(-1, len(landscape))
    assert min(landscape.function(one) for one in grid) > lowest[0] - 1e-6
    for number, point in enumerate(landscape.lowest):
        for shift in 1e-3 * np.eye(len(landscape)):
            assert landscape.function(point + shift) > lowest[0] - 1e-8
        assert landscape.valley(point + 0.02) == number


def test_published_values():
    """f = 0 at the lowest points, and the values of the originals elsewhere."""
    assert annealing.rastrigin(annealing.AWAY) == pytest.approx(0, abs=1e-12)
    assert annealing.rastrigin(annealing.AWAY + np.array([0.5, 0])) == pytest.approx(20.25)
    assert annealing.ackley(annealing.AWAY) == pytest.approx(0, abs=1e-5)
    assert annealing.ackley(annealing.AWAY + np.array([1.0, 1.0])) == pytest.approx(
        3.6253849, abs=1e-5
    )
    assert annealing.himmelblau(np.array([3.0, 2.0])) == 0
    assert annealing.himmelblau(np.zeros(2)) == 170
    assert LANDSCAPES["Rastrigin"].valley(annealing.AWAY + np.array([0.98, 0])) == -1


def test_dual_annealing_finds_rastrigins():
    landscape = LANDSCAPES["Rastrigin"]
    points, evaluations = annealing.jumping_points(landscape, runs=2)
    assert [landscape.valley(one) for one in points] == [0, 0]
    assert evaluations < 1.3 * annealing.JUMPING_EVALUATIONS


@pytest.mark.parametrize(
    ("name", "steps", "least", "most"),
    [("double well", 10, 1.0, 0.7), pytest.param("Ackley", 50, 0.7, 0.1, marks=pytest.mark.slow)],
)
def test_cooling_finds_what_descent_does_not(name, steps, least, most):
    """Shares of 20 chains, measured with three other seeds: 1 and 0.55, 0.9 and 0."""
    landscape = LANDSCAPES[name]
    sizes = {"chains": 20, "draws": 200 if name == "double well" else 1000}
    shares = []
    for temperature in (geometric_cooling(*landscape.cooling), constant(annealing.NO_TEMPERATURE)):
        points, path = annealing.best_points(
            landscape, temperature, steps_per_draw=steps, seed=5, verify=False, **sizes
        )
        assert path.shape == (20, sizes["draws"], len(landscape))
        shares.append(np.mean([landscape.valley(one) >= 0 for one in points]))
    assert shares[0] >= least and shares[1] <= most, shares
