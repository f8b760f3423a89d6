"""Step-size-weighted expectations against sums written out and closed forms."""

import numpy as np
import pytest

from pymc_sgld.diagnostics import (
    resampled_draws,
    weighted_ess,
    weighted_mean,
    weighted_quantile,
    weighted_sd,
)


def falling(n_chains, n_draws):
    return np.tile(0.3 * (10 + np.arange(n_draws)) ** -0.55, (n_chains, 1))


def test_whole_weights_are_repetitions():
    rng = np.random.default_rng(0)
    values, weights = rng.normal(size=(3, 20, 2)), rng.integers(1, 5, size=(3, 20))
    repeated = np.repeat(values.reshape(60, 2), weights.ravel(), axis=0)
    np.testing.assert_allclose(weighted_mean(values, weights), repeated.mean(axis=0))
    np.testing.assert_allclose(weighted_sd(values, weights), repeated.std(axis=0))
    shares = np.array([0.0, 0.05, 0.37, 0.5, 1.0])
    wanted = np.quantile(repeated, shares, axis=0, method="inverted_cdf")
    np.testing.assert_array_equal(weighted_quantile(values, weights, shares), wanted)


def test_effective_draws_of_independent_ones():
    """The square of the sum of weights over the sum of their squares."""
    weights = falling(4, 2000) ** 2
    exact = weights.sum() ** 2 / (weights**2).sum()
    values = np.random.default_rng(1).normal(size=(4, 2000, 30))
    assert exact < 3000
    assert np.mean(weighted_ess(values, weights)) == pytest.approx(exact, rel=0.05)


def test_effective_draws_of_correlated_ones():
    """An autoregression with coefficient 0.8 and equal weights: a ninth of the draws."""
    noise = np.random.default_rng(2).normal(size=(4, 5000, 20))
    values = noise.copy()
    for t in range(1, 5000):
        values[:, t] = 0.8 * values[:, t - 1] + 0.6 * noise[:, t]
    found = np.mean(weighted_ess(values, np.ones((4, 5000))))
    assert found == pytest.approx(20_000 / 9, rel=0.05)


def test_resampled_draws_come_as_often_as_their_weight_says():
    weights = falling(3, 500)
    picks = resampled_draws(weights, seed=1)
    assert (np.diff(picks, axis=1) >= 0).all()
    for own, chosen in zip(weights, picks, strict=True):
        wanted = 500 * own / own.sum()
        counts = np.bincount(chosen, minlength=500)
        assert ((counts == np.floor(wanted)) | (counts == np.ceil(wanted))).all()


def test_resampling_has_no_bias():
    weights = np.random.default_rng(3).uniform(size=(1, 7))
    counts = np.mean(
        [np.bincount(resampled_draws(weights, s)[0], minlength=7) for s in range(3000)], axis=0
    )
    np.testing.assert_allclose(counts, 7 * weights[0] / weights.sum(), atol=4 * 0.5 / 3000**0.5)


@pytest.mark.parametrize(
    ("values", "weights", "message"),
    [
        (np.zeros((2, 3)), np.ones((2, 4)), "both must begin"),
        (np.zeros((2, 3)), np.ones(3), "must have shape"),
        (np.zeros((2, 3)), -np.ones((2, 3)), "finite and >= 0"),
        (np.zeros((2, 3)), np.array([[1.0, 1, 1], [0, 0, 0]]), "all zero"),
    ],
)
def test_what_is_refused(values, weights, message):
    with pytest.raises(ValueError, match=message):
        weighted_mean(values, weights)
