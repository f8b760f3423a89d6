"""What a chain does in its tune phase alone: steps adapt, draws are kept to choose a centre by."""

import numpy as np

from pymc_sgld import schedules
from pymc_sgld.chain.between_draws import Tuner
from pymc_sgld.chain.latent_rows import KeptLatents
from pymc_sgld.chain.settings import Settings
from pymc_sgld.chain.state import ChainState
from pymc_sgld.chain.step_plan import StepPlan
from pymc_sgld.records import ACCEPTANCE_RATE
from pymc_sgld.samplers import TestedRule
from pymc_sgld.tuning import Centre
from pymc_sgld.types import Array

_TUNE_DRAWS = 50  # about, that are kept to choose a centre by
_FAR_AWAY = 10.0  # posterior sds, root mean square over the parameters
_A_LEAP = 1000.0  # the same, of a chain that was tuned
_ADAPTATION_DECAY = 0.6  # of the adaptation of the step size to the acceptance rate


def distance_limit(settings: Settings, state: ChainState, n_dim: int) -> float:
    """Return the squared distance from the mode, over the temperature, beyond which is refused.

    A chain that is being tuned is not to leave the posterior that it was tuned to: in whitened
    coordinates, where an sd is 1. Once tuned, what is refused is where no chain of steps of about
    an sd comes to but by a leap: from where a scale is large the slope throws its logarithm to
    minus 10⁷, where the density is finite, and flat, so that the chain never returns. From a mode
    given latents that are kept a chain is to come away, by many of these sds.
    """
    whitened = state.predicted_law is not None and state.metric.name == "dense"
    if not whitened or settings.anneals:
        return np.inf
    stays = state.tuning and not isinstance(state.moves, KeptLatents)
    return (_FAR_AWAY if stays else _A_LEAP) ** 2 * n_dim


def is_beyond(coordinates: Array, limit: float) -> bool:
    """Whether a squared length is above a limit; one that has none may overflow."""
    return limit < np.inf and not coordinates @ coordinates <= limit


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
    too_large: bool,
    statistics: dict[str, float],
) -> float:
    """Return the factor on the step size: halved, or led to the wanted rate of acceptance."""
    factor, rule = state.step_factor, settings.kernel.rule
    if not (state.tuning or settings.anneals):
        return factor
    if too_large:
        return factor / 2
    if not settings.adapts_step_size:
        return factor
    assert isinstance(rule, TestedRule) and rule.target_acceptance is not None
    rate = (state.draw_number + 1) ** -_ADAPTATION_DECAY
    factor *= float(np.exp(rate * (statistics[ACCEPTANCE_RATE] - rule.target_acceptance)))
    first = schedules.evaluate("step_size", plan.step_size, np.zeros(1))[0]
    return min(factor, float(rule.largest_step / first))


def move_centre(
    state: ChainState, tuner: Tuner, temperature: float, generator: np.random.Generator
) -> None:
    """Centre the control variate at the mean of the draws of the tune phase, if better."""
    law, draws = state.predicted_law, np.array(state.tune_draws)
    state.tune_draws = ()
    if law is None:
        return
    known = Centre(state.estimator_parameters, law, state.gradient_noise, state.moves)
    better, passes = tuner.better_centre(draws, known, state.metric, temperature, generator)
    state.unreported_passes += passes
    if better is not None:
        state.estimator_parameters = better.estimator_parameters
        state.predicted_law, state.moves = better.predicted_law, better.moves
        state.gradient_noise = better.gradient_noise
