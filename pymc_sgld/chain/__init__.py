"""A chain: what was asked of it, what changes as it runs, and how it moves."""

from pymc_sgld.chain.between_draws import Conditions, Moves, Tuner
from pymc_sgld.chain.chain import Chain
from pymc_sgld.chain.cycles import Cycles
from pymc_sgld.chain.draws_ahead import DrawsAhead
from pymc_sgld.chain.parts import Parts, build_chain, problem_of
from pymc_sgld.chain.settings import Settings
from pymc_sgld.chain.state import ChainState, Draw
from pymc_sgld.chain.step_plan import (
    StepPlan,
    first_temperature,
    plan_steps,
    steps_in_whitened_coordinates,
)

__all__ = [
    "Chain",
    "ChainState",
    "Conditions",
    "Cycles",
    "Draw",
    "DrawsAhead",
    "Moves",
    "Parts",
    "Settings",
    "StepPlan",
    "Tuner",
    "build_chain",
    "first_temperature",
    "plan_steps",
    "problem_of",
    "steps_in_whitened_coordinates",
]
