"""Flat priors on what no row says anything of: such a posterior is improper."""

import numpy as np
import pymc as pm

from pytensor.graph.traversal import ancestors

from pymc_sgld.model_graph import BlockFunction, RowModel
from pymc_sgld.tuning import TuningError
from pymc_sgld.types import Array
from pymc_sgld.validate import and_more

_OFF = 0.1  # of the initial point, where gradients are zero by symmetry
_FLAT = (type(pm.Flat.rv_op), type(pm.HalfFlat.rv_op))


def check_before_search(model: pm.Model, rows: RowModel, function: BlockFunction) -> None:
    """Raise as :func:`check_unseen_scales` does, before a search that would have no end.

    Takes a pass through the data where a prior is flat, and none else.

    Parameters
    ----------
    model : pm.Model
    rows : RowModel
        Of the model.
    function : BlockFunction
        Of the rows.
    """
    if not any(isinstance(variable.owner.op, _FLAT) for variable in model.free_RVs):
        return
    position = rows.ravel(model.initial_point()).astype(function.dtype)
    position = position + _OFF * np.arange(1, rows.n_dim + 1) / rows.n_dim
    seen = np.zeros(rows.n_dim, dtype=bool)
    for pieces, counts in function.chunks():
        weights = [float(on) for on in counts]
        blocks = function.read(pieces)
        slope = function.on_blocks(position, blocks, prior_weight=0.0, weights=weights)[1]
        seen |= slope != 0
    check_unseen_scales(model, rows, seen)


def check_unseen_scales(model: pm.Model, rows: RowModel, seen: Array) -> None:
    """Raise where a variable has a flat prior, and neither it nor what it acts on has a row.

    A scale is such a variable where all its effects are of levels without rows: the joint density
    of scale and effects grows without bound, which is no mode and has no width.

    Parameters
    ----------
    model : pm.Model
    rows : RowModel
        Of the model.
    seen : array of bool, shape (n_dim,)
        Which parameters some row has a gradient in.

    Raises
    ------
    TuningError
    """
    unseen = [
        variable.name
        for variable in model.free_RVs
        if isinstance(variable.owner.op, _FLAT)
        and not seen[rows.layout.entries(_with_below(model, variable))].any()
    ]
    if unseen:
        raise TuningError(
            f"{and_more(unseen)} has a flat prior, and no row says anything of it, nor of the "
            "effects whose scale or mean it is: the posterior is improper. Give a proper prior, "
            "such as pm.HalfNormal for a scale, or leave out effects without rows.",
            model_at_fault=True,
        )


def _with_below(model: pm.Model, variable: object) -> list[str]:
    """Return the names of the values of a variable and of those whose priors depend on it."""
    return [
        model.rvs_to_values[other].name
        for other in model.free_RVs
        if other is variable or variable in ancestors([other])
    ]
