"""Log-likelihoods of every row at every draw of a posterior, in blocks of bounded memory."""

from __future__ import annotations

import logging

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pymc as pm
import xarray as xr

from pytensor.graph.traversal import ancestors

from pymc_sgld.model_graph import read_rows
from pymc_sgld.model_graph.context import chosen_model
from pymc_sgld.model_graph.density.bound_data import opened_with_sizes
from pymc_sgld.model_graph.density.by_numpy import value_of
from pymc_sgld.model_graph.density.modes import chosen_mode, compile_function
from pymc_sgld.model_graph.density.row_model import RowModel
from pymc_sgld.model_graph.rewrite.errors import RowError
from pymc_sgld.model_graph.rewrite.factors import Factors, read_factors
from pymc_sgld.model_graph.rewrite.naming import listed
from pymc_sgld.model_graph.rewrite.row_axes import RowsArgument, check_rows_argument
from pymc_sgld.model_graph.rewrite.split import Options, split
from pymc_sgld.model_graph.rewrite.streaming import TotalSize
from pymc_sgld.posterior.draws import check_draws_of, posterior_of, refuse_nonfinite_draws
from pymc_sgld.posterior.integrated import IntegratedPosterior
from pymc_sgld.posterior.unconstrained import unconstrained_positions
from pymc_sgld.validate import and_more, check_arguments

_log = logging.getLogger("pymc.sgld")
_DRAWS = 2000  # evaluated on one block of rows before the next block is read


def row_log_likelihood(
    idata: Any,
    model: pm.Model | None = None,
    var_names: Sequence[str] | None = None,
    *,
    rows: RowsArgument = "auto",
    total_size: TotalSize = None,
    data: Mapping[str, Any] | None = None,
    chunk: int | None = None,
    extend_inferencedata: bool = True,
    backend: str | None = None,
    compile_kwargs: dict[str, Any] | None = None,
) -> Any:
    """Evaluate the log-likelihood of every row at every draw, unscaled.

    What `pymc.compute_log_likelihood` returns, but for all N rows also where a model is
    written on `pm.Minibatch` (there PyMC evaluates random rows, times N / n) or on streamed
    placeholders. Beside the result itself, memory is bounded: rows are read in blocks.

    Parameters
    ----------
    idata : DataTree
        With a group ``posterior``, dimensions ``chain`` and ``draw``.
    model : pm.Model, optional
        The model of the context if not given. Latents of rows that the draws lack are integrated
        out, with nodes enough for the sum over all rows to be right to .05: a number then is the
        log-density of all that was observed of a row, by a name that joins theirs.
    var_names : sequence of str, optional
        Observed variables; all if not given.
    rows, total_size
        As for `row_model`.
    data : dict of str to array or other row source, optional
        Of streamed data, see `RowModel.block_function`.
    chunk : int, optional
        Rows at a time; chosen from the width of the rows and the number of draws if not given.
    extend_inferencedata : bool, default True
        Add the group ``log_likelihood`` to `idata`; else return the dataset alone.
    backend, compile_kwargs
        As in :func:`pymc.sample`. Default "numba".

    Returns
    -------
    DataTree or Dataset
        Arrays of shape (chain, draw, rows, ...), as `arviz.loo` takes them. The whole result
        has draws x N numbers: thin `idata` first where that is too much.

    Raises
    ------
    RowError
        If the likelihood cannot be evaluated by rows, or `idata` lacks a free variable.
    """
    checked = check_arguments(
        var_names=var_names, chunk=chunk, extend_inferencedata=extend_inferencedata,
        backend=backend, compile_kwargs=compile_kwargs,
    )  # fmt: skip
    var_names = checked["var_names"]
    model = chosen_model(model)
    posterior = posterior_of(idata)
    data, total_size = opened_with_sizes(model, data, total_size)
    likelihood = likelihood_of(model, posterior, Options(rows, total_size))
    row_model = likelihood.row_model
    names = _checked_names(var_names, likelihood.variables)
    mode = chosen_mode(backend, compile_kwargs)
    positions = likelihood.positions(posterior)
    found: dict[str, np.ndarray] = {}
    for term, draws, piece, axis, block in _blocks(row_model, positions, data, chunk, mode):
        name = likelihood.variables.get(term)
        if name not in names:
            continue
        if name not in found:
            found[name] = np.empty((len(positions), *_full_shape(row_model, term, block)))
        index: list[Any] = [draws, *(slice(None) for _ in block.shape[1:])]
        if piece is not None:
            index[1 + axis] = piece
        found[name][tuple(index)] = block
    by_name = {name: found[name] for name in names}
    dataset = as_dataset(by_name, likelihood.dims, model, posterior)
    if not extend_inferencedata:
        return dataset
    idata["log_likelihood"] = xr.DataTree(dataset=dataset)
    return idata


def values_at_first_draw(
    factors: Factors, model: pm.Model, posterior: xr.Dataset
) -> dict[Any, np.ndarray]:
    """Return the free variables with their values at the first draw.

    Raises
    ------
    RowError
        If the draws are not of this model, or not finite.
    """
    check_draws_of(model, posterior)
    refuse_nonfinite_draws(model, posterior)
    return {
        var: np.asarray(posterior[name].to_numpy()[0, 0], dtype=var.type.dtype)
        for name, var in factors.values.items()
    }


def positions_of(row_model: Any, posterior: xr.Dataset) -> np.ndarray:
    """Return the draws as vectors in the order of the model's variables.

    Returns
    -------
    ndarray, shape (n_chains * n_draws, n_dim)
    """
    n = posterior.sizes["chain"] * posterior.sizes["draw"]
    parts = [posterior[var.name].to_numpy().reshape(n, -1) for var in row_model.value_vars]
    return np.concatenate(parts, axis=1).astype(row_model.position.type.dtype)


def as_dataset(
    arrays: Mapping[str, np.ndarray],
    dims: Mapping[str, Sequence[str | None]],
    model: pm.Model,
    posterior: xr.Dataset,
) -> xr.Dataset:
    """Return arrays of shape (n_chains * n_draws, ...) with the model's dimensions.

    Parameters
    ----------
    arrays : dict of str to ndarray
    dims : dict of str to sequence of str or None
        Dimensions of each variable; those without a name get PyMC's, ``<name>_dim_<i>``.
    model : pm.Model
        Has the coordinates; those of another length than the array are left out.
    posterior : Dataset
        Has the coordinates of chains and draws.
    """
    sizes = (posterior.sizes["chain"], posterior.sizes["draw"])
    coords: dict[str, Any] = {name: posterior[name].to_numpy() for name in ("chain", "draw")}
    variables = {}
    for name, array in arrays.items():
        given = list(dims.get(name, ())) + [None] * array.ndim
        own = [d or f"{name}_dim_{i}" for i, d in enumerate(given[: array.ndim - 1])]
        for dim, length in zip(own, array.shape[1:], strict=True):
            values = model.coords.get(dim)
            if values is not None and len(values) == length:
                coords[dim] = np.asarray(values)
            elif dim.startswith(f"{name}_dim_"):
                coords[dim] = np.arange(length)
        variables[name] = (("chain", "draw", *own), array.reshape(*sizes, *array.shape[1:]))
    return xr.Dataset(variables, coords)


class Likelihood(NamedTuple):
    """A model by rows, and how draws are its positions.

    Attributes
    ----------
    row_model : RowModel
    variables : dict of str to str
        By the names of its terms: of which observed variable each is the log-likelihood. Of an
        integral over latents: of all that depend on them, joined by ``_``.
    dims : dict of str to sequence of str or None
        Of these variables.
    positions : callable
        From draws to the positions of the row model, shape (n_chains * n_draws, n_dim).
    """

    row_model: RowModel
    variables: dict[str, str]
    dims: dict[str, Any]
    positions: Callable[[xr.Dataset], np.ndarray]


def likelihood_of(model: pm.Model, posterior: xr.Dataset, options: Options) -> Likelihood:
    """Return a model by rows, without the latents of rows that the draws lack."""
    latents = IntegratedPosterior.of(model, posterior, options.rows)
    if latents is not None:
        return _integrated(latents)
    factors = read_factors(model, transformed=False)
    if not factors.observed:
        raise RowError(
            "The model has no observed variable, hence no log-likelihood of rows: a potential is "
            "not the density of data. Give the likelihood observed=...; instead of a model of "
            "psg.marginal_model(), pass the one that it was made of."
        )
    check_rows_argument(options.rows, model, factors.observed)
    values = values_at_first_draw(factors, model, posterior)
    try:
        row_model = RowModel.of(split(model, factors, values, options))
    except RowError as error:
        raise RowError(
            f"{error} For the log-likelihood of all rows at once use pm.compute_log_likelihood()."
        ) from None
    say_what_is_left_out(model)
    names = {o.name: o.name for o in factors.observed}
    dims = {o.name: o.dims for o in factors.observed}
    return Likelihood(row_model, names, dims, partial(positions_of, row_model))


def say_what_is_left_out(model: pm.Model) -> None:
    """Warn of potentials that read data: they may be a part of the likelihood, but have no rows."""
    names = [
        repr(potential.name)
        for potential in model.potentials
        if any(np.size(value_of(leaf)) > 1 for leaf in ancestors([potential]))
    ]
    if names:
        _log.warning(
            f"The log-likelihood of rows leaves out {and_more(names)}: potentials that read data, "
            "and have no observed value. Where they are a part of the likelihood, as of censored "
            "rows, write them as observed variables (pm.Censored), or elpd and the like are those "
            "of the other rows alone."
        )


def _integrated(latents: IntegratedPosterior) -> Likelihood:
    """Return the model without latents, in unconstrained space."""
    taken, model = latents.taken, latents.for_likelihood()
    names = {variable.name: variable.name for variable in model.observed_RVs}
    dims: dict[str, Any] = {name: model.named_vars_to_dims.get(name, ()) for name in names}
    joint = "_".join(taken.observed)
    names[taken.potential], dims[joint] = joint, taken.dims

    def positions(posterior: xr.Dataset) -> np.ndarray:
        drawn = unconstrained_positions(taken.shared, posterior)
        return drawn.reshape(-1, drawn.shape[-1])

    return Likelihood(read_rows(model, recentre=False), names, dims, positions)


def _checked_names(var_names: Sequence[str] | None, variables: Mapping[str, str]) -> list[str]:
    observed = list(variables.values())
    if var_names is None:
        return observed
    names = [var_names] if isinstance(var_names, str) else list(var_names)
    unknown = [name for name in names if name not in observed]
    if unknown:
        raise RowError(
            f"{listed(unknown)} in var_names is no observed variable; these are "
            f"{listed(observed)}. Use their names."
        )
    return names


def _blocks(
    row_model: RowModel,
    positions: np.ndarray,
    data: Mapping[str, Any] | None,
    chunk: int | None,
    mode: Any,
) -> Iterator[tuple[str, slice, slice | None, int, np.ndarray]]:
    """Yield name, draws, rows (None: all), row axis and values of every block."""
    function = row_model.row_function(mode, data=data)
    whole = [w for w in row_model.whole if w.entries is not None]
    of_whole = compile_function(
        [row_model.position],
        [w.entries for w in whole],
        mode="NUMBA" if mode is None else mode,
    )
    for start in range(0, len(positions), _DRAWS):
        some = positions[start : start + _DRAWS]
        draws = slice(start, start + len(some))
        for term, piece, block in function.entries(some, chunk):
            name, _, axis = function.terms[term]
            yield name, draws, piece, axis, block
        found = [of_whole(position) for position in some] if whole else []
        for number, term_whole in enumerate(whole):
            yield term_whole.name, draws, None, 0, np.stack([one[number] for one in found])


def _full_shape(row_model: RowModel, name: str, block: np.ndarray) -> list[int]:
    shape = list(block.shape[1:])
    for term in row_model.terms:
        if term.name == name:
            shape[term.axis] = row_model.groups[term.group].total_size
    return shape
