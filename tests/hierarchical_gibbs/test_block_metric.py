"""Effects in blocks: coordinates, the noise in them, and which models have them."""

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest

import pymc_sgld as psg

from pymc_sgld.hierarchical_gibbs import conditional_curvature as curvature_module
from pymc_sgld.hierarchical_gibbs.arrowhead_metric import ConditionalNoise
from pymc_sgld.hierarchical_gibbs.block_metric import BlockMetric, block_metric
from pymc_sgld.hierarchical_gibbs.conditional_curvature import conditional_curvature
from pymc_sgld.hierarchical_gibbs.prior_model import compile_prior, hyperparameters_of
from pymc_sgld.model_graph import row_model

BLOCKS = np.array([[1, 6], [7, 2], [9, 4]])
BORDER = np.array([5, 8])


@pytest.fixture(scope="module")
def precision():
    """Of ten parameters, of which 0 and 3 do not move."""
    rng = np.random.default_rng(0)
    moving = np.concatenate([BLOCKS.ravel(), BORDER])
    root = rng.normal(size=(8, 8))
    inside = root @ root.T + 8 * np.eye(8)
    block = np.repeat(np.arange(3), 2)
    inside[:6, :6] *= block[:, None] == block
    whole = np.zeros((10, 10))
    whole[np.ix_(moving, moving)] = inside
    return whole


@pytest.fixture(scope="module")
def metric(precision):
    own = precision[BLOCKS[:, :, None], BLOCKS[:, None, :]]
    cross = precision[np.ix_(BLOCKS.ravel(), BORDER)]
    centre = np.random.default_rng(1).normal(size=10)
    return block_metric(centre, BLOCKS, BORDER, own, cross, precision[np.ix_(BORDER, BORDER)])


def test_coordinates_of_blocks(precision, metric):
    """L L' is the inverse of the precision, and all ways of writing it are the same."""
    rng = np.random.default_rng(2)
    moving, factor = np.concatenate([BLOCKS.ravel(), BORDER]), metric.matrix()
    inside = np.ix_(moving, moving)
    inverse = np.zeros((10, 10))
    inverse[inside] = np.linalg.inv(precision[inside])
    np.testing.assert_allclose(factor @ factor.T, inverse, atol=1e-12)
    expected = np.linalg.slogdet(precision[inside])[1]
    assert metric.log_determinant == pytest.approx(expected, rel=1e-10)
    z = rng.normal(size=10)
    z[[0, 3]] = 0
    position = metric.to_position(z, *metric.parameters())
    np.testing.assert_allclose(position, metric.centre + factor @ z)
    np.testing.assert_allclose(metric.to_coordinates(position), z, atol=1e-10)
    gradient = rng.normal(size=10)
    np.testing.assert_allclose(metric.whitened(gradient), factor.T @ gradient)
    constants = [pt.constant(one) for one in (z, gradient, *metric.parameters())]
    graphs = metric.to_position(constants[0], *constants[2:]), metric.pull_back(*constants[1:])
    ahead, back = (graph.eval(mode="FAST_COMPILE") for graph in graphs)
    np.testing.assert_allclose(ahead, position)
    np.testing.assert_allclose(back, factor.T @ gradient)


def test_noise_of_batches_within_blocks(metric):
    root = np.random.default_rng(3).normal(size=(3, 2, 2))
    within = root @ root.swapaxes(1, 2)
    whole = np.zeros((10, 10))
    whole[BLOCKS[:, :, None], BLOCKS[:, None, :]] = within
    factor = metric.matrix()
    found = metric.noise_by_coordinate(ConditionalNoise(np.diag(whole), np.full(10, 7.0), within))
    expected = np.diag(factor.T @ whole @ factor)
    np.testing.assert_allclose(found[BLOCKS], expected[BLOCKS])
    assert (found[BORDER] == 7).all()


def test_the_nearest_positive_blocks_are_taken_where_a_prior_is_not_log_concave():
    own = np.array([[[1.0, 3.0], [3.0, 1.0]]])
    metric = block_metric(
        np.zeros(2), np.array([[0, 1]]), np.zeros(0, int), own, np.zeros((2, 0)), np.zeros((0, 0))
    )
    factor = metric.matrix()
    np.testing.assert_allclose(np.linalg.inv(factor @ factor.T), [[3, 1], [1, 3]], atol=1e-9)
    with pytest.raises(np.linalg.LinAlgError, match="not finite"):
        block_metric(
            np.zeros(2), np.array([[0, 1]]), np.zeros(0, int), np.nan * own, np.zeros((2, 0)),
            np.zeros((0, 0)),
        )  # fmt: skip


def test_correlated_slopes_are_blocks_at_any_hyperparameters(monkeypatch):
    """The prior ties intercept and slope of a group, and rows do: neither may be left out."""
    monkeypatch.setattr(curvature_module, "_LARGEST_BORDER", 3)
    rng = np.random.default_rng(4)
    group, x = np.repeat(np.arange(5), 6), rng.normal(size=30)
    with pm.Model() as model:
        tau = pm.HalfNormal("tau")
        u = pm.Normal("u", 0, tau, shape=(5, 2))
        pm.Potential("tied", -(((u[:, 0] - u[:, 1]) / tau) ** 2).sum() / 2)
        b = pm.Normal("b")
        pm.Normal("y", u[group, 0] + u[group, 1] * x + b * x**2, 1, observed=x)
    rows = row_model(model)
    entries = rows.layout.entries(hyperparameters_of(rows))
    design = np.zeros((30, 11))
    design[np.arange(30), 2 * group], design[np.arange(30), 2 * group + 1] = 1, x
    design[:, -1] = x**2
    moving = np.setdiff1d(np.arange(rows.n_dim), entries)
    order = rows.layout.entries(["u"]).tolist() + rows.layout.entries(["b"]).tolist()
    information = (design.T @ design)[np.ix_(*2 * [np.argsort(order)])]
    prior, position = compile_prior(rows, "NUMBA"), np.zeros(rows.n_dim)
    curvature = conditional_curvature(prior, position, entries, information, rows.layout.sizes, rng)
    assert curvature.blocks.shape == (5, 2) and len(curvature.border) == 1
    for log_tau in (-1.0, 0.5):
        at = position.copy()
        at[entries] = log_tau
        metric = curvature.metric(at)
        assert isinstance(metric, BlockMetric)
        units = np.eye(rows.n_dim)[moving]
        precision = information + np.array([prior(at, unit)[1][moving] for unit in units])
        factor = metric.matrix()[moving][:, moving]
        np.testing.assert_allclose(factor @ factor.T @ precision, np.eye(11), atol=1e-10)


@pytest.mark.statistical
def test_law_of_correlated_slopes_on_batches(monkeypatch):
    """Against sums over a grid of the log scale, given which everything is in closed form."""
    monkeypatch.setattr(curvature_module, "_LARGEST_BORDER", 3)
    rng, n_groups = np.random.default_rng(4), 8
    group, x = np.repeat(np.arange(n_groups), 60), rng.normal(size=60 * n_groups)
    effects = rng.normal(size=(n_groups, 2)) * [0.4, 0.3]
    y = effects[group, 0] + effects[group, 1] * x + rng.normal(size=len(x))
    with pm.Model():
        tau = pm.HalfNormal("tau")
        u = pm.Normal("u", 0, tau, shape=(n_groups, 2))
        pm.Potential("tied", -(((u[:, 0] - u[:, 1]) / tau) ** 2).sum() / 2)
        b = pm.Normal("b")
        pm.Normal("y", u[group, 0] + u[group, 1] * x + b * x**2, 1, observed=y)
        step = psg.Auto(rng=0, hyperparameters="gibbs", batch_size=150)
        assert isinstance(step.chain.prepared.metric, BlockMetric)
        quiet = {"progressbar": False, "cores": 1, "compute_convergence_checks": False}
        posterior = pm.sample(3000, step=step, tune=200, chains=2, random_seed=1, **quiet).posterior
    design = np.zeros((len(x), 2 * n_groups + 1))
    rows = np.arange(len(x))
    design[rows, 2 * group], design[rows, 2 * group + 1], design[:, -1] = 1, x, x**2
    slope, grid, found = design.T @ y, np.linspace(-5, 2, 300), []
    for log_tau in grid:
        prior = np.kron(np.eye(n_groups), [[2.0, -1.0], [-1.0, 2.0]]) * np.exp(-2 * log_tau)
        precision = design.T @ design
        precision[:-1, :-1] += prior
        precision[-1, -1] += 1
        mean = np.linalg.solve(precision, slope)
        value = slope @ mean / 2 - np.linalg.slogdet(precision)[1] / 2 - np.exp(2 * log_tau) / 2
        value -= 2 * n_groups * log_tau - log_tau
        found.append((value, mean, np.diag(np.linalg.inv(precision))))
    values, means, variances = map(np.array, zip(*found, strict=True))
    weights = np.exp(values - values.max())
    weights /= weights.sum()
    mean = np.append(weights @ grid, weights @ means)
    square = np.append(weights @ grid**2, weights @ (variances + means**2))
    sd = np.sqrt(square - mean**2)
    drawn = [np.log(posterior["tau"].values)[..., None]]
    drawn += [posterior["u"].values.reshape(2, 3000, -1), posterior["b"].values[..., None]]
    draws = np.concatenate(drawn, axis=-1)
    assert np.abs((draws.mean(axis=(0, 1)) - mean) / sd).max() < 0.1
    assert np.abs(draws.std(axis=(0, 1)) / sd - 1).max() < 0.05
