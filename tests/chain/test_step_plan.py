"""Step size, temperature and steps of a draw, as a table."""

from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest

from pymc_sgld.chain import Cycles, Settings, plan_steps
from pymc_sgld.chain.cycles import EXPLORING_BIAS
from pymc_sgld.chain.transition import Kernel
from pymc_sgld.gradient_estimators import ESTIMATORS
from pymc_sgld.samplers import StochasticGradientLangevin
from pymc_sgld.schedules import constant, cosine_cycles, geometric_cooling
from pymc_sgld.tuning import PredictedLaw

BIAS, TUNE, DRAWS = 0.05, 10, 30
UNIT = constant(1.0)
COOLING = geometric_cooling(4.0, 0.25)


@dataclass
class Law(PredictedLaw):
    """A threshold of a tenth of the temperature, twice that for twice the bias."""

    law: object = field(default_factory=lambda: SimpleNamespace(rule=StochasticGradientLangevin()))
    noise_eigenvalue: float = 1.0
    curvature_eigenvalue: float = 1.0
    steps_to_forget: float = 7.2

    def threshold_step_size(self, temperature=1.0, target_bias=BIAS):
        return 0.1 * temperature * target_bias / BIAS

    def memory(self, step_size, temperature=1.0):
        return self.steps_to_forget


def settings(step_size=None, temperature=UNIT, steps=None, cycles=None, trajectory=1):
    rule = (
        StochasticGradientLangevin() if trajectory == 1 else SimpleNamespace(trajectory=trajectory)
    )
    axes = Kernel(rule, ESTIMATORS["minibatch"], None)
    return Settings(step_size, temperature, steps, axes, cycles, BIAS)


KNOWN = Law()


def planned(asked, law=KNOWN, passes_per_step=0.1, step=0):
    return plan_steps(asked, law, TUNE, DRAWS, passes_per_step=passes_per_step, step=step)


# what was asked, and with what law; steps of a draw, step size at the first step and at the last
TABLE = {
    "all left out": ({}, {}, (8, 0.1, 0.1)),
    "dear steps": ({}, {"passes_per_step": 2.5}, (2, 0.1, 0.1)),
    "nothing is forgotten": ({}, {"law": Law(steps_to_forget=np.inf)}, (50, 0.1, 0.1)),
    "steps given": ({"steps": 3}, {}, (3, 0.1, 0.1)),
    "step size given": ({"step_size": constant(0.3)}, {}, (8, 0.3, 0.3)),
    "step size given, no law": ({"step_size": constant(0.3)}, {"law": None}, (50, 0.3, 0.3)),
    "schedule given": (
        {"step_size": cosine_cycles(0.3, 1)}, {}, (50, 0.3, 0.15 * (1 + np.cos(np.pi * 0.9995))),
    ),
    "whole trajectories": ({"trajectory": 5}, {}, (10, 0.1, 0.1)),
    "hot": ({"temperature": constant(4.0)}, {}, (8, 0.4, 0.4)),
    "cooling, noise of batches": ({"temperature": COOLING}, {}, (8, 0.4, 0.025)),
    "cooling, no noise": (
        {"temperature": COOLING}, {"law": Law(noise_eigenvalue=0.0)}, (8, 0.4, 0.4),
    ),
    "cooling, step size given": (
        {"temperature": COOLING, "step_size": constant(0.3)}, {}, (8, 0.3, 0.3),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", TABLE)
def test_what_is_left_out_is_chosen(case):
    asked, known, (steps, first, last) = TABLE[case]
    plan = planned(settings(**asked), **known)
    n_steps = (TUNE + DRAWS) * plan.steps_per_draw
    assert plan.steps_per_draw == steps and plan.cycles is None
    ends = plan.step_size(np.array([0, n_steps - 1]))
    np.testing.assert_allclose(ends, [first, last], rtol=1e-9)
    wanted = (4.0, 0.25) if asked.get("temperature") is COOLING else None
    if wanted is not None:
        assert [plan.temperature_at(step) for step in (0, n_steps - 1)] == pytest.approx(wanted)


@pytest.mark.parametrize("step_size", [None, constant(0.3), cosine_cycles(0.3, 2)])
def test_cycles_explore_beyond_the_threshold(step_size):
    """Half of the steps explore; at a quarter of the cosine the largest step has halved."""
    plan = planned(settings(step_size, steps=4, cycles=Cycles(3, 0.5)))
    assert plan.cycles.n_steps == 4 * TUNE + 3 * 2 * 40
    assert plan.n_steps(TUNE) == 40 + 4 and plan.n_steps(TUNE + 1) == 4
    assert (plan.cycle(TUNE - 1), plan.cycle(TUNE), plan.cycle(TUNE + 10)) == (-1, 0, 1)
    largest, middle = plan.step_size(np.array([40, 80]))
    if isinstance(step_size, cosine_cycles):
        assert plan.step_size == step_size.bind(plan.cycles.n_steps)
    else:
        most = 0.1 * EXPLORING_BIAS / BIAS
        assert largest == pytest.approx(min(0.2, most) if step_size is None else 0.3)
        assert middle == pytest.approx(largest / 2)


def test_a_law_that_was_learned_changes_the_step_size_alone():
    """The temperature of cycles is then that of the step at which it was learned."""
    asked = settings(temperature=COOLING, steps=8)
    later, first = planned(asked, step=80), planned(asked)
    assert later.steps_per_draw == first.steps_per_draw == 8
    steps = np.arange(8 * (TUNE + DRAWS))
    np.testing.assert_array_equal(later.step_size(steps), first.step_size(steps))
    cycles = settings(temperature=COOLING, steps=4, cycles=Cycles(3, 0.0))
    later, first = planned(cycles, step=40), planned(cycles)
    assert (later.temperature, later.cycles) == (first.temperature, first.cycles)
    ratio = later.step_size(np.zeros(1)) / first.step_size(np.zeros(1))
    assert ratio == pytest.approx(first.temperature_at(40) / 4)


def test_a_step_size_cannot_be_chosen_without_a_law():
    with pytest.raises(RuntimeError, match="not tuned"):
        planned(settings(), law=None)
