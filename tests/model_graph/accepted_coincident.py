"""Named models in which a size has nothing to do with the rows and happens to equal N."""

from __future__ import annotations

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from tests.model_graph.accepted_models import K, N, X, Y, accepted, coefficients

rng = np.random.default_rng(20263)
SQUARE = rng.normal(size=(N, N))
SCALE = rng.gamma(3.0, 1.0, size=N)
INDEX = rng.integers(0, N, size=N)
COLUMN = rng.integers(0, K, size=N)


@accepted()
def as_many_features_as_rows():
    data, b = pm.Data("X", SQUARE), pm.Normal("b", shape=N)
    gram = (data.T @ data / N @ b).sum()
    pm.Normal("y", (data / data.std(axis=0)) @ b + gram, 9.0, observed=Y)


@accepted()
def feature_scales_as_long_as_the_data():
    b = pm.Normal("b", shape=N) * SCALE
    pm.Normal("y", (pt.as_tensor(SQUARE) / SCALE) @ b, 9.0, observed=Y)


@accepted()
def smoothing_matrix_as_large_as_the_data():
    walk = np.tril(np.ones((N, N))) @ pm.Normal("b", shape=N)
    pm.Normal("y", SQUARE @ walk, 9.0, observed=Y)


@accepted()
def hidden_layer_with_constants_as_wide_as_the_data():
    w1 = pm.Normal("w1", shape=(3, N)) * SCALE
    pm.Normal("y", pt.tanh(X @ w1 + SCALE) @ pm.Normal("w2", 0, 0.1, shape=N), 1.0, observed=Y)


@accepted()
def table_of_as_many_groups_as_rows():
    u = pm.Data("u", SCALE)
    alpha = u * pm.Normal("gamma") + pm.Normal("z", shape=N)
    pm.Normal("y", alpha[INDEX] + u[INDEX], 1.0, observed=Y)


@accepted()
def table_of_two_indices_as_long_as_the_data():
    table = pm.Data("u", rng.normal(size=(N, K))) * pm.Normal("gamma")
    pm.Normal("y", table[INDEX, COLUMN], 1.0, observed=Y)


@accepted()
def table_of_fewer_groups_scaled():
    table = rng.normal(size=35) * pm.Normal("gamma")
    pm.Normal("y", table[rng.integers(0, 35, size=N)], 1.0, observed=Y)


@accepted()
def as_many_quadrature_nodes_as_rows():
    mu = (X @ coefficients())[:, None] + SCALE * pm.HalfNormal("tau")
    logp = pm.logp(pm.Normal.dist(mu, 1.0), Y[:, None])
    pm.Potential("marginal", pt.logsumexp(logp, axis=1) - np.log(N))


@accepted()
def a_few_rows_used_whole():
    data, b = pm.Data("X", X), coefficients()
    pm.Normal("y", data @ b + (data[:4] @ b).sum(), 1.0, observed=Y)
