"""Stochastic-gradient MCMC for PyMC models: importing registers the step methods with PyMC."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pymc_sgld import gradient_estimators, preconditioners, schedules, step_methods
from pymc_sgld.annealing import Annealing, anneal
from pymc_sgld.checkpoints import CheckpointedStep, draws_to_zarr, open_run
from pymc_sgld.model_graph import RowError, RowModel, register_row_rule, row_model
from pymc_sgld.posterior import (
    Check,
    NoScoreError,
    PosteriorScores,
    check,
    latent_posterior,
    posterior_predictive,
    posterior_scores,
    resample,
    row_log_likelihood,
)
from pymc_sgld.resuming import resume
from pymc_sgld.row_sources import columns
from pymc_sgld.sampling import sample, samplers
from pymc_sgld.step_methods.auto_latents import marginal_model
from pymc_sgld.step_methods.auto_report import tuning_table
from pymc_sgld.step_methods.registry import *  # noqa: F403  every step method by its name
from pymc_sgld.step_methods.registry import register

if TYPE_CHECKING:
    from pymc_sgld import comparison
    from pymc_sgld.comparison import Comparison, compare

__version__ = "0.1.0"

__all__ = [
    "Annealing",
    "Check",
    "CheckpointedStep",
    "Comparison",
    "NoScoreError",
    "PosteriorScores",
    "RowError",
    "RowModel",
    "anneal",
    "check",
    "columns",
    "compare",
    "comparison",
    "draws_to_zarr",
    "gradient_estimators",
    "latent_posterior",
    "marginal_model",
    "open_run",
    "posterior_predictive",
    "posterior_scores",
    "preconditioners",
    "register_row_rule",
    "resample",
    "resume",
    "row_log_likelihood",
    "row_model",
    "sample",
    "samplers",
    "schedules",
    "step_methods",
    "tuning_table",
]
__all__ += step_methods.registry.__all__
_OF_COMPARISON = ("Comparison", "compare")  # which loads what draws plots

register()


def __getattr__(name: str) -> Any:
    """Load what few sessions use when it is asked for."""
    if name == "comparison":
        return import_module("pymc_sgld.comparison")
    if name in _OF_COMPARISON:
        return getattr(import_module("pymc_sgld.comparison"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Return all names, those that are not loaded yet too."""
    return sorted({*globals(), *__all__})
