"""One free entry per row: the joint density of rows adds up to the model's own."""

import dataclasses

import numpy as np
import pymc as pm
import pytest

from pymc_sgld.model_graph import RowError, row_model
from pymc_sgld.model_graph.rewrite.local_latents import local_latent_model
from tests.model_graph.accepted_models import COUNTS, GROUP, POSITIVE, Y2, N, X, Y


def effects_per_row():
    with pm.Model(coords={"obs": np.arange(N)}) as model:
        b, tau = pm.Normal("b", shape=3), pm.HalfNormal("tau")
        z = pm.Normal("z", X @ b, tau, dims="obs")
        pm.Poisson("y", pm.math.exp(z), observed=COUNTS, dims="obs")
    return model


def non_centred_and_positive():
    with pm.Model() as model:
        tau = pm.HalfNormal("tau")
        raw = pm.Normal("raw", shape=N)
        rate = pm.Gamma("rate", 2.0, 1.0 + tau, shape=N)
        pm.Exponential("y", rate * pm.math.exp(tau * raw), observed=POSITIVE)
    return model


def rows_on_the_last_axis():
    with pm.Model() as model:
        loadings = pm.Normal("loadings", shape=(4, 2))
        factors = pm.Normal("factors", shape=(2, N))
        pm.Normal("y", loadings @ factors, 1.0, observed=Y2.T)
    return model


def a_latent_of_a_latent_and_groups():
    with pm.Model() as model:
        groups = pm.Normal("groups", shape=7)
        slow = pm.Normal("slow", groups[GROUP], 1.0)
        fast = pm.StudentT("fast", nu=4, mu=slow, sigma=0.5, shape=N)
        pm.Normal("y", fast, 1.0, observed=Y)
    return model


CASES = {
    "effects_per_row": (effects_per_row, {}, {"z"}),
    "non_centred_and_positive": (non_centred_and_positive, {}, {"raw", "rate_log__"}),
    "rows_on_the_last_axis": (rows_on_the_last_axis, {"rows": {"y": 1}}, {"factors"}),
    "a_latent_of_a_latent_and_groups": (a_latent_of_a_latent_and_groups, {}, {"slow", "fast"}),
}


def sums_over_parts(local_model, mode, point, n_parts=4):
    """Add up value and gradients over a random partition into unequal parts."""
    rng = np.random.default_rng(3)
    shared, local = local_model.split(point)
    function = local_model.compiled(mode)
    cuts = np.sort(rng.choice(np.arange(1, N), n_parts - 1, replace=False))
    value, gradient = 0.0, np.zeros(len(shared))
    by_latent = {name: np.zeros_like(array) for name, array in local.items()}
    for k, rows in enumerate(np.split(rng.permutation(N), cuts)):
        v, g, by = function(shared, local, [rows], prior_weight=float(k == 0), weights=[1.0])
        value, gradient = value + v, gradient + g
        for name, slope in by.items():
            by_latent[name][rows] += slope
    return value, gradient, by_latent


def random_point(model):
    rng = np.random.default_rng(4)
    start = model.initial_point(random_seed=0)
    return {name: value + 0.3 * rng.normal(size=value.shape) for name, value in start.items()}


@pytest.mark.parametrize("name", CASES)
def test_joint_rows_add_up_to_the_models_own_log_density(name, python_mode):
    build, options, latents = CASES[name]
    model = build()
    local_model = local_latent_model(model, **options)
    assert {leaf.name for leaf in local_model.latents} == latents
    point = random_point(model)
    value, gradient, by_latent = sums_over_parts(local_model, python_mode, point)
    np.testing.assert_allclose(value, model.compile_logp(mode=python_mode)(point), rtol=1e-12)
    expected = model.compile_dlogp(mode=python_mode)(point)
    start, parts = 0, {}
    for var in model.value_vars:
        stop = start + point[var.name].size
        parts[var.name] = expected[start:stop].reshape(point[var.name].shape)
        start = stop
    shared = [parts[v.name].ravel() for v in model.value_vars if v.name not in latents]
    np.testing.assert_allclose(gradient, np.concatenate(shared), rtol=1e-10, atol=1e-12)
    for leaf in local_model.latents:
        rows_first = np.moveaxis(parts[leaf.name], leaf.axis, 0)
        np.testing.assert_allclose(by_latent[leaf.name], rows_first, rtol=1e-10, atol=1e-12)


def test_a_row_that_is_left_out_moves_no_latent_of_its_own(python_mode):
    model = effects_per_row()
    local_model = local_latent_model(model)
    shared, local = local_model.split(random_point(model))
    function = local_model.compiled(python_mode)
    first = function(shared, local, [np.arange(5)], prior_weight=0.0, weights=[1.0])
    changed = {"z": np.where(np.arange(N) < 5, local["z"], 100.0)}
    again = function(shared, changed, [np.arange(5)], prior_weight=0.0, weights=[1.0])
    assert first[0] == again[0]
    np.testing.assert_array_equal(first[2]["z"], again[2]["z"])


def test_weights_scale_the_rows_and_the_prior_apart(python_mode):
    model = effects_per_row()
    local_model = local_latent_model(model)
    shared, local = local_model.split(random_point(model))
    function, rows = local_model.compiled(python_mode), [np.arange(9)]
    prior = function(shared, local, rows, prior_weight=1.0, weights=[0.0])
    once = function(shared, local, rows, prior_weight=0.0, weights=[1.0])
    both = function(shared, local, rows, prior_weight=2.0, weights=[2.5])
    for i in range(2):
        np.testing.assert_allclose(both[i], 2.0 * prior[i] + 2.5 * once[i], rtol=1e-12)
    np.testing.assert_allclose(both[2]["z"], 2.5 * once[2]["z"], rtol=1e-12)


def test_the_identity_notices_a_missing_local_prior(python_mode):
    model = effects_per_row()
    local_model = local_latent_model(model)
    terms = [t for t in local_model.row_model.terms if t.kind != "local prior"]
    broken = dataclasses.replace(
        local_model,
        row_model=dataclasses.replace(local_model.row_model, terms=tuple(terms)),
    )
    point = random_point(model)
    value, *_ = sums_over_parts(broken, python_mode, point)
    assert abs(value / model.compile_logp(mode=python_mode)(point) - 1) > 0.01


def walk_over_rows():
    with pm.Model() as model:
        pm.Normal("y", pm.GaussianRandomWalk("walk", 1.0, shape=N), 1.0, observed=Y)
    return model


def total_of_latents():
    with pm.Model() as model:
        z = pm.Normal("z", shape=N)
        pm.Normal("total", z.sum(), 1.0)
        pm.Normal("y", z, 1.0, observed=Y)
    return model


def no_latents():
    with pm.Model() as model:
        pm.Normal("y", X @ pm.Normal("b", shape=3), 1.0, observed=Y)
    return model


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (walk_over_rows, r"^'walk' has one entry per row, but its prior cannot be split by rows"),
        (total_of_latents, r"^'z' has one entry per row, and enters '.*' as a whole"),
        (no_latents, r"^No free variable has one entry per row"),
    ],
)
def test_latents_that_tie_rows_together_are_refused(build, message):
    with pytest.raises(RowError, match=message):
        local_latent_model(build())


def test_the_refusal_of_row_model_says_what_to_do():
    with pytest.raises(RowError, match=r"parameter 'z' has one entry per row .*Marginalise it: "):
        row_model(effects_per_row())
