"""Draws that go to a Zarr store as they come: the same as those in the folder."""

import numpy as np
import pytest
import xarray as xr

import pymc_sgld as psg

from tests.checkpoints.runs import (
    CHAINS,
    DRAWS,
    SESSION,
    TUNE,
    Stopped,
    gaussian,
    sample,
    stop_after,
)

pytest.importorskip("zarr")
pytestmark = pytest.mark.filterwarnings("ignore:The data type")  # of labels, in Zarr 3
MODEL = gaussian()


def assert_stored(store, run, n_draws):
    tree = xr.open_datatree(store, engine="zarr", chunks=None, consolidated=False)
    for group in ("warmup_posterior", "posterior", "warmup_sample_stats", "sample_stats"):
        one, other = tree[group].to_dataset(), run[group].to_dataset().isel(draw=slice(n_draws))
        assert set(one) == set(other) and one.sizes["draw"] == min(n_draws, other.sizes["draw"])
        for name in one:
            assert one[name].dims == other[name].dims
            np.testing.assert_array_equal(one[name], other[name])
            for dim in one[name].dims:
                np.testing.assert_array_equal(one[dim], other[dim])


@pytest.mark.parametrize(("every", "at_once"), [(1e-9, 7), (1e9, 1000)])
def test_draws_are_added_as_they_come(every, at_once, tmp_path, monkeypatch):
    monkeypatch.setattr("pymc_sgld.checkpoints.zarr_store._AT_ONCE", at_once)
    run, store = tmp_path / "run", tmp_path / "draws.zarr"
    with MODEL:
        with pytest.raises(Stopped):
            sample(
                checkpoint=run, checkpoint_every=every, callback=stop_after(TUNE + DRAWS + TUNE + 5)
            )
        assert psg.draws_to_zarr(run, store) == TUNE + 5
        partial = psg.open_run(run)
        psg.resume(run, **SESSION)
    assert psg.draws_to_zarr(run, store) == psg.draws_to_zarr(run, store) == TUNE + DRAWS
    whole = psg.open_run(run)
    assert_stored(store, whole, DRAWS)
    assert whole.posterior.sizes["chain"] == CHAINS and partial.posterior.sizes["draw"] <= DRAWS


def test_a_store_of_another_run_is_refused(tmp_path):
    with MODEL:
        sample(checkpoint=tmp_path / "run")
        sample(checkpoint=tmp_path / "other", random_seed=9)
    psg.draws_to_zarr(tmp_path / "run", tmp_path / "draws.zarr")
    with pytest.raises(ValueError, match=r"draws.zarr has draws of another run"):
        psg.draws_to_zarr(tmp_path / "other", tmp_path / "draws.zarr")


def test_what_is_missing_is_named(tmp_path, monkeypatch):
    with pytest.raises(FileNotFoundError, match="holds no run"):
        psg.draws_to_zarr(tmp_path, tmp_path / "draws.zarr")
    monkeypatch.setitem(__import__("sys").modules, "zarr", None)
    with pytest.raises(ImportError, match=r'pip install "pymc-sgld\[zarr\]"'):
        psg.draws_to_zarr(tmp_path, tmp_path / "draws.zarr")
