"""Of the draws every so many-th is stored, and means and sds of all are kept."""

import numpy as np
import pymc as pm
import pytest

import pymc_sgld as psg

from pymc_sgld import records
from pymc_sgld.checkpoints.running_moments import RunningMoments
from tests.checkpoints.runs import (
    CHAINS,
    SESSION,
    TUNE,
    Stopped,
    assert_same,
    gaussian,
    sample,
    stop_after,
)

MODEL = gaussian()
MADE, THIN = 60, 4


@pytest.fixture(scope="module")
def every():
    with MODEL:
        return sample(draws=MADE)


@pytest.fixture(scope="module")
def thinned(tmp_path_factory):
    with MODEL:
        return sample(draws=MADE, thin=THIN, checkpoint=tmp_path_factory.mktemp("run"))


def test_every_so_many_th_draw_of_the_same_run(every, thinned):
    for name, values in every.posterior.items():
        np.testing.assert_array_equal(thinned.posterior[name], values[:, THIN - 1 :: THIN])
    of_all, of_stored = every.sample_stats, thinned.sample_stats
    by_draw = (CHAINS, MADE // THIN, THIN)
    for name in (records.DATA_PASSES, records.STEP_SIZE_WEIGHT):
        sums = of_all[name].to_numpy().reshape(by_draw).sum(axis=2)
        np.testing.assert_allclose(of_stored[name], sums, rtol=1e-12)
    last = of_all[records.MINIBATCH_LOGP][:, THIN - 1 :: THIN]
    np.testing.assert_array_equal(of_stored[records.MINIBATCH_LOGP], last)


def test_moments_are_those_of_all_draws(every, thinned):
    group = thinned["all_draws"]
    assert (
        set(group.data_vars) == {"mu", "sigma", "sum"} and group.attrs["draws"] == [MADE] * CHAINS
    )
    assert group["mu"].dims == ("chain", "moment", "side")
    for name, values in every.posterior.items():
        mean, sd = group[name].sel(moment="mean"), group[name].sel(moment="sd")
        np.testing.assert_allclose(mean, values.mean("draw"), rtol=1e-12)
        np.testing.assert_allclose(sd, values.std("draw", ddof=1), rtol=1e-10)
        for probability in (0.05, 0.25, 0.5, 0.75, 0.95):  # of sixty draws they are exact
            quantile = group[name].sel(moment=f"quantile {probability}")
            expected = values.quantile(probability, "draw").drop_vars("quantile")
            np.testing.assert_allclose(quantile, expected, rtol=1e-10)
    assert (abs(thinned.posterior["mu"].mean("draw") - group["mu"].sel(moment="mean")) > 1e-6).all()


@pytest.mark.parametrize("stop", [TUNE + 1, TUNE + MADE // THIN + TUNE + 3])
def test_a_thinned_run_goes_on(thinned, stop, tmp_path):
    with MODEL:
        with pytest.raises(Stopped):
            sample(draws=MADE, thin=THIN, checkpoint=tmp_path, callback=stop_after(stop))
        again = psg.resume(tmp_path, **SESSION)
    assert_same(thinned, again, ("posterior", "sample_stats"))
    for tree in (again, psg.open_run(tmp_path)):
        for name, moments in thinned["all_draws"].data_vars.items():
            np.testing.assert_array_equal(tree["all_draws"][name], moments)


def test_processes_of_their_own(thinned, tmp_path):
    with MODEL:
        tree = sample(draws=MADE, thin=THIN, checkpoint=tmp_path, cores=2)
    assert_same(thinned, tree)
    np.testing.assert_array_equal(tree["all_draws"]["mu"], thinned["all_draws"]["mu"])


def test_no_quantiles_of_many_entries_or_of_an_older_run(monkeypatch, tmp_path):
    monkeypatch.setattr("pymc_sgld.checkpoints.running_moments._MOST_ENTRIES", 3)
    with MODEL:
        tree = sample(draws=MADE, thin=THIN, checkpoint=tmp_path)
    assert tree["all_draws"]["moment"].values.tolist() == ["mean", "sd"]


def test_by_pm_sample(thinned, tmp_path):
    with MODEL:
        step = psg.SGLD(step_size=1e-3, steps_per_draw=5, verify=False)
        step = psg.CheckpointedStep(step, tmp_path, thin=THIN)
        tree = pm.sample(
            MADE // THIN, step=step, tune=TUNE, chains=CHAINS, cores=1, random_seed=3,
            progressbar=False, quiet=True, compute_convergence_checks=False,
        )  # fmt: skip
        with pytest.raises(ValueError, match="thin: 4 in the run, 2 now"):
            psg.CheckpointedStep(step.inside, tmp_path, thin=2, resume=True)
    assert_same(thinned, tree)
    assert psg.open_run(tmp_path)["all_draws"]["mu"].shape == (CHAINS, 7, 2)


def test_what_is_refused(tmp_path):
    with MODEL:
        with pytest.raises(ValueError, match=r"thin=7 does not divide draws=30.*Write draws=35"):
            sample(thin=7, checkpoint=tmp_path)
        with pytest.raises(ValueError, match=r"write checkpoint='run/' too"):
            sample(thin=3)
        with pytest.raises(ValueError, match="thin must be >= 1"):
            sample(thin=0, checkpoint=tmp_path)


def test_moments_far_from_zero():
    draws = 1e8 + np.random.default_rng(0).normal(size=(1000, 3))
    moments = RunningMoments()
    for draw in draws:
        moments = moments.with_draw({"x": draw})
    np.testing.assert_allclose(moments.means["x"], draws.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(moments.sds["x"], draws.std(axis=0, ddof=1), rtol=1e-6)


def test_moments_are_never_written_into():
    first = RunningMoments().with_draw({"x": np.array([1.0])})
    first.with_draw({"x": np.array([3.0])})
    assert first.count == 1 and first.means["x"] == 1.0 and np.isnan(first.sds["x"])
