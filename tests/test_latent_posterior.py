"""Latents of rows given what rows share: against the Gaussian law that they have."""

import numpy as np
import pytest
import xarray as xr

from scipy import stats

import pymc_sgld as psg

from tests.model_graph.test_row_latents import HEADS, Y3, X, Y, beta_of_each_row, gaussian
from tests.model_graph.test_row_latents import two_correlated as two_correlated_model

N_DRAWS = 1500


def draws_of(**values):
    """Draws that are all alike, so that what is drawn has one law."""
    posterior = xr.Dataset(
        {
            name: (("chain", "draw", *[f"{name}_{i}" for i in range(np.ndim(value))]), array)
            for name, value in values.items()
            for array in [np.broadcast_to(value, (1, N_DRAWS, *np.shape(value)))]
        },
        coords={"chain": [0], "draw": np.arange(N_DRAWS)},
    )
    return xr.DataTree.from_dict({"posterior": posterior})


def test_one_latent_has_the_law_that_it_has():
    drawn = psg.latent_posterior(
        draws_of(slope=0.4, tau=0.7), gaussian(), rows=[3, 11], draws=N_DRAWS, random_seed=1
    )["z"]
    assert drawn.dims == ("chain", "draw", "row") and drawn["row"].values.tolist() == [3, 11]
    precision = 1 / 0.7**2 + 1 / 0.8**2
    for row in (3, 11):
        mean = (0.4 * X[row] / 0.7**2 + Y[row] / 0.8**2) / precision
        law = stats.norm(mean, precision**-0.5)
        assert stats.kstest(drawn.sel(row=row).values.ravel(), law.cdf).pvalue > 1e-3


def test_two_latents_have_the_law_that_they_have():
    mean, sigma = np.array([0.3, -0.2]), 0.9
    drawn = psg.latent_posterior(
        draws_of(mean=mean, sigma=sigma), two_correlated_model(), rows=[5], draws=N_DRAWS,
        random_seed=2,
    )  # fmt: skip
    factor = np.array([[0.7, 0.0], [0.35, 0.6]])
    design = np.stack([np.ones(3), [-1.0, 0.0, 1.5]], axis=1)
    prior = np.linalg.inv(factor @ factor.T)
    covariance = np.linalg.inv(prior + design.T @ design / sigma**2)
    start = np.array([mean[0], mean[1] + 0.5 * mean[0]])
    centre = covariance @ (prior @ start + design.T @ Y3[5] / sigma**2)
    both = np.stack([drawn["intercept"].values.ravel(), drawn["slope"].values.ravel()])
    white = np.linalg.solve(np.linalg.cholesky(covariance), both - centre[:, None])
    for direction in (white[0], white[1], (white[0] + white[1]) / np.sqrt(2)):
        assert stats.kstest(direction, stats.norm.cdf).pvalue > 1e-3


def test_a_transformed_latent_is_returned_as_it_is_written():
    drawn = psg.latent_posterior(
        draws_of(a=0.5, b=1.0), beta_of_each_row(), rows=[7], draws=N_DRAWS, random_seed=3
    )["p"]
    law = stats.beta(2.5 + HEADS[7], 3.0 + 6 - HEADS[7])
    assert stats.kstest(drawn.values.ravel(), law.cdf).pvalue > 1e-3


def test_bad_rows_and_draws_are_refused():
    draws = draws_of(slope=0.4, tau=0.7)
    with pytest.raises(psg.RowError, match=r"rows run from 40 to 40, but there are 40"):
        psg.latent_posterior(draws, gaussian(), rows=[40])
    with pytest.raises(ValueError, match=r"draws must be"):
        psg.latent_posterior(draws, gaussian(), draws=0)
    without = draws["posterior"].to_dataset().drop_vars("tau")
    with pytest.raises(psg.RowError, match="tau"):
        psg.latent_posterior(xr.DataTree.from_dict({"posterior": without}), gaussian(), rows=[0])
