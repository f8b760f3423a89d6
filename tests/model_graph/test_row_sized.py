"""Deterministics with an entry for each row are known by their graph, not by a name."""

import numpy as np
import pymc as pm
import pytest
import xarray as xr

import pymc_sgld as psg

from pymc_sgld.model_graph.row_sized import row_sized_deterministics

N = 60
X = np.random.default_rng(0).normal(size=(N, 2))
GROUP = np.arange(N) % 5


def model(predictor, coords=None, observed=None, dims=None):
    with pm.Model(coords=coords) as built:
        beta = pm.Normal("beta", 0, 1, shape=2)
        effect = pm.Normal("effect", 0, 1, shape=5)
        pm.Deterministic("total", beta.sum() + effect)
        pm.Deterministic("far", np.ones((7, 2)) @ beta)
        mu = predictor(beta, effect)
        pm.Normal("y", mu, 1, observed=np.zeros(N) if observed is None else observed, dims=dims)
    return built


def _constant(beta, effect):
    return pm.Deterministic("mu", X @ beta + effect[GROUP])


def _data(beta, effect):
    return pm.Deterministic("mu", pm.Data("X", X) @ beta)


def _indexed(beta, effect):
    return pm.Deterministic("mu", effect[GROUP])


def _other_coords(beta, effect):
    return pm.Deterministic("mu", X @ beta, dims="customer")


def _two_columns(beta, effect):
    mu = X @ beta
    pm.Deterministic("mu", pm.math.stack([mu, mu**2], axis=1))
    return mu


@pytest.mark.parametrize(
    ("predictor", "coords", "size"),
    [
        (_constant, None, N),
        (_data, None, N),
        (_indexed, None, N),
        (_other_coords, {"customer": range(N)}, N),
        (_two_columns, None, 2 * N),
    ],
)
def test_by_their_graph(predictor, coords, size):
    assert row_sized_deterministics(model(predictor, coords)) == {"mu": size}


def test_of_a_minibatch():
    with pm.Model() as built:
        rows, outcome = pm.Minibatch(X, np.zeros(N), batch_size=10)
        beta = pm.Normal("beta", 0, 1, shape=2)
        mu = pm.Deterministic("mu", rows @ beta)
        pm.Deterministic("one", mu.sum())
        pm.Deterministic("twice", 2 * beta)
        pm.Normal("y", mu, 1, observed=outcome, total_size=N)
    assert row_sized_deterministics(built) == {"mu": 10, "one": 1}


def test_groups_that_are_as_many_as_rows_are_no_rows():
    with pm.Model() as built:
        effect = pm.Normal("effect", 0, 1, shape=N)
        pm.Deterministic("shifted", 1 + effect)
        pm.Normal("y", effect.sum(), 1, observed=np.zeros(N))
    assert row_sized_deterministics(built) == {}


@pytest.mark.parametrize("sampler", ["sgld", "auto"])
def test_never_stored_unasked_and_what_is_stored_survives_a_file(sampler, tmp_path, caplog):
    """By name, and where "auto" leaves the model to NUTS."""
    built = model(_constant)
    caplog.set_level("INFO", logger="pymc.sgld")
    own = {"step_size": 1e-2, "preconditioner": "identity", "verify": False}
    idata = psg.sample(
        sampler, 120, tune=20, chains=2, cores=1, random_seed=1, progressbar=False, model=built,
        **(own if sampler == "sgld" else {}),
    )  # fmt: skip
    assert "mu" not in idata["posterior"]
    assert "total" in idata["posterior"]
    told = [record.getMessage() for record in caplog.records if "Not stored" in record.getMessage()]
    assert len(told) == 1
    assert "mu (0.00048 MB a draw)" in told[0]
    idata.to_netcdf(tmp_path / "draws.nc")
    read = xr.open_datatree(tmp_path / "draws.nc")
    for name in idata.children:
        xr.testing.assert_identical(idata[name].to_dataset(), read[name].to_dataset().load())
