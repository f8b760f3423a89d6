"""When "auto" takes NUTS: by what is measured of it, with a clock and gradients of our own."""

import logging

import numpy as np
import pymc as pm
import pytest

from pymc_sgld.step_methods.auto_nuts import FEW_ROWS, read_for_auto
from pymc_sgld.step_methods.nuts_cost import NutsCost, Probe, measured_cost, probe_of
from tests.targets import linear_regression


class FakeModel:
    """Its trees, and the time that a gradient takes uncompiled and compiled."""

    def __init__(self, trees, slow, compiled):
        self.now, self.trees, self.slow, self.compiled = 0.0, iter(trees), slow, compiled
        self.compiles = 0
        self.probe = Probe(self.draw, self.compile)

    def clock(self):
        return self.now

    def draw(self):
        size = next(self.trees)
        self.now += size * self.slow
        return size

    def compile(self):
        self.compiles += 1
        self.now += 30.0  # of compiling: not of a gradient
        times = iter([5.0, *self.compiled])  # the first call is not counted

        def gradient():
            self.now += next(times)

        return gradient


def test_a_quick_model_is_not_compiled():
    """Of 200 trees the last 50, of 7 gradients, count: 2000 * 7 * 0.1 ms = 1.4 s."""
    fake = FakeModel([31] * 150 + [7] * 50, 1e-4, [])
    cost = measured_cost(fake.probe, 2000, bound=10.0, clock=fake.clock)
    assert fake.compiles == 0 and cost.at_most
    np.testing.assert_allclose(cost[:3], [1.4, 1e-4, 7.0], rtol=1e-12)
    assert "at most 1.4 s: a gradient takes 0.1 ms uncompiled" in cost.in_words()


def test_where_that_is_too_slow_the_gradient_is_compiled_and_timed():
    """The best of five times; a leapfrog step of NUTS takes 20 microseconds beside."""
    fake = FakeModel([15] * 200, 6e-4, [9e-5, 8e-5, 8e-5, 3e-4, 8e-5])
    cost = measured_cost(fake.probe, 2000, bound=10.0, clock=fake.clock)
    assert fake.compiles == 1 and not cost.at_most
    np.testing.assert_allclose(cost[:3], [2000 * 15 * 1e-4, 8e-5, 15.0], rtol=1e-9)


def test_the_short_run_is_short():
    """Trees of 1023 gradients of a millisecond: two of them are more than two seconds."""
    fake = FakeModel([1023] * 200, 1e-3, [1e-3] * 5)
    cost = measured_cost(fake.probe, 2000, bound=10.0, clock=fake.clock)
    assert 197 <= len(list(fake.trees)) <= 198
    np.testing.assert_allclose(cost.seconds, 2000 * 1023 * 1.02e-3, rtol=1e-9)
    assert "about 2100 s: a gradient takes 1 ms, and" in cost.in_words()


def told(model, cost):
    asked = []

    def measure(measured, n_draws, bound):
        assert measured is model
        asked.append((n_draws, bound))
        return cost

    return read_for_auto(model, draws=1000, tune=None, measure=measure), asked


@pytest.mark.parametrize("seconds", [9.9, 10.1, 299.0, 301.0])
def test_nuts_is_taken_on_both_sides_of_its_bounds(seconds):
    """Ten seconds, and five minutes where the rows are too few for batches."""
    for n_rows, bound in ((FEW_ROWS, 300.0), (FEW_ROWS + 1, 10.0)):
        reading, asked = told(linear_regression(n_rows=n_rows).model(), NutsCost(seconds, 1e-4, 50))
        assert asked == [(2000, bound)]
        assert bool(reading.why_nuts) == (seconds <= bound)
        assert (reading.row_model is None) == bool(reading.why_nuts)
        rounded = float(f"{seconds:.2g}")
        words = f"about {rounded:g} s: a gradient takes 0.1 ms, and a draw of a short run took 50"
        assert words in (reading.why_nuts or reading.why_batches)


def test_nuts_is_taken_where_tuning_takes_longer():
    """A hundred passes of tuning at .2 s each take 20 s; few draws of NUTS take 15."""
    model = linear_regression(n_rows=2000).model()
    assert told(model, NutsCost(15.0, 0.2, 3.0))[0].why_nuts
    assert not told(model, NutsCost(15.0, 0.1, 3.0))[0].why_nuts


def test_what_cannot_be_quick_is_not_measured():
    reading, asked = told(linear_regression(n_rows=60_000).model(), None)
    assert asked == [] and not reading.why_nuts


def test_the_short_run_has_the_trees_of_the_model(caplog):
    """A wide and a narrow direction that are not those of the axes need long trees."""
    sizes = []
    for correlation in (0.0, 0.9999):
        precision = np.linalg.inv(np.array([[1.0, correlation], [correlation, 1.0]]))
        with pm.Model() as model:
            x = pm.Normal("x", 0, 100, shape=2)
            pm.Potential("p", -0.5 * x @ precision @ x)
        with caplog.at_level(logging.INFO, logger="pymc"):
            probe = probe_of(model, seed=1)
        sizes.append(np.mean([probe.draw() for _ in range(200)][150:]))
    assert sizes[0] < 8 and sizes[1] > 30
    assert not caplog.records
    assert np.isfinite(probe.compiled_gradient()()[0])
