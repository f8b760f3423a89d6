"""Mode, curvature and batch size: against closed forms, by identities, and where there is none."""

import numpy as np
import pymc as pm
import pytest

from pymc.exceptions import SamplingError

import pymc_sgld as psg

from pymc_sgld.chain.backends import sampling_mode
from pymc_sgld.samplers import Baoa
from pymc_sgld.tuning import (
    LinearLaw,
    LocalGaussian,
    find_laplace,
    laplace,
    local_gaussian,
    smallest_batch,
)
from pymc_sgld.tuning.batch_size import FEWEST_ROWS
from pymc_sgld.tuning.mode_search import climb, sample_rows, unit_information_scales
from pymc_sgld.tuning.row_curvature import is_hessian, low_rank_hessian


def block_function(model):
    return psg.row_model(model).block_function(sampling_mode())


@pytest.fixture(scope="module")
def of_regression(regression):
    return block_function(regression.model())


def test_a_gaussian_posterior_is_found_exactly(regression, of_regression):
    found = find_laplace(of_regression, np.full(3, 4.0), np.random.default_rng(0))
    sd = np.sqrt(np.diag(regression.covariance))
    assert np.abs((found.position - regression.mean) / sd).max() < 0.1 and found.score < 0.1
    np.testing.assert_allclose(found.covariance, regression.covariance, rtol=1e-4)


def test_newton_steps_reach_the_mode_of_all_rows(monkeypatch, regression, of_regression):
    """From the mode of a sample of 40 rows, which is sds away."""
    rng = np.random.default_rng(0)
    sd = np.sqrt(np.diag(regression.covariance))
    few = climb(of_regression, sample_rows(of_regression, 40, rng), np.zeros(3), rng)
    assert np.abs((few.position - regression.mean) / sd).max() > 0.5
    monkeypatch.setattr(laplace, "_FEWEST_ROWS", 40)
    monkeypatch.setattr(laplace, "_ROWS_PER_PARAMETER", 0)
    found = find_laplace(of_regression, np.zeros(3), np.random.default_rng(0))
    assert np.abs((found.position - regression.mean) / sd).max() < 0.2


def test_one_parameter_of_many_that_is_off_is_not_averaged_away():
    """A flat direction of 400: one posterior sd from the mode is a root mean square of .05."""
    covariance = np.diag([4.0, *np.ones(399)])
    away = np.zeros(400)
    away[0] = 2.0
    found = laplace.Laplace(away, 0.0, None, covariance, np.inf, 0.0)
    there = found.at(away, 0.0, np.linalg.solve(covariance, away))
    assert there.score == pytest.approx(0.05) and there.farthest == pytest.approx(1)
    assert not there.arrived
    assert found.at(0.2 * away, 0.0, np.linalg.solve(covariance, 0.2 * away)).arrived


def test_a_climb_in_whitened_coordinates_ends_at_the_same_mode_sooner(regression, of_regression):
    """A posterior with a correlation of .99, far stiffer one way than the other."""
    rng = np.random.default_rng(0)
    rows = sample_rows(of_regression, 400, rng)
    start = regression.mean + np.array([3.0, -3.0, 3.0])
    plain = climb(of_regression, rows, start, rng, 1e-3)
    factor = np.linalg.cholesky(regression.covariance)
    whitened = climb(of_regression, rows, start, rng, 1e-3, factor)
    sd = np.sqrt(np.diag(regression.covariance))
    assert np.abs((whitened.position - plain.position) / sd).max() < 0.02
    assert whitened.data_passes < plain.data_passes


def negative_binomial(n_rows=400, n_dim=4):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, n_dim))
    counts = rng.negative_binomial(2, 2 / (2 + np.exp(X @ rng.normal(size=n_dim) * 0.3)))
    with pm.Model() as model:
        beta = pm.Normal("beta", 0, 1, shape=n_dim)
        alpha = pm.HalfNormal("alpha", 5)
        pm.NegativeBinomial("y", mu=pm.math.exp(X @ beta), alpha=alpha, observed=counts)
    return model


def test_two_directions_a_row_give_the_hessian_of_rows_of_rank_two():
    """A linear predictor and a dispersion: the same matrix as by differences of all parameters."""
    function = block_function(negative_binomial())
    rng = np.random.default_rng(1)
    position = 0.1 * rng.normal(size=5)
    rows, scales = sample_rows(function, 400, rng), unit_information_scales(function, position, rng)
    found = low_rank_hessian(function, position, rows, scales, rng)

    def rows_alone(at):
        return function.batch(at, rows, prior_weight=0.0)[1]

    exact = np.array(
        [(rows_alone(position - e) - rows_alone(position + e)) / 2e-4 for e in 1e-4 * np.eye(5)]
    )
    np.testing.assert_allclose(found, exact, rtol=2e-3, atol=2e-3 * np.abs(exact).max())
    whole = local_gaussian(function, position, rng).precision
    factor = np.linalg.cholesky(np.linalg.inv(whole))
    right, wrong = (
        [is_hessian(one, function, position, rows, factor, rng) for _ in range(20)]
        for one in (found, 1.05 * found)
    )
    assert np.mean(right) > 0.5 and not any(wrong)


def test_the_smallest_batch_meets_the_target_and_no_smaller_one_does():
    rng = np.random.default_rng(2)
    one = rng.normal(size=(3, 3))
    totals, law = [100_000], LinearLaw(Baoa(np.inf))
    noise = (one @ one.T / 1e8 * 40)[None]
    gaussian = LocalGaussian(np.eye(3), noise, 0.0)
    [n] = smallest_batch(law, gaussian, np.eye(3), totals, target_bias=0.05)
    assert n > FEWEST_ROWS

    def widest(n_rows):
        v = np.linalg.eigvalsh(gaussian.gradient_noise(np.array(totals), np.array([n_rows])))[-1]
        return np.sqrt(law.variance(law.rule.largest_step, 1.0, v)) - 1

    assert widest(n) <= 0.05 < widest(int(0.97 * n))


def test_batches_that_cost_as_much_as_all_rows_become_all_rows():
    gaussian = LocalGaussian(np.eye(2), np.eye(2)[None] * 1e-3, 0.0)
    law = LinearLaw(Baoa(np.inf))
    sizes = {
        cost: smallest_batch(law, gaussian, np.eye(2), [1000], target_bias=0.05, cost=cost)[0]
        for cost in (1, 2)
    }
    assert 500 < sizes[1] < 1000 and sizes[2] == 1000


def logistic(X, outcome, prior):
    with pm.Model() as model:
        size = X.shape[1]
        beta = pm.Flat("beta", shape=size) if prior is None else pm.Normal("beta", 0, 1, shape=size)
        pm.Bernoulli("y", logit_p=X @ beta, observed=outcome)
    return model


@pytest.mark.parametrize("case", ["zeros", "collinear", "separated"])
def test_improper_posteriors_are_refused_by_name(case):
    rng = np.random.default_rng(3)
    X = rng.normal(size=(300, 3))
    outcome = (rng.random(300) < 1 / (1 + np.exp(-X[:, 0]))).astype(int)
    if case == "zeros":
        X[:, 1] = 0
    elif case == "collinear":
        X[:, 1] = X[:, 2]
    else:
        outcome = (X[:, 1] > 0).astype(int)
    with pytest.raises(SamplingError, match=r"improper along .*beta\[1\].*proper priors"):
        psg.Auto(model=logistic(X, outcome, None), rng=0, verify=False)


def test_data_without_scatter_have_no_mode():
    with pm.Model() as model:
        mu, sigma = pm.Normal("mu"), pm.HalfNormal("sigma")
        pm.Normal("y", mu, sigma, observed=np.full(300, 0.3))
    with pytest.raises(SamplingError, match=r"No mode was found.*without bound"):
        psg.Auto(model=model, rng=0, verify=False)
