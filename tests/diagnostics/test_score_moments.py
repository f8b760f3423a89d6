"""Moments of the score on laws where the answer is known."""

import importlib

from collections import Counter

import numpy as np
import pytest

from scipy import stats

from pymc_sgld.diagnostics import (
    configurational_temperature,
    kinetic_temperature,
    mean_score,
    score_covariance,
    score_moments,
)
from pymc_sgld.diagnostics.shrinkage import shrunk_covariance
from pymc_sgld.posterior.verdicts import FINE
from tests.benchmarks.score_check_power import Case, gaussian_chains, scores_of, verdicts_of

# the name of the module is that of a function in its package
module = importlib.import_module("pymc_sgld.diagnostics.score_moments")

N_DIM = 6


@pytest.fixture(scope="module")
def law():
    """A Gaussian posterior, and draws wider than it by other factors in other directions."""
    rng = np.random.default_rng(0)
    root = rng.normal(size=(N_DIM, N_DIM)) @ np.diag(np.geomspace(0.05, 20, N_DIM))
    covariance = root @ root.T
    wide = root @ np.diag(np.linspace(0.9, 1.8, N_DIM))
    return covariance, np.linalg.inv(covariance), wide


def test_the_posterior_is_found_from_draws_of_another_law(law):
    """The scores of a Gaussian are a line in the draws, wherever these are."""
    covariance, precision, wide = law
    draws = 3 + np.random.default_rng(1).normal(size=(2, 200, N_DIM)) @ wide.T
    found = score_covariance(draws, -draws @ precision)
    np.testing.assert_allclose(found, covariance, rtol=1e-7, atol=1e-7 * np.abs(covariance).max())


def test_scores_that_are_noise_alone_leave_the_covariance_of_the_draws():
    draws, noise = np.random.default_rng(2).normal(size=(2, 4, 500, 5))
    found = score_covariance(draws, -draws + 300 * noise)
    np.testing.assert_allclose(found, np.cov(draws.reshape(-1, 5), rowvar=False), atol=0.25)


def measured(law, seed, noise_sd, n_scored=200, n_draws=2000):
    covariance, precision, wide = law
    rng = np.random.default_rng(seed)
    draws = rng.normal(size=(4, n_draws, N_DIM)) @ wide.T
    some = np.arange(0, n_draws, n_draws // n_scored)
    noise = noise_sd * rng.normal(size=(4, len(some), N_DIM))
    scores = -draws[:, some] @ precision + noise @ np.linalg.cholesky(precision).T
    found = score_moments(draws[:, some], scores, draws=draws)
    true = np.sqrt(np.diag(wide @ wide.T) / np.diag(covariance))
    return found, (found.sd_ratio - true) / found.standard_error


@pytest.mark.parametrize("noise_sd", [0.0, 1.0])
def test_widths_are_right_and_so_are_their_errors(law, noise_sd):
    """Over repetitions: no bias beyond a fifth of the error, and errors of the size told."""
    found, off = zip(*(measured(law, seed, noise_sd) for seed in range(60)), strict=True)
    off = np.array(off)
    assert np.abs(off.mean(axis=0)).max() < 0.2 + 4 / np.sqrt(60)
    assert off.std() == pytest.approx(1, abs=0.2)
    assert np.mean(np.abs(off) < 2) > 0.92
    # the unscored draws count: 8000 of them, 800 with a score
    if not noise_sd:
        error = np.mean([one.standard_error / one.sd_ratio for one in found])
        assert error == pytest.approx(1 / np.sqrt(2 * 8000), rel=0.15)


def test_draws_too_narrow_are_seen():
    draws = 0.7 * np.random.default_rng(5).normal(size=(4, 500, 3))
    found = score_moments(draws, -draws)
    np.testing.assert_allclose(found.sd_ratio, 0.7, atol=4 * 0.7 / np.sqrt(4000))


def test_a_parameter_that_does_not_move_has_no_width():
    draws = np.random.default_rng(6).normal(size=(4, 500, 2)) * [1.0, 0.0]
    found = score_moments(draws, -draws + [0, 1.0])
    assert found.sd_ratio[1] == 0 and abs(found.sd_ratio[0] - 1) < 0.1


def test_the_short_chain_loses_nothing_to_its_own_mean():
    """Of 20 effective draws in a chain the squares around its mean are a twentieth less."""
    kept = 0.95
    ratio = []
    for seed in range(100):
        draws = np.random.default_rng(seed).normal(size=(8, 800, 1))
        for t in range(1, 800):
            draws[:, t] = kept * draws[:, t - 1] + np.sqrt(1 - kept**2) * draws[:, t]
        ratio.append(score_moments(draws, -draws, np.eye(1)).sd_ratio[0])
    assert abs(np.mean(ratio) - 1) < 3 * np.std(ratio) / np.sqrt(100) < 0.016


def test_the_mean_score_is_the_distance_of_the_means(law):
    covariance, precision, wide = law
    draws = np.random.default_rng(7).normal(size=(4, 1000, N_DIM)) @ wide.T
    sd = np.sqrt(np.diag(covariance))
    for shift in (np.zeros(N_DIM), 0.3 * sd):
        found = mean_score(draws + shift, -(draws + shift) @ precision)
        assert np.abs(found.value + shift / sd).max() < 4 * found.standard_error.max() < 0.15


def test_temperatures_of_known_laws():
    rng = np.random.default_rng(8)
    found = kinetic_temperature(np.sqrt(1.7) * rng.normal(size=(4, 1000, 5)))
    assert abs(found.value - 1.7) < 4 * found.standard_error < 0.1
    # any posterior at temperature 1 has configurational temperature 1: here a skewed one
    draws = stats.loggamma(2.0).rvs(size=(4, 3000, 3), random_state=rng)
    found = configurational_temperature(draws, 2 - np.exp(draws))
    assert abs(found.value - 1) < 4 * found.standard_error < 0.1
    hot = np.sqrt(1.7) * rng.normal(size=(4, 3000, 3))
    found = configurational_temperature(hot, -hot)
    assert abs(found.value - 1.7) < 4 * found.standard_error < 0.1


def test_a_matrix_from_the_draws_it_judges_makes_a_width_of_chance():
    """With the covariance of n exact draws of D parameters the squared ratio is 1 + D/n."""
    n_dim, n_draws, square = 40, 160, []
    for seed in range(12):
        draws = np.random.default_rng(seed).normal(size=(4, n_draws // 4, n_dim))
        centred = (draws - draws.mean(axis=1, keepdims=True)).reshape(-1, n_dim)
        own = centred.T @ centred / n_draws
        square.append([
            np.mean(score_moments(draws, -draws, one).sd_ratio ** 2) for one in (own, None)
        ])  # fmt: skip
    of_own, of_others = np.mean(square, axis=0)
    # the error of the mean of D n squares, 12 times
    assert of_own == pytest.approx(1 + n_dim / n_draws, abs=0.04)
    assert of_others == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("n_dim", [8, 80])
@pytest.mark.parametrize("largest", [10, 2000])
def test_what_judges_a_chain_is_made_of_other_chains(n_dim, largest, monkeypatch):
    """By regression and by shrinkage, with matrices and without."""
    monkeypatch.setattr(module, "LARGEST_REGRESSED", largest)
    draws, other = np.random.default_rng(3).normal(size=(2, 4, 40, n_dim))
    other[1:] = draws[1:]
    _, variance, _ = module._pull(draws, -(draws**3), None, draws)
    _, again, _ = module._pull(other, -(other**3), None, other)
    np.testing.assert_array_equal(again[0], variance[0])
    assert not np.isclose(again[1], variance[1]).any()
    # one chain: the half that is judged, and what is next to it
    one, changed = draws[:1], draws[:1].copy()
    changed[:, :21] += np.random.default_rng(4).normal(size=(1, 21, n_dim))
    _, variance, _ = module._pull(one, -(one**3), None, one)
    _, again, _ = module._pull(changed, -(changed**3), None, changed)
    np.testing.assert_array_equal(again[:, :20], variance[:, :20])
    assert not np.isclose(again[:, 20:], variance[:, 20:]).any()


def test_products_with_a_shrunk_covariance_need_no_matrix():
    draws = np.random.default_rng(5).normal(size=(2, 20, 30)) * np.geomspace(0.01, 100, 30)
    draws[..., 4] = 7.0
    shrunk = shrunk_covariance(draws)
    vectors = np.random.default_rng(6).normal(size=(3, 30))
    np.testing.assert_allclose(shrunk.times(vectors), vectors @ shrunk.matrix(), rtol=1e-10)
    np.testing.assert_allclose(np.diag(shrunk.matrix()), shrunk.variance)
    assert shrunk.variance[4] == 1 and 0.5 < shrunk.share <= 1
    # many draws are left as they are
    draws = np.random.default_rng(7).normal(size=(2, 500, 3))
    centred = (draws - draws.mean(axis=1, keepdims=True)).reshape(-1, 3)
    many = shrunk_covariance(draws).matrix()
    np.testing.assert_allclose(many, centred.T @ centred / 1000, rtol=1e-6)


@pytest.mark.statistical
@pytest.mark.parametrize("case", [Case(100), Case(100, kept=0.5), Case(300, scored=2)], ids=str)
def test_exact_draws_are_fine_at_any_number_of_parameters(case):
    """False alarms in at most one of twenty repetitions, plus three errors of that share."""
    generator, alarms, repetitions = np.random.default_rng(8), 0, 40
    for _ in range(repetitions):
        draws = gaussian_chains(case, generator)
        some = draws[:, :: case.scored]
        alarms += (verdicts_of(score_moments(some, scores_of(some), draws=draws)) != FINE).any()
    assert alarms <= 2 + 3 * np.sqrt(0.05 * 0.95 * repetitions)


def test_a_level_that_few_batches_hold_is_no_false_alarm(monkeypatch):
    """Exact draws; the score of one parameter is from rows that one batch in 60 or in 4 holds.

    A few scores then decide, and their error is small where they happen to be: "too narrow" in some
    of 200 repetitions, unless that is looked at.
    """
    found = {}
    for fewest, share in ((0.0, 1 / 60), (20.0, 1 / 60), (20.0, 1 / 4)):
        monkeypatch.setattr(module, "_FEWEST_DECIDING", fewest)
        generator, kinds = np.random.default_rng(9), []
        for _ in range(200):
            draws = generator.normal(size=(4, 250, 3))
            scores = -draws + 0.1 * generator.normal(size=draws.shape)
            scores[..., 0] *= (generator.random((4, 250)) < share) / share
            kinds.append(verdicts_of(score_moments(draws, scores, np.eye(3)))[0])
        found[fewest, share] = Counter(kinds)
    assert found[0.0, 1 / 60]["too narrow"] >= 3
    assert found[20.0, 1 / 60]["too narrow"] == 0 and found[20.0, 1 / 60]["inflated"] <= 1
    assert found[20.0, 1 / 4]["too narrow"] + found[20.0, 1 / 4]["inflated"] <= 10
    assert found[20.0, 1 / 4]["cannot tell"] < 200
