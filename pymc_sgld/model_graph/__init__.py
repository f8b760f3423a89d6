"""The one place that reads a `pm.Model`: its log-density by rows, and the proof of it."""

from __future__ import annotations

from pymc_sgld.model_graph.block_function import BlockFunction
from pymc_sgld.model_graph.building import row_model
from pymc_sgld.model_graph.errors import CannotTakeRows, RowError
from pymc_sgld.model_graph.factors import uses_minibatch
from pymc_sgld.model_graph.identity import verify
from pymc_sgld.model_graph.posterior_rows import row_log_likelihood
from pymc_sgld.model_graph.predictive import posterior_predictive
from pymc_sgld.model_graph.push import RowGroup, RowLeaf, Rows, register_row_rule
from pymc_sgld.model_graph.row_model import RowModel, RowTerm

__all__ = [
    "BlockFunction",
    "CannotTakeRows",
    "RowError",
    "RowGroup",
    "RowLeaf",
    "RowModel",
    "RowTerm",
    "Rows",
    "posterior_predictive",
    "register_row_rule",
    "row_log_likelihood",
    "row_model",
    "uses_minibatch",
    "verify",
]
