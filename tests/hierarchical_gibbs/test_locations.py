"""Which hyperparameters are locations of what rows see, and no more than that."""

import numpy as np
import pymc as pm
import pytest

from pymc_sgld.hierarchical_gibbs.locations import locations
from pymc_sgld.hierarchical_gibbs.prior_model import compile_prior, hyperparameters_of
from pymc_sgld.model_graph import row_model
from pymc_sgld.model_graph.density.by_numpy import QUICKLY_COMPILED


@pytest.fixture(scope="module")
def hierarchy():
    """Rows see effects and nothing else; above these are hyperparameters of every kind."""
    with pm.Model() as model:
        grand = pm.StudentT("grand", nu=3, mu=0, sigma=1)  # its own prior may be of any shape
        between, of_scale = pm.HalfNormal("between"), pm.HalfNormal("of_scale")
        means = pm.Normal("means", grand, between, shape=2)
        scale = pm.HalfNormal("scale", of_scale)
        nested = pm.Normal("nested", means[np.array([0, 0, 1])], scale)
        bounded, tailed = pm.Uniform("bounded", -5, 5), pm.Normal("tailed")
        first = pm.Normal("first", bounded, 1, shape=3)
        second = pm.StudentT("second", nu=4, mu=tailed, sigma=1, shape=3)
        level = np.arange(12) % 3
        pm.Normal("y", (nested + first + second)[level], 1, observed=np.zeros(12))
    rows = row_model(model)
    return rows, compile_prior(rows, QUICKLY_COMPILED)


def found(rows, prior, names):
    start = rows.ravel(rows.model.initial_point())
    each = [(name, rows.layout.entries((name,))) for name in names]
    return set(locations(prior, start, each))


def test_locations_are_means_and_means_of_means(hierarchy):
    """No scale, no scale of a scale, no location of heavy tails, none through a transform."""
    rows, prior = hierarchy
    names = hyperparameters_of(rows)
    assert len(names) == 7
    assert found(rows, prior, names) == {"grand", "means"}


def test_a_mean_of_what_moves_is_a_location_whoever_moves_it(hierarchy):
    rows, prior = hierarchy
    names = [name for name in hyperparameters_of(rows) if name != "means"]
    assert "grand" in found(rows, prior, names)  # the means count as seen
    assert found(rows, prior, []) == set()
