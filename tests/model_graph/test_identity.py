"""The identity check must notice every way a split can be wrong."""

import dataclasses

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest

from pytensor.graph.replace import graph_replace

from pymc_sgld.model_graph import RowError, row_model, verify


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
    "a factor just off one": lambda r: with_terms(r, lambda logp: logp * (1 + 1e-6)),
    "the block's length leaks": lambda r: with_terms(r, lambda logp: logp / logp.shape[0]),
    "a constant for every block": lambda r: with_terms(r, lambda logp: logp + 1 / logp.shape[0]),
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
    broken = with_terms(split("minibatch_linear"), lambda logp: logp * (1 + 1e-6))
    with pytest.raises(RowError, match="Identity check failed"):
        verify(broken, python_mode, rng=np.random.default_rng(0))


def test_nothing_compared_is_an_error_not_a_pass(python_mode):
    with pm.Model() as model:
        b = pm.Normal("b", initval=-1.0)
        # Positive data have no density below a bound the starting value is far from.
        pm.Potential("wall", pt.switch(b > 1e6, 0.0, -np.inf))
        pm.Normal("y", b, 1.0, observed=np.arange(50.0))
    with pytest.raises(RowError, match=r"not finite near its initial point\. Give initvals"):
        verify(row_model(model), python_mode, rng=np.random.default_rng(0))
