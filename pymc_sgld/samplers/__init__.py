"""Update rules, one a file: PyTensor only, never PyMC."""

from pymc_sgld.samplers._base import MomentumRule, Rule, ScaledRule, TestedRule
from pymc_sgld.samplers.amagold import Amagold
from pymc_sgld.samplers.badodab import Badodab
from pymc_sgld.samplers.baoa import Baoa
from pymc_sgld.samplers.baoab import Baoab
from pymc_sgld.samplers.constant_sgd import ConstantSgd
from pymc_sgld.samplers.mala import MetropolisAdjustedLangevin
from pymc_sgld.samplers.obabo import Obabo
from pymc_sgld.samplers.psgld import PreconditionedLangevin
from pymc_sgld.samplers.replica_exchange import ReplicaExchangeLangevin
from pymc_sgld.samplers.restarted_langevin import RestartedLangevin
from pymc_sgld.samplers.sgfs import StochasticGradientFisherScoring
from pymc_sgld.samplers.sggmc import GradientGuidedMonteCarlo
from pymc_sgld.samplers.sghmc import StochasticGradientHamiltonian
from pymc_sgld.samplers.sgld import StochasticGradientLangevin
from pymc_sgld.samplers.sgnht import NoseHooverThermostat

__all__ = [
    "Amagold",
    "Badodab",
    "Baoa",
    "Baoab",
    "ConstantSgd",
    "GradientGuidedMonteCarlo",
    "MetropolisAdjustedLangevin",
    "MomentumRule",
    "NoseHooverThermostat",
    "Obabo",
    "PreconditionedLangevin",
    "ReplicaExchangeLangevin",
    "RestartedLangevin",
    "Rule",
    "ScaledRule",
    "StochasticGradientFisherScoring",
    "StochasticGradientHamiltonian",
    "StochasticGradientLangevin",
    "TestedRule",
]
