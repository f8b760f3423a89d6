"""The PyMC side of the samplers: step methods, their arguments, and the one that tunes itself."""

from pymc_sgld.step_methods import registry
from pymc_sgld.step_methods.base import StochasticGradientStep
from pymc_sgld.step_methods.registry import *  # noqa: F403  every step method by its name
from pymc_sgld.step_methods.registry import REGISTRY, register

__all__ = ["REGISTRY", "StochasticGradientStep", "register"]
__all__ += registry.__all__
