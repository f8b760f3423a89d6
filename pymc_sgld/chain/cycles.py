"""Cycles of exploration and sampling: which steps belong to a draw, and their sizes."""

from dataclasses import dataclass

import numpy as np

from pymc_sgld.schedules import repeated_cosine
from pymc_sgld.types import Array
from pymc_sgld.validate import check_integer, check_number

# Relative excess of an sd at the largest step of a cycle, where that is chosen.
EXPLORING_BIAS = 0.4


@dataclass(frozen=True)
class Cycles:
    """What was asked for.

    Parameters
    ----------
    cycles : int, default 10
        Their number; it must divide the number of draws.
    exploration : float, default 0.5
        Proportion of the steps of a cycle that explore: those at its large step sizes, of which no
        draw is kept. At least 0 and below 1.
    """

    cycles: int = 10
    exploration: float = 0.5

    def __post_init__(self) -> None:
        """Check the arguments."""
        check_integer("cycles", self.cycles, at_least=1)
        check_number("exploration", self.exploration, at_least=0, below=1)

    def check(self, draws: int) -> None:
        """Refuse a number of draws that the cycles do not divide."""
        if draws % self.cycles == 0:
            return
        divisors = [one for one in range(1, draws + 1) if draws % one == 0]
        below = max(one for one in divisors if one < self.cycles)
        above = [one for one in divisors if one > self.cycles][:1]
        near = " or ".join(f"cycles={one}" for one in [below, *above])
        rounds = [draws // self.cycles * self.cycles, -(-draws // self.cycles) * self.cycles]
        fitting = " or ".join(f"draws={one}" for one in rounds if one)
        raise ValueError(
            f"cycles={self.cycles} do not divide {draws} draws, and every cycle gives the same "
            f"number of draws. Give {near}, or {fitting}."
        )

    def plan(self, tune: int, draws: int, steps_per_draw: int) -> "CyclePlan":
        """Return the plan of a chain."""
        sampling = draws // self.cycles * steps_per_draw
        exploring = round(sampling * self.exploration / (1 - self.exploration))
        return CyclePlan(tune, self.cycles, steps_per_draw, sampling, exploring)

    @property
    def fraction(self) -> float:
        """Step size where sampling begins, over the largest."""
        return float(repeated_cosine(1.0, 1)(np.array(self.exploration)))


@dataclass(frozen=True)
class CyclePlan:
    """The cycles of a chain; its tune phase is one before the first, from which nothing is kept.

    Parameters
    ----------
    tune : int
        Draws of the tune phase.
    cycles : int
    steps_per_draw : int
    sampling_steps, exploring_steps : int
        Of one cycle, the exploring ones first. They belong to its first draw.
    """

    tune: int
    cycles: int
    steps_per_draw: int
    sampling_steps: int
    exploring_steps: int

    @property
    def tune_steps(self) -> int:
        """Steps of the tune phase."""
        return self.tune * self.steps_per_draw

    @property
    def cycle_steps(self) -> int:
        """Steps of a cycle."""
        return self.exploring_steps + self.sampling_steps

    @property
    def n_steps(self) -> int:
        """Steps of the chain."""
        return self.tune_steps + self.cycles * self.cycle_steps

    def cycle(self, draw_number: int) -> int:
        """Return which cycle a draw belongs to; -1 in the tune phase."""
        if draw_number < self.tune:
            return -1
        return (draw_number - self.tune) * self.steps_per_draw // self.sampling_steps

    def exploring_before(self, draw_number: int) -> int:
        """Return the exploring steps that come before a draw."""
        begins = self.cycle(draw_number) > self.cycle(draw_number - 1)
        return self.exploring_steps if draw_number >= self.tune and begins else 0


@dataclass(frozen=True)
class cyclical:
    """The step sizes of a plan: a cosine over the tune phase, then one over every cycle."""

    largest: float
    plan: CyclePlan

    def __call__(self, step: Array) -> Array:
        """Return the values at the given step numbers."""
        since = np.asarray(step) - self.plan.tune_steps
        tuning = repeated_cosine(self.largest, max(self.plan.tune_steps, 1))
        in_cycles = repeated_cosine(self.largest, max(self.plan.cycle_steps, 1))
        return np.asarray(np.where(since < 0, tuning(step), in_cycles(since)))
