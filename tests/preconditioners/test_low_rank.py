"""Diagonal and low rank: algebra, spectrum, law, and directions found without a matrix."""

import numpy as np
import pymc as pm
import pytest
import scipy.linalg
import scipy.stats

from pymc_sgld.gradient_estimators import ESTIMATORS
from pymc_sgld.preconditioners import LowRank, LowRankMetric
from pymc_sgld.samplers import StochasticGradientLangevin
from pymc_sgld.step_methods.arguments import choose_settings
from pymc_sgld.tuning import warmup
from tests.affine_law import AffineStep


def metric_of(n_dim=30, rank=4, seed=0):
    rng = np.random.default_rng(seed)
    directions = np.linalg.qr(rng.normal(size=(n_dim, rank)))[0]
    return LowRankMetric(
        rng.normal(size=n_dim),
        rng.uniform(0.1, 10, n_dim),
        np.ascontiguousarray(directions),
        rng.uniform(0.1, 10, rank),
    )


def test_products_are_those_of_the_matrix():
    metric, rng = metric_of(), np.random.default_rng(1)
    L, z, g = metric.matrix(), rng.normal(size=30), rng.normal(size=30)
    position = metric.to_position(z, *metric.parameters())
    np.testing.assert_allclose(position, metric.centre + L @ z, rtol=1e-10)
    np.testing.assert_allclose(metric.pull_back(g, *metric.parameters()), L.T @ g, rtol=1e-10)
    np.testing.assert_allclose(metric.to_coordinates(position), z, rtol=1e-10)
    np.testing.assert_allclose(
        metric.to_coordinates(position), np.linalg.solve(L, position - metric.centre), rtol=1e-9
    )


def precision_of(spectrum, seed=0):
    """A precision whose diagonally scaled version has the given spectrum, made to sum to n_dim."""
    spectrum = np.array(spectrum) * len(spectrum) / np.sum(spectrum)
    rng = np.random.default_rng(seed)
    units = rng.uniform(0.01, 100, len(spectrum))
    scaled = scipy.stats.random_correlation.rvs(spectrum, random_state=rng)
    return scaled * np.outer(units, units), np.sort(spectrum)


def condition(metric, precision):
    L = metric.matrix()
    values = np.linalg.eigvalsh(L.T @ precision @ L)
    return values[-1] / values[0], values


def test_rank_is_that_of_the_extremes_at_both_ends():
    """Two stiff and two soft directions, a bulk within a factor 3."""
    spectrum = np.r_[1e-4, 1e-3, np.linspace(0.3, 0.9, 41), 8, 12]
    precision, values = precision_of(spectrum)
    metric = LowRank().at_mode(np.zeros(45), precision)
    left, after = condition(metric, precision)
    assert metric.directions.shape[1] == 4
    assert values[-1] / values[0] > 1e5 and left == pytest.approx(3)
    # the bulk lies around 1, and what was taken out is at 1: the covariance is matched there
    assert after[0] * after[-1] == pytest.approx(1) and np.isclose(after, 1, rtol=1e-6).sum() == 4


def test_a_rank_buys_the_spectrum_it_removes():
    """lambda_(r+1) / lambda_min of the scaled precision, for the best split over both ends."""
    precision, values = precision_of(np.geomspace(1e-3, 1e3, 25))
    for rank in (1, 5, 12, 24):
        metric = LowRank(rank).at_mode(np.zeros(25), precision)
        assert metric.directions.shape == (25, rank)
        best = min(values[24 - rank + low] / values[low] for low in range(rank + 1))
        assert condition(metric, precision)[0] == pytest.approx(best, rel=1e-6)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
@pytest.mark.parametrize("sampler", ["sgld", "baoa"])
def test_law_under_a_low_rank_preconditioner(make_step, regression, sampler, temperature):
    """In parameters, with M = L L' that is not the posterior's covariance."""
    step = make_step(
        "regression",
        regression.model(),
        sampler=sampler,
        preconditioner="low_rank",
        batch_size=300,
    )
    step.chain.restart((1, 2), 1, 1)
    rough = metric_of(3, 1, seed=2)
    rough = LowRankMetric(rough.centre, rough.scale / 60, rough.directions, rough.stretch / 4)
    step.chain.state.metric = rough
    L, centre = rough.matrix(), rough.centre
    h = 0.7 / np.linalg.eigvalsh(L.T @ regression.precision @ L)[-1]
    mean, found = AffineStep(step, h, temperature).stationary()
    np.testing.assert_allclose(centre + L @ mean, regression.mean, rtol=1e-8)
    theory = temperature * regression.covariance
    if sampler == "sgld":
        step_matrix = np.eye(3) - h * L @ L.T @ regression.precision
        theory = scipy.linalg.solve_discrete_lyapunov(step_matrix, 2 * h * temperature * L @ L.T)
    np.testing.assert_allclose(L @ found @ L.T, theory, rtol=1e-8)


def test_metric_is_measured_at_the_mode(make_step, regression):
    """Three parameters: two directions and a scale are the whole covariance."""
    step = make_step(
        "regression", regression.model(), preconditioner=LowRank(rank=2), batch_size=300
    )
    step.setup_chain(np.random.default_rng(0), 1, 1)
    step.step({"theta": np.zeros(3)})
    L = step.chain.state.metric.matrix()
    np.testing.assert_allclose(L @ L.T, regression.covariance, rtol=1e-4)


@pytest.mark.parametrize("rank", [0, -1, 2.5, True])
def test_refused_ranks(rank):
    with pytest.raises((TypeError, ValueError), match=r"rank of LowRank must be.*Leave it out"):
        LowRank(rank=rank)


def test_a_rank_of_all_parameters_is_dense():
    with pytest.raises(ValueError, match=r"from 1 to 3, got 4\. The model has 4.*'dense'"):
        LowRank(4).empty(4)


def test_directions_without_a_matrix(make_step, monkeypatch):
    """The path for large models, on a small one: Lanczos finds both ends of the spectrum."""
    monkeypatch.setattr(warmup, "LARGEST_MEASURED", 50)
    rng = np.random.default_rng(3)
    X = rng.normal(size=(400, 60)) * np.geomspace(0.1, 10, 60)
    X[:, :8] += 3 * rng.normal(size=(400, 1))
    X[:, -1] = X[:, -2] + 0.3 * rng.normal(size=400)
    with pm.Model() as model:
        theta = pm.Normal("theta", 0, 1, shape=60)
        pm.Normal("y", X @ theta, 3, observed=X[:, 0] * 0.3 + 3 * rng.normal(size=400))
    precision = X.T @ X / 9 + np.eye(60)
    step = make_step("ends", model, preconditioner=LowRank(6), step_size=0.1, batch_size=40)
    step.setup_chain(np.random.default_rng(0), 1, 2)
    step.step({"theta": np.zeros(60)})
    metric = step.chain.state.metric
    before = np.linalg.eigvalsh(precision * np.outer(metric.scale, metric.scale))
    best = min(before[53 + low] / before[low] for low in range(7))
    left, _ = condition(metric, precision)
    assert metric.directions.shape == (60, 6)
    assert left == pytest.approx(best, rel=0.1) and left < before[-1] / before[0] / 10


@pytest.mark.slow
def test_more_than_2000_parameters(make_step):
    """A regression with 2100 coefficients on 40 rows: 2060 directions are the prior's alone."""
    rng = np.random.default_rng(3)
    X = rng.normal(size=(40, 2100)) * np.r_[np.full(3, 20.0), np.ones(2097)]
    X[:, 3:6] = X[:, :3] + 0.1 * rng.normal(size=(40, 3))
    with pm.Model() as model:
        theta = pm.Normal("theta", 0, 0.1, shape=2100)
        pm.Normal("y", X @ theta, 3, observed=X[:, 0] * 0.3 + rng.normal(size=40))
    step = make_step("large", model, preconditioner=LowRank(4), step_size=0.1, batch_size=20)
    step.setup_chain(np.random.default_rng(0), 1, 2)
    point = {"theta": np.zeros(2100)}
    for _ in range(2):
        point, [stats] = step.step(point)
    metric = step.chain.state.metric
    assert np.isfinite(point["theta"]).all() and not stats["diverging"]
    assert np.isnan(stats["predicted_sd_inflation"])
    # the stiffest direction of the data is in the span of what was found
    scaled = metric.scale[:, None] * X.T
    stiffest = np.linalg.svd(scaled, full_matrices=False)[0][:, 0]
    assert np.linalg.norm(metric.directions.T @ stiffest) > 0.99


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"preconditioner": "diagonal"},
            r"2100 parameters.*choice of step_size \(give it, or take",
        ),
        (
            {"step_size": 1.0, "preconditioner": "dense"},
            r"preconditioner='dense' \(take 'low_rank'",
        ),
        ({"step_size": 1.0, "noise_compensation": True}, r"noise_compensation=False"),
    ],
)
def test_what_still_needs_a_matrix(arguments, message):
    given = {
        "step_size": None,
        "temperature": 1.0,
        "preconditioner": None,
        "noise_compensation": False,
        "steps_per_draw": None,
    }
    rule, estimator = StochasticGradientLangevin(), ESTIMATORS["minibatch"]
    settings = choose_settings("sgld", rule, estimator, **(given | arguments))
    assert settings(20).kernel.metric.name == settings(20).preconditioner.name
    with pytest.raises(ValueError, match=message):
        settings(2100)
