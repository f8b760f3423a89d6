"""Gradients of many rows at once are those of one row after the other."""

import pickle

import numpy as np
import pymc as pm

import pymc_sgld as psg

from pymc_sgld.chain.backends import sampling_mode
from pymc_sgld.hierarchical_gibbs.conditional_curvature import given_the_rest
from pymc_sgld.model_graph.density import row_gradients


def test_many_rows_at_once(monkeypatch):
    """Two groups of rows, one with levels of a factor: equal to the last digit, whatever moves."""
    monkeypatch.setattr(row_gradients, "_WORTH_COMPILING", 50)
    rng = np.random.default_rng(0)
    with pm.Model() as model:
        mu = pm.Normal("mu")
        level = pm.Normal("level", mu, 1, shape=4)
        pm.Poisson("counts", pm.math.exp(level[rng.integers(0, 4, 30)]), observed=np.arange(30))
        pm.Normal("y", mu, 1, observed=rng.normal(size=20))
    function = psg.row_model(model).block_function(sampling_mode())
    position = rng.normal(size=5)
    some = given_the_rest(function, position, np.array([0, 2, 4]))
    assert function.total_sizes == (30, 20)
    rows = rng.permutation(30)
    one_by_one = function.row_gradients(position, 0, rows)
    assert function.by_row.of_group(0, 0) is None
    function.by_row.of_group(0, 100)
    at_once = function.row_gradients(position, 0, rows)
    assert function.by_row.of_group(0, 0) is not None
    np.testing.assert_allclose(at_once, one_by_one, rtol=1e-12, atol=1e-14)
    of_some = some.row_gradients(position[[0, 2, 4]], 0, rows)
    np.testing.assert_allclose(of_some, one_by_one[:, [0, 2, 4]], rtol=1e-12, atol=1e-14)
    sent = pickle.loads(pickle.dumps(function.by_row))
    assert sent.of_group(0, 10**9) is None
