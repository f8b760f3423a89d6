"""The step methods inside PyMC."""

import logging
import pickle

import numpy as np
import pymc as pm
import pytest

from pymc.step_methods import STEP_METHODS

import pymc_sgld as psg

from pymc_sgld.step_methods.registry import REGISTRY, register
from tests.conftest import require_backend
from tests.targets import linear_regression, logistic_model

QUIET = {"progressbar": False, "compute_convergence_checks": False}


def minibatch_model(total_size=300, batch_size=50, shift=0):
    target = linear_regression(n_rows=300)
    with pm.Model() as model:
        X, y = pm.Minibatch(target.design, target.outcome + shift, batch_size=batch_size)
        theta = pm.Normal("theta", 0, target.prior_sd, shape=3)
        pm.Normal("y", X @ theta, 1, observed=y, total_size=total_size)
    return model, target


def test_importing_registers_once():
    register()
    ours = [method for method in STEP_METHODS if method in REGISTRY.values()]
    assert ours == list(REGISTRY.values()) and psg.SGLD in ours


def test_every_step_method_is_a_public_name():
    assert {getattr(psg, one.__name__) for one in REGISTRY.values()} == set(REGISTRY.values())
    assert {one.__name__ for one in REGISTRY.values()} < set(psg.__all__)
    assert psg.SGHMC is psg.step_methods.SGHMC
    assert psg.preconditioners.LowRank and psg.gradient_estimators.ControlVariate
    assert all(hasattr(psg, name) for name in psg.__all__)


def test_ordinary_models_stay_with_nuts():
    with logistic_model() as model:
        _, selected = pm.sampling.mcmc.assign_step_methods(model)
    assert list(selected) == [pm.NUTS]


def test_plain_pm_sample_takes_a_minibatch_model():
    """Means within 0.2 sd, sds within 20 %, where PyMC alone crashes."""
    model, target = minibatch_model()
    with model:
        idata = pm.sample(1500, chains=2, cores=1, random_seed=1, sgld={"batch_size": 60}, **QUIET)
    assert int(idata.sample_stats["batch_size"].mean()) == 60
    draws = idata.posterior["theta"].values.reshape(-1, 3)
    sd = np.sqrt(np.diag(target.covariance))
    np.testing.assert_allclose((draws.mean(axis=0) - target.mean) / sd, 0, atol=0.2)
    np.testing.assert_allclose(draws.std(axis=0) / sd, 1.05, atol=0.15)


def test_psg_sample_is_pm_sample_and_processes_change_nothing():
    """Same seed, same draws: by name, by step, in one process and in two."""
    two = {
        "cores": 2,
        "mp_ctx": "forkserver",
    }  # other tests have started JAX: it must not be forked
    with logistic_model():
        by_name = psg.sample("sgld", 30, tune=10, chains=2, random_seed=4, **two, **QUIET)
        by_step = pm.sample(30, tune=10, chains=2, cores=1, random_seed=4, step=psg.SGLD(), **QUIET)
    for name in ("alpha", "beta"):
        np.testing.assert_array_equal(by_name.posterior[name], by_step.posterior[name])
        assert not np.array_equal(by_name.posterior[name][0], by_name.posterior[name][1])


@pytest.mark.slow
def test_spawned_processes_give_the_same_draws():
    with logistic_model():
        runs = [
            pm.sample(10, tune=5, chains=2, random_seed=4, step=psg.SGLD(), **how, **QUIET)
            for how in ({"cores": 1}, {"cores": 2, "mp_ctx": "spawn"})
        ]
    np.testing.assert_array_equal(runs[0].posterior["beta"], runs[1].posterior["beta"])


def test_jax_in_processes_gives_the_same_draws_and_never_a_forked_one():
    require_backend("jax")
    how = {"draws": 10, "tune": 3, "chains": 2, "random_seed": 4, "verify": False, **QUIET}
    with logistic_model():
        runs = [psg.sample("sgld", backend="jax", cores=cores, **how) for cores in (1, 2)]
        np.testing.assert_array_equal(runs[0].posterior["beta"], runs[1].posterior["beta"])
        step = psg.SGLD(backend="jax", verify=False)
    step._process += 1  # as a forked child would find it
    with pytest.raises(pm.exceptions.SamplingError, match=r"fork.*backend='jax'.*cores=1"):
        step.setup_chain(np.random.default_rng(0), 1, 1)


def test_pickle_carries_the_data_once_and_the_same_draws():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(20_000, 5)), rng.normal(size=20_000)
    with pm.Model() as model:
        beta = pm.Normal("beta", 0, 1, shape=5)
        pm.Normal("y", pm.math.dot(X, beta), 1, observed=y)
        step = psg.SGLD(step_size=1e-6, batch_size=50, steps_per_draw=10, verify=False)
    dumped = pickle.dumps(step)
    assert len(dumped) < X.nbytes + y.nbytes + 400_000  # the compiled functions' graphs
    twin = pickle.loads(dumped)
    ends = []
    for one in (step, twin):
        one.setup_chain(np.random.default_rng(0), 0, 2)
        ends.append(one.step(model.initial_point())[0]["beta"])
    np.testing.assert_array_equal(*ends)


def test_chains_start_apart_where_pymc_starts_them_together():
    with logistic_model():
        step = psg.SGLD(step_size=1e-12, steps_per_draw=1, batch_size=10, verify=False)
        idata = pm.sample(4, tune=1, chains=2, cores=1, random_seed=1, step=step, **QUIET)
    first = idata.posterior["beta"].values[:, 0]
    assert np.abs(first[0] - first[1]).max() > 0.05
    assert np.abs(first).max() < 1.001  # PyMC's jitter, uniform on (-1, 1)


def test_a_decreasing_schedule_reaches_its_end_and_leaves_weights():
    schedule = psg.schedules.polynomial_decay_between(1e-3, 1e-5, exponent=0.55)
    with logistic_model():
        idata = psg.sample(
            "sgld",
            20,
            tune=0,
            chains=1,
            random_seed=1,
            step_size=schedule,
            steps_per_draw=7,
            **QUIET,
        )
    stats = idata.sample_stats
    assert float(stats["step_size"][0, -1]) == pytest.approx(1e-5)
    values = schedule.bind(140)(np.arange(140))
    np.testing.assert_allclose(stats["step_size_weight"][0], values.reshape(20, 7).sum(axis=1))
    np.testing.assert_allclose(stats["step_size"][0], values[6::7])


def test_statistics_say_what_was_done():
    with logistic_model(n_rows=500):
        idata = psg.sample(
            "sgld", 20, tune=2, chains=1, random_seed=1, batch_size=50, steps_per_draw=4,
            batches="independent", temperature=4.0, **QUIET,
        )  # fmt: skip
    stats = idata.sample_stats
    assert (stats["temperature"] == 4).all() and (stats["batch_size"] == 50).all()
    np.testing.assert_allclose(stats["data_passes"], 4 * 50 / 500)
    h = float(stats["step_size"][0, 0])
    np.testing.assert_allclose(stats["step_size_weight"], 4 * h, rtol=1e-12)
    # at the threshold: half of it or less from the noise, all of it at most in variance
    ratio, inflation = float(stats["gradient_noise_ratio"][0, 0]), stats["predicted_sd_inflation"]
    assert 0 < ratio < 0.1 and 0.01 < float(inflation[0, 0]) < 0.06
    attrs = idata.posterior.attrs
    assert attrs["sampler"] == "sgld" and attrs["compile_seconds"] > 0
    assert attrs["tune_seconds"] > 0 and attrs["draw_seconds"] > 0


def test_a_step_that_is_not_finite_never_enters_the_trace():
    with logistic_model() as model:
        step = psg.SGLD(step_size=1e200, batch_size=10, steps_per_draw=3, verify=False)
    point = model.initial_point()
    step.setup_chain(np.random.default_rng(0), 0, 30)
    for _ in range(19):
        new, [stats] = step.step(point)
        assert stats["diverging"]
        assert all(np.array_equal(new[name], point[name]) for name in point)
    with pytest.raises(
        pm.exceptions.SamplingError, match=r"20 draws in a row .* smaller step_size"
    ):
        step.step(point)


def test_a_step_too_large_is_shrunk_while_tuning():
    """Precision about 300: stable below 2 / 300. Halving from 1 gets there within 10 refusals."""
    target = linear_regression()
    with target.model() as model:
        step = psg.SGLD(step_size=1.0, batch_size=300, steps_per_draw=400, verify=False)
    point = model.initial_point()
    step.setup_chain(np.random.default_rng(0), 30, 30)
    refused = []
    for _ in range(30):
        point, [stats] = step.step(point)
        refused.append(bool(stats["diverging"]))
    assert refused[0] and not any(refused[-10:])
    assert stats["step_size"] < 2 / np.linalg.eigvalsh(target.precision)[-1]


def test_row_sized_deterministics_are_left_out_unless_asked_for(caplog):
    target = linear_regression(n_rows=300)
    with target.model() as model:
        theta = model["theta"]
        # no product of matrices, which takes numba long to compile
        pm.Deterministic("mu", (model["X"] * theta).sum(axis=1), dims="row")
        pm.Deterministic("norm", (theta**2).sum())
        arguments = {"tune": 1, "chains": 1, "random_seed": 1, "verify": False, **QUIET}
        with caplog.at_level(logging.INFO, logger="pymc"):
            short = psg.sample("sgld", 3, **arguments)
        full = psg.sample("sgld", 3, var_names=["theta", "mu"], **arguments)
    assert set(short.posterior) == {"theta", "norm"}
    told = "mu (0.0024 MB a draw). Use pm.compute_deterministics"
    assert any(told in record.getMessage() for record in caplog.records)
    np.testing.assert_allclose(
        full.posterior["mu"][0, -1], target.design @ full.posterior["theta"][0, -1].values
    )


def test_warmup_is_kept_on_request():
    with logistic_model():
        idata = psg.sample(
            "sgld", 5, tune=3, chains=1, cores=1, random_seed=1,
            discard_tuned_samples=False, verify=False, **QUIET,
        )  # fmt: skip
    assert idata["warmup_posterior"].sizes["draw"] == 3 and idata.posterior.sizes["draw"] == 5


def test_data_that_change_after_the_step_method_was_made_are_refused():
    values = np.arange(40.0)
    with pm.Model() as model:
        outcome = pm.Data("outcome", values, dims="row")
        pm.Normal("y", pm.Normal("mu"), 1.0, observed=outcome, dims="row")
        step = psg.SGLD(step_size=1e-3, batch_size=10, verify=False)
    step.setup_chain(np.random.default_rng(0), 0, 1)
    with model:
        pm.set_data({"outcome": values + 1})
        with pytest.raises(
            ValueError, match=r"'outcome' were changed \(pm.set_data\) after .*'sgld'"
        ):
            pm.sample(step=step, draws=2, tune=0, chains=1, cores=1, progressbar=False)
        pm.set_data({"outcome": values.copy()})  # other memory, the same numbers
    step.setup_chain(np.random.default_rng(0), 0, 1)
