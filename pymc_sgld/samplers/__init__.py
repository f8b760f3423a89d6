"""Update rules, one a file: PyTensor only, never PyMC."""

from pymc_sgld.samplers.badodab import Badodab
from pymc_sgld.samplers.baoa import Baoa
from pymc_sgld.samplers.baoab import Baoab
from pymc_sgld.samplers.obabo import Obabo
from pymc_sgld.samplers.sghmc import StochasticGradientHamiltonian
from pymc_sgld.samplers.sgld import StochasticGradientLangevin
from pymc_sgld.samplers.sgnht import NoseHooverThermostat

__all__ = [
    "Badodab",
    "Baoa",
    "Baoab",
    "NoseHooverThermostat",
    "Obabo",
    "StochasticGradientHamiltonian",
    "StochasticGradientLangevin",
]
