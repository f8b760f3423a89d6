"""What is asked of draws that lack the latents of rows: likelihoods, predictions, the check."""

import numpy as np
import pymc as pm
import pytest
import xarray as xr

from scipy import stats

import pymc_sgld as psg

from pymc_sgld.posterior.chosen_rows import PointwiseLogLikelihood
from tests.model_graph.test_row_latents import Y3, N, X, Y, gaussian


def tree(**draws):
    """Draws of scalars, each of shape (chain, draw)."""
    posterior = {name: (("chain", "draw"), np.asarray(values)) for name, values in draws.items()}
    return xr.DataTree.from_dict({"posterior": xr.Dataset(posterior)})


@pytest.fixture(scope="module")
def some_draws():
    rng = np.random.default_rng(0)
    slope, tau = rng.normal(0.4, 0.1, (2, 5)), np.exp(rng.normal(-0.2, 0.1, (2, 5)))
    return tree(slope=slope, tau=tau)


def seen_twice():
    """A latent of each row, seen through two observed variables."""
    with pm.Model(coords={"obs": np.arange(N)}) as model:
        slope, tau = pm.Normal("slope"), pm.HalfNormal("tau")
        z = pm.Normal("z", slope * X, tau, dims="obs")
        pm.Normal("w", z[:, None], 0.5, observed=Y3[:, :2])
        pm.Normal("y", -2 * z, 0.8, observed=Y)
    return model


def test_the_log_likelihood_of_a_row_is_that_without_its_latent(some_draws):
    found = psg.row_log_likelihood(some_draws, gaussian(), extend_inferencedata=False)
    posterior = some_draws["posterior"]
    slope, tau = (posterior[name].to_numpy()[..., None] for name in ("slope", "tau"))
    exact = stats.norm(slope * X, np.sqrt(tau**2 + 0.8**2)).logpdf(Y)
    assert found["y"].dims == ("chain", "draw", "obs")
    np.testing.assert_allclose(found["y"], exact, rtol=1e-10)
    likelihood = PointwiseLogLikelihood.of(gaussian(), some_draws)
    some = likelihood.at_draws(some_draws, [np.array([3, 8])])["y"]
    np.testing.assert_allclose(some, exact[..., [3, 8]], rtol=1e-10)


def test_all_that_was_seen_of_a_row_is_one_density(some_draws):
    found = psg.row_log_likelihood(some_draws, seen_twice(), extend_inferencedata=False)
    loading = np.array([1.0, 1.0, -2.0])
    both = np.column_stack([Y3[:, :2], Y])
    for chain, draw in ((0, 0), (1, 4)):
        slope, tau = (
            float(some_draws["posterior"][name][chain, draw]) for name in ("slope", "tau")
        )
        covariance = tau**2 * np.outer(loading, loading) + np.diag([0.25, 0.25, 0.64])
        law = stats.multivariate_normal(np.zeros(3), covariance)
        exact = law.logpdf(both - slope * X[:, None] * loading)
        np.testing.assert_allclose(found["w_y"][chain, draw], exact, rtol=1e-7)


def test_predictions_are_of_rows_with_latents_of_their_own():
    """One new latent for both variables of a row; of a known law."""
    draws = tree(slope=np.full((1, 4000), 0.4), tau=np.full((1, 4000), 0.7))
    found = psg.posterior_predictive(draws, seen_twice(), extend_inferencedata=False, random_seed=1)
    for row in (3, 30):
        w, y = found["w"][0, :, row].to_numpy(), found["y"][0, :, row].to_numpy()
        covariance = np.cov(np.column_stack([w, y]), rowvar=False)
        exact = 0.49 * np.outer([1, 1, -2], [1, 1, -2]) + np.diag([0.25, 0.25, 0.64])
        np.testing.assert_allclose(covariance, exact, atol=0.29)  # five standard errors
        np.testing.assert_allclose(w.mean(axis=0), 0.4 * X[row], atol=0.07)


def test_draws_that_lack_another_variable_are_refused(some_draws):
    without = some_draws["posterior"].to_dataset().drop_vars("tau")
    draws = xr.DataTree.from_dict({"posterior": without})
    for ask in (psg.row_log_likelihood, psg.posterior_predictive, psg.check):
        with pytest.raises(psg.RowError, match=r"The draws lack"):
            ask(draws, gaussian())
