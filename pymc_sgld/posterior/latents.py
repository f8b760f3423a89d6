"""Draws of the latents of rows, given draws of what rows share."""

from __future__ import annotations

from typing import Any

import numpy as np
import pymc as pm
import scipy
import xarray as xr

from pymc_sgld.model_graph import RowModel, read_rows
from pymc_sgld.model_graph.context import chosen_model
from pymc_sgld.model_graph.density.row_likelihood import rows_by_group
from pymc_sgld.model_graph.latents.quadrature_rules import QuadratureRule
from pymc_sgld.model_graph.latents.row_latents import RowLatents, row_latents
from pymc_sgld.posterior.draws import check_draws_of, posterior_of, refuse_nonfinite_draws
from pymc_sgld.posterior.unconstrained import unconstrained_positions
from pymc_sgld.types import Array
from pymc_sgld.validate import check_arguments

# Nodes of each axis, and how far they reach from a row's mode, in its own standard deviations.
_NODES = {1: 121, 2: 41}
_REACH = 7.0
_MODE = "FAST_COMPILE"


def latent_posterior(
    idata: Any,
    model: pm.Model | None = None,
    *,
    rows: Any = None,
    draws: int = 100,
    random_seed: Any = None,
) -> xr.Dataset:
    r"""Draw the latents of rows that were integrated out, given draws of what rows share.

    For each draw :math:`\theta`, :math:`z_i \sim p(z_i \mid y_i, \theta)` by the inverse of its
    distribution function on a grid around its mode, 7 of its standard deviations to each side.

    Parameters
    ----------
    idata : DataTree
        Draws of the variables that rows share, as :func:`pymc_sgld.sample` returns them.
    model : pm.Model, optional
        With the latents, as it was written; the model of the context if not given.
    rows : int array, optional
        Row numbers; all rows if not given.
    draws : int, default 100
        Of each chain, evenly spaced.
    random_seed : int or numpy.random.Generator, optional

    Returns
    -------
    xarray.Dataset
        The latents, by their names, of shape (chain, draw, row, ...), with the row numbers as the
        coordinate ``row``.

    Raises
    ------
    RowError
        Where the model has no latents of rows, or `idata` lacks a variable that rows share.

    Examples
    --------
    >>> with model:
    ...     idata = psg.sample()
    ...     abilities = psg.latent_posterior(idata, rows=[0, 1, 2])
    """
    check_arguments(draws=draws, random_seed=random_seed)
    model, posterior = chosen_model(model), posterior_of(idata)
    taken = row_latents(model)
    check_draws_of(taken.shared, posterior)
    refuse_nonfinite_draws(taken.shared, posterior)
    kept = np.unique(np.linspace(0, posterior.sizes["draw"] - 1, draws).round().astype(int))
    posterior = posterior.isel(draw=kept)
    positions = unconstrained_positions(taken.shared, posterior)
    grid = QuadratureRule.equally_spaced(_NODES[taken.n_latents], taken.n_latents, _REACH)
    row_model = read_rows(taken.model_at_nodes(grid.points))
    numbers = np.arange(taken.n_rows) if rows is None else rows
    [numbers] = rows_by_group(row_model, numbers)
    taken.move_starts(row_model.by_name(positions.mean(axis=(0, 1))))
    generator = np.random.default_rng(random_seed)
    drawn = _drawn(row_model, positions, numbers, taken.n_latents, generator)
    return _named(drawn, taken, numbers, posterior)


def _drawn(
    row_model: RowModel,
    positions: Array,
    rows: Array,
    n_latents: int,
    generator: np.random.Generator,
) -> Array:
    """Return draws of the latents, shape (n_chains, n_draws, n_rows, n_latents)."""
    function = row_model.row_function(_MODE)
    names = [name for name, _, _ in function.terms]
    blocks = function.read([rows])
    result = np.empty((*positions.shape[:2], len(rows), n_latents))
    shape = (_NODES[n_latents],) * n_latents
    for index in np.ndindex(positions.shape[:2]):
        at_nodes = dict(zip(names, function.on_blocks(positions[index], blocks), strict=True))
        joint = at_nodes["joint"].reshape(len(rows), *shape)
        values = [at_nodes[f"latent_{j}"].reshape(len(rows), *shape) for j in range(n_latents)]
        for row in range(len(rows)):
            place = _place(joint[row], generator)
            result[(*index, row)] = [
                scipy.ndimage.map_coordinates(value[row], place, order=1)[0] for value in values
            ]
    return result


def _place(log_density: Array, generator: np.random.Generator) -> Array:
    """Draw a place on a grid, in units of its spacing; shape (n_axes, 1)."""
    density = np.exp(log_density - log_density.max())
    place = []
    while density.ndim:
        along = density.sum(axis=tuple(range(1, density.ndim)))
        total = np.concatenate([[0.0], np.cumsum((along[1:] + along[:-1]) / 2)])
        at = np.interp(generator.random() * total[-1], total, np.arange(len(total)))
        place.append([at])
        low = min(int(at), len(along) - 2)
        density = (1 - at + low) * density[low] + (at - low) * density[low + 1]
    return np.array(place)


def _named(drawn: Array, taken: RowLatents, rows: Array, posterior: xr.Dataset) -> xr.Dataset:
    """Return draws as variables of the names and entries that the latents have."""
    result = {}
    for name in taken.latents:
        mine = [j for j, (variable, _) in enumerate(taken.places) if variable == name]
        several = len(mine) > 1
        dims = ("chain", "draw", "row", *([f"{name}_entry"] if several else []))
        result[name] = (dims, drawn[..., mine] if several else drawn[..., mine[0]])
    coords = {"chain": posterior["chain"], "draw": posterior["draw"], "row": rows}
    return xr.Dataset(result, coords=coords)
