"""The relaxed density against the exact one, and its bias against what first order says."""

import numpy as np
import pytest

from scipy import stats

from models import relaxed_labels
from models.relaxed_labels import Components

AT = relaxed_labels.truth(2.0)
GRID = relaxed_labels._OUTCOMES
SPACING = GRID[1] - GRID[0]


def test_densities_have_a_mass_of_one_and_meet_at_a_temperature_of_zero():
    for temperature in (1.0, 0.1, 1e-3):
        density = np.exp(relaxed_labels.log_relaxed(GRID, AT, temperature))
        assert density.sum() * SPACING == pytest.approx(1, abs=1e-5)  # trapezoids of 0.2
    exact = np.exp(relaxed_labels.log_exact(GRID, AT))
    by_hand = 0.7 * stats.norm.pdf(GRID) + 0.3 * stats.norm.pdf(GRID, 2)
    np.testing.assert_allclose(exact, by_hand, rtol=1e-12)
    np.testing.assert_allclose(density, exact, atol=3e-4)


def test_the_relaxed_density_is_that_of_simulated_rows():
    rng = np.random.default_rng(1)
    label = 1 / (1 + np.exp(-(AT.logit + rng.logistic(size=400_000)) / 0.5))
    rows = AT.first + (AT.second - AT.first) * label + rng.normal(size=label.size)
    counts, edges = np.histogram(rows, np.linspace(-3, 5, 33))
    middle = (edges[1:] + edges[:-1]) / 2
    expected = len(rows) * 0.25 * np.exp(relaxed_labels.log_relaxed(middle, AT, 0.5))
    inner = expected > 1000
    # the middle of a bin has its mean density to about a hundredth
    assert np.abs(counts / expected - 1)[inner].max() < 0.05


def test_small_shifts_are_one_step_of_newton():
    """The mean score of the relaxed density at the truth, times the exact covariance."""
    step, temperature = 1e-5, 0.02
    density = np.exp(relaxed_labels.log_exact(GRID, AT)) * SPACING
    scores = [
        (
            relaxed_labels.log_relaxed(GRID, Components(*(np.array(AT) + one)), temperature)
            - relaxed_labels.log_relaxed(GRID, Components(*(np.array(AT) - one)), temperature)
        )
        / (2 * step)
        for one in step * np.eye(3)
    ]
    covariance = np.linalg.inv(relaxed_labels.information(AT))
    first = covariance @ (scores @ density) / np.sqrt(np.diag(covariance))
    found = relaxed_labels.shift(2.0, temperature)
    np.testing.assert_allclose(found, first, atol=0.05 * np.abs(first).max())
    assert np.abs(found).max() == pytest.approx(0.0036, abs=2e-4)


def test_shifts_are_proportional_to_low_temperatures():
    shifts = [np.abs(relaxed_labels.shift(2.0, t)).max() for t in (0.1, 0.05)]
    assert shifts[0] / shifts[1] == pytest.approx(2, rel=0.08)
