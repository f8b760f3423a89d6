"""The noise of batches of thousands of effects, against sums over rows of dense gradients."""

import numpy as np
import pymc as pm
import pytest

from pymc_sgld.hierarchical_gibbs.arrowhead_metric import conditional_metric
from pymc_sgld.hierarchical_gibbs.sparse_noise import by_coordinate, largest_noise, sparse_noise
from pymc_sgld.hierarchical_gibbs.sparse_rows import SparseRows
from pymc_sgld.model_graph import gathered_rows, row_model

SEED, N = 20261127, 400


@pytest.fixture(scope="module")
def rows():
    """Yes/no rows of two factors, one with rare levels, and two coefficients."""
    rng = np.random.default_rng(SEED)
    first, second = rng.integers(0, 20, N), np.minimum(rng.geometric(0.5, N) - 1, 6)
    columns = rng.normal(size=(N, 2))
    with pm.Model() as model:
        u, v, b = (pm.Normal(name, shape=shape) for name, shape in (("u", 20), ("v", 7), ("b", 2)))
        pm.Bernoulli("y", logit_p=u[first] + v[second] + columns @ b, observed=rng.random(N) < 0.4)
    read = row_model(model)
    return SparseRows.of(read.block_function("NUMBA"), gathered_rows(read, "NUMBA"))


@pytest.fixture(scope="module")
def setting(rows):
    rng = np.random.default_rng(1)
    n_dim = rows.gathered.n_dim
    centre, draws = 0.1 * rng.normal(size=n_dim), 0.3 * rng.normal(size=(8, n_dim))
    single, border = np.arange(27), np.arange(27, 29)
    own, cross = rng.gamma(20, size=27), rng.normal(size=(27, 2))
    return centre, draws, conditional_metric(centre, single, border, own, cross, 90 * np.eye(2))


def left(rows, centre, draw):
    everything = np.arange(N)
    here, there = (rows.function.row_gradients(at, 0, everything) for at in (centre, draw))
    return there - here


def test_noise_is_the_mean_square_of_what_is_left_of_scores(rows, setting):
    centre, draws, metric = setting
    found = sparse_noise(rows, centre, draws, metric, control_variate=True)
    parts = [left(rows, centre, draw) for draw in draws]
    exact = N * np.mean([part.T @ part for part in parts], axis=0)
    np.testing.assert_allclose(found.by_group[0].toarray(), exact, atol=1e-9 * exact.max())
    plain = sparse_noise(rows, centre, draws, metric, control_variate=False).by_group[0]
    scores = rows.function.row_gradients(centre, 0, np.arange(N))
    np.testing.assert_allclose(plain.toarray(), N * scores.T @ scores, atol=1e-9 * N)


def test_rows_with_much_of_the_noise_come_more_often(rows, setting, monkeypatch):
    module = __import__("pymc_sgld.hierarchical_gibbs.sparse_noise", fromlist=["sparse_noise"])
    monkeypatch.setattr(module, "_UNEVEN", 1.0)
    centre, draws, metric = setting
    found = sparse_noise(rows, centre, draws, metric, control_variate=True)
    parts = np.array([left(rows, centre, draw) for draw in draws])
    sizes = np.sqrt(((parts @ metric.matrix()) ** 2).sum(axis=2).mean(axis=0))
    expected = 0.1 / N + 0.9 * sizes / sizes.sum()
    np.testing.assert_allclose(found.probabilities, expected, rtol=1e-9)
    exact = np.mean([part.T @ (part / expected[:, None]) for part in parts], axis=0)
    np.testing.assert_allclose(found.weighted.toarray(), exact, atol=1e-9 * exact.max())


def test_largest_noise_and_noise_by_coordinate(rows, setting):
    centre, draws, metric = setting
    noise = sparse_noise(rows, centre, draws, metric, control_variate=True).by_group[0]
    factor = metric.matrix()
    whitened = factor.T @ noise.toarray() @ factor
    value, direction = largest_noise(noise, metric)
    assert value == pytest.approx(np.linalg.eigvalsh(whitened)[-1], rel=0.02)
    assert direction @ whitened @ direction == pytest.approx(value, rel=0.02)
    known = by_coordinate(noise, metric)
    found = np.where(metric.scale > 0, metric.scale**2 * known.by_parameter, known.of_border)
    np.testing.assert_allclose(found, np.diag(whitened), rtol=1e-9)
