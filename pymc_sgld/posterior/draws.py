"""Draws that are handed in: whether there are any, of which model, and whether they are finite.

The one test of all functions that take draws.
"""

from typing import Any

import numpy as np
import pymc as pm
import xarray as xr

from pymc_sgld.model_graph.rewrite.errors import RowError
from pymc_sgld.model_graph.rewrite.naming import listed
from pymc_sgld.validate import shown

_PASS = "Pass what sample() returned."


def posterior_of(idata: Any) -> xr.Dataset:
    """Return the posterior draws, with dimensions ``chain`` and ``draw`` first.

    Raises
    ------
    RowError
        If there is no group ``posterior``, or there are no draws in it.
    """
    if not isinstance(idata, xr.DataTree) and not hasattr(idata, "posterior"):
        raise RowError(
            f"idata must be a DataTree with a group 'posterior', got {shown(idata)}. {_PASS}"
        )
    try:
        posterior = idata["posterior"]
    except (KeyError, TypeError, AttributeError):
        there = ", ".join(map(repr, getattr(idata, "children", ()))) or "none"
        raise RowError(f"idata has no group 'posterior' (its groups: {there}). {_PASS}") from None
    dataset: xr.Dataset = posterior.to_dataset() if hasattr(posterior, "to_dataset") else posterior
    if not {"chain", "draw"} <= set(dataset.dims):
        raise RowError(
            f"posterior has dimensions {listed(map(str, dataset.dims)) or '(none)'}, but 'chain' "
            f"and 'draw' are needed. {_PASS}"
        )
    sizes = dataset.sizes["chain"], dataset.sizes["draw"]
    if not min(sizes) or not dataset.data_vars:
        raise RowError(
            f"posterior has no draws: {sizes[0]} chains of {sizes[1]} draws of "
            f"{len(dataset.data_vars)} variables. {_PASS}"
        )
    return dataset.transpose("chain", "draw", ...)


def check_draws_of(model: pm.Model, posterior: xr.Dataset) -> None:
    """Refuse draws that lack a variable of the model, or have it with another shape or kind.

    Raises
    ------
    RowError
    """
    shapes = model.eval_rv_shapes()
    names = [rv.name for rv in model.free_RVs]
    missing = [name for name in names if name not in posterior]
    if missing:
        others = [str(name) for name in posterior.data_vars if name not in model.named_vars]
        hint = (
            f" The draws have {', '.join(map(repr, others))}: of another model?" if others else ""
        )
        raise RowError(
            f"The draws lack {', '.join(map(repr, missing))}, free in the model. Sample with "
            f"var_names that include all free variables.{hint}"
        )
    for name in names:
        draws = posterior[name]
        if not {"chain", "draw"} <= set(draws.dims):
            raise RowError(
                f"'{name}' has the dimensions {listed(map(str, draws.dims)) or '(none)'} in the "
                f"draws, without 'chain' or 'draw': one value for each draw is needed. {_PASS}"
            )
        if draws.dtype.kind not in "biuf":
            raise RowError(f"'{name}' has draws of type {draws.dtype}, not numbers. {_PASS}")
        found, wanted = draws.shape[2:], tuple(int(n) for n in shapes[name])
        if found != wanted:
            raise RowError(
                f"'{name}' has shape {found} in the draws and {wanted} in the model: these are "
                "draws of another model, or of other data. Pass the model that was sampled."
            )


def refuse_nonfinite_draws(model: pm.Model, posterior: xr.Dataset) -> None:
    """Refuse draws that hold NaN or infinite numbers.

    Raises
    ------
    RowError
    """
    for rv in model.free_RVs:
        finite = np.isfinite(posterior[rv.name].to_numpy().astype(float))
        wrong = ~finite.reshape(*finite.shape[:2], -1).all(axis=-1)
        if wrong.any():
            chain, draw = np.argwhere(wrong)[0]
            raise RowError(
                f"'{rv.name}' is not finite at {int(wrong.sum())} of {wrong.size} draws, the first "
                f"of them draw {draw} of chain {chain}: the chain diverged. Leave these draws out, "
                "or sample anew."
            )
