"""What a chain does in its tune phase alone: steps adapt, draws are kept to choose a centre by."""

import numpy as np

from pymc_sgld import schedules
from pymc_sgld.chain.settings import Settings
from pymc_sgld.chain.state import ChainState
from pymc_sgld.chain.step_plan import StepPlan
from pymc_sgld.records import ACCEPTANCE_RATE
from pymc_sgld.samplers import TestedRule
from pymc_sgld.types import Array

_TUNE_DRAWS = 50  # about, that are kept to choose a centre by
_FAR_AWAY = 10.0  # posterior sds, root mean square over the parameters
_ADAPTATION_DECAY = 0.6  # of the adaptation of the step size to the acceptance rate


def is_far_away(
    settings: Settings, state: ChainState, coordinates: Array, temperature: float
) -> bool:
    """Whether a chain that is being tuned leaves the posterior that it was tuned to.

    In whitened coordinates, where an sd is 1. Once tuned, nothing that is finite is refused.
    """
    whitened = state.predicted_law is not None and state.metric.name == "dense"
    if not (state.tuning and whitened) or settings.anneals:
        return False
    return bool(coordinates @ coordinates > _FAR_AWAY**2 * len(coordinates) * temperature)


def kept_draws(settings: Settings, state: ChainState, position: Array) -> tuple[Array, ...]:
    """Return some draws of the second half of the phase, where a centre may move to them."""
    if not (state.tuning and settings.kernel.estimator.move_centre):
        return state.tune_draws
    apart = max(1, state.tune // (2 * _TUNE_DRAWS))
    if 2 * state.draw_number >= state.tune and state.draw_number % apart == 0:
        return (*state.tune_draws, position)
    return state.tune_draws


def adapted_factor(
    settings: Settings,
    state: ChainState,
    plan: StepPlan,
    diverging: bool,
    statistics: dict[str, float],
) -> float:
    """Return the factor on the step size: halved, or led to the wanted rate of acceptance."""
    factor, rule = state.step_factor, settings.kernel.rule
    if not (state.tuning or settings.anneals):
        return factor
    if diverging:
        return factor / 2
    if not settings.adapts_step_size:
        return factor
    assert isinstance(rule, TestedRule) and rule.target_acceptance is not None
    rate = (state.draw_number + 1) ** -_ADAPTATION_DECAY
    factor *= float(np.exp(rate * (statistics[ACCEPTANCE_RATE] - rule.target_acceptance)))
    first = schedules.evaluate("step_size", plan.step_size, np.zeros(1))[0]
    return min(factor, float(rule.largest_step / first))
