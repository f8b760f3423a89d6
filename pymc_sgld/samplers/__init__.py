"""Update rules, one a file: PyTensor only, never PyMC."""

from pymc_sgld.samplers.sgld import StochasticGradientLangevin

__all__ = ["StochasticGradientLangevin"]
