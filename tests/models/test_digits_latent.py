import arviz as az
import numpy as np
import pymc as pm
import pytest

from scipy import stats

import pymc_sgld as psg

from models import digits_latent
from models.digits_latent import closed_form, covariances, decode


@pytest.fixture(scope="module")
def data():
    return digits_latent.load_data()


def test_closed_form_is_tipping_and_bishops(data):
    """Their equations 7 and 8: eigenvectors, and the mean of the eigenvalues left out."""
    codes, n_pixels = 10, 64
    values, vectors = np.linalg.eigh(np.cov(data.T, bias=True))
    values, vectors = values[::-1], vectors[:, ::-1]
    noise = values[codes:].mean()
    loading = vectors[:, :codes] * np.sqrt(values[:codes] - noise)
    covariance, sigma = closed_form(data)
    assert sigma == pytest.approx(np.sqrt(noise))
    np.testing.assert_allclose(
        covariance, loading @ loading.T + noise * np.eye(n_pixels), atol=1e-12
    )


def test_it_is_the_highest_likelihood(data):
    mean = data.mean(axis=0)
    covariance, _ = closed_form(data)
    top = stats.multivariate_normal.logpdf(data, mean, covariance).sum()
    values, vectors = np.linalg.eigh(covariance)
    for factor in (0.97, 1.03):
        for which in (-1, -10, slice(0, 54)):  # of a code, of the last, of the noise
            scaled = values.copy()
            scaled[which] *= factor
            other = (vectors * scaled) @ vectors.T
            assert stats.multivariate_normal.logpdf(data, mean, other).sum() < top


def draws_of(mu, loading, sigma):
    named = {"mu": mu, "loading": loading, "sigma": np.array(sigma)}
    dims = {"mu": ["pixel"], "loading": ["pixel", "code"]}
    return az.from_dict({"posterior": {k: v[None, None] for k, v in named.items()}}, dims=dims)


def test_logp_and_codes_against_the_formula(data):
    rows, rng = data[:6], np.random.default_rng(1)
    mu, loading, sigma = rng.normal(1, 1, 64), 0.5 * rng.normal(size=(64, 3)), 0.7
    covariance = loading @ loading.T + sigma**2 * np.eye(64)
    expected = stats.multivariate_normal.logpdf(rows, mu, covariance).sum()
    expected += stats.norm.logpdf(mu, 1.2, 1.5).sum() + stats.norm.logpdf(loading, 0, 0.5).sum()
    expected += stats.halfnorm.logpdf(sigma) + np.log(sigma)
    model = digits_latent.build_model(rows, codes=3)
    point = {"mu": mu, "loading": loading, "sigma_log__": np.log(sigma)}
    np.testing.assert_allclose(model.compile_logp(mode="FAST_COMPILE")(point), expected)

    draws = draws_of(mu, loading, sigma)
    np.testing.assert_allclose(covariances(draws)[0], covariance)
    # the mean of W z given x, in the joint normal law of both
    rebuilt = mu + (rows - mu) @ np.linalg.solve(covariance, loading @ loading.T)
    np.testing.assert_allclose(decode(draws, rows)[0], rebuilt)


def test_codes_held_for_each_row_are_refused_by_name(data):
    """What the docstring says of how far this goes."""
    rows = data[:50]
    with pm.Model(coords={"row": range(50), "pixel": range(64), "code": range(3)}) as model:
        code = pm.Normal("code_of_image", 0, 1, dims=("row", "code"))
        loading = pm.Normal("loading", 0, 0.5, dims=("code", "pixel"))
        pm.Normal("image", pm.math.tanh(code @ loading), 1, observed=rows, dims=("row", "pixel"))
    with pytest.raises(psg.RowError, match="code_of_image"):
        psg.row_model(model)


@pytest.mark.statistical
def test_the_posterior_against_the_closed_form(data):
    options = {**digits_latent.SAMPLING, "cores": 1, "random_seed": 1, "progressbar": False}
    with digits_latent.build_model(data):
        draws = psg.sample(**options, compute_convergence_checks=False)
    known = digits_latent.reference(data)
    posterior = draws["posterior"]
    assert float(abs(posterior["sigma"].mean() / known.loc["sigma", "mean"] - 1)) < 0.01
    variance = posterior["variance"].mean(("chain", "draw")).to_numpy()
    ratio = variance / known["mean"].to_numpy()[1:]
    # a posterior mean of a covariance is above the estimate by a share of 64 / 1797 or less
    assert 0.97 < ratio.min() <= ratio.max() < 1.09
    found = np.linalg.eigvalsh(covariances(draws))[:, :-11:-1].mean(axis=0)
    exact = np.linalg.eigvalsh(closed_form(data)[0])[:-11:-1]
    # of a sample of this many rows an eigenvalue has an sd of 3 %
    np.testing.assert_allclose(found, exact, rtol=0.07)
