"""Group effects that are written non-centred: what is found, and that the map is exact."""

from dataclasses import replace

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest

from pytensor.graph.traversal import ancestors

from pymc_sgld.hierarchical_gibbs.prior_model import hyperparameters_of
from pymc_sgld.model_graph import RowError, recentred, row_model, verify
from pymc_sgld.model_graph.recentring.find_effects import Effect
from tests.model_graph.hierarchies import GROUP, HIERARCHIES, REAL, G

WITH_EFFECTS = [name for name, (_, effects) in HIERARCHIES.items() if effects]
# Means beside the effects that are no part of them: intercepts of all rows.
NOT_CLEARED = {"zero_sum": {"mu"}}


@pytest.fixture(scope="module")
def read():
    """Return a named hierarchy by rows, as written and recentred."""
    made = {}

    def build(name):
        if name not in made:
            rows = row_model(HIERARCHIES[name][0]())
            made[name] = rows, recentred(rows)
        return made[name]

    return build


def points(rows, n_points=3):
    """Return ravelled value variables around the initial point."""
    start = rows.ravel(rows.model.initial_point(random_seed=0))
    return start + 0.5 * np.random.default_rng(3).normal(size=(n_points, len(start)))


def row_gradients(rows, position, mode):
    """Return the largest gradient of any row's log-likelihood, by value variable."""
    blocks = [leaf.block for leaf in rows.leaves]
    slopes = [pytensor.gradient.jacobian(term.logp, rows.position) for term in rows.terms]
    function = pytensor.function([rows.position, *blocks], slopes, mode=mode)
    data = rows.block_function(mode).read([np.arange(group.total_size) for group in rows.groups])
    found = np.concatenate(function(position, *data))
    parts = rows.layout.split(np.abs(found).max(axis=0))
    return {rows.model.values_to_rvs[v].name: parts[v.name].max() for v in rows.value_vars}


@pytest.mark.parametrize("name", HIERARCHIES)
def test_what_is_found(name, read):
    plain, _ = read(name)
    found = {effect.name: (set(effect.shift_of), set(effect.scale_of)) for effect in plain.effects}
    expected = HIERARCHIES[name][1]
    assert found == {z: (set(a.split()), set(b.split())) for z, (a, b) in expected.items()}


@pytest.mark.parametrize("name", WITH_EFFECTS)
def test_no_row_pulls_at_the_parameters_of_a_site(name, read, python_mode):
    """Before, every row has a gradient by the means and scales; after, none has."""
    plain, moved = read(name)
    values = points(plain)[0]
    before = row_gradients(plain, values, python_mode)
    after = row_gradients(moved, moved.coordinates.to_position(values), python_mode)
    effects = {effect.name for effect in plain.effects}
    parts = {
        one for effect in plain.effects for one in (*effect.shift_of, *effect.scale_of)
    } - effects
    for parameter in parts:
        assert before[parameter] > 1e-3
        assert after[parameter] < 1e-12
    for parameter in NOT_CLEARED.get(name, ()):
        assert after[parameter] == pytest.approx(before[parameter])
    assert max(after[effect] for effect in effects) > 1e-3


SYMBOLIC = [name for name in WITH_EFFECTS if name != "zero_sum"]


@pytest.mark.parametrize("name", SYMBOLIC)
def test_rows_no_longer_hold_the_parameters_of_a_site(name, read):
    """Nothing is left to cancel: rows see the effects, and neither means nor scales."""
    plain, moved = read(name)
    above = set(ancestors([term.logp for term in moved.terms]))
    effects = {effect.name for effect in plain.effects}
    parts = {
        one for effect in plain.effects for one in (*effect.shift_of, *effect.scale_of)
    } - effects
    names = [plain.model.values_to_rvs[value].name for value in plain.value_vars]
    left = {n for n, part in zip(names, moved.slices, strict=True) if part in above}
    assert not left & parts


def test_they_can_then_be_drawn_without_rows(read):
    """What the rows no longer hold are the hyperparameters that a Gibbs split draws apart."""
    plain, moved = read("intercepts_and_covariates")
    assert hyperparameters_of(plain) == ()
    assert hyperparameters_of(moved) == ("mu", "tau_log__")


def log_determinant(moved, values):
    """Return log |d position / d values| by central differences."""
    step = 1e-5 * np.eye(len(values))
    change = [
        (moved.coordinates.to_position(values + e) - moved.coordinates.to_position(values - e))
        / 2e-5
        for e in step
    ]
    return np.linalg.slogdet(np.array(change))[1]


def assert_same_posterior(plain, moved, mode):
    """The density in new coordinates is that of the model times the Jacobian, and back again."""
    for values in points(plain):
        position = moved.coordinates.to_position(values)
        np.testing.assert_allclose(moved.coordinates.to_values(position), values, rtol=1e-9)
        gap = plain.logp(values, compile_kwargs={"mode": mode}) - log_determinant(moved, values)
        assert moved.logp(position, compile_kwargs={"mode": mode}) == pytest.approx(gap, abs=1e-6)


@pytest.mark.parametrize("name", WITH_EFFECTS)
def test_it_is_the_same_posterior(name, read, python_mode):
    plain, moved = read(name)
    assert_same_posterior(plain, moved, python_mode)


def test_a_wrong_map_is_exact_too(read, python_mode):
    """Whatever is taken for an effect may cost speed, never bias."""
    plain, _ = read("intercepts_and_covariates")
    names = [value.name for value in plain.value_vars]
    mu, tau, slope = (plain.slices[names.index(name)] for name in ("mu", "tau_log__", "slope"))
    wrong = replace(
        plain.effects[0],
        shift=(pt.sin(3 * mu) * slope[1]).dimshuffle("x"),
        scale=-pt.exp(slope[0] ** 2 - tau).dimshuffle("x") * np.linspace(1, 2, G),
        matrix=pt.eye(G) * pt.exp(mu) + pt.tri(G, k=-1) * slope[2],
    )
    moved = recentred(replace(plain, effects=(wrong,)))
    assert_same_posterior(plain, moved, python_mode)
    assert verify(moved, python_mode, rng=np.random.default_rng(0)) < 1e-10


@pytest.mark.parametrize(
    "name", ["zero_sum", pytest.param("lkj_of_many_columns", marks=pytest.mark.slow)]
)
def test_identity_on_the_sampling_backend(name, read):
    """Against PyMC's own graph, with gradients, where the map needs solves or transforms."""
    assert verify(read(name)[1], rng=np.random.default_rng(0)) < 1e-10


def test_points_are_those_of_the_model(read):
    plain, moved = read("nested")
    point = plain.unravel(points(plain)[0])
    back = moved.unravel(moved.ravel(point))
    for name, value in point.items():
        np.testing.assert_allclose(back[name], value, rtol=1e-12)


REASONS = {
    "two_scales": "'z' is left as written: it enters with different scales (t1, t2)",
    "scale_of_any_sign": "'z' is left as written: its scale ('scale') can be zero or change",
    "scale_with_zeros": "'z' is left as written: its scale ('a') can be zero or change its sign",
    "data_with_zeros": "'weight' multiplies 'z' and has zeros",
    "zero_sum": "'mu' beside 'z', which sums to zero, stays as written",
    "circle": "'z1' is left as written: it enters with different scales",
}


@pytest.mark.parametrize("name", REASONS)
def test_what_is_left_is_said(name, read):
    plain, _ = read(name)
    said = plain.describe()
    assert REASONS[name] in said or REASONS[name].replace("t1, t2", "t2, t1") in said


def test_a_vector_observed_in_part_is_left_and_said():
    known = np.array([np.nan, 1, 0.5, np.nan, 0, np.nan, np.nan])
    with pm.Model() as model, pytest.warns(pm.exceptions.ImputationWarning):
        tau = pm.HalfNormal("tau")
        z = pm.Normal("z", 0, 1, observed=known)
        pm.Normal("y", tau * z[GROUP], 1.0, observed=REAL)
    rows = row_model(model, rows={"y": 0}, allow_full_terms=True)
    assert not rows.effects
    assert rows.left == ("'z' is left as written: it is observed in part",)


def test_what_is_found_is_described(read):
    said = read("group_predictor")[0].describe()
    assert "Sampled as group effects, reported as written:" in said
    assert "'z' (7 entries) as 'level', that is with shift from 'gamma', scale from 'tau'" in said


def test_the_user_decides():
    model = HIERARCHIES["slopes_nested"][0]()
    assert not row_model(model, recentre=False).effects
    assert [effect.name for effect in row_model(model, recentre={"za": None}).effects] == ["zb"]
    model = HIERARCHIES["two_scales"][0]()
    rows = row_model(model, recentre={"z": "one"})
    assert [(effect.scale_of, effect.deterministic) for effect in rows.effects] == [
        (("t1",), "one")
    ]


def test_a_named_effect_is_exact(python_mode):
    rows = row_model(HIERARCHIES["two_scales"][0](), recentre={"z": "one"})
    assert_same_posterior(rows, recentred(rows), python_mode)


@pytest.mark.parametrize(
    ("name", "recentre", "message"),
    [
        ("nested", {"zss": "school"}, "names 'zss', which is no free variable .* mean 'zs'"),
        ("nested", {"zs": "schol"}, "no Deterministic of the model. Did you mean 'school'"),
        ("nested", {"zd": "school"}, "'school' is not of the form shift \\+ scale \\* zd"),
        ("nested", "zs", "neither True, False nor a mapping"),
        ("circle", {"z1": "first", "z2": "second"}, "depend on each other"),
    ],
)
def test_what_cannot_be_is_refused(name, recentre, message):
    with pytest.raises(RowError, match=message):
        row_model(HIERARCHIES[name][0](), recentre=recentre)


def test_without_jacobians_all_stays_as_written():
    """The mode of the variables as written is not that in other coordinates."""
    model = HIERARCHIES["nested"][0]()
    rows = row_model(model, jacobian=False)
    assert recentred(rows) is rows


def test_a_site_says_what_it_is():
    effect = Effect("z", 0, (3, 2), scale_of=("tau",))
    assert effect.describe() == "'z' (6 entries) as scale from 'tau'"
    assert effect.label == "recentred z"
