"""Quantiles of draws that are not stored: ranks are off by less than what is said."""

import numpy as np
import pytest

from pymc_sgld.checkpoints.quantile_sketch import QuantileSketch

PROBABILITIES = np.array([0.05, 0.25, 0.5, 0.75, 0.95])
N = 20_000


def sketch_of(draws):
    sketch = QuantileSketch()
    for draw in draws:
        sketch = sketch.with_draw(draw)
    return sketch


def walk(rng):
    """A chain that mixes slowly."""
    draws = np.zeros((N, 2))
    for number in range(1, N):
        draws[number] = 0.99 * draws[number - 1] + rng.normal(size=2)
    return draws


CASES = {
    "independent": lambda rng: rng.normal(size=(N, 2)),
    "heavy tails": lambda rng: rng.standard_cauchy(size=(N, 2)),
    "sorted": lambda rng: np.sort(rng.normal(size=(N, 2)), axis=0),
    "falling": lambda rng: -np.sort(rng.normal(size=(N, 2)), axis=0),
    "periodic": lambda rng: np.sin(np.arange(2 * N)).reshape(N, 2) + 1e-9 * rng.normal(size=(N, 2)),
    "slow": walk,
    "one value": lambda rng: np.ones((N, 2)),
}


@pytest.mark.parametrize("case", CASES)
def test_ranks_are_off_by_less_than_one_percent(case):
    draws = CASES[case](np.random.default_rng(1))
    sketch = sketch_of(draws)
    found = sketch.quantiles(PROBABILITIES)
    weights = sum(2**height * len(level) for height, level in enumerate(sketch.levels))
    assert sketch.count == weights == N
    assert sum(map(len, sketch.levels)) < 800
    if case == "one value":
        assert (found == 1.0).all()
        return
    for column in range(2):
        ranks = np.searchsorted(np.sort(draws[:, column]), found[:, column]) / N
        assert np.abs(ranks - PROBABILITIES).max() < 0.01


@pytest.mark.parametrize("n_draws", [1, 2, 7, 150])
def test_those_of_few_draws_are_exact(n_draws):
    draws = np.random.default_rng(2).normal(size=(n_draws, 3))
    expected = np.quantile(draws, PROBABILITIES, axis=0)
    np.testing.assert_allclose(sketch_of(draws).quantiles(PROBABILITIES), expected, rtol=1e-12)


def test_a_sketch_is_never_written_into():
    rng = np.random.default_rng(3)
    first = sketch_of(rng.normal(size=(900, 1)))
    before = first.quantiles(PROBABILITIES)
    second = first
    for _ in range(900):
        second = second.with_draw(rng.normal(size=1))
    np.testing.assert_array_equal(first.quantiles(PROBABILITIES), before)
    assert first.count == 900
