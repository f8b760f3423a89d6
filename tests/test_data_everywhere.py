"""Whatever reads rows reads them from `data=`: it says what it does of these rows in the model."""

import numpy as np
import pymc as pm
import pytest

import pymc_sgld as psg

from pymc_sgld.schedules import geometric_cooling
from tests.checkpoints.runs import SESSION as RUN_SESSION
from tests.checkpoints.runs import Stopped, assert_same, stop_after
from tests.checkpoints.streamed import hierarchy, written

N = 600
RNG = np.random.default_rng(4)
X = RNG.normal(size=(N, 2))
Y = X @ [0.5, -1.0] + RNG.normal(size=N)
SESSION = {"cores": 1, "progressbar": False, "random_seed": 3}


def regression(x=None, y=None):
    with pm.Model() as model:
        x = pm.Data("x", np.zeros((1, 2)) if x is None else x)
        y = pm.Data("y", np.zeros(1) if y is None else y)
        pm.Normal("out", x @ pm.Normal("b", shape=2), pm.HalfNormal("s"), observed=y)
    return model


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows")
    np.save(folder / "x.npy", X)
    np.save(folder / "y.npy", Y)
    return {"x": folder / "x.npy", "y": folder / "y.npy"}


@pytest.fixture(scope="module")
def idata():
    return psg.sample(
        "baoa", 100, tune=20, chains=2, batch_size=100, model=regression(X, Y), quiet=True,
        compute_convergence_checks=False, check=False, **SESSION,
    )  # fmt: skip


def test_annealing(data):
    settings = {
        "draws": 20, "chains": 2, "step_size": 1e-4, "batch_size": 50, "steps_per_draw": 4,
        "temperature": geometric_cooling(5.0, 0.1), **SESSION,
    }  # fmt: skip
    one = psg.anneal(regression(X, Y), **settings)
    other = psg.anneal(regression(), data=data, **settings)
    np.testing.assert_array_equal(one.path["b"], other.path["b"])
    np.testing.assert_allclose(one.polished["b"], other.polished["b"], rtol=1e-6)
    assert one.polished_logp == pytest.approx(other.polished_logp, rel=1e-10)


def test_scores_and_check(idata, data):
    one = psg.posterior_scores(idata, regression(X, Y), n_scored=20)
    other = psg.posterior_scores(idata, regression(), n_scored=20, data=data)
    np.testing.assert_allclose(one.scores, other.scores, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(one.log_density, other.log_density, rtol=1e-12)
    found = psg.check(idata, regression(), data=data, extend_inferencedata=False)
    expected = psg.check(idata, regression(X, Y), extend_inferencedata=False)
    assert found.dataset.equals(expected.dataset) or np.allclose(
        found.dataset["sd_ratio"], expected.dataset["sd_ratio"], rtol=1e-9
    )


def test_comparison(idata, data):
    settings = {"reference": "draws", "draws": 50, "tune": 10, "chains": 2, **SESSION}
    samplers = {"draws": idata, "small": {"sampler": "sgld", "step_size": 1e-4, "batch_size": 50}}
    one = psg.compare(samplers, regression(X, Y), **settings)
    other = psg.compare(samplers, regression(), data=data, **settings)
    for name in ("elpd", "se", "difference", "difference_se", "rows"):
        np.testing.assert_allclose(
            one.elpd[name].astype(float), other.elpd[name].astype(float), rtol=1e-9
        )
    assert (one.elpd["rows"] == N).all()
    np.testing.assert_allclose(
        one.table["ksd"].astype(float), other.table["ksd"].astype(float), rtol=1e-7
    )
    with pytest.raises(ValueError, match=r"samplers has 'nuts', which would take the rows of the"):
        psg.compare(["sgld", "nuts"], regression(), data=data)


SHORT_STEPS = {"step_size": 1e-4, "steps_per_draw": 10}


@pytest.mark.parametrize(
    "sampler, scratch, settings",
    [
        ("sgld", True, SHORT_STEPS),
        ("sgld", False, SHORT_STEPS),
        pytest.param("auto", True, {"hyperparameters": "joint"}, marks=pytest.mark.slow),
        pytest.param("auto", True, {"hyperparameters": "gibbs"}, marks=pytest.mark.slow),
    ],
    ids=["sgld", "where they lie", "auto", "auto, gibbs"],
)
def test_a_run_goes_on_with_its_data(sampler, scratch, settings, tmp_path):
    """By `psg.resume`; other rows are refused."""
    data, model = written(tmp_path), hierarchy()
    settings = {
        "draws": 20, "tune": 8, "chains": 2, "data": data, "batch_size": 50, "model": model,
        "scratch": tmp_path if scratch else False, "verify": False, **settings, **RUN_SESSION,
    }  # fmt: skip
    whole = psg.sample(sampler, random_seed=3, **settings)
    with pytest.raises(Stopped):
        psg.sample(
            sampler, random_seed=3, checkpoint=tmp_path / "run", callback=stop_after(35), **settings
        )
    with pytest.raises(TypeError, match=r"Give again what no file holds.*: data; found none"):
        psg.resume(tmp_path / "run", model=model, **RUN_SESSION)
    assert_same(whole, psg.resume(tmp_path / "run", model=model, data=data, **RUN_SESSION))
    outcome = np.load(data["outcome"])
    np.save(data["outcome"], outcome + (np.arange(len(outcome)) == 7))
    with pytest.raises(ValueError, match=r"begun with something else:\n- (settings|data\.rows)"):
        psg.resume(tmp_path / "run", model=model, data=data, **RUN_SESSION)
