import numpy as np
import pytest

from scipy import stats

import pymc_sgld as psg

from models import tied_mixture
from models.tied_mixture import (
    batch_variance,
    grid_posterior,
    log_likelihood,
    log_prior,
    rejection,
    rejection_of_small_steps,
    scores,
)


@pytest.fixture(scope="module")
def data():
    return tied_mixture.load_data()


def test_the_model_is_the_formula_and_the_grid(data):
    model = tied_mixture.build_model(data)
    logp = model.compile_logp(mode="FAST_COMPILE")

    def formula(theta1, theta2):
        sd = np.sqrt(2)
        parts = stats.norm.pdf(data, theta1, sd) + stats.norm.pdf(data, theta1 + theta2, sd)
        prior = stats.norm.logpdf(theta1, 0, np.sqrt(10)) + stats.norm.logpdf(theta2)
        return np.log(parts / 2).sum() + prior

    places = np.array([[0.1, 0.7], [1.0, -1.0], [-0.5, 2.0]])
    exact = [formula(*place) for place in places]
    np.testing.assert_allclose([logp({"theta1": a, "theta2": b}) for a, b in places], exact)
    of_grid = [log_prior(place) + log_likelihood(place, data).sum() for place in places]
    np.testing.assert_allclose(np.diff(of_grid), np.diff(exact))


def test_scores_are_the_gradient(data):
    place, small = np.array([0.3, -0.8]), 1e-5
    for j, shift in enumerate(small * np.eye(2)):
        slope = log_likelihood(place + shift, data) - log_likelihood(place - shift, data)
        np.testing.assert_allclose(scores(place, data)[:, j], slope / (2 * small), atol=1e-8)
    each = 100 * scores(place, data)
    np.testing.assert_allclose(batch_variance(place, data), each.var(axis=0))


def test_the_grid_covers_the_posterior_and_resolves_it(data):
    coarse, fine = grid_posterior(data, 201), grid_posterior(data, 401)
    assert fine.isel(theta1=[0, -1]).max() < 1e-8 * fine.max()
    assert fine.isel(theta2=[0, -1]).max() < 1e-5 * fine.max()
    np.testing.assert_allclose(coarse, fine[::2, ::2], rtol=1e-6)
    swapped = fine.max("theta1").to_numpy()  # two modes, at the two signs of theta2
    half = len(swapped) // 2
    assert min(swapped[:half].max(), swapped[half:].max()) > 1.6 * swapped[half]


def test_rejection_falls_as_the_root_of_the_step(data):
    """At small steps the probability is the root of epsilon times the gradient's error."""
    rng = np.random.default_rng(2)
    theta = np.array([0.0, 1.0]) + 0.2 * rng.standard_normal((20_000, 2))
    for epsilon in (1e-8, 1e-6):
        limit = rejection_of_small_steps(theta, data, epsilon)
        assert rejection(theta, data, epsilon, rng) == pytest.approx(limit, rel=0.04)
    assert rejection(theta, data, 1e-2, rng) > 0.5


@pytest.mark.statistical
def test_the_papers_run_against_the_grid(data):
    """Late draws: moments, the share of a mode, and the histogram."""
    with tied_mixture.build_model(data):
        draws = psg.sample(**tied_mixture.SAMPLING, cores=1, random_seed=1, progressbar=False)
    table = tied_mixture.tables(draws, data)["last three quarters of the draws"]
    # the batch noise is a tenth to a third of the injected one there: sds up to 10 % too wide
    gap = (table.loc["draws"] - table.loc["grid"]).abs()
    assert gap["mean theta1"] < 0.15 * table.loc["grid", "sd theta1"]
    assert gap["P(theta2 > 0)"] < 0.15
    ratio = table.loc["draws"] / table.loc["grid"]
    assert 0.93 < ratio["sd theta1"] < 1.15 and 0.93 < ratio["sd theta2"] < 1.15
