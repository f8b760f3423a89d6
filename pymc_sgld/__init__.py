"""Stochastic-gradient MCMC for PyMC models: importing registers the step methods with PyMC."""

from pymc_sgld import schedules
from pymc_sgld.comparison import Comparison, compare
from pymc_sgld.model_graph import (
    RowError,
    RowModel,
    posterior_predictive,
    register_row_rule,
    row_log_likelihood,
    row_model,
)
from pymc_sgld.sampling import sample, samplers
from pymc_sgld.step_methods import SGLD, register

__version__ = "0.1.0"

__all__ = [
    "SGLD",
    "Comparison",
    "RowError",
    "RowModel",
    "compare",
    "posterior_predictive",
    "register_row_rule",
    "row_log_likelihood",
    "row_model",
    "sample",
    "samplers",
    "schedules",
]

register()
