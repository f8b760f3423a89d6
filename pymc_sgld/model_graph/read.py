"""`row_model`: read a model, split it by rows, refuse what cannot be, look for group effects."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pymc as pm

from pymc_sgld.model_graph.context import chosen_model
from pymc_sgld.model_graph.density.bound_data import (
    ScratchArgument,
    opened,
    placed,
    sizes_of,
    with_own_types,
)
from pymc_sgld.model_graph.density.finiteness import refuse_nonfinite_model
from pymc_sgld.model_graph.density.nonfinite_data import refuse_nonfinite
from pymc_sgld.model_graph.density.row_model import RowModel
from pymc_sgld.model_graph.recentring.find_effects import Recentre, find_effects
from pymc_sgld.model_graph.rewrite.factors import read_factors
from pymc_sgld.model_graph.rewrite.row_axes import MAX_FULL, RowsArgument, check_rows_argument
from pymc_sgld.model_graph.rewrite.split import Options, split
from pymc_sgld.model_graph.rewrite.streaming import TotalSize
from pymc_sgld.validate import check_arguments


def read_rows(
    model: pm.Model | None = None,
    *,
    rows: RowsArgument = "auto",
    total_size: TotalSize = None,
    data: Any = None,
    scratch: ScratchArgument = True,
    progressbar: Any = True,
    max_full: int = MAX_FULL,
    allow_full_terms: bool = False,
    allow_no_rows: bool = False,
    jacobian: bool = True,
    recentre: Recentre = True,
) -> RowModel:
    """Split a model's log-density into a prior and terms that are sums over data rows.

    Parameters
    ----------
    model : pm.Model, optional
        The model of the context if not given.
    rows : str or dict, default "auto"
        Which axis of each observed variable holds the rows: ``"auto"``, the name of a
        dimension, or a mapping from observed name to axis, or to None to keep that
        variable whole at every step.
    total_size : int or dict, optional
        Number of rows N of streamed data: of a model written on small `pm.Data`
        placeholders, whose rows the caller feeds (``data=`` of `RowModel.block_function`).
        A number for all observed variables, or a mapping from the name of a dimension or
        of an observed variable to its number. An observed variable that already has this
        many rows is not streamed.
    data : dict of str to source, or a table, optional
        Rows of the placeholders, by the name of their `pm.Data`: see :func:`pymc_sgld.sample`.
        ``total_size`` follows from it. Whatever then evaluates the row model reads them. Rows that
        were written in random order are numbered in that order.
    scratch : bool or path, default True
        Of rows that are not in memory: see :func:`pymc_sgld.sample`.
    progressbar : bool, default True
        While rows are written to the scratch folder.
    max_full : int, default 32
        Observed variables with at most this many rows are kept whole, unless all are.
    allow_full_terms : bool, default False
        Accept terms that are exact but cost O(N) at every step.
    allow_no_rows : bool, default False
        Accept a model of which nothing can be split by rows; all of it is the prior then.
    jacobian : bool, default True
        Whether the prior holds the Jacobians of the transforms. Without, its mode is that in the
        space of the variables themselves, as of :func:`pymc.find_MAP`; the attribute ``jacobian``
        holds them then.
    recentre : bool or dict, default True
        Whether to look for group effects that are written non-centred, such as ``mu + tau * z``:
        the samplers move in the effects instead of z (the attribute ``effects``), which is the same
        posterior with less noise of minibatches. False: every variable as written. A mapping from
        the name of a free variable to that of the `pm.Deterministic` that is its group effect
        names an effect; to None, leaves that variable as written. Variables that are not named in
        it are looked at as with True.

    Returns
    -------
    RowModel

    Raises
    ------
    RowError
        If the model cannot be split; the message names the variable and says why.
    """
    check_arguments(
        max_full=max_full,
        allow_full_terms=allow_full_terms,
        allow_no_rows=allow_no_rows,
        jacobian=jacobian,
        scratch=scratch,
        progressbar=progressbar,
    )
    model = chosen_model(model)
    if data is None and total_size is None:  # else placeholders are in the place of the data
        refuse_nonfinite_model(model)
    factors = read_factors(model, jacobian=jacobian, rows=not allow_no_rows)
    check_rows_argument(rows, model, factors.observed)
    sources = None if data is None else opened(model, data)
    if sources is not None and total_size is None:
        total_size = sizes_of(sources, model)
    point = model.initial_point(random_seed=0)
    values = {v: np.asarray(point[v.name]) for v in model.value_vars}
    options = Options(rows, total_size, max_full, allow_full_terms, allow_no_rows)
    result = split(model, factors, values, options)
    refuse_nonfinite(result)
    if sources is not None:
        result = with_own_types(result, sources)
        result = replace(result, data=placed(result, sources, scratch, progressbar))
    if jacobian:
        effects, left = find_effects(result, recentre)
        result = replace(result, effects=effects, left=left)
    return RowModel.of(result)


row_model = read_rows  # the public name
