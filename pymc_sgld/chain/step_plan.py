"""The one place where step size, temperature and steps of a draw are chosen."""

from dataclasses import dataclass

import numpy as np

from pymc_sgld import schedules
from pymc_sgld.chain.cooling import follow
from pymc_sgld.chain.cycles import EXPLORING_BIAS, CyclePlan, cyclical
from pymc_sgld.chain.settings import Settings
from pymc_sgld.tuning import PredictedLaw
from pymc_sgld.types import Array, Schedule

_MOST_PASSES_PER_DRAW = 5  # through the data, where steps_per_draw is left out
_STEPS_ON_BATCHES = 3  # of a draw in whitened coordinates: it has then forgotten half of the last


@dataclass(frozen=True)
class StepPlan:
    """The steps of a chain: how large, how hot, and how many between two draws.

    Parameters
    ----------
    step_size, temperature : schedule
        Of the number of the step; they know how long the chain is.
    steps_per_draw : int
    cycles : CyclePlan, optional
        Of a sampler with cycles.
    """

    step_size: Schedule
    temperature: Schedule
    steps_per_draw: int
    cycles: CyclePlan | None = None

    def cycle(self, draw_number: int) -> int:
        """Return which cycle a draw belongs to; -1 where there is none."""
        return -1 if self.cycles is None else self.cycles.cycle(draw_number)

    def n_steps(self, draw_number: int) -> int:
        """Return the steps of a draw; exploration belongs to the first of a cycle."""
        exploring = 0 if self.cycles is None else self.cycles.exploring_before(draw_number)
        return exploring + self.steps_per_draw

    def at(self, steps: Array, factor: float) -> tuple[Array, Array]:
        """Return the step sizes, times a factor, and the temperatures of steps."""
        step_sizes = schedules.evaluate("step_size", self.step_size, steps) * factor
        return step_sizes, schedules.evaluate("temperature", self.temperature, steps)

    def temperature_at(self, step: int) -> float:
        """Return the temperature of a step."""
        return float(schedules.evaluate("temperature", self.temperature, np.array([step]))[0])


def plan_steps(
    settings: Settings,
    predicted_law: PredictedLaw | None,
    tune: int,
    draws: int,
    *,
    passes_per_step: float,
    steps_per_sweep: int = 1,
    step: int = 0,
    step_factor: float = 1.0,
) -> StepPlan:
    """Choose what was left out of step size and steps of a draw, for the law of the chain.

    A step size that was left out is at the sampling threshold of the temperature of the step; in
    cycles, sampling begins there, and a number that was given is the largest.

    Parameters
    ----------
    settings : Settings
        What was given; None where it is to be chosen.
    predicted_law : PredictedLaw or None
        None where it is not known, and the step size was given.
    tune, draws : int
    passes_per_step : float
        Data passes of a step.
    steps_per_sweep : int, default 1
        A draw is at the end of a sweep, where the noise of its batches has added up to almost none.
    step : int, default 0
        At which this is chosen; a preconditioner that is learned changes the law later on.
    step_factor : float, default 1
        On a chosen step size, for what the law does not know: a draw takes more steps then.

    Raises
    ------
    RuntimeError
        Where a step size is to be chosen for a law that is not known.
    """
    temperature = first_temperature(settings, tune, draws)
    if step:
        horizon = _horizon(settings, tune, draws, settings.steps_per_draw or 1)
        bound = schedules.bind(settings.temperature, horizon)
        temperature = float(schedules.evaluate("temperature", bound, np.array([step]))[0])
    step_size = settings.step_size
    if step_size is None:
        if predicted_law is None:
            raise RuntimeError("The chain was not tuned.")
        step_size = schedules.constant(
            predicted_law.threshold_step_size(temperature, settings.target_bias)
        )
    steps_per_draw = settings.steps_per_draw or _steps_to_forget(
        settings, predicted_law, step_size, temperature, passes_per_step, steps_per_sweep,
        step_factor,
    )  # fmt: skip
    horizon = _horizon(settings, tune, draws, steps_per_draw)
    bound = schedules.bind(settings.temperature, horizon)
    cycles = None
    if settings.cycles is not None:
        cycles = settings.cycles.plan(tune, draws, steps_per_draw)
        step_size = _in_cycles(settings, predicted_law, step_size, cycles, temperature)
    elif settings.step_size is None and predicted_law is not None:
        step_size = follow(predicted_law, bound, horizon, settings.target_bias)
    return StepPlan(schedules.bind(step_size, horizon), bound, steps_per_draw, cycles)


def first_temperature(settings: Settings, tune: int, draws: int) -> float:
    """Return the temperature of the first step, which is that of the warm-up."""
    bound = schedules.bind(settings.temperature, max(1, tune + draws))
    return float(schedules.evaluate("temperature", bound, np.zeros(1))[0])


def steps_in_whitened_coordinates(all_rows: bool) -> int:
    """Return the steps of a draw that starts where the posterior is, in coordinates of unit sd.

    Steps on all rows are dear: there each makes a draw.
    """
    return 1 if all_rows else _STEPS_ON_BATCHES


def _horizon(settings: Settings, tune: int, draws: int, steps_per_draw: int) -> int:
    """Return the steps of the whole chain."""
    if settings.cycles is not None:
        return max(1, settings.cycles.plan(tune, draws, steps_per_draw).n_steps)
    return max(1, (tune + draws) * steps_per_draw)


def _steps_to_forget(
    settings: Settings,
    predicted_law: PredictedLaw | None,
    step_size: Schedule,
    temperature: float,
    passes_per_step: float,
    steps_per_sweep: int,
    step_factor: float,
) -> int:
    """Return the steps of a draw: some passes, or fewer where the chain forgets sooner."""
    enough = _MOST_PASSES_PER_DRAW / passes_per_step
    if predicted_law is not None and isinstance(step_size, schedules.constant):
        enough = min(enough, predicted_law.memory(step_factor * step_size.value, temperature))
    if steps_per_sweep > 1:
        return steps_per_sweep * max(1, round(enough / steps_per_sweep))
    trajectory = settings.trajectory
    return trajectory * max(1, int(np.ceil(enough / trajectory)))


def _in_cycles(
    settings: Settings,
    predicted_law: PredictedLaw | None,
    step_size: Schedule,
    plan: CyclePlan,
    temperature: float,
) -> Schedule:
    """Return the steps of the cycles; a schedule of the user's stays what it is."""
    if settings.cycles is None or not isinstance(step_size, schedules.constant):
        return step_size
    largest = step_size.value
    if settings.step_size is None and predicted_law is not None:
        most = predicted_law.threshold_step_size(temperature, EXPLORING_BIAS)
        largest = min(largest / settings.cycles.fraction, max(most, largest))
    return cyclical(largest, plan)
