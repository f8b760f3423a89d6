"""One model written in four ways gives the same minibatch gradient on the same rows."""

import numpy as np
import pymc as pm
import pymc.dims as pmd
import pytest

from pymc_sgld.model_graph import row_model

N, FEATURES, GROUPS = 400, 3, 6
rng = np.random.default_rng(11)
X = rng.normal(size=(N, FEATURES))
GROUP = rng.integers(0, GROUPS, N)
Y = rng.poisson(np.exp(X @ np.array([0.3, -0.5, 0.1])))
COORDS = {"feature": range(FEATURES), "group": range(GROUPS)}


def declare(x, group, y, **options):
    tau = pm.HalfNormal("tau")
    b = pm.Normal("b", 0, 1, dims="feature")
    effect = pm.Normal("effect", 0, tau, dims="group")
    pm.NegativeBinomial(
        "y", mu=pm.math.exp(x @ b + effect[group]), alpha=2.5, observed=y, **options
    )


def plainly():
    with pm.Model(coords=COORDS) as model:
        declare(X, GROUP, Y)
    return row_model(model), {}


def with_minibatch():
    with pm.Model(coords=COORDS) as model:
        x, group, y = pm.Minibatch(X, GROUP.astype("int32"), Y.astype("int32"), batch_size=32)
        declare(x, group, y, total_size=N)
    return row_model(model), {}


def with_dims():
    with pm.Model(coords={**COORDS, "row": range(N)}) as model:
        x = pmd.Data("x", X, dims=("row", "feature"))
        group = pmd.Data("g", GROUP, dims="row")
        tau = pmd.HalfNormal("tau")
        b = pmd.Normal("b", 0, 1, dims="feature")
        effect = pmd.Normal("effect", 0, tau, dims="group")
        mu = pmd.math.exp((x * b).sum("feature") + effect.isel(group=group))
        y = pmd.as_xtensor(Y, dims=("row",))
        pmd.NegativeBinomial("y", mu=mu, alpha=2.5, observed=y, dims="row")
    return row_model(model), {}


def with_streamed_placeholders():
    with pm.Model(coords=COORDS) as model:
        x = pm.Data("x", np.zeros((2, FEATURES)))
        group = pm.Data("g", np.zeros(2, dtype="int64"))
        declare(x, group, pm.Data("counts", np.zeros(2, dtype="int64")))
    return row_model(model, total_size=N), {"data": {"x": X, "g": GROUP, "counts": Y}}


WAYS = [plainly, with_minibatch, with_dims, with_streamed_placeholders]


@pytest.fixture(scope="module")
def gradients(python_mode):
    """Return value and gradient of each way on two batches and on all rows."""
    position = np.random.default_rng(1).normal(size=1 + FEATURES + GROUPS) / 2
    batches = [np.array([399, 0, 17, 17, 250]), np.random.default_rng(2).permutation(N)[:64], None]
    found = {}
    for way in WAYS:
        rows, options = way()
        assert [v.name for v in rows.value_vars] == ["tau_log__", "b", "effect"]
        found[way] = [
            rows.logp_and_gradient(position, batch, compile_kwargs={"mode": python_mode}, **options)
            for batch in batches
        ]
    return found


@pytest.mark.parametrize("way", WAYS[1:], ids=lambda way: way.__name__)
def test_same_minibatch_gradient(way, gradients):
    for (value, gradient), (expected, slope) in zip(
        gradients[way], gradients[plainly], strict=True
    ):
        np.testing.assert_allclose(value, expected, rtol=1e-12)
        np.testing.assert_allclose(gradient, slope, rtol=1e-12, atol=1e-12 * np.abs(slope).max())


def test_the_batches_tell_their_rows_apart(gradients):
    first, second, full = (gradient for _, gradient in gradients[plainly])
    assert np.abs(first - second).max() > 1.0
    assert np.abs(first - full).max() > 1.0
