"""The one place that reads a `pm.Model`: its log-density by rows, and the proof of it."""

from __future__ import annotations

from pymc_sgld.model_graph.block_function import BlockFunction
from pymc_sgld.model_graph.coordinates import recentred
from pymc_sgld.model_graph.density.coordinates import Coordinates, Site
from pymc_sgld.model_graph.density.row_density import RowDensity, RowGroup, RowLeaf, RowTerm
from pymc_sgld.model_graph.errors import CannotTakeRows, RowError
from pymc_sgld.model_graph.factors import uses_minibatch
from pymc_sgld.model_graph.hyperparameters import (
    compile_prior,
    hyperparameters_of,
    prior_model,
)
from pymc_sgld.model_graph.identity import verify
from pymc_sgld.model_graph.layout import Layout
from pymc_sgld.model_graph.posterior_rows import posterior_of, row_log_likelihood
from pymc_sgld.model_graph.predictive import posterior_predictive
from pymc_sgld.model_graph.push import Rows, register_row_rule
from pymc_sgld.model_graph.read import row_model
from pymc_sgld.model_graph.row_gradients import RowGradients
from pymc_sgld.model_graph.row_model import RowModel
from pymc_sgld.model_graph.sites import Recentre
from pymc_sgld.model_graph.standardised import (
    HELD,
    STANDARD,
    QuadraticRows,
    compile_shift_and_scale,
    standardised_model,
)
from pymc_sgld.model_graph.unconstrained import (
    parameter_labels,
    position_labels,
    unconstrained_positions,
)
from pymc_sgld.model_graph.weighted_rows import with_row_weights

__all__ = [
    "HELD",
    "STANDARD",
    "BlockFunction",
    "CannotTakeRows",
    "Coordinates",
    "Layout",
    "QuadraticRows",
    "Recentre",
    "RowDensity",
    "RowError",
    "RowGradients",
    "RowGroup",
    "RowLeaf",
    "RowModel",
    "RowTerm",
    "Rows",
    "Site",
    "compile_prior",
    "compile_shift_and_scale",
    "hyperparameters_of",
    "parameter_labels",
    "position_labels",
    "posterior_of",
    "posterior_predictive",
    "prior_model",
    "recentred",
    "register_row_rule",
    "row_log_likelihood",
    "row_model",
    "standardised_model",
    "unconstrained_positions",
    "uses_minibatch",
    "verify",
    "with_row_weights",
]
