"""The one place that reads a `pm.Model`: its log-density by rows, and the proof of it."""

from __future__ import annotations

from pymc_sgld.model_graph.density.block_function import BlockFunction
from pymc_sgld.model_graph.density.coordinates import Coordinates, Effect
from pymc_sgld.model_graph.density.gathered_rows import (
    GatheredGroup,
    GatheredRows,
    RowDerivatives,
    gathered_rows,
)
from pymc_sgld.model_graph.density.layout import Layout
from pymc_sgld.model_graph.density.pass_counter import (
    PassCounter,
    TooManyPasses,
    counted,
    doing,
)
from pymc_sgld.model_graph.density.row_density import RowDensity, RowGroup, RowLeaf, RowTerm
from pymc_sgld.model_graph.density.row_gradients import (
    RowGradients,
    count_rows_from,
    rows_asked,
)
from pymc_sgld.model_graph.density.row_model import RowModel
from pymc_sgld.model_graph.density.verify import verify
from pymc_sgld.model_graph.density.weighted_rows import with_row_weights
from pymc_sgld.model_graph.read import read_rows, row_model
from pymc_sgld.model_graph.recentring.find_effects import Recentre
from pymc_sgld.model_graph.recentring.recentred import recentred
from pymc_sgld.model_graph.rewrite.errors import CannotTakeRows, RowError
from pymc_sgld.model_graph.rewrite.factors import uses_minibatch
from pymc_sgld.model_graph.rewrite.take_rows import RowRequest, register_row_rule

__all__ = [
    "BlockFunction",
    "CannotTakeRows",
    "Coordinates",
    "Effect",
    "GatheredGroup",
    "GatheredRows",
    "Layout",
    "PassCounter",
    "Recentre",
    "RowDensity",
    "RowDerivatives",
    "RowError",
    "RowGradients",
    "RowGroup",
    "RowLeaf",
    "RowModel",
    "RowRequest",
    "RowTerm",
    "TooManyPasses",
    "count_rows_from",
    "counted",
    "doing",
    "gathered_rows",
    "read_rows",
    "recentred",
    "register_row_rule",
    "row_model",
    "rows_asked",
    "uses_minibatch",
    "verify",
    "with_row_weights",
]
