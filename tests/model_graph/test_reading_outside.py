"""An index out of range is found on the Python linker, before compiled code could read there."""

from dataclasses import replace

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest

from pymc_sgld.model_graph import RowError, row_model, verify


def test_a_wrong_index_is_refused_before_anything_compiled_runs():
    with pm.Model() as model:
        u = pm.Normal("u", shape=4)
        group = np.arange(20) % 4
        pm.Normal("y", u[group], 1, observed=np.zeros(20))
    right = row_model(model)
    assert verify(right, "FAST_COMPILE", rng=np.random.default_rng(0)) < 1e-12
    [term] = right.terms
    outside = right.position[pt.arange(term.logp.shape[0]) + 4]
    wrong = replace(right, terms=(replace(term, logp=term.logp + 1e-30 * outside),), _compiled={})
    with pytest.raises(RowError, match=r"reads outside of an array \("):
        verify(wrong, "NUMBA", rng=np.random.default_rng(0))


def test_one_probability_vector_for_all_rows_of_a_categorical():
    """Its index over rows has length one: taken as rows, it read outside of the vector."""
    rng = np.random.default_rng(0)
    with pm.Model() as model:
        p = pm.Dirichlet("p", np.ones(4))
        pm.Categorical("k", p=p, observed=rng.choice(4, size=40))
    assert verify(row_model(model), "FAST_COMPILE", rng=rng) < 1e-7
