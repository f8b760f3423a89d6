"""Stein discrepancies against sums written out, finite differences and quadrature."""

import numpy as np
import pytest

from scipy import integrate, stats

from pymc_sgld.diagnostics import (
    finite_set_stein_discrepancy,
    kernel_stein_discrepancy,
    stein_thinning,
)


def kernel_of_a_pair(x, y, s_x, s_y, power=-0.5, scale=1.0, step=1e-4):
    """The Stein kernel from the plain kernel alone, by central differences."""

    def kernel(a, b):
        return (scale**2 + ((a - b) ** 2).sum()) ** power

    total = s_x @ s_y * kernel(x, y)
    for unit in step * np.eye(len(x)):
        by_x = (kernel(x + unit, y) - kernel(x - unit, y)) / (2 * step)
        by_y = (kernel(x, y + unit) - kernel(x, y - unit)) / (2 * step)
        both = kernel(x + unit, y + unit) - kernel(x + unit, y - unit)
        both += kernel(x - unit, y - unit) - kernel(x - unit, y + unit)
        total += (unit @ s_y * by_x + unit @ s_x * by_y) / step + both / (4 * step**2)
    return total


@pytest.mark.parametrize(("power", "scale"), [(-0.5, 1.0), (-0.3, 2.5)])
def test_kernel_discrepancy_is_the_double_sum(power, scale):
    rng = np.random.default_rng(0)
    draws, scores = rng.normal(size=(2, 7, 3))
    weights = rng.uniform(size=7)
    table = np.array(
        [
            [kernel_of_a_pair(x, y, a, b, power, scale) for y, b in zip(draws, scores, strict=True)]
            for x, a in zip(draws, scores, strict=True)
        ]
    )
    shares = weights / weights.sum()
    found = kernel_stein_discrepancy(
        draws, scores, np.eye(3), weights=weights, power=power, length_scale=scale
    )
    assert found.value**2 == pytest.approx(shares @ table @ shares, rel=1e-6)
    own = shares**2 @ np.diag(table)
    assert found.of_exact_draws**2 == pytest.approx(own, rel=1e-6)
    apart = shares @ table @ shares - own
    assert found.unbiased_square == pytest.approx(apart / (1 - shares @ shares), rel=1e-6)


def test_kernel_discrepancy_does_not_depend_on_units():
    rng = np.random.default_rng(1)
    draws, scores = rng.normal(size=(2, 50, 3))
    mix = rng.normal(size=(3, 3))
    plain = kernel_stein_discrepancy(draws, scores, np.eye(3))
    moved = kernel_stein_discrepancy(
        draws @ mix.T + 7, scores @ np.linalg.inv(mix), mix @ np.diag([1.0, 1, 1]) @ mix.T
    )
    # the whitened coordinates are turned, and distances are not
    np.testing.assert_allclose(moved, plain, rtol=1e-9)


def test_kernel_discrepancy_of_a_shifted_gaussian():
    """Where the draws are N(0.5, 1) and p is N(0, 1): 0.25 E k(x, y), by quadrature."""
    shift, n_draws = 0.5, 2000
    of_distance = stats.norm(scale=np.sqrt(2)).pdf
    kernel = integrate.quad(lambda r: of_distance(r) / np.sqrt(1 + r**2), -20, 20)[0]
    found = []
    for seed in range(10):
        draws = shift + np.random.default_rng(seed).normal(size=(n_draws, 1))
        found.append(kernel_stein_discrepancy(draws, -draws, np.eye(1)).unbiased_square)
    error = np.std(found, ddof=1) / np.sqrt(10)
    assert abs(np.mean(found) - shift**2 * kernel) < 4 * error < 0.04


def test_exact_draws_have_the_discrepancy_that_is_told():
    ratios, wide = [], []
    for seed in range(20):
        draws = np.random.default_rng(seed).standard_t(8, size=(400, 2))
        scores = -9 * draws / (8 + draws**2)
        found = kernel_stein_discrepancy(draws, scores)
        ratios.append((found.value / found.of_exact_draws) ** 2)
        scores = -9 * 1.5 * draws / (8 + (1.5 * draws) ** 2)
        found = kernel_stein_discrepancy(1.5 * draws, scores)
        wide.append(found.value / found.of_exact_draws)
    assert abs(np.mean(ratios) - 1) < 4 * np.std(ratios) / np.sqrt(20) < 0.5
    assert min(wide) > 2


def test_finite_set_of_a_shifted_gaussian():
    """The witness at v is 0.5 E k(x, v), by quadrature; without bias, and in linear time."""
    shift, at = 0.5, np.array([[-1.0], [0.3], [2.0]])
    density = stats.norm(shift).pdf
    witness = [
        shift * integrate.quad(lambda x, v=v: density(x) / np.sqrt(1 + (x - v) ** 2), -15, 15)[0]
        for (v,) in at
    ]
    found = []
    for seed in range(20):
        draws = shift + np.random.default_rng(seed).normal(size=(4000, 1))
        found.append(
            finite_set_stein_discrepancy(draws, -draws, np.eye(1), locations=at).unbiased_square
        )
    error = np.std(found, ddof=1) / np.sqrt(20)
    assert abs(np.mean(found) - np.mean(np.square(witness))) < 4 * error < 0.02


def test_finite_set_of_exact_draws():
    """Its scale is the root mean square of the statistic over repetitions."""
    draws = [np.random.default_rng(seed).normal(size=(300, 3)) for seed in range(200)]
    found = [finite_set_stein_discrepancy(one, -one, np.eye(3)) for one in draws]
    ratios = np.array([one.ratio for one in found])
    assert np.mean(ratios) == pytest.approx(0, abs=4 / np.sqrt(200))
    assert np.sqrt(np.mean(ratios**2)) == pytest.approx(1, abs=0.25)
    wide = 1.5 * np.concatenate(draws[:20])
    assert finite_set_stein_discrepancy(wide, -wide, np.eye(3)).ratio > 8


def test_thinning_is_greedy_in_the_discrepancy():
    """Each choice has the smallest discrepancy of all that could be added."""
    rng = np.random.default_rng(3)
    draws = 1.6 * rng.normal(size=(40, 2))
    kept = stein_thinning(draws, -draws, 6, np.eye(2))
    for number in range(6):
        sets = [[*kept[:number], j] for j in range(40)]
        if number == 0:
            squares = [(draws[j] ** 2).sum() for j in range(40)]
        else:
            squares = [kernel_stein_discrepancy(draws[s], -draws[s], np.eye(2)).value for s in sets]
        assert np.argmin(squares) == kept[number]


def test_thinning_draws_a_wide_sample_towards_the_target():
    draws = 1.6 * np.random.default_rng(4).normal(size=(1000, 2))
    kept = draws[stein_thinning(draws, -draws, 100, np.eye(2))]
    assert np.abs(kept.std(axis=0) - 1).max() < 0.1


@pytest.mark.parametrize(
    ("draws", "scores", "options", "message"),
    [
        (np.zeros((4, 2)), np.zeros((4, 3)), {}, "one gradient of the log-density for each draw"),
        (np.zeros((2, 4, 2)), np.zeros((2, 4, 2)), {}, "array.reshape"),
        (np.zeros((4, 2)), np.full((4, 2), np.nan), {}, "4 of 4 scores are not finite"),
        (np.zeros((4, 2)), np.zeros((4, 2)), {}, "not positive definite"),
        (np.eye(4), np.eye(4), {"covariance": np.eye(4), "power": -1}, r"in \(-1, 0\)"),
        (np.eye(4), np.eye(4), {"covariance": np.eye(4), "weights": -np.ones(4)}, "weights must"),
    ],
)
def test_what_is_refused(draws, scores, options, message):
    with pytest.raises(ValueError, match=message):
        kernel_stein_discrepancy(draws, scores, **options)
