"""From draws as users see them back to the vectors that samplers move."""

from typing import Any

import numpy as np
import pymc as pm
import pytensor
import xarray as xr

from pytensor.graph.replace import graph_replace

from pymc_sgld.model_graph.errors import RowError
from pymc_sgld.model_graph.naming import listed


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
        If the posterior lacks a free variable.
    """
    missing = [rv.name for rv in model.free_RVs if rv.name not in posterior]
    if missing:
        raise RowError(
            f"{listed(missing)} is a free variable of the model but not in the posterior. Sample "
            "with var_names that include all free variables."
        )
    forward = _compiled_transforms(model)
    draws = [
        posterior[rv.name].transpose("chain", "draw", ...).to_numpy().astype(rv.type.dtype)
        for rv in model.free_RVs
    ]
    n_chains, n_draws = draws[0].shape[:2]
    found = [
        [
            np.concatenate([np.ravel(one) for one in forward(*(d[chain, draw] for d in draws))])
            for draw in range(n_draws)
        ]
        for chain in range(n_chains)
    ]
    return np.array(found)


def parameter_labels(model: pm.Model) -> list[str]:
    """Return a name for every entry of the position, such as ``beta[3]`` or ``sigma``."""
    point = model.initial_point()
    names = {model.rvs_to_values[rv].name: rv.name for rv in model.free_RVs}
    return [
        names[value] + (f"[{', '.join(map(str, index))}]" if index else "")
        for value in (model.rvs_to_values[rv].name for rv in model.free_RVs)
        for index in np.ndindex(np.shape(point[value]))
    ]


def _compiled_transforms(model: pm.Model) -> Any:
    """Compile values of the free variables to values of their value variables."""
    inputs = {rv: rv.type(name=f"{rv.name}_draw") for rv in model.free_RVs}
    outputs = []
    for rv, value in inputs.items():
        transform = model.rvs_to_transforms[rv]
        outputs.append(value if transform is None else transform.forward(value, *rv.owner.inputs))
    outputs = graph_replace(outputs, inputs, strict=False)
    return pytensor.function(
        list(inputs.values()), outputs, mode="FAST_COMPILE", on_unused_input="ignore"
    )
