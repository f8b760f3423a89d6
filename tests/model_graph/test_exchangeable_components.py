"""Mixtures whose components can change places are named before a chain is drawn."""

import logging

import numpy as np
import pymc as pm
import pytest

import pymc_sgld as psg

from pymc_sgld.model_graph.exchangeable_components import exchangeable_components

Y = np.linspace(-2.0, 2.0, 40)


def one_kind(**more):
    mu = pm.Normal("mu", 0, 3, shape=3, **more)
    return pm.Dirichlet("w", np.ones(3)), pm.Normal.dist(mu, 1)


def listed():
    mu = pm.Normal("mu", 0, 3, shape=2)
    return pm.Dirichlet("w", np.ones(2)), [pm.Normal.dist(mu[0], 1), pm.Normal.dist(mu[1], 1)]


def of_two_kinds():
    mu = pm.Normal("mu", 0, 3)
    return pm.Dirichlet("w", np.ones(2)), [
        pm.Normal.dist(mu, 1),
        pm.StudentT.dist(3, mu=mu, sigma=1),
    ]


def ordered():
    order = pm.distributions.transforms.ordered
    return one_kind(transform=order, initval=np.arange(3.0))


def ordered_within_bounds():
    chain = pm.distributions.transforms.Chain(
        [pm.distributions.transforms.ordered, pm.distributions.transforms.log]
    )
    return one_kind(default_transform=None, transform=chain, initval=np.arange(1.0, 4.0))


def mixture(parts):
    with pm.Model() as model:
        weights, components = parts()
        pm.Mixture("y", weights, components, observed=Y)
    return model


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        (one_kind, "'y' is a mixture of 3 components of one kind"),
        (listed, "'y' is a mixture of 2 components of one kind"),
        (of_two_kinds, ""), (ordered, ""), (ordered_within_bounds, ""),
    ],
)  # fmt: skip
def test_components_that_can_change_places_are_named(parts, said):
    assert exchangeable_components(mixture(parts)).startswith(said)
    assert bool(said) == bool(exchangeable_components(mixture(parts)))


def test_zero_inflation_has_no_labels():
    with pm.Model() as model:
        pm.ZeroInflatedPoisson("y", pm.Beta("p", 1, 1), 2.0, observed=np.zeros(5, int))
    assert exchangeable_components(model) == ""


def test_a_run_says_it_before_it_draws(caplog):
    caplog.set_level(logging.INFO)
    with mixture(one_kind), pytest.raises(ValueError, match="step_size"):
        psg.sample("sgld", step_size=lambda step: step - 100.0)
    assert "Order a parameter of theirs" in caplog.text
