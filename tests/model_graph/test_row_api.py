"""What a user asks of a row model: log-densities at a point, and what it is made of."""

import numpy as np
import pymc as pm
import pytest

from pymc_sgld.model_graph import RowError, row_model
from tests.model_graph.accepted_models import BINARY, Y2, N, X, Y

NAMES = [
    "linear_data_dims_deterministic",
    "two_likelihoods_different_rows",
    "two_dimensional_rows_last",
    "side_likelihood_in_full",
    "categorical_logit",
    "group_intercepts_non_centred",
    "named_dimensions",
]


def random_point(model):
    rng = np.random.default_rng(5)
    start = model.initial_point(random_seed=0)
    return {name: value + 0.3 * rng.normal(size=value.shape) for name, value in start.items()}


@pytest.mark.parametrize("name", NAMES)
def test_on_all_rows_it_is_the_models_own(name, split, as_kwargs, python_mode):
    rows = split(name)
    model, point = rows.model, random_point(rows.model)
    expected = model.compile_logp(mode=python_mode)(point)
    slope = model.compile_dlogp(mode=python_mode)(point)
    assert rows.logp(point, compile_kwargs=as_kwargs) == pytest.approx(expected, rel=1e-12)
    value, by_name = rows.logp_and_gradient(point, compile_kwargs=as_kwargs)
    assert value == pytest.approx(expected, rel=1e-12)
    assert [g.shape for g in by_name.values()] == [point[n].shape for n in by_name]
    flat = np.concatenate([by_name[v.name].ravel() for v in model.value_vars])
    np.testing.assert_allclose(flat, slope, rtol=1e-9, atol=1e-11)
    value, vector = rows.logp_and_gradient(rows.ravel(point), compile_kwargs=as_kwargs)
    assert value == pytest.approx(expected, rel=1e-12)
    np.testing.assert_array_equal(vector, flat)


@pytest.mark.parametrize("name", NAMES)
def test_row_logp_is_pymcs_elementwise_log_likelihood(name, split, as_kwargs, python_mode):
    rows = split(name)
    model, point = rows.model, random_point(rows.model)
    found = rows.row_logp(point, compile_kwargs=as_kwargs)
    by_name = {rv.name: rv for rv in model.observed_RVs}
    assert list(found) == [t.name for t in rows.terms]
    for term in rows.terms:
        graph = model.logp(vars=[by_name[term.name]], sum=False)
        [entries] = model.compile_fn(graph, mode=python_mode, inputs=model.value_vars)(point)
        others = tuple(i for i in range(entries.ndim) if i != term.axis)
        np.testing.assert_allclose(found[term.name], entries.sum(axis=others), rtol=1e-12)


def test_chosen_rows_in_their_order(split, as_kwargs):
    rows = split("two_likelihoods_different_rows")
    point = random_point(rows.model)
    every = rows.row_logp(point, compile_kwargs=as_kwargs)
    chosen = {"rows_60": np.array([59, 3, 3]), "rows_40": np.array([0, 39])}
    some = rows.row_logp(point, chosen, compile_kwargs=as_kwargs)
    np.testing.assert_allclose(some["y"], every["y"][[59, 3, 3]], rtol=1e-14)
    np.testing.assert_allclose(some["z"], every["z"][[0, 39]], rtol=1e-14)
    value, _ = rows.logp_and_gradient(point, chosen, compile_kwargs=as_kwargs)
    prior = rows.logp(point, compile_kwargs=as_kwargs) - every["y"].sum() - every["z"].sum()
    scaled = prior + 60 / 3 * some["y"].sum() + 40 / 2 * some["z"].sum()
    assert value == pytest.approx(scaled, rel=1e-12)


def test_estimates_from_all_pairs_of_rows_average_to_the_full_gradient(split, as_kwargs):
    rows = split("linear_constants")
    point = rows.ravel(random_point(rows.model))
    pairs = [np.array([i, (i + 7) % N]) for i in range(N)]
    found = [rows.logp_and_gradient(point, pair, compile_kwargs=as_kwargs)[1] for pair in pairs]
    full = rows.logp_and_gradient(point, compile_kwargs=as_kwargs)[1]
    np.testing.assert_allclose(np.mean(found, axis=0), full, rtol=1e-11)
    assert np.std(found, axis=0).min() > 1.0  # the estimates themselves differ


def test_parts_of_one_potential_are_added(split, as_kwargs):
    rows = split("potential_weights_beside_a_likelihood")
    point = random_point(rows.model)
    found = rows.row_logp(point, compile_kwargs=as_kwargs)
    total = sum(values.sum() for values in found.values())
    kept = rows.logp(point, compile_kwargs=as_kwargs) - total
    names = {w.kind for w in rows.whole}
    assert len(found) == len({t.name for t in rows.terms})
    # What is left is the prior, a function of the parameters alone.
    assert names <= {"prior", "potential"}
    assert np.isfinite(kept)


def test_all_rows_of_a_minibatch_model(as_kwargs, python_mode):
    with pm.Model() as on_batches:
        x, y = pm.Minibatch(X, Y, batch_size=8)
        pm.Normal("y", x @ pm.Normal("b", shape=3), 1.0, observed=y, total_size=N)
    with pm.Model() as plain:
        pm.Normal("y", X @ pm.Normal("b", shape=3), 1.0, observed=Y)
    point = {"b": np.array([0.2, -0.4, 1.0])}
    rows = row_model(on_batches)
    expected = plain.compile_logp(mode=python_mode)(point)
    assert rows.logp(point, compile_kwargs=as_kwargs) == pytest.approx(expected, rel=1e-13)
    assert len(rows.row_logp(point, compile_kwargs=as_kwargs)["y"]) == N


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.arange(3), r"^rows is one array, but the model has 2 groups of rows, 'rows_60', 'ro"),
        ({"rows_60": [1]}, r"^rows names 'rows_60', but the model's groups of rows are 'rows_60'"),
        ({"rows_60": [1], "rows_40": [40]}, r"^'rows_40' rows run from 40 to 40, but there are 40"),
        ({"rows_60": [-1], "rows_40": [4]}, r"^'rows_60' rows run from -1"),
        ({"rows_60": [0.5], "rows_40": [4]}, r"^'rows_60' rows have shape \(1,\) and type float64"),
        ({"rows_60": [], "rows_40": [4]}, r"^'rows_60' rows have shape \(0,\)"),
        ({"rows_60": 3, "rows_40": [4]}, r"^'rows_60' rows have shape \(\)"),
    ],
)
def test_wrong_rows_are_refused(rows, message, split, as_kwargs):
    model = split("two_likelihoods_different_rows")
    with pytest.raises(RowError, match=message):
        model.row_logp(np.zeros(3), rows, compile_kwargs=as_kwargs)
    with pytest.raises(RowError, match=message):
        model.logp_and_gradient(np.zeros(3), rows, compile_kwargs=as_kwargs)


def test_a_vector_of_another_length_is_refused(split, as_kwargs):
    with pytest.raises(RowError, match=r"^The position has shape \(2,\), but the model has 3"):
        split("two_likelihoods_different_rows").logp(np.zeros(2), compile_kwargs=as_kwargs)


def everything():
    rng = np.random.default_rng(0)
    with pm.Model(coords={"person": np.arange(N)}) as model:
        data = pm.Data("X", X, dims=("person", "feature"))
        history = pm.Data("history", rng.normal(size=N), dims="person")
        b = pm.Normal("b", shape=3)
        past = pm.math.cumsum(history)
        mu = (data - data.mean(axis=0)) @ b + past
        pm.Normal("y", mu, pm.HalfNormal("s"), observed=Y, dims="person")
        pm.Bernoulli("tail", logit_p=b[0], observed=BINARY[:5])
        pm.Normal("second", b[1], 1.0, observed=Y2)
        pm.Potential("scale", -pm.math.sqr(b.sum()))
    return model


def test_describe_says_what_is_subsampled_what_is_not_and_what_a_step_costs():
    text = row_model(everything(), rows={"second": None}).describe(batch_size=10)
    assert text.splitlines() == [
        "4 parameters: 'b', 's_log__'",
        "Subsampled by the 60 rows of 'person':",
        "  observed 'y'",
        "  data 'y': 1 x float64, 8 B a row",
        "  data 'X': 3 x float64, 24 B a row",
        "  data 'derived from 'history'': 1 x float64, 8 B a row, evaluated once from data",
        "In full at every step:",
        "  prior of 'b', 's'",
        "  observed 'tail': 5 rows only",
        "  observed 'second': as rows= asks",
        "  potential 'scale': no sum over rows of data",
        "Evaluated once, from all the data:",
        "  True_div of 'X': a constant of shape (1, 3)",
        "  'derived from 'history'', one entry per row: taken by rows",
        "A step on a batch of 10 rows reads 400 B, 0.17 of all rows, and moves 4 parameters.",
    ]


def test_describe_counts_the_bytes_that_a_batch_reads(split):
    rows = split("two_likelihoods_different_rows")
    read = rows.block_function().read([slice(0, 12), slice(0, 12)])
    n_bytes = sum(block.nbytes for block in read)
    assert f"rows reads {n_bytes} B," in rows.describe(batch_size=12)
