"""The PyMC side of the samplers: step methods, their arguments, and the one that tunes itself."""

from pymc_sgld.step_methods import registry
from pymc_sgld.step_methods.base import StochasticGradientStep
from pymc_sgld.step_methods.registry import *  # noqa: F403  every step method by its name

__all__ = ["StochasticGradientStep"]
__all__ += registry.__all__
