"""The identity check must notice every way a split can be wrong."""

import dataclasses

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest

from pytensor.compile.builders import OpFromGraph
from pytensor.graph.basic import Constant
from pytensor.graph.replace import graph_replace
from pytensor.graph.traversal import ancestors

from pymc_sgld.model_graph import RowError, RowRequest, row_model, verify
from pymc_sgld.model_graph.density import reference as reference_module
from pymc_sgld.model_graph.density.reference import Reference, _shuffled
from pymc_sgld.model_graph.density.verify import _unequal_cuts
from tests.model_graph.accepted_models import ACCEPTED, X, Y


def with_terms(row_model, change):
    terms = tuple(dataclasses.replace(t, logp=change(t.logp)) for t in row_model.terms)
    return dataclasses.replace(row_model, terms=terms, _compiled={})


def block_of(row_model, name):
    return next(leaf.block for leaf in row_model.leaves if leaf.name == name)


def replaced(row_model, name, change):
    block = block_of(row_model, name)
    return with_terms(
        row_model, lambda logp: graph_replace([logp], {block: change(block)}, strict=False)[0]
    )


MUTATIONS = {
    "a factor just off one": lambda r: with_terms(r, lambda logp: logp * (1 + 1e-7)),
    "the block's length leaks": lambda r: with_terms(r, lambda logp: logp / logp.shape[0]),
    # 1e-4 beside a log-density of some hundred: 5e-7 of it.
    "a constant for every block": lambda r: with_terms(r, lambda logp: logp + 1e-4 / logp.shape[0]),
    "the block's mean leaks": lambda r: replaced(r, "X", lambda x: x - 1e-3 * x.mean(axis=0)),
    "rows of one array reversed": lambda r: replaced(r, "X", lambda x: x[::-1]),
    "the first row for all": lambda r: replaced(
        r, "X", lambda x: x[pt.zeros_like(x[:, 0], dtype=int)]
    ),
    "a prior counted twice": lambda r: dataclasses.replace(r, prior=2 * r.prior, _compiled={}),
    "a Jacobian forgotten": lambda r: dataclasses.replace(
        r, prior=r.prior - r.slices[1], _compiled={}
    ),
    "another term's rows": lambda r: replaced(r, "y_obs", lambda y: pt.roll(y, 1)),
}


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_a_planted_error_is_found(mutation, split, python_mode):
    row_model = split("linear_data_dims_deterministic")
    broken = MUTATIONS[mutation](row_model)
    with pytest.raises(RowError, match=r"^Identity check failed: .* by \d\.\de[+-]\d\d"):
        verify(broken, python_mode, rng=np.random.default_rng(0))


def test_a_planted_error_is_found_under_minibatch(split, python_mode):
    broken = with_terms(split("minibatch_linear"), lambda logp: logp * (1 + 1e-7))
    with pytest.raises(RowError, match="Identity check failed"):
        verify(broken, python_mode, rng=np.random.default_rng(0))


def test_an_altered_reduction_is_found(split, python_mode):
    def altered(logp):
        means = [
            v
            for v in ancestors([logp])
            if isinstance(v, Constant) and v.type.dtype == "float64" and v.type.shape == (1, 3)
        ]
        assert means
        new = {v: pt.constant(1.001 * v.data) for v in means}
        return graph_replace([logp], new, strict=False)[0]

    broken = with_terms(split("standardised_in_the_graph"), altered)
    with pytest.raises(RowError, match="Identity check failed"):
        verify(broken, python_mode, rng=np.random.default_rng(0))


def test_a_dropped_composition_of_indices_is_found(monkeypatch, python_mode):
    # (X @ b)[::-1] needs rows N - 1 - i of X; without the composition it gets rows i.
    monkeypatch.setattr(RowRequest, "at", lambda self, index, extent: self)
    with pm.Model() as model:
        mu = pm.Data("X", X) @ pm.Normal("b", shape=3)
        pm.Normal("y", mu[::-1], 1.0, observed=Y)
    broken = row_model(model)
    monkeypatch.undo()
    with pytest.raises(RowError, match="Identity check failed"):
        verify(broken, python_mode, rng=np.random.default_rng(0))


def test_an_index_that_is_not_taken_is_refused_for_its_cost(monkeypatch):
    take = RowRequest.take
    monkeypatch.setattr(
        RowRequest,
        "take",
        lambda self, var, axis: var if var.name == "g" else take(self, var, axis),
    )
    model, options = ACCEPTED["group_intercepts_non_centred"]()
    with pytest.raises(RowError, match="'g' still enters in full"):
        row_model(model, **options)


def test_an_error_in_a_small_gradient_beside_a_large_one_is_found(python_mode):
    with pm.Model() as model:
        big, small = pm.Normal("big"), pm.Normal("small", sigma=1e4)
        y = np.random.default_rng(0).normal(size=60)
        pm.Normal("y", 1e4 * big, 1.0, observed=1e4 * y)
        pm.Normal("z", small, 1.0, observed=y)
    split_model = row_model(model)
    assert verify(split_model, python_mode, rng=np.random.default_rng(0)) < 1e-9
    where = [v.name for v in split_model.value_vars].index("small")
    # Its gradient is some 60, that of the other variable some 1e10.
    broken = dataclasses.replace(
        split_model, prior=split_model.prior + split_model.slices[where], _compiled={}
    )
    with pytest.raises(RowError, match="Identity check failed"):
        verify(broken, python_mode, rng=np.random.default_rng(0))


@pytest.mark.parametrize("n_rows", [1, 3, 4, 5, 60, 10_000])
@pytest.mark.parametrize("longest", [256, 1000])
def test_the_rows_are_cut_into_unequal_parts_of_bounded_size(n_rows, longest):
    rng = np.random.default_rng(n_rows)
    cuts = _unequal_cuts(n_rows, longest, rng)
    rows = _shuffled(n_rows, cuts[1] if len(cuts) > 1 else n_rows, rng)
    np.testing.assert_array_equal(np.sort(rows), np.arange(n_rows))
    sizes = [len(part) for part in np.split(rows, cuts)]
    assert sum(sizes) == n_rows
    assert 1 <= min(sizes) and max(sizes) <= max(longest, 3)
    if n_rows >= 4:
        assert len(set(sizes[:2])) == 2 and len(sizes) >= 2


def test_the_compiled_block_function_is_used_again(python_mode):
    model, options = ACCEPTED["linear_constants"]()
    split_model = row_model(model, **options)
    before = split_model.block_function(python_mode).function
    verify(split_model, python_mode, rng=np.random.default_rng(0))
    assert split_model.block_function(python_mode).function is before


def test_one_finite_point_is_not_enough(monkeypatch, split, python_mode):
    answers = iter([False] * 9 + [True])
    call = Reference.__call__

    def once(self, position, rows):
        return call(self, position, rows) if next(answers) else None

    monkeypatch.setattr(Reference, "__call__", once)
    with pytest.raises(RowError, match="finite at 1 of 10 points near its initial point"):
        verify(split("linear_constants"), python_mode, rng=np.random.default_rng(0))


def test_nothing_compared_is_an_error_not_a_pass(python_mode):
    with pm.Model() as model:
        b = pm.Normal("b", initval=-1.0)
        # Positive data have no density below a bound the starting value is far from.
        pm.Potential("wall", pt.switch(b > 1e6, 0.0, -np.inf))
        pm.Normal("y", b, 1.0, observed=np.arange(50.0))
    with pytest.raises(RowError, match=r"Potential 'wall' is -inf .* initval="):
        verify(row_model(model), python_mode, rng=np.random.default_rng(0))


def test_digits_that_the_model_as_written_loses_are_not_taken_for_an_error(python_mode):
    # log(1 - sigmoid(x)) has no digit left at x = 40, where the rows' own form has all
    x = np.linspace(-150.0, 150.0, 200)
    with pm.Model() as model:
        pm.Bernoulli("y", logit_p=pm.Normal("b") * x, observed=(x > 0).astype(int))
    assert verify(row_model(model), "NUMBA", rng=np.random.default_rng(0)) < 1e-9


@pytest.mark.parametrize(("n_rows", "is_slow"), [(20_000, False), (20_001, True)])
def test_what_numpy_does_row_by_row_is_compiled_for_many_rows(n_rows, is_slow):
    with pm.Model() as model:
        cut = pm.Normal("cut")
        dist = pm.StudentT.dist(nu=pm.math.exp(cut), mu=cut)
        pm.Censored("y", dist, None, 1.0, observed=np.linspace(0.0, 0.9, n_rows))
    assert Reference(row_model(model), {}, [n_rows])._is_slow == is_slow  # a series for each row


def test_graphs_within_operations_are_evaluated_operation_by_operation():
    """PyTensor compiles that of a softmax by itself, anew in every process."""
    with pm.Model() as model:
        pm.Categorical("y", logit_p=X[:, :1] * pm.Normal("b", shape=4), observed=(Y > 0) * 2)
    reference = Reference(row_model(model), {}, [len(Y)])
    nodes = reference._function.maker.fgraph.apply_nodes
    assert not [node for node in nodes if isinstance(node.op, OpFromGraph)]


def test_a_regression_is_not_compiled_to_be_compared():
    """A product of the data and a vector is one operation, though PyTensor writes it blockwise."""
    with pm.Model() as model:
        pm.Bernoulli("y", logit_p=X @ pm.Normal("b", shape=3), observed=(Y > 0).astype(int))
    split_model = row_model(model)
    reference = Reference(split_model, {}, [len(Y)])
    assert not reference._is_slow
    value, gradient = reference(np.full(3, 0.2), [np.arange(len(Y))])
    p = 1 / (1 + np.exp(-X @ np.full(3, 0.2)))
    np.testing.assert_allclose(gradient, X.T @ ((Y > 0) - p) - 0.2, rtol=1e-10)
    prior = -0.5 * 3 * (0.2**2 + np.log(2 * np.pi))
    rows = np.where(Y > 0, np.log(p), np.log1p(-p)).sum()
    np.testing.assert_allclose(value, prior + rows, rtol=1e-12)


def test_the_compiled_reference_holds_no_data(monkeypatch, split):
    """It has them as arguments: else it would be compiled anew for all other data."""
    split_model = split("linear_constants")
    monkeypatch.setattr(reference_module, "takes_long_by_numpy", lambda graphs: True)
    reference = Reference(split_model, {}, [len(Y)])
    position = np.random.default_rng(1).normal(size=split_model.n_dim)
    value, gradient = reference(position, [np.arange(len(Y))])
    expected = split_model.block_function("NUMBA").full(position)
    np.testing.assert_allclose(value, expected[0], rtol=1e-12)
    np.testing.assert_allclose(gradient, expected[1], rtol=1e-12)
    function, data = reference._function.compiled, reference._function.data
    assert {len(array) for array in data} == {len(Y)}
    constants = [v for v in function.maker.fgraph.variables if isinstance(v, Constant)]
    assert max((np.size(v.data) for v in constants), default=0) <= 16
