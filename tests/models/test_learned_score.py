"""The exact score, the regression that it is the answer of, and where paths of either end."""

import numpy as np
import pytest

from models import learned_score


def test_the_exact_score_is_the_slope_of_the_log_density():
    points, small = np.random.default_rng(1).normal(scale=2, size=(50, 2)), 1e-5

    def log_density(at, level):
        variance = learned_score.SD**2 + level**2
        apart = np.square(at[:, None] - learned_score.CENTRES).sum(axis=2)
        return np.log(np.exp(-apart / (2 * variance)) @ learned_score.WEIGHTS)

    for level in (0.5, 4.0):
        for j in range(2):
            aside = small * np.eye(2)[j]
            ends = [log_density(points + sign * aside, level) for sign in (1, -1)]
            numeric = (ends[0] - ends[1]) / (2 * small)
            found = learned_score.exact_score(points, level)[:, j]
            np.testing.assert_allclose(found, numeric, atol=1e-4)


def test_no_score_has_a_smaller_loss_than_the_exact_one():
    data = learned_score.load_data(20_000, seed=3)
    least = learned_score.loss(learned_score.exact_score, data)
    assert least < 0.5

    def other(points, level):
        return 1.1 * learned_score.exact_score(points, level)

    assert least < learned_score.loss(other, data)


def test_the_network_is_that_of_the_model():
    data = learned_score.load_data(30)
    model = learned_score.build_model(data)
    point = {
        name: np.random.default_rng(2).normal(size=np.shape(value))
        for name, value in model.initial_point().items()
    }
    noise = learned_score.network(point, data.points, data.levels)
    expected = -np.square(data.noise - noise) / 2 - np.log(2 * np.pi) / 2
    found = model.compile_logp(vars=model.observed_RVs, mode="FAST_COMPILE")(point)
    assert found == pytest.approx(expected.sum())


def test_paths_from_the_highest_level_know_the_weights_and_those_of_the_lowest_do_not():
    """Of the exact score; what a few levels leave is the schedule's."""
    score, levels = learned_score.exact_score, learned_score.LEVELS
    annealed = learned_score.langevin(score, levels, 50, paths=1000)
    assert learned_score.weight_of_first(annealed) == pytest.approx(0.8, abs=0.06)
    alone = learned_score.langevin(score, levels[-1:], 100, paths=1000)
    assert learned_score.weight_of_first(alone) == pytest.approx(0.5, abs=0.05)
