"""Sums of more terms than numpy takes at once, as of likelihoods that are written in a loop."""

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest

from pymc_sgld.model_graph.density.by_numpy import AS_WRITTEN, STABILISED, numpy_function
from pymc_sgld.posterior.scores import score_function
from pymc_sgld.step_methods.nuts_cost import probe_of


@pytest.mark.parametrize("mode", [AS_WRITTEN, STABILISED], ids=["as written", "stabilised"])
@pytest.mark.parametrize("n_terms", [31, 61, 1000])
def test_sums_of_many_terms_are_evaluated_by_numpy(mode, n_terms):
    terms = [pt.vector(dtype="float64") for _ in range(n_terms)]
    written = terms[0]
    for one in terms[1:]:
        written = written + one
    values = np.random.default_rng(0).normal(size=(n_terms, 3))
    for total in (pt.add(*terms), written):
        [found] = numpy_function(terms, [total], mode)(*values)
        np.testing.assert_allclose(found, values.sum(axis=0), rtol=1e-12)


@pytest.fixture(scope="module")
def loop():
    """Each of 35 groups has three terms: numpy has no sum of a hundred and five."""
    with pm.Model() as model:
        mu = pm.Normal("mu")
        for group in range(35):
            b = pm.Normal(f"b_{group}", mu, 1)
            pm.Normal(f"y_{group}", b, 1, observed=[0.1 * group, 1.0])
    return model


def test_nuts_is_timed_on_a_model_of_many_likelihoods(loop):
    assert probe_of(loop).draw() >= 1


def test_scores_of_a_model_of_many_likelihoods(loop):
    at = np.random.default_rng(1).normal(size=36)
    _, slope = score_function(loop)(at)
    mu, b = at[0], at[1:]
    expected = np.r_[-mu + (b - mu).sum(), mu - b + 0.1 * np.arange(35) + 1 - 2 * b]
    np.testing.assert_allclose(slope, expected, rtol=1e-10)
