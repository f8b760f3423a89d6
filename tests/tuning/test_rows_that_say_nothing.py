"""Levels without rows, columns alike, columns of one value: each is right, or refused in words."""

import numpy as np
import pymc as pm
import pytest

from pymc.exceptions import SamplingError

import pymc_sgld as psg

N_ROWS = 3000


@pytest.fixture(scope="module")
def rng():
    return np.random.default_rng(0)


def regression(design, outcome, prior_sd=2.0):
    with pm.Model() as model:
        flat = prior_sd is None
        beta = pm.Flat("beta", shape=3) if flat else pm.Normal("beta", 0, prior_sd, shape=3)
        pm.Normal("y", (design * beta).sum(axis=1), 1, observed=outcome)
    return model


def tuned(model):
    step = psg.Auto(model=model, rng=1, verify=False)
    assert step.choice.other_mode == 0
    return step.chain.prepared


def assert_right(design, outcome):
    covariance = np.linalg.inv(design.T @ design + np.eye(3) / 4)
    found, sd = tuned(regression(design, outcome)), np.sqrt(np.diag(covariance))
    # a sample of the rows is known to a few per cent, and what is off by a quarter is mended
    np.testing.assert_allclose(np.sqrt(np.diag(found.covariance)) / sd, 1, atol=0.05)
    apart = (found.covariance - covariance) / np.outer(sd, sd)
    np.testing.assert_allclose(apart, 0, atol=0.1)
    away = (found.mode - covariance @ design.T @ outcome) / sd
    assert np.abs(away).max() < 0.3


def test_a_level_without_rows_has_its_prior(rng):
    level = rng.integers(0, 4, N_ROWS)
    with pm.Model() as model:
        u = pm.Normal("u", 0.5, 1.5, shape=5)
        pm.Bernoulli("y", logit_p=u[level], observed=rng.integers(0, 2, N_ROWS))
    found = tuned(model)
    assert found.mode[4] == pytest.approx(0.5, abs=0.15)
    assert found.covariance[4, 4] == pytest.approx(1.5**2, rel=0.01)
    np.testing.assert_allclose(np.delete(found.covariance[4], 4), 0, atol=1e-3)


def test_two_columns_that_are_the_same(rng):
    column = rng.normal(size=N_ROWS)
    design = np.column_stack([column, column, rng.normal(size=N_ROWS)])
    outcome = design @ [0.5, 0.2, -0.1] + rng.normal(size=N_ROWS)
    assert_right(design, outcome)
    with pytest.raises(SamplingError, match=r"improper along beta\[[01]\], beta\[[01]\]"):
        tuned(regression(design, outcome, prior_sd=None))


def test_a_column_of_one_value_in_the_rows_that_are_always_taken(rng):
    """Twelve rows are so far out that they stand for themselves, and all have a one there."""
    n_rows = 30_000
    design = np.column_stack([rng.normal(size=(n_rows, 2)), np.ones(n_rows)])
    design[:12, :2] = 300.0, 1.0
    assert_right(design, design @ [0.01, -0.2, 0.3] + rng.normal(size=n_rows))


@pytest.mark.parametrize("hyperparameters", ["auto", "gibbs", "joint"])
@pytest.mark.parametrize("in_the_rows", [False, True])
def test_a_scale_with_a_flat_prior_whose_effects_have_no_rows(rng, in_the_rows, hyperparameters):
    column = rng.normal(size=N_ROWS)
    with pm.Model() as model:
        a, tau = pm.Normal("a", 0, 5), pm.HalfFlat("tau")
        u = pm.Normal("u", 0, tau, shape=4)
        v = pm.Normal("v", 0, pm.HalfNormal("sigma", 1), shape=4)  # a scale that is known
        mean = a + 0.5 * column + v[rng.integers(0, 4, N_ROWS)]
        if in_the_rows:  # rows of another kind, of which there are none
            mean = mean + np.zeros(N_ROWS) * u[rng.integers(0, 4, N_ROWS)]
        pm.Normal("y", mean, 1, observed=column + rng.normal(size=N_ROWS))
    with pytest.raises(SamplingError, match="tau has a flat prior, and no row says anything of it"):
        psg.Auto(model=model, rng=1, verify=False, hyperparameters=hyperparameters)
