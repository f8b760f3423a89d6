"""Scores of draws against the model's own gradient, and draws that have none."""

import numpy as np
import pymc as pm
import pytest
import xarray as xr

from pytensor.graph.basic import Apply
from pytensor.graph.op import Op

from pymc_sgld.model_graph import RowError
from pymc_sgld.posterior import NoScoreError, posterior_scores

CHAINS, DRAWS = 2, 30


def drawn(**values):
    """Return what a sampler would: arrays of shape (shape), broadcast over chains and draws."""
    dataset = {
        name: (
            ("chain", "draw", *(f"{name}_dim_{i}" for i in range(np.ndim(value) - 2))),
            np.array(value),
        )
        for name, value in values.items()
    }
    return xr.DataTree.from_dict({"posterior": xr.Dataset(dataset)})


@pytest.fixture(scope="module")
def draws():
    rng = np.random.default_rng(0)
    return drawn(beta=rng.normal(size=(CHAINS, DRAWS, 2)), sigma=rng.gamma(2, size=(CHAINS, DRAWS)))


def regression(rows=50):
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(rows, 2)), rng.normal(size=rows)
    with pm.Model() as model:
        beta = pm.Normal("beta", 0, 1, shape=2)
        sigma = pm.HalfNormal("sigma", 1)
        pm.Normal("y", (x * beta).sum(-1), sigma, observed=y)
    return model


def autoregression():
    with pm.Model() as model:
        beta = pm.Normal("beta", 0, 1, shape=2)
        sigma = pm.HalfNormal("sigma", 1)
        y = np.random.default_rng(2).normal(size=20)
        pm.AR("y", rho=beta, sigma=sigma, init_dist=pm.Normal.dist(shape=2), observed=y)
    return model


@pytest.mark.parametrize("build", [regression, autoregression])
def test_scores_are_the_models_gradient(build, draws):
    """By rows, and of a model whose rows cannot be taken apart; the Jacobian of sigma included."""
    model = build()
    found = posterior_scores(draws, model, n_scored=6)
    assert repr(found).startswith("Scores at 3 of ") and "6 data passes" in repr(found)
    assert found.labels == ["beta[0]", "beta[1]", "sigma"]
    assert found.scores.shape == (CHAINS, 3, 3) and found.data_passes == 6
    assert found.scored[-1] == DRAWS - 1 and np.ptp(np.diff(found.scored)) == 0
    gradient = model.compile_dlogp(mode="FAST_COMPILE")
    density = model.compile_logp(mode="FAST_COMPILE")
    for chain, number in np.ndindex(found.scores.shape[:2]):
        at = {"chain": chain, "draw": found.scored[number]}
        beta = draws["posterior"]["beta"].isel(at).to_numpy()
        sigma = draws["posterior"]["sigma"].isel(at).to_numpy()
        point = {"beta": beta, "sigma_log__": np.log(sigma)}
        np.testing.assert_allclose(found.scores[chain, number], gradient(point), rtol=1e-9)
        assert found.log_density[chain, number] == pytest.approx(float(density(point)))


def test_draws_of_another_model_are_refused(draws):
    with pytest.raises(RowError, match=r"'beta' has shape \(2,\) in the draws and \(3,\)"):
        with pm.Model() as model:
            pm.Normal("y", pm.Normal("beta", shape=3).sum(), observed=np.zeros(5))
        posterior_scores(draws, model)
    with pytest.raises(RowError, match=r"lack 'gamma'.*The draws have 'beta', 'sigma': of another"):
        with pm.Model() as model:
            pm.Normal("y", pm.Normal("gamma"), observed=np.zeros(5))
        posterior_scores(draws, model)


class WithoutGradient(Op):
    def make_node(self, x):
        return Apply(self, [x], [x.type()])

    def perform(self, node, inputs, outputs):
        outputs[0][0] = inputs[0] ** 2


def test_models_without_a_gradient_are_told():
    with pm.Model() as model:
        pm.Normal("y", WithoutGradient()(pm.Normal("x")), observed=np.zeros(5))
    with pytest.raises(NoScoreError, match=r"no gradient: .*WithoutGradient"):
        posterior_scores(drawn(x=np.ones((2, 9))), model)
    with pm.Model() as model:
        pm.Normal("y", pm.Poisson("k", 3), observed=np.zeros(5))
    with pytest.raises(NoScoreError, match=r"'k' is discrete.*marginalise"):
        posterior_scores(drawn(k=np.ones((2, 9), dtype=int)), model)


def test_draws_that_are_not_finite_or_outside_the_support_are_named(draws):
    broken = draws.copy(deep=True)
    broken["posterior"]["sigma"][0, -1] = -1.0
    with pytest.raises(NoScoreError, match=r"not finite along sigma, .* at 1 of the 60 draws"):
        posterior_scores(broken, regression())
