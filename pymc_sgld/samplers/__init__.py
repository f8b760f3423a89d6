"""Update rules, one a file: PyTensor only, never PyMC."""

from pymc_sgld.samplers.baoa import Baoa
from pymc_sgld.samplers.baoab import Baoab
from pymc_sgld.samplers.obabo import Obabo
from pymc_sgld.samplers.sghmc import StochasticGradientHamiltonian
from pymc_sgld.samplers.sgld import StochasticGradientLangevin

__all__ = [
    "Baoa",
    "Baoab",
    "Obabo",
    "StochasticGradientHamiltonian",
    "StochasticGradientLangevin",
]
