"""NUTS as PyMC runs it: the known posterior, the cost of its phases."""

import logging

import numpy as np
import pymc as pm
import pytest

from pymc.exceptions import SamplingError

from pymc_sgld import records
from pymc_sgld.comparison import compare
from pymc_sgld.comparison.methods import run_nuts
from pymc_sgld.model_graph import RowError


def test_nuts_and_advi_find_a_known_posterior(caplog):
    """The posterior of "mu" is normal with mean 2 * 50 / 51 and sd 51 ** -0.5."""
    caplog.set_level(logging.WARNING)
    with pm.Model() as model:
        mu = pm.Normal("mu", 0.0, 1.0)
        pm.Normal("y", mu, 1.0, observed=np.linspace(1.0, 3.0, 50))
    found = compare(
        ["nuts", "advi"], model, draws=500, chains=2, cores=1, random_seed=4, progressbar=False
    )
    # Half a posterior sd is far beyond the error of 1,000 draws.
    for result in found.results.values():
        draws = result["posterior"]["mu"]
        np.testing.assert_allclose(draws.mean(), 100 / 51, atol=0.5 * 51**-0.5)
        np.testing.assert_allclose(draws.std(), 51**-0.5, rtol=0.2)
    times = found.table[["compile_seconds", "tune_seconds", "draw_seconds"]]
    assert (times.to_numpy() > 0).all()
    assert found.results["advi"]["posterior"].attrs["converged"] == 1
    steps = [found.results["nuts"][f"{group}sample_stats"]["n_steps"] for group in ("warmup_", "")]
    assert found.table.loc["nuts", "data_passes"] == sum(int(one.sum()) for one in steps)
    # Both are near the posterior itself, and predict alike.
    assert (found.table["ksd"] < 3 * found.table["ksd_of_exact_draws"]).all()
    assert abs(found.table.loc["advi", "elpd_difference"]) < 0.5
    found.predict(draws=50)
    predicted = found.results["nuts"]["posterior_predictive"]["y"]
    assert predicted.sizes["y_dim_0"] == 50
    # Rows share a mean of 2 and have sd 1, and the mean's own is small beside it.
    np.testing.assert_allclose(predicted.mean(), 100 / 51, atol=4 * (51**-0.5 / 50**0.5 + 1 / 50))
    np.testing.assert_allclose(predicted.std(), (1 + 1 / 51) ** 0.5, rtol=0.1)


def test_a_model_on_minibatches_is_refused():
    with pm.Model() as model:
        mu = pm.Normal("mu")
        pm.Normal("y", mu, observed=pm.Minibatch(np.ones(100), batch_size=10), total_size=100)
    with pytest.raises(RowError, match=r"written on pm\.Minibatch\. Write it on the whole data"):
        run_nuts(model, tune=None)


@pytest.fixture(scope="module")
def small():
    with pm.Model() as model:
        pm.Normal("y", pm.Normal("mu"), 1.0, observed=np.linspace(1.0, 3.0, 50))
    return model


def test_nuts_in_seconds_keeps_what_it_has_drawn_when_the_time_is_up(small):
    options = {"tune": 100, "chains": 2, "cores": 2, "random_seed": 1, "progressbar": False}
    found = run_nuts(small, seconds=1.0, draws=10**7, **options)
    draws = found["posterior"]["mu"]
    said = found["posterior"].attrs[records.STOPPED_EARLY]
    assert draws.notnull().all() and draws.sizes["draw"] == found["sample_stats"].sizes["draw"]
    words = f"100 steps of warm-up and {draws.sizes['draw']} of 10000000 draws in each chain"
    assert said.startswith("given 1 s") and said.endswith(words)
    np.testing.assert_allclose(draws.mean(), 100 / 51, atol=0.5 * 51**-0.5)
    assert found["posterior"].attrs["draw_passes"] >= draws.size
    whole = run_nuts(small, seconds=600.0, draws=20, **options)
    assert whole["posterior"].sizes["draw"] == 20
    assert records.STOPPED_EARLY not in whole["posterior"].attrs


def test_nuts_without_a_draw_in_its_seconds_is_said(small):
    with pytest.raises(SamplingError, match=r"in 0\.001 s .* of the 10000000 steps of its warm-up"):
        run_nuts(
            small, seconds=1e-3, draws=10, tune=10**7, chains=1, cores=1, random_seed=1,
            progressbar=False,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("seconds", "error"), [(0, ValueError), (-1.0, ValueError), ("60", TypeError)]
)
def test_seconds_that_are_none_are_refused_before_anything_is_run(small, seconds, error):
    with pytest.raises(error, match=r"samplers\['nuts'\]: seconds must be"):
        compare({"sgld": {}, "nuts": {"seconds": seconds}}, small)
