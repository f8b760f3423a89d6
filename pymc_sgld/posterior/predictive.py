"""Posterior predictive draws in blocks of rows.

The graph of an observed variable is pushed by rows like its log-density: rows of
``Normal(mu, sigma)`` are ``Normal(mu[rows], sigma[rows])``, with random numbers of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import xarray as xr

from pytensor.graph.basic import Variable
from pytensor.graph.replace import graph_replace
from pytensor.graph.traversal import ancestors

from pymc_sgld.model_graph.context import chosen_model
from pymc_sgld.model_graph.density.block_function import OnRows
from pymc_sgld.model_graph.density.bound_data import opened_with_sizes
from pymc_sgld.model_graph.density.modes import chosen_mode, strict_mode
from pymc_sgld.model_graph.density.row_density import slices_of
from pymc_sgld.model_graph.density.sources import sources_of
from pymc_sgld.model_graph.rewrite import streaming
from pymc_sgld.model_graph.rewrite.errors import CannotTakeRows, RowError
from pymc_sgld.model_graph.rewrite.factors import Observed, draw_of, read_factors
from pymc_sgld.model_graph.rewrite.fold_and_cost import fold, rebuild
from pymc_sgld.model_graph.rewrite.named_dims import lowered, shaped_like
from pymc_sgld.model_graph.rewrite.naming import listed
from pymc_sgld.model_graph.rewrite.private_api import RandomVariable
from pymc_sgld.model_graph.rewrite.row_axes import (
    MAX_FULL,
    Candidate,
    RowsArgument,
    candidates,
    check_rows_argument,
)
from pymc_sgld.model_graph.rewrite.streaming import TotalSize
from pymc_sgld.model_graph.rewrite.take_rows import RowRewriter, deep_recursion
from pymc_sgld.posterior.draws import posterior_of
from pymc_sgld.posterior.integrated import missing_latents
from pymc_sgld.posterior.log_likelihood import (
    as_dataset,
    positions_of,
    values_at_first_draw,
)
from pymc_sgld.validate import check_arguments

_NUMBERS = 2_000_000  # of one block of draws


def posterior_predictive(
    idata: Any,
    model: pm.Model | None = None,
    var_names: Sequence[str] | None = None,
    *,
    rows: RowsArgument = "auto",
    total_size: TotalSize = None,
    data: Mapping[str, Any] | None = None,
    chunk: int | None = None,
    random_seed: Any = None,
    extend_inferencedata: bool = True,
    backend: str | None = None,
    compile_kwargs: dict[str, Any] | None = None,
) -> Any:
    """Draw new data for every draw of a posterior, in blocks of rows.

    As `pymc.sample_posterior_predictive`, but beside the result memory is bounded, and all N
    rows are drawn also where a model is written on `pm.Minibatch` or on streamed placeholders.

    Parameters
    ----------
    idata : DataTree
        With a group ``posterior``, dimensions ``chain`` and ``draw``. The result has draws x N
        numbers: thin `idata` first.
    model : pm.Model, optional
        The model of the context if not given. Latents of rows that the draws lack are drawn anew:
        the data are those of other rows with the same covariates.
    var_names : sequence of str, optional
        Observed variables; all if not given.
    rows, total_size
        As for `row_model`.
    data : dict of str to array or other row source, optional
        Of streamed data that the draws depend on, see `RowModel.block_function`.
    chunk : int, optional
        Rows at a time; the draws depend on it. Chosen from the number of draws if not given.
    random_seed : int, optional
    extend_inferencedata : bool, default True
        Add the group ``posterior_predictive`` to `idata`; else return the dataset alone.
    backend, compile_kwargs
        As in :func:`pymc.sample`. Default "numba".

    Returns
    -------
    DataTree or Dataset
        Arrays of shape (chain, draw, rows, ...).

    Raises
    ------
    RowError
        If an observed variable cannot be drawn by rows, or `idata` lacks a free variable.
    """
    checked = check_arguments(
        var_names=var_names, chunk=chunk, random_seed=random_seed, backend=backend,
        extend_inferencedata=extend_inferencedata, compile_kwargs=compile_kwargs,
    )  # fmt: skip
    var_names, random_seed = checked["var_names"], checked["random_seed"]
    model = chosen_model(model)
    posterior = posterior_of(idata)
    data, total_size = opened_with_sizes(model, data, total_size)
    plan = _Plan.of(model, posterior, rows, total_size, var_names)
    mode = chosen_mode(backend, compile_kwargs) or "NUMBA"
    function = plan.compiled(model, data, random_seed, mode)
    positions = positions_of(plan, posterior)
    if chunk is None:
        chunk = max(256, min(function.default_chunk(), _NUMBERS // len(positions)))
    found: dict[str, np.ndarray] = {}
    for pieces, counts in function.chunks(chunk):
        blocks = function.read(pieces)
        lengths = [np.asarray(p.stop - p.start) for p in pieces]
        drawn = [function.function(q, *lengths, *blocks) for q in positions]
        for i, (observed, axis, group) in enumerate(plan.targets):
            if group is None or not counts[group]:
                # Drawn in full at every call: one is enough.
                if group is None and observed.name not in found:
                    found[observed.name] = np.stack([one[i] for one in drawn])
                continue
            block = np.stack([one[i] for one in drawn])
            if observed.name not in found:
                shape = list(block.shape)
                shape[1 + axis] = function.total_sizes[group]
                found[observed.name] = np.empty(shape, block.dtype)
            index: list[Any] = [slice(None)] * block.ndim
            index[1 + axis] = pieces[group]
            found[observed.name][tuple(index)] = block
    dims = {observed.name: observed.dims for observed, *_ in plan.targets}
    dataset = as_dataset(found, dims, model, posterior)
    if not extend_inferencedata:
        return dataset
    idata["posterior_predictive"] = xr.DataTree(dataset=dataset)
    return idata


@dataclass(frozen=True, eq=False)
class _Plan:
    """The pushed graphs of the observed variables."""

    rewriter: RowRewriter
    position: Variable
    value_vars: tuple[Variable, ...]
    targets: list[tuple[Observed, int, int | None]]  # with axis and group; None: in full
    outputs: list[Variable]

    @classmethod
    def of(
        cls,
        model: pm.Model,
        posterior: xr.Dataset,
        rows: RowsArgument,
        total_size: TotalSize,
        var_names: Sequence[str] | None,
    ) -> _Plan:
        """Push the observed variables of a model."""
        factors = read_factors(model, transformed=False)
        check_rows_argument(rows, model, factors.observed)
        latents = missing_latents(model, posterior, rows)
        shared = model
        if latents is not None:  # these are drawn, as what is observed is
            kept = {n: v for n, v in factors.values.items() if n not in latents.latents}
            factors, shared = replace(factors, values=kept), latents.shared
        values = values_at_first_draw(factors, shared, posterior)
        rewriter = streaming.rewriter_for(model, values, factors, total_size)
        rewriter.generators = []  # type: ignore[attr-defined]  # see rows_of_random_variable
        wanted = _chosen(factors.observed, var_names)
        graphs = _graphs(model, factors.values, [o.name for o in wanted])
        targets: list[tuple[Observed, int, int | None]] = []
        outputs = []
        plans = [_plans(observed, rows, rewriter) for observed in wanted]
        longest = max((plan[0].total_size for plan in plans if plan), default=0)
        for observed, graph, plan in zip(wanted, graphs, plans, strict=True):
            if plan is None or plan[0].total_size <= MAX_FULL < longest:
                targets.append((observed, 0, None))
                outputs.append(graph)
                continue
            group, taken = _push(rewriter, observed, plan[0], graph)
            targets.append((observed, plan[0].axis, group))
            outputs.append(taken)
        if all(group is None for *_, group in targets):
            raise RowError("Nothing to draw: no observed variable is split by rows. " + _INSTEAD)
        by_rows = [group is not None for *_, group in targets]
        position = pt.vector("position", shape=(sum(v.size for v in values.values()),))
        outputs = _finished(rewriter, outputs, by_rows, values, position, model)
        return cls(rewriter, position, tuple(values), targets, outputs)

    def compiled(
        self, model: pm.Model, data: Mapping[str, Any] | None, random_seed: Any, mode: Any
    ) -> OnRows:
        """Return ``f(position, *lengths, *blocks) -> [draws of each target]``."""
        rewriter = self.rewriter
        used = set(ancestors(self.outputs))
        leaves = [leaf for leaf in rewriter.leaves if leaf.block in used]
        if isinstance(data, Mapping):  # what is observed is not read: it is drawn
            own, read = {var.name for var in model.data_vars}, {leaf.name for leaf in leaves}
            data = {name: rows for name, rows in data.items() if name in read or name not in own}
        function = pm.compile(
            [self.position, *rewriter.counts, *(leaf.block for leaf in leaves)],
            self.outputs,
            random_seed=random_seed,
            mode=strict_mode(mode),
            on_unused_input="ignore",
        )
        streamed = [streaming.is_streamed(rewriter, g) for g in range(len(rewriter.groups))]
        return OnRows(
            function,
            tuple(sources_of(leaves, streamed, data)),
            tuple(leaf.group for leaf in leaves),
            tuple(group.total_size for group in rewriter.groups),
            self.position.type.dtype,
            tuple(leaf.name for leaf in leaves),
            tuple(leaf.block.type.dtype for leaf in leaves),
        )


def _plans(observed: Observed, rows: RowsArgument, rewriter: RowRewriter) -> list[Candidate] | None:
    total_size = streaming.streamed_size(rewriter, observed.name)
    return candidates(observed, rows, rewriter.evaluator, MAX_FULL, total_size)


_INSTEAD = "Use pm.sample_posterior_predictive(), which draws all rows at once."


def _refused(name: str, reason: object) -> RowError:
    return RowError(f"'{name}' cannot be drawn by rows: {reason}. {_INSTEAD}")


def _chosen(observed: Sequence[Observed], var_names: Sequence[str] | None) -> list[Observed]:
    names = [var_names] if isinstance(var_names, str) else var_names
    known = [o.name for o in observed]
    unknown = [name for name in names or () if name not in known]
    if unknown:
        raise RowError(
            f"{listed(unknown)} in var_names is no observed variable; these are {listed(known)}. "
            "Use their names."
        )
    return [o for o in observed if names is None or o.name in names]


def _graphs(model: pm.Model, values: Mapping[str, Variable], names: list[str]) -> list[Variable]:
    """Return the observed variables as graphs of the free variables' values."""
    given = {rv: values[rv.name] for rv in model.free_RVs if rv.name in values}
    graphs = graph_replace([model[name] for name in names], given, strict=False)
    return lowered([pt.as_tensor(g, allow_xtensor_conversion=True) for g in graphs])


def _push(
    rewriter: RowRewriter, observed: Observed, candidate: Candidate, graph: Variable
) -> tuple[int, Variable]:
    draw = None if observed.minibatch is None else draw_of(observed.minibatch)
    group = rewriter.group_index(candidate.group, candidate.total_size, draw)
    streaming.begin(rewriter, group, observed.name, candidate.length)
    request = rewriter.rows(group, minibatch=observed.minibatch, length=candidate.length)
    try:
        with deep_recursion():
            taken = request.take_full(graph, candidate.axis)
    except CannotTakeRows as error:
        raise _refused(observed.name, error) from None
    own = set(rewriter.generators)  # type: ignore[attr-defined]
    for var in streaming.through_values([taken]):
        if var.owner is None or not isinstance(var.owner.op, RandomVariable):
            continue
        if var.owner.inputs[0] not in own:
            name = var.name or var.owner.op.name
            raise _refused(observed.name, f"it depends on a draw of '{name}' for all rows together")
    return group, taken


def _finished(
    rewriter: RowRewriter,
    outputs: list[Variable],
    by_rows: list[bool],
    values: dict[Variable, np.ndarray],
    position: Variable,
    model: pm.Model,
) -> list[Variable]:
    """Fold what is constant in what is drawn by rows, and put the position in."""
    blocks = {leaf.block for leaf in rewriter.leaves} | set(rewriter.counts)
    streaming.refuse_placeholders(rewriter, outputs, blocks, model)
    try:
        pushed = [out for out, by_row in zip(outputs, by_rows, strict=True) if by_row]
        folded = iter(fold(pushed, set(values), blocks, rewriter.evaluator)[0])
    except CannotTakeRows as error:
        raise RowError(f"Posterior predictive rows cannot be drawn: {error}. {_INSTEAD}") from None
    outputs = [
        next(folded) if by_row else out for out, by_row in zip(outputs, by_rows, strict=True)
    ]
    parts = slices_of(position, values)
    new: dict[Variable, Variable] = {
        var: shaped_like(part, var) for var, part in zip(values, parts, strict=True)
    }
    return rebuild(outputs, new)
