"""From draws as users see them back to the vectors that samplers move."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import xarray as xr

from pytensor.graph.replace import graph_replace, vectorize_graph

from pymc_sgld.model_graph.density.coordinates import Effect
from pymc_sgld.model_graph.density.modes import compile_function
from pymc_sgld.model_graph.density.row_model import RowModel
from pymc_sgld.posterior.draws import check_draws_of


def unconstrained_positions(model: pm.Model, posterior: xr.Dataset) -> np.ndarray:
    """Return posterior draws in unconstrained space.

    Parameters
    ----------
    model : pm.Model
    posterior : xarray.Dataset
        With dimensions ``chain`` and ``draw``, and every free variable of the model.

    Returns
    -------
    ndarray, shape (n_chains, n_draws, n_dim)
        The ravelled value variables, in the model's order.

    Raises
    ------
    RowError
        If the draws are not of this model.
    """
    check_draws_of(model, posterior)
    sizes = (posterior.sizes["chain"], posterior.sizes["draw"])
    n_draws = sizes[0] * sizes[1]
    draws = []
    for rv in model.free_RVs:
        values = posterior[rv.name].transpose("chain", "draw", ...).to_numpy()
        draws.append(values.reshape(n_draws, *values.shape[2:]).astype(rv.type.dtype))
    with np.errstate(invalid="ignore", divide="ignore"):  # outside the support there is no position
        parts = _compiled_transforms(model)(*draws)
    flat = [np.asarray(part, dtype=float).reshape(n_draws, -1) for part in parts]
    return np.concatenate(flat, axis=1).reshape(*sizes, -1)


def parameter_labels(model: pm.Model, effects: Sequence[Effect] = ()) -> list[str]:
    """Return a name for every entry of the position, such as ``beta[3]`` or ``sigma``.

    Parameters
    ----------
    model : pm.Model
    effects : sequence of Effect, optional
        Those in whose coordinates the position is: there it holds their effects.
    """
    point = model.initial_point()
    called = {effect.name: effect.label for effect in effects}
    names = {model.rvs_to_values[rv].name: called.get(rv.name, rv.name) for rv in model.free_RVs}
    return [
        names[value] + (f"[{', '.join(map(str, index))}]" if index else "")
        for value in (model.rvs_to_values[rv].name for rv in model.free_RVs)
        for index in np.ndindex(np.shape(point[value]))
    ]


def position_labels(row_model: RowModel) -> tuple[str, ...]:
    """Return a name for every entry of a row model's position, in the coordinates it has."""
    effects = () if row_model.coordinates is None else row_model.effects
    return tuple(parameter_labels(row_model.model, effects))


def _compiled_transforms(model: pm.Model) -> Any:
    """Compile draws of the free variables, on axis 0, to those of their value variables."""
    inputs = {rv: rv.type(name=f"{rv.name}_draw") for rv in model.free_RVs}
    outputs = []
    for rv, value in inputs.items():
        transform = model.rvs_to_transforms[rv]
        outputs.append(value if transform is None else transform.forward(value, *rv.owner.inputs))
    outputs = graph_replace(outputs, inputs, strict=False)
    draws = {one: pt.tensor(one.name, shape=(None, *one.type.shape), dtype=one.type.dtype)
             for one in inputs.values()}  # fmt: skip
    return compile_function(
        list(draws.values()),
        vectorize_graph(outputs, draws),
        mode="FAST_COMPILE",
    )
