"""Resampling of draws against weighted means, and what is refused."""

import numpy as np
import pytest
import xarray as xr

import pymc_sgld as psg

from pymc_sgld.diagnostics import weighted_mean, weighted_sd


@pytest.fixture
def falling():
    rng = np.random.default_rng(0)
    weights = np.tile((1.0 + np.arange(2000)) ** -0.55, (3, 1))
    x = rng.normal(size=(3, 2000, 2)) * np.linspace(2, 1, 2000)[:, None]
    return xr.DataTree.from_dict(
        {
            "posterior": xr.Dataset({"x": (("chain", "draw", "side"), x)}),
            "sample_stats": xr.Dataset(
                {
                    "step_size_weight": (("chain", "draw"), weights),
                    "energy": (("chain", "draw"), x[..., 0] ** 2),
                }
            ),
            "observed_data": xr.Dataset({"y": ("row", np.zeros(4))}),
        }
    )


def test_plain_moments_of_resampled_draws_are_the_weighted_ones(falling):
    x, weights = (
        falling["posterior"]["x"].values,
        falling["sample_stats"]["step_size_weight"].values,
    )
    found = psg.resample(falling, seed=1)
    plain = found["posterior"]["x"].values
    error = x.std() / np.sqrt(6000)
    np.testing.assert_allclose(plain.mean((0, 1)), weighted_mean(x, weights), atol=3 * error)
    np.testing.assert_allclose(plain.std((0, 1)), weighted_sd(x, weights), atol=3 * error)
    assert np.abs(x.std((0, 1)) - weighted_sd(x, weights)).min() > 5 * error
    assert list(found["posterior"]["draw"].values) == list(range(2000))
    assert "observed_data" in found.children and "step_size_weight" in found["sample_stats"]
    assert set(plain[0, :, 0]) <= set(x[0, :, 0])
    # statistics are those of the draws that were taken
    np.testing.assert_array_equal(found["sample_stats"]["energy"], plain[..., 0] ** 2)


def test_equal_weights_change_nothing(falling):
    found = psg.resample(falling, np.ones((3, 2000)))
    xr.testing.assert_identical(found["posterior"].to_dataset(), falling["posterior"].to_dataset())


def test_what_is_refused(falling):
    with pytest.raises(ValueError, match=r"weights have shape \(2, 3\)"):
        psg.resample(falling, np.ones((2, 3)))
    del falling["sample_stats"]
    with pytest.raises(ValueError, match="no statistic 'step_size_weight'"):
        psg.resample(falling)
