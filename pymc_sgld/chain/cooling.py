"""The step size that was left out, where the temperature changes."""

from dataclasses import dataclass

import numpy as np

from pymc_sgld import schedules
from pymc_sgld.tuning import TARGET_BIAS, PredictedLaw
from pymc_sgld.types import Array, Schedule

_TEMPERATURES = 9  # at which the threshold is solved for; between them it is interpolated
_STEPS_LOOKED_AT = 1000


@dataclass(frozen=True)
class at_threshold:
    """The sampling threshold of the temperature of every step.

    Parameters
    ----------
    temperature : schedule
    log_temperatures, log_step_sizes : array
        Where the threshold is known; in between it is interpolated.
    """

    temperature: Schedule
    log_temperatures: Array
    log_step_sizes: Array

    def __call__(self, step: Array) -> Array:
        """Return the values at the given step numbers."""
        now = np.log(schedules.evaluate("temperature", self.temperature, step))
        return np.asarray(np.exp(np.interp(now, self.log_temperatures, self.log_step_sizes)))


def follow(
    predicted_law: PredictedLaw,
    temperature: Schedule,
    n_steps: int,
    target_bias: float = TARGET_BIAS,
) -> Schedule:
    """Return the step sizes of a chain of ``n_steps`` steps at changing temperatures.

    The noise of batches weighs more the lower the temperature: the steps fall with it, where there
    is such noise.
    """
    steps = np.unique(np.linspace(0, n_steps - 1, _STEPS_LOOKED_AT).astype(int))
    values = schedules.evaluate("temperature", temperature, steps)
    if values.min() == values.max() or predicted_law.noise_eigenvalue == 0:
        return schedules.constant(predicted_law.threshold_step_size(float(values[0]), target_bias))
    grid = np.geomspace(values.min(), values.max(), _TEMPERATURES)
    thresholds = [predicted_law.threshold_step_size(float(one), target_bias) for one in grid]
    return at_threshold(temperature, np.log(grid), np.log(thresholds))
