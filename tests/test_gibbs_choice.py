"""When hyperparameters are drawn apart: where the joint mode is off, and up to which size."""

from types import SimpleNamespace

import numpy as np
import pymc as pm
import pytest
import xarray as xr

from threadpoolctl import threadpool_info, threadpool_limits

import pymc_sgld as psg

from pymc_sgld import records
from pymc_sgld.hierarchical_gibbs import sparse_prior
from pymc_sgld.hierarchical_gibbs.sparse_curvature import SparseCurvature
from pymc_sgld.model_graph import row_model
from pymc_sgld.step_methods import arguments, auto_gibbs, auto_report
from tests.gaussian_hierarchy import gaussian_hierarchy


@pytest.fixture(scope="module")
def model():
    return gaussian_hierarchy().model()


def test_joint_mode_is_off_by_what_the_effects_precision_adds():
    """A log scale of sd 0.2 and 50 effects that owe all of their precision to the prior: 10 sds."""
    normal = np.random.default_rng(3).standard_normal(50)
    draws = np.zeros((50, 3))
    draws[:, 0] = 0.2 * (normal - normal.mean()) / normal.std()
    curvature = SimpleNamespace(
        hyperparameters=np.array([0, 1]),
        metric=lambda draw: SimpleNamespace(log_determinant=-2 * 50 * draw[0]),
    )
    shift = auto_gibbs._shift_of_mode(SimpleNamespace(curvature=curvature, draws=draws))
    assert shift == pytest.approx(10)


@pytest.mark.parametrize("allowed", [True, False])
def test_auto_splits_where_the_joint_mode_is_far_from_the_posterior(monkeypatch, allowed):
    """A scale that is known well, and effects that owe most of their precision to the rows."""
    model = gaussian_hierarchy(n_groups=60, rows=50, scale=1.0).model()
    shift = []

    def spied(tuned, compute=auto_gibbs._shift_of_mode):
        shift.append(compute(tuned))
        monkeypatch.setattr(auto_gibbs, "LARGEST_SHIFT", shift[0] * (1.01 if allowed else 0.99))
        return shift[0]

    monkeypatch.setattr(auto_gibbs, "_shift_of_mode", spied)
    choice = psg.Auto(model=model, rng=0, verify=False).choice
    assert 0 < shift[0] < 1
    assert (choice.hyperparameters == "") == allowed


def test_a_split_is_tuned_on_one_blas_thread(model, monkeypatch):
    """Threads that wait for each other over small matrices took ten times as long."""
    seen = []

    def stop(*_):
        seen.extend(one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas")
        raise KeyboardInterrupt

    monkeypatch.setattr(auto_gibbs, "_hierarchy", stop)
    with threadpool_limits(limits=2, user_api="blas"), pytest.raises(KeyboardInterrupt):
        psg.Auto(model=model, rng=0, verify=False, hyperparameters="gibbs")
    assert seen and set(seen) == {1}


def walk_model(levels=12, rows=600):
    """Yes/no rows over a random walk of unknown step."""
    rng = np.random.default_rng(16)
    level = np.sort(rng.integers(0, levels, rows))
    path = np.cumsum(0.3 * rng.normal(size=levels))
    with pm.Model() as model:
        step = pm.HalfNormal("step", 0.5)
        first = pm.Normal.dist(0, 1)
        x = pm.GaussianRandomWalk("x", sigma=step, init_dist=first, shape=levels)
        pm.Bernoulli(
            "y", logit_p=x[level], observed=rng.random(rows) < 1 / (1 + np.exp(-path[level]))
        )
    return model, level


def test_information_of_rows_is_apart_from_a_prior_that_ties_neighbours():
    """No two levels share a row: the rows' information is diagonal, the prior's is not."""
    model, level = walk_model()
    step = psg.Auto(model=model, rng=0, verify=False, hyperparameters="gibbs")
    tuned = step.chain.tuner.tuned
    path = tuned.curvature.reference[tuned.curvature.moving]
    p = 1 / (1 + np.exp(-path))
    expected = np.bincount(level) * p * (1 - p)
    np.testing.assert_allclose(
        tuned.curvature.information, np.diag(expected), rtol=2e-3, atol=2e-3 * expected.max()
    )


@pytest.fixture(scope="module")
def field():
    """Effects that are all tied in the prior: a Gaussian field over 12 places."""
    rng, place = np.random.default_rng(3), np.arange(12.0)
    near = np.exp(-((place[:, None] - place) ** 2) / 20) + 1e-3 * np.eye(12)
    with pm.Model() as model:
        scale = pm.HalfNormal("scale", 1)
        u = pm.MvNormal("u", np.zeros(12), cov=scale**2 * near)
        pm.Normal("y", u[rng.integers(0, 12, 400)], 3, observed=rng.normal(size=400))
    return model


@pytest.mark.parametrize("limit", ["LARGEST_DENSE", "LARGEST_SPLIT"])
def test_many_effects_of_a_known_pattern_are_split_by_sparse_matrices(model, monkeypatch, limit):
    monkeypatch.setattr(auto_gibbs, limit, 1)
    tuned = psg.Auto(model=model, rng=0, verify=False).chain.tuner.tuned
    assert tuned.covariance is None and isinstance(tuned.curvature, SparseCurvature)


@pytest.mark.slow  # quicker: test_run_says_whose_scales_are_not_to_be_trusted
@pytest.mark.parametrize("enough", [True, False])
def test_number_of_parameters_that_is_split(field, monkeypatch, enough):
    model = field
    monkeypatch.setattr(sparse_prior, "_LARGEST_APART", 3)
    monkeypatch.setattr(auto_gibbs, "LARGEST_SPLIT", row_model(model).n_dim - (not enough))
    if enough:
        assert psg.Auto(model=model, rng=0, verify=False).choice.hyperparameters
    else:
        with pytest.raises(ValueError, match="the prior ties effects that are not neighbours"):
            psg.Auto(model=model, rng=0, verify=False, hyperparameters="gibbs")


def test_preconditioner_chosen_for_the_number_of_parameters_is_not_one_given(model, monkeypatch):
    monkeypatch.setattr(arguments, "LARGEST_MEASURED", 3)
    assert psg.Auto(model=model, rng=0, verify=False).choice.hyperparameters
    with pytest.raises(ValueError, match="it makes its own"), model:
        psg.Auto(verify=False, hyperparameters="gibbs", preconditioner="low_rank")


@pytest.mark.parametrize("enough", [pytest.param(True, marks=pytest.mark.slow), False])
def test_run_says_whose_scales_are_not_to_be_trusted(field, monkeypatch, enough):
    model = field
    monkeypatch.setattr(sparse_prior, "_LARGEST_APART", 3)
    monkeypatch.setattr(auto_gibbs, "LARGEST_SPLIT", row_model(model).n_dim - (not enough))
    step = psg.Auto(model=model, rng=0, verify=False)
    at_mode = {records.MODE_DISTANCE: (("chain", "draw"), np.zeros((2, 1)))}
    result = {"sample_stats": xr.Dataset(at_mode), "posterior": xr.Dataset(at_mode)}
    doubts = auto_report.warnings(step, result, None)
    said = auto_report.summary(step, doubts)
    in_doubt = [one for one in doubts if "draws of scale are not to be trusted" in one]
    assert bool(in_doubt) == (not enough)
    assert ("scale and the widths of the effects" in said) == (not enough)
    assert enough or "keep every sd" not in said
    assert bool(step.choice.hyperparameters) == enough


def test_what_a_user_moves_together_is_not_doubted(model, monkeypatch):
    monkeypatch.setattr(auto_gibbs, "LARGEST_SPLIT", 1)
    step = psg.Auto(model=model, rng=0, verify=False, hyperparameters="joint")
    assert step.doubtful == ()
