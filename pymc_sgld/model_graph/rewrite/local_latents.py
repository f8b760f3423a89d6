"""Free variables with one entry per row, next to those that all rows share.

With local latents z the log-density is ``log p(theta) + sum_i log p(y_i | z_i, theta) +
log p(z_i | theta)``. A step of theta on a batch needs the z of its rows only, and the z of a
row are moved by what that row says. `row_model` refuses such models: noise for all z and N / n
times the gradient for few is exact in expectation and useless in variance. What is here is
the joint density of a row, for samplers that move z and theta in their own ways.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt

from pytensor.graph.basic import Apply, Variable
from pytensor.graph.traversal import ancestors

from pymc_sgld.model_graph.context import chosen_model
from pymc_sgld.model_graph.density.modes import compile_function
from pymc_sgld.model_graph.density.row_density import RowDensity, RowLeaf, WholeTerm, row_term
from pymc_sgld.model_graph.density.sources import sources_of
from pymc_sgld.model_graph.rewrite.errors import CannotTakeRows, RowError
from pymc_sgld.model_graph.rewrite.evaluator import Evaluator
from pymc_sgld.model_graph.rewrite.factors import Factors, read_factors
from pymc_sgld.model_graph.rewrite.naming import listed
from pymc_sgld.model_graph.rewrite.row_axes import RowsArgument, check_rows_argument
from pymc_sgld.model_graph.rewrite.split import (
    Draft,
    Options,
    assemble,
    split_observed,
    split_potentials,
)
from pymc_sgld.model_graph.rewrite.take_rows import RowRequest, RowRewriter, deep_recursion


class LocalRowRewriter(RowRewriter):
    """A rewrite in which parameters with one entry per row are blocks too."""

    def __init__(self, evaluator: Evaluator, parameters: set[Variable]) -> None:
        super().__init__(evaluator, parameters)
        self.latents: dict[Variable, RowLeaf] = {}

    def rows(
        self,
        group: int,
        *,
        minibatch: Apply | None = None,
        length: int | None = None,
        keep_parameters: bool = False,
    ) -> RowRequest:
        """Return the request for the rows of a group."""
        extent = self.groups[group].total_size if length is None else length
        return _LocalRowRequest(self, group, extent, extent, minibatch, keep_parameters)


class _LocalRowRequest(RowRequest):
    rewriter: LocalRowRewriter

    def _take_parameter(self, var: Variable, axis: int) -> Variable:
        if self.index is not None or self.keep_parameters:
            return super()._take_parameter(var, axis)
        block = self.rewriter.block((var, axis, None), self.group, var.name, source=var, axis=axis)
        [leaf] = [leaf for leaf in self.rewriter.leaves if leaf.block is block]
        known = self.rewriter.latents.setdefault(var, leaf)
        if known is not leaf:
            raise CannotTakeRows(f"'{var.name}' has rows on two axes, or of two groups")
        return block if axis == 0 else pt.moveaxis(block, 0, axis)


@dataclass(frozen=True, eq=False)
class LocalLatentModel:
    """A model's log-density as prior plus a sum over rows of joint densities.

    Attributes
    ----------
    row_model : RowDensity
        Its position holds what all rows share. Its terms are the likelihoods and, of kind
        ``"local prior"``, the densities of the local latents given the shared parameters,
        with Jacobians. Its leaves are the data and the local latents.
    latents : tuple of RowLeaf
        The leaves that are local latents, named as their value variables.
    """

    row_model: RowDensity
    latents: tuple[RowLeaf, ...]

    def split(self, point: Mapping[str, Any]) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Return what all rows share as one vector, and the local latents with rows first.

        Parameters
        ----------
        point : dict of str to array
            Unconstrained values, named as ``model.initial_point()`` names them.

        Returns
        -------
        shared : ndarray, shape (n_dim,)
        local : dict of str to ndarray, shape (N, ...)
        """
        local = {z.name: np.moveaxis(np.asarray(point[z.name]), z.axis, 0) for z in self.latents}
        return self.row_model.ravel(point), local

    def compiled(self, mode: Any = None) -> JointFunction:
        """Return the joint density of rows, with gradients; mode as for `row_model`."""
        model, dtype = self.row_model, self.row_model.position.type.dtype
        prior_weight = pt.scalar("prior_weight", dtype=dtype)
        weights = [pt.scalar(f"weight_{g.name}", dtype=dtype) for g in model.groups]
        value = prior_weight * model.prior
        for term in model.terms:
            value = value + weights[term.group] * term.logp.sum()
        by_latent = pytensor.grad(value, [z.block for z in self.latents])
        function = compile_function(
            [model.position, prior_weight, *weights, *(leaf.block for leaf in model.leaves)],
            [value, model.gradient(value), *by_latent],
            mode="NUMBA" if mode is None else mode,
        )
        data = [leaf for leaf in model.leaves if leaf not in self.latents]
        return JointFunction(
            function,
            tuple((leaf.name, leaf.group, leaf in self.latents) for leaf in model.leaves),
            tuple(sources_of(data, model.streamed, None)),
            dtype,
        )


@dataclass(frozen=True, eq=False)
class JointFunction:
    """The compiled joint density of rows and its gradients.

    Attributes
    ----------
    function : callable
        ``f(shared, prior_weight, *group_weights, *blocks) -> (value, gradient, *by_latent)``.
    leaves : tuple of (str, int, bool)
        Name, group, and whether it is a local latent, of every block.
    arrays : tuple of ndarray
        The data, in the order of the leaves that are data.
    dtype : str
    """

    function: Any
    leaves: tuple[tuple[str, int, bool], ...]
    arrays: tuple[Any, ...]
    dtype: str

    def __call__(
        self,
        shared: np.ndarray,
        local: Mapping[str, np.ndarray],
        rows: Sequence[np.ndarray],
        *,
        prior_weight: float,
        weights: Sequence[float],
    ) -> tuple[float, np.ndarray, dict[str, np.ndarray]]:
        """Return value and gradients of the joint log-density of chosen rows.

        Parameters
        ----------
        shared : ndarray, shape (n_dim,)
        local : dict of str to ndarray, shape (N, ...)
            All local latents; only the chosen rows are read.
        rows : sequence of int ndarray
            Row numbers for each group.
        prior_weight : float
            Factor of the prior of what all rows share.
        weights : sequence of float
            Factor of each group's sum over its rows.

        Returns
        -------
        value : float
        gradient : ndarray, shape (n_dim,)
        by_latent : dict of str to ndarray, shape (n, ...)
            Gradient by the local latents of the chosen rows.
        """
        arrays = iter(self.arrays)
        blocks = [
            np.ascontiguousarray(local[name][rows[group]], dtype=self.dtype)
            if is_latent
            else next(arrays)[rows[group]]
            for name, group, is_latent in self.leaves
        ]
        scalars = [np.asarray(w, dtype=self.dtype) for w in (prior_weight, *weights)]
        value, gradient, *by_latent = self.function(shared, *scalars, *blocks)
        names = [name for name, _, is_latent in self.leaves if is_latent]
        return float(value), gradient, dict(zip(names, by_latent, strict=True))


def local_latent_model(
    model: pm.Model | None = None, *, rows: RowsArgument = "auto"
) -> LocalLatentModel:
    """Split a model with one free entry per row into what rows share and what is theirs.

    Parameters
    ----------
    model : pm.Model, optional
        The model of the context if not given.
    rows : str or dict, default "auto"
        As for `row_model`.

    Raises
    ------
    RowError
        If the model has no local latents, or one of them also enters other than by rows.
    """
    model = chosen_model(model)
    factors = read_factors(model)
    check_rows_argument(rows, model, factors.observed)
    point = model.initial_point(random_seed=0)
    values: dict[Variable, np.ndarray] = {v: np.asarray(point[v.name]) for v in model.value_vars}
    rewriter = LocalRowRewriter(Evaluator(values), set(values))
    draft = Draft(rewriter, Options(rows))
    with deep_recursion():
        split_observed(draft, factors)
        _split_priors(draft, rewriter, factors)
        split_potentials(draft, factors)
        if not rewriter.latents:
            raise RowError(
                "No free variable has one entry per row of the observed variables. Use row_model."
                f"{_longer(values, rewriter)}"
            )
        _refuse_entering_whole(draft, rewriter)
        shared = {v: x for v, x in values.items() if v not in rewriter.latents}
        if not shared:
            raise RowError(
                f"Every free variable ({listed([v.name for v in values])}) has one entry per row: "
                "rows have nothing in common, so there is nothing to sample on batches of them. "
                "Use pm.sample() (NUTS)."
            )
        result = assemble(model, draft, shared)
    sources = {leaf.source for leaf in rewriter.latents.values()}
    return LocalLatentModel(result, tuple(x for x in result.leaves if x.source in sources))


def _split_priors(draft: Draft, rewriter: LocalRowRewriter, factors: Factors) -> None:
    """Push the priors of the local latents, which may bring in others, and keep the rest."""
    left = list(factors.free)
    while True:
        ready = [(n, logp) for n, logp in left if factors.values[n] in rewriter.latents]
        if not ready:
            break
        left = [(n, logp) for n, logp in left if factors.values[n] not in rewriter.latents]
        for name, logp in ready:
            leaf = rewriter.latents[factors.values[name]]
            try:
                if leaf.axis >= logp.type.ndim:
                    raise CannotTakeRows("its density is one number for all rows together")
                taken = rewriter.rows(leaf.group).take_full(logp, leaf.axis)
            except CannotTakeRows as error:
                raise RowError(
                    f"'{name}' has one entry per row, but its prior cannot be split by rows: "
                    f"{error}. Use pm.sample() (NUTS)."
                ) from None
            draft.terms.append(row_term(name, leaf.group, taken, leaf.axis, "local prior"))
    draft.whole.extend((WholeTerm(name, "prior"), logp) for name, logp in left)


def _longer(values: dict[Variable, np.ndarray], rewriter: LocalRowRewriter) -> str:
    """Name variables that have more entries than there are rows, which may be a mistake."""
    n_rows = max((group.total_size for group in rewriter.groups), default=0)
    longer = [v.name for v, value in values.items() if value.ndim and value.shape[0] > n_rows > 0]
    if not longer:
        return ""
    return (
        f" {listed(longer)} has more entries than there are rows ({n_rows:,}): no observation sees "
        "the others. Give it one entry per row."
    )


def _refuse_entering_whole(draft: Draft, rewriter: LocalRowRewriter) -> None:
    parts = [(term.name, term.entries) for term in draft.terms]
    parts += [(whole.name, graph) for whole, graph in draft.whole]
    for name, graph in parts:
        left = sorted(v.name for v in set(ancestors([graph])).intersection(rewriter.latents))
        if left:
            raise RowError(
                f"{listed(left)} has one entry per row, and enters '{name}' as a whole as well, or "
                "by other rows: rows are not independent given what they share. Use pm.sample() "
                "(NUTS)."
            )
