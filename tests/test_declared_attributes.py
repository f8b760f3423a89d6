"""Rules and estimators say what they can do in attributes with neutral values, and in no others."""

import inspect

from dataclasses import dataclass
from typing import ClassVar

import pytest

from pymc_sgld.gradient_estimators import ESTIMATORS, Minibatch
from pymc_sgld.samplers import (
    MetropolisAdjustedLangevin,
    MomentumRule,
    Rule,
    ScaledRule,
    StochasticGradientLangevin,
    TestedRule,
)


def below(cls):
    for subclass in cls.__subclasses__():
        yield subclass
        yield from below(subclass)


RULES = [
    rule
    for rule in dict.fromkeys(below(Rule))
    if rule.__module__.startswith("pymc_sgld.") and not inspect.isabstract(rule)
]


def test_a_misspelt_attribute_of_a_rule_is_refused_and_corrected():
    with pytest.raises(
        TypeError, match=r"'target_acceptence', which no rule.*'target_acceptance'?"
    ):

        class Misspelt(MetropolisAdjustedLangevin):
            target_acceptence = 0.6


def test_it_is_refused_with_an_annotation_too():
    with pytest.raises(TypeError, match=r"'need_gradient_noise'.*'needs_gradient_noise'"):

        class Misspelt(StochasticGradientLangevin):
            need_gradient_noise: ClassVar[bool] = True


def test_a_misspelt_method_is_refused():
    with pytest.raises(TypeError, match=r"'natural_stepsize'.*'natural_step_size'"):

        class Misspelt(StochasticGradientLangevin):
            def natural_stepsize(self, gradient_noise, temperature):
                return 1.0


def test_what_only_tested_rules_have_is_refused_elsewhere():
    with pytest.raises(TypeError, match="target_acceptance"):

        class Untested(StochasticGradientLangevin):
            target_acceptance: ClassVar[float] = 0.6


def test_a_misspelt_attribute_of_an_estimator_is_refused():
    with pytest.raises(TypeError, match=r"'remember', which no gradient estimator.*'remembers'"):

        class Misspelt(Minibatch):
            remember: ClassVar[bool] = True


def test_fields_and_helpers_of_its_own_are_allowed():
    @dataclass(frozen=True)
    class Own(MomentumRule):
        name: ClassVar[str] = "own"
        largest_step: ClassVar[float] = 1.0
        mass: float = 2.0

        def _helper(self):
            return self.mass

        def update(self, state, gradient, *, step_size, temperature, noise):
            return {}

    assert Own(3.0).friction == 3.0 and Own().mass == 2.0
    assert (Own().noise_vectors, Own().gradients_per_step, Own().trajectory) == (1, 1, 1)


@pytest.mark.parametrize("base", [Rule, MomentumRule, TestedRule, ScaledRule])
def test_what_is_only_declared_cannot_be_made(base):
    with pytest.raises(TypeError, match="abstract"):
        base()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_a_rule_compensates_where_its_update_takes_the_variance(rule):
    assert rule.compensates == ("gradient_noise" in inspect.signature(rule.update).parameters)
    assert set(rule.nonlinear_state) | set(rule.displacements) <= set(rule.extra_state)


def test_only_the_control_variate_at_a_mode_may_move_its_centre():
    assert [name for name, one in ESTIMATORS.items() if one.move_centre] == ["control_variate"]
