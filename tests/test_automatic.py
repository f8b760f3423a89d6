"""The sampler that tunes itself: what it chooses, what it measures, and when it warns."""

import io
import logging
import pickle

import arviz as az
import numpy as np
import pymc as pm
import pytest
import scipy.stats
import xarray as xr

from pymc.exceptions import SamplingError
from pymc.sampling.parallel import ParallelSamplingError
from rich.console import Console

import pymc_sgld as psg

from pymc_sgld import sampling
from pymc_sgld.diagnostics import score_moments
from pymc_sgld.posterior import check_run, unconstrained_positions
from pymc_sgld.samplers import Baoa
from pymc_sgld.step_methods import auto_nuts, auto_report
from pymc_sgld.step_methods.auto_nuts import read_for_auto
from pymc_sgld.tuning import LinearLaw, TuningError
from tests.targets import linear_regression

QUIET = {"progressbar": False, "cores": 1, "random_seed": 1}


@pytest.fixture(scope="module")
def target():
    return linear_regression(n_rows=20_000)


@pytest.fixture(scope="module")
def run(target):
    """Nothing given, of a model that NUTS would take two seconds for."""
    model = target.model()
    with model, pytest.MonkeyPatch.context() as patch:
        patch.setattr(auto_nuts, "NUTS_SECONDS", 0.0)
        return model, psg.sample(draws=1500, tune=50, chains=4, **QUIET)


def test_the_posterior_of_a_regression_with_nothing_given(target, run):
    """Mean and sd of every parameter within Monte Carlo error and the tolerated bias."""
    _, idata = run
    draws = idata.posterior["theta"].to_numpy().reshape(-1, 3)
    sd = np.sqrt(np.diag(target.covariance))
    assert np.abs((draws.mean(axis=0) - target.mean) / sd).max() < 4 / np.sqrt(len(draws) / 2)
    np.testing.assert_allclose(draws.std(axis=0) / sd, 1, atol=0.05 + 3 / np.sqrt(len(draws)))
    assert idata.posterior.attrs["sampler"] == "auto"


def test_what_was_chosen_and_why_is_written_down(run):
    _, idata = run
    tuning = idata["tuning"]
    assert tuning.attrs["gradient"] == "control_variate" and tuning.attrs["target_bias"] == 0.05
    assert tuning.attrs["batch_size"] == idata.sample_stats["batch_size"].to_numpy()[0, 0] < 20_000
    assert "20,000 rows" in tuning.attrs["reason"]
    assert list(tuning["parameter"].values) == ["theta[0]", "theta[1]", "theta[2]"]
    error = np.abs(tuning["sd_ratio"] - 1) / tuning["sd_ratio_error"]
    assert error.max() < 4


def test_the_record_prints_as_a_table(run):
    _, idata = run
    console = Console(width=120, record=True, file=io.StringIO())
    console.print(psg.tuning_table(idata))
    assert "rows of a batch" in repr(psg.tuning_table(idata))
    text = console.export_text()
    assert "rows of a batch" in text and "over 3 parameters" in text
    with pytest.raises(ValueError, match="no group 'posterior'"), pm.Model():
        pm.Normal("x")
        psg.tuning_table(pm.sample_prior_predictive(1))
    with pytest.raises(ValueError, match="no group 'tuning'"):
        psg.tuning_table(xr.DataTree.from_dict({"posterior": idata["posterior"].to_dataset()}))


def test_a_smaller_target_takes_larger_batches(target):
    sizes = [
        psg.Auto(model=target.model(), rng=0, verify=False, target_bias=bias).choice.batch_size
        for bias in (0.1, 0.002)
    ]
    assert sizes[1] > 2 * sizes[0]


def test_chains_tune_for_eight_passes_where_a_draw_is_dear(target):
    """They begin with draws from the Gaussian at the mode; 200 draws where these cost little."""
    found = [
        psg.Auto(model=target.model(), rng=0, verify=False, batch_size=size).default_tune_steps
        for size in (128, 500, 4000)
    ]
    # three steps, a gradient of a row, on 20,000 rows
    assert found == [200, int(8 / (3 * (500 / 20_000 + 1 / 4_000))), 40]


def test_draws_made_too_wide_are_measured_and_named(target, run, caplog):
    model, idata = run
    step = psg.Auto(model=model, rng=0, verify=False)
    for factor, told in ((1.0, False), (1.2, True)):
        wide = idata.copy()
        mean = idata.posterior["theta"].mean(("chain", "draw"))
        wide["posterior"] = idata.posterior.to_dataset().assign(
            theta=mean + factor * (idata.posterior["theta"] - mean)
        )
        found = check_run(step.score_source(), model, wide)
        assert found.measured.sd_ratio == pytest.approx(factor, abs=0.12)
        wider = [one for one in found.warnings if "wider than the posterior" in one]
        assert bool(wider) == told and all("theta[" in one for one in wider)
        assert found.attributes["data_passes"] <= 0.1 * float(
            idata.sample_stats["data_passes"].sum()
        )
    # half of the draws are too wide, and have next to no weight
    draws, weights = np.array(idata.posterior["theta"]), np.ones((4, 1500))
    draws[:, :750] = mean.values + 1.6 * (draws[:, :750] - mean.values)
    weights[:, :750] = 1e-9
    half = idata.copy()
    half["posterior"] = idata.posterior.to_dataset().assign(
        theta=(idata.posterior["theta"].dims, draws)
    )
    half["sample_stats"] = idata.sample_stats.to_dataset().assign(
        step_size_weight=(("chain", "draw"), weights)
    )
    found = check_run(step.score_source(), model, half)
    assert found.measured.sd_ratio == pytest.approx(1, abs=0.12)


def test_the_promise_is_not_repeated_where_it_is_in_doubt(target, run):
    model, idata = run
    step = psg.Auto(model=model, rng=0, verify=False)
    assert "rows keep every sd within 5%;" in auto_report.summary(step, [])
    doubted = auto_report.summary(step, ["R-hat is large."])
    assert "were chosen to keep every sd within 5% (whether they do is in doubt" in doubted
    assert auto_report.seconds(idata).count(" s") >= 3


def test_few_rows_are_left_to_nuts_and_many_are_not():
    many = read_for_auto(linear_regression(n_rows=60_000).model(), draws=1000, tune=None)
    assert not many.why_nuts and many.row_model.groups
    small = linear_regression(n_rows=300).model()
    assert "300 rows" in read_for_auto(small, draws=1000, tune=None).why_nuts
    with pm.Model() as time_series:
        rho = pm.Normal("rho", shape=1)
        pm.AR("y", rho=rho, init_dist=pm.Normal.dist(), observed=np.arange(50_000) / 1e4)
    assert "cannot be subsampled" in read_for_auto(time_series, draws=1000, tune=None).why_nuts
    with pm.Model() as no_rows:
        pm.Normal("x")
    assert "no observed rows" in read_for_auto(no_rows, draws=1000, tune=None).why_nuts


def test_a_minibatch_model_is_never_left_to_nuts():
    """NUTS would see the density of other rows at every step, and call its draws exact."""
    rng = np.random.default_rng(0)
    with pm.Model() as model:
        y = pm.Minibatch(rng.normal(size=300), batch_size=50)
        mu = pm.Normal("mu")
        pm.Normal("y", mu, 1, observed=y, total_size=300)
    assert not read_for_auto(model, draws=10, tune=None).why_nuts
    with model:
        pm.Potential("spread", -(y.std() ** 2))
    with pytest.raises(psg.RowError, match="Minibatch"):
        read_for_auto(model, draws=10, tune=None)


@pytest.mark.parametrize("library", ["nutpie", "pymc"])
def test_convergence_of_a_run_that_pymc_does_not_look_at(library, monkeypatch, caplog):
    """pm.sample checks the draws of its own NUTS, and says nothing of those of nutpie."""
    model = linear_regression(n_rows=100).model()
    rng = np.random.default_rng(0)
    apart = np.arange(4)[:, None, None] + 0.01 * rng.normal(size=(4, 200, 3))
    found = az.from_dict({"posterior": {"theta": apart}})
    found["posterior"].attrs["inference_library"] = library
    monkeypatch.setattr(pm, "sample", lambda *_, **__: found)
    with model, caplog.at_level(logging.INFO, logger="pymc"):
        psg.sample(check=False)
    assert ("effective sample size per chain is smaller" in caplog.text) == (library == "nutpie")


@pytest.fixture(scope="module")
def two_modes():
    """The square of a mean is observed: two modes, far apart."""
    rng = np.random.default_rng(0)
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 2, initval=0.01)
        pm.Normal("y", mu**2, 1, observed=rng.normal(1, 1, size=3000))
    return model


def test_another_mode_is_told_though_no_chain_is_there(two_modes, target, run):
    """All chains begin at one side; climbs from other starts find what they cannot see."""
    step = psg.Auto(model=two_modes, rng=0, verify=False)
    mode = step.chain.prepared.mode[0]
    sd = np.sqrt(step.chain.prepared.covariance[0, 0])
    assert step.choice.other_mode == pytest.approx(2 * abs(mode) / sd, rel=0.01)
    result = run[1].copy()
    result.sample_stats["mode_distance"] = 0.0 * result.sample_stats["mode_distance"]
    [told] = auto_report.warnings(step, result, None)
    assert "There is another mode" in told
    assert psg.Auto(model=target.model(), rng=0, verify=False).choice.other_mode == 0


def test_chains_at_different_modes_are_told(caplog, two_modes):
    """A chain stays where it began."""
    model = two_modes
    with caplog.at_level(logging.WARNING, logger="pymc.sgld"):
        idata = psg.sample("auto", 200, tune=20, chains=4, model=model, target_bias=0.05, **QUIET)
    signs = np.sign(idata.posterior["mu"].mean("draw").to_numpy())
    far = idata.sample_stats["mode_distance"].to_numpy()[:, -1] > 1
    assert 0 < far.sum() < 4 and (signs[far] != signs[~far][0]).all()
    assert "found other modes" in caplog.text


def test_rare_rows_come_more_often_and_the_posterior_is_right():
    """A column that is not zero in 60 of 20,000 rows; known errors, so the posterior is normal."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(20_000, 3))
    x[:, 2] = 0.0
    x[rng.choice(20_000, 60, replace=False), 2] = 5.0
    y = x @ [1.0, -1.0, 0.5] + rng.normal(size=20_000)
    with pm.Model() as model:
        beta = pm.Normal("beta", 0, 1, shape=3)
        pm.Normal("y", (x * beta).sum(axis=1), 1, observed=y)
    arguments = {"target_bias": 0.05, **QUIET}  # else NUTS is quicker
    idata = psg.sample(model=model, draws=1500, tune=50, chains=4, **arguments)
    tuning = idata["tuning"].attrs
    assert tuning["batches"] == "weighted" and "more often" in tuning["reason"]
    covariance = np.linalg.inv(x.T @ x + np.eye(3))
    sd = np.sqrt(np.diag(covariance))
    draws = idata.posterior["beta"].to_numpy().reshape(-1, 3)
    off = np.abs(draws.mean(axis=0) - covariance @ x.T @ y) / sd
    assert off.max() < 4 / np.sqrt(len(draws) / 2)
    np.testing.assert_allclose(draws.std(axis=0) / sd, 1, atol=0.05 + 3 / np.sqrt(len(draws)))
    assert tuning["batch_size"] < 500  # rows that come alike take about 2000
    # the fewest rows, each drawn from all, that keep to the bias at the rule's largest step
    choice = psg.Auto(model=model, rng=0, verify=False, target_bias=0.001).choice
    assert choice.batches == "weighted" and choice.batch_size > 500
    law = LinearLaw(Baoa(np.inf))
    widest = [
        np.sqrt(law.variance(law.rule.largest_step, 1.0, choice.row_noise / rows))
        for rows in (choice.batch_size, 0.985 * choice.batch_size)
    ]
    assert widest[0] <= 1.001 < widest[1]


@pytest.mark.parametrize("target_bias", [0, 1, -0.1, 2])
def test_target_bias_must_be_a_share(target, target_bias):
    with pytest.raises(ValueError, match=r"target_bias must be in \(0, 1\)"):
        psg.sample("auto", model=target.model(), target_bias=target_bias)


def test_step_size_wins_over_target_bias_and_it_is_said(target, caplog):
    with caplog.at_level(logging.WARNING, logger="pymc.sgld"):
        psg.SGLD(model=target.model(), step_size=1e-6, target_bias=0.1, verify=False)
    assert "step_size is used as it is" in caplog.text


@pytest.mark.parametrize("factor", [0.8, 1.0, 1.1])
def test_score_moments_measure_the_width(factor):
    """Exact Gaussian draws, noisy scores, a covariance that is off: within its own error."""
    rng = np.random.default_rng(0)
    shape = rng.normal(size=(8, 8))
    precision = shape @ shape.T / 8 + np.eye(8)
    covariance = np.linalg.inv(precision)
    factor_ = np.linalg.cholesky(covariance)
    draws = factor * rng.normal(size=(4, 2000, 8)) @ factor_.T
    noise = rng.normal(size=draws.shape) @ np.linalg.cholesky(precision).T
    off = 1.3 * covariance + 0.1 * np.diag(np.diag(covariance))
    found = score_moments(draws, -draws @ precision + noise, off)
    error = (found.sd_ratio - factor) / found.standard_error
    assert np.abs(error).max() < 4 and found.standard_error.max() < 0.03


def test_score_moments_of_another_shape_of_posterior():
    """Exact draws of a skewed posterior are of the right width, whatever the covariance given."""
    rng = np.random.default_rng(1)
    law = scipy.stats.loggamma(2.0)
    draws = law.rvs(size=(4, 20_000, 1), random_state=rng)
    scores = 2.0 - np.exp(draws)
    found = score_moments(draws, scores, np.array([[0.2]]))
    assert abs(found.sd_ratio[0] - 1) < 4 * found.standard_error[0] < 0.05


def test_positions_are_those_of_the_samplers_own_space():
    """Transforms forward: log, interval with a bound that is a parameter, simplex."""
    with pm.Model() as model:
        low = pm.HalfNormal("low")
        pm.Uniform("inside", low, 10.0)
        pm.Dirichlet("shares", np.ones(3))
        idata = pm.sample_prior_predictive(20, random_seed=0)
    found = unconstrained_positions(model, idata["prior"].to_dataset())[0]
    point = model.initial_point()
    names = [value.name for value in model.value_vars]
    inverse = model.compile_fn(
        model.unobserved_value_vars, inputs=model.value_vars, on_unused_input="ignore"
    )
    for draw, position in enumerate(found):
        start, parts = 0, {}
        for name in names:
            size = point[name].size
            parts[name] = position[start : start + size].reshape(point[name].shape)
            start += size
        names_back = [value.name for value in model.unobserved_value_vars]
        back = dict(zip(names_back, inverse(parts), strict=True))
        for rv in model.free_RVs:
            wanted = idata["prior"][rv.name].to_numpy()[0, draw]
            np.testing.assert_allclose(back[rv.name], wanted, rtol=1e-9, atol=1e-12)


def refused(**options):
    """What a run raises whose model could not be tuned to."""
    error = SamplingError("No mode was found. Give initvals.")
    error.__cause__ = TuningError("No mode was found. Give initvals.", **options)
    return error


def test_a_default_run_that_cannot_be_tuned_is_left_to_nuts(monkeypatch, caplog):
    """With a warning that says why; an argument that was given, or a bad model, is an error."""

    def fails(*arguments):
        raise refused(model_at_fault=at_fault)

    monkeypatch.setattr(auto_nuts, "NUTS_SECONDS_OF_FEW_ROWS", 0.0)
    monkeypatch.setattr(sampling, "_minibatches", fails)
    arguments = {"draws": 20, "tune": 20, "chains": 1, "check": False, **QUIET}
    with linear_regression(n_rows=50).model():
        at_fault = False
        with caplog.at_level(logging.WARNING, logger="pymc.sgld"):
            idata = psg.sample(nuts_sampler="pymc", **arguments)
        assert "could not be tuned to the model. No mode was found." in caplog.text
        assert idata.posterior.attrs["sampler"] == "nuts"
        assert "initvals" not in idata.posterior.attrs["reason"]
        with pytest.raises(SamplingError, match="No mode"):
            psg.sample(target_bias=0.05, **arguments)
        at_fault = True
        with pytest.raises(SamplingError, match="No mode"):
            psg.sample(**arguments)


def test_a_failure_in_another_process_is_seen_through():
    """PyMC wraps what a chain raised in an error of its own, after pickling."""
    model = linear_regression(n_rows=50).model()
    wrapped = ParallelSamplingError("Chain 0 failed", 0)
    wrapped.__cause__ = refused()
    assert "No mode was found." in auto_nuts.why_not_tuned(wrapped, model)
    wrapped.__cause__ = refused(model_at_fault=True)
    assert auto_nuts.why_not_tuned(wrapped, model) is None
    assert pickle.loads(pickle.dumps(wrapped.__cause__.__cause__)).model_at_fault
    assert auto_nuts.why_not_tuned(ValueError("other"), model) is None
