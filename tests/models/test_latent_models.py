"""What the models with latents of rows say of their data, against numbers that are known."""

import numpy as np
import pytest
import xarray as xr

from scipy import special, stats

from models import errors_in_covariate, item_response, overdispersed_visits


def test_the_regression_on_measurements_is_diluted():
    """By about the share of the variance of a mean measurement that is true, two thirds."""
    data = errors_in_covariate.load_data()
    assert data.measured.shape == (20_000, 2)
    within = data.measured[:, 0] - data.measured[:, 1]
    assert within.std() == pytest.approx(np.sqrt(2), rel=0.02)
    found = errors_in_covariate.without_errors(data)["mean"]["slope"]
    assert 0.55 < found / errors_in_covariate.TRUTH["slope"] < 0.68
    assert len(errors_in_covariate.load_data(50).outcome) == 50


def test_expected_frequencies_are_those_of_simulated_counts():
    data = overdispersed_visits.load_data(2000)
    slope = np.linspace(-0.2, 0.2, 9)
    posterior = xr.Dataset(
        {
            "intercept": (("chain", "draw"), [[0.4]]),
            "slope": (("chain", "draw", "covariate"), [[slope]]),
            "spread": (("chain", "draw"), [[1.1]]),
        }
    )
    table = overdispersed_visits.frequencies(xr.DataTree.from_dict({"posterior": posterior}), data)
    assert table["observed"].sum() == (data["mdvis"] <= 20).sum()
    x = overdispersed_visits.health_visits.covariates(data).to_numpy(dtype=float)
    rng = np.random.default_rng(0)
    log_mean = 0.4 + x @ slope + 1.1 * rng.normal(size=(400, len(x)))
    counts = np.bincount(rng.poisson(np.exp(log_mean)).ravel(), minlength=21)[:21] / 400
    np.testing.assert_allclose(table["expected"], counts, atol=5 * np.sqrt(counts.max() / 400))


def test_made_up_answers_get_harder_with_the_question():
    answers = item_response.made_up(4000, 6)
    assert answers.shape == (4000, 6) and set(np.unique(answers)) == {0, 1}
    shares = np.sort(answers.mean(axis=0))
    assert shares[0] < 0.35 and shares[-1] > 0.65


def test_the_likelihood_of_answers_is_the_sum_over_abilities():
    """Of two questions, by a fine sum in another order."""
    data = np.array([[1, 0], [0, 0], [1, 1]])
    discrimination, easiness = np.array([0.8, 1.3]), np.array([0.2, -0.5])
    ability = np.linspace(-9, 9, 2001)
    chance = special.expit(easiness + discrimination * ability[:, None])
    each = [
        (np.where(row, chance, 1 - chance).prod(axis=1) * stats.norm.pdf(ability)).sum() * 0.009
        for row in data
    ]
    found = item_response.log_likelihood(discrimination, easiness, data)
    assert found == pytest.approx(np.log(each).sum(), abs=1e-6)
