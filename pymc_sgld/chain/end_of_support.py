"""What a chain does where the log-density of a model can be minus infinity.

A draw that ends where its log-density is not finite is refused, and the chain stays. The steps on
its way may leave the support. A chain that is reversible where the density is positive, momenta
turned round, leaves the density within the support invariant if it refuses so: proposing y from x
and x from y weigh the same, and both are within. Rules are reversible up to the error of their
discretisation, which is why a step size that is chosen is halved.
"""

from dataclasses import replace

from pymc_sgld.chain.settings import Settings
from pymc_sgld.chain.state import ChainState
from pymc_sgld.model_graph.density.row_density import RowDensity
from pymc_sgld.model_graph.density.support import support_of, transformed_entries
from pymc_sgld.tuning import Tuned

_ON_CHOSEN_STEPS = 0.5
_REFUSED_AT_AN_END = 4  # draws in a row, at the end of a support, for a step that is halved


def within_support(settings: Settings, row_model: RowDensity) -> Settings:
    """Return settings that know where the density of a model ends."""
    support, transformed = support_of(row_model), transformed_entries(row_model)
    return replace(settings, support=support, transformed=transformed)


def first_step_factor(settings: Settings, tuned: Tuned | None) -> float:
    """Return the factor on the step size that a chain begins with."""
    if settings.step_size is not None or settings.tested:
        return 1.0
    refuses = _ON_CHOSEN_STEPS if settings.support.is_bounded else 1.0
    return refuses if tuned is None else refuses * tuned.steep.step_factor


def turn_back(settings: Settings, state: ChainState) -> None:
    """Do with momentum and thermostat what leaves the law invariant where a draw is refused."""
    if settings.support.is_bounded:
        state.extra_state = settings.kernel.rule.turned_back(state.extra_state)


def is_too_large(state: ChainState, settings: Settings, diverging: bool, outside: bool) -> bool:
    """Whether a draw that was refused speaks against the step size.

    Where the support has an end, draws are refused at any step size: then several in a row do.
    """
    if outside and settings.support.is_bounded:
        return False
    if diverging and settings.support.is_bounded:
        return state.refused_in_a_row % _REFUSED_AT_AN_END == _REFUSED_AT_AN_END - 1
    return diverging or outside
