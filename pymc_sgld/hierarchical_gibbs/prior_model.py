"""Parameters that no row depends on, and the density that they are drawn from: no data in it."""

from __future__ import annotations

from typing import Any

import pymc as pm
import pytensor.tensor as pt

from pytensor.graph.basic import Variable
from pytensor.graph.replace import graph_replace
from pytensor.graph.traversal import ancestors
from pytensor.scalar.basic import Add
from pytensor.tensor.elemwise import Elemwise

from pymc_sgld.model_graph.density.modes import compile_function
from pymc_sgld.model_graph.density.row_model import RowModel


def hyperparameters_of(row_model: RowModel) -> tuple[str, ...]:
    """Return the names of the value variables that no row's log-likelihood depends on.

    With ``mu ~ ..., tau ~ ..., u ~ Normal(mu, tau)`` and rows that see ``u`` alone these are
    ``mu`` and ``tau_log__``: given ``u``, the data say nothing more of them. Empty where no such
    parameter shares a factor with one that rows do see: it would be a factor of its own.

    Parameters
    ----------
    row_model : RowModel

    Returns
    -------
    tuple of str
    """
    seen = set(ancestors([term.logp for term in row_model.terms]))
    pairs = list(zip(row_model.value_vars, row_model.slices, strict=True))
    unseen = [(var.name, part) for var, part in pairs if part not in seen]
    if len(unseen) in {0, len(pairs)}:
        return ()
    for addend in _addends(row_model.prior):
        below = set(ancestors([addend]))
        if any((part in seen) and part in below for _, part in pairs) and any(
            part in below for _, part in unseen
        ):
            return tuple(name for name, _ in unseen)
    return ()


def _addends(value: Variable) -> list[Variable]:
    """Return what a sum is the sum of."""
    node = value.owner
    if node is None or not (isinstance(node.op, Elemwise) and isinstance(node.op.scalar_op, Add)):
        return [value]
    return [one for part in node.inputs for one in _addends(part)]


def prior_model(row_model: RowModel) -> pm.Model:
    """Return a model without rows, whose log-density is the prior part of a row model.

    Its variables are flat and unconstrained and named as the value variables. PyMC's own step
    methods on some of them draw these given all others, and read no data.

    Parameters
    ----------
    row_model : RowModel

    Returns
    -------
    pm.Model
    """
    with pm.Model(model=None) as model:  # on its own, whatever is on the stack
        free = {
            part: pm.Flat(name, shape=shape)
            for part, (name, shape) in zip(row_model.slices, row_model.layout, strict=True)
        }
        [prior] = graph_replace([row_model.prior], free, strict=False)
        pm.Potential("prior", prior)
    return model


def compile_prior(row_model: RowModel, mode: Any) -> Any:
    """Compile ``f(position, direction) -> (gradient, minus the Hessian @ direction, value)``.

    Of the prior part of the log-density.

    Parameters
    ----------
    row_model : RowModel
    mode : str or pytensor Mode

    Returns
    -------
    callable
        Arrays of shape (n_dim,) to two arrays of shape (n_dim,) and a number.
    """
    direction = pt.vector("direction", dtype=row_model.position.type.dtype)
    gradient = row_model.gradient(row_model.prior)
    curved = -row_model.gradient((gradient * direction).sum())
    return compile_function(
        [row_model.position, direction],
        [gradient, curved, row_model.prior],
        mode=mode,
    )
