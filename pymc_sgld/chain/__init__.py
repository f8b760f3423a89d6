"""A chain: what it is told, what changes as it runs, what comes before it, and how it moves."""

from pymc_sgld.chain.beginning import Beginning
from pymc_sgld.chain.chain import Chain
from pymc_sgld.chain.cycles import Cycles
from pymc_sgld.chain.gibbs_beginning import GibbsBeginning, Hierarchy, TunedGibbs
from pymc_sgld.chain.gibbs_chain import GibbsChain
from pymc_sgld.chain.hyperparameter_step import hyperparameter_step
from pymc_sgld.chain.interweaving import Interweaving, interweaving, judged
from pymc_sgld.chain.settings import Settings
from pymc_sgld.chain.state import LARGEST_MEASURED, ChainState, Draw, Tuned
from pymc_sgld.chain.step_plan import (
    StepPlan,
    first_temperature,
    plan_steps,
    steps_in_whitened_coordinates,
)

__all__ = [
    "LARGEST_MEASURED",
    "Beginning",
    "Chain",
    "ChainState",
    "Cycles",
    "Draw",
    "GibbsBeginning",
    "GibbsChain",
    "Hierarchy",
    "Interweaving",
    "Settings",
    "StepPlan",
    "Tuned",
    "TunedGibbs",
    "first_temperature",
    "hyperparameter_step",
    "interweaving",
    "judged",
    "plan_steps",
    "steps_in_whitened_coordinates",
]
