"""A model whose rows hold their latents: given these, an ordinary model of rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, NamedTuple

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt

from pytensor.graph.rewriting.utils import rewrite_graph
from pytensor.graph.traversal import ancestors

from pymc_sgld.model_graph.context import chosen_model
from pymc_sgld.model_graph.density.modes import compile_function, without_assertions
from pymc_sgld.model_graph.density.row_density import RowDensity, RowLeaf
from pymc_sgld.model_graph.density.row_model import RowModel
from pymc_sgld.model_graph.latents.row_latents import as_graph, depends, without
from pymc_sgld.model_graph.rewrite.errors import RowError
from pymc_sgld.model_graph.rewrite.factors import uses_minibatch
from pymc_sgld.model_graph.rewrite.local_latents import local_latent_model
from pymc_sgld.model_graph.rewrite.naming import listed
from pymc_sgld.model_graph.rewrite.row_axes import RowsArgument
from pymc_sgld.samplers.rows import Places
from pymc_sgld.samplers.rows import RowDensity as DensityOfRows
from pymc_sgld.types import Array

_TOLERANCE = {"float64": 1e-8, "float32": 1e-4}
_FLAT = 1e-10  # slope of a log-likelihood, in unconstrained latents


class LatentLeaves(NamedTuple):
    """Which arrays of a row model are latents, and what moving them reads.

    Attributes
    ----------
    group : int
        Of the rows.
    read : tuple of int
        Numbers of the arrays that the density of a row is made of, the latents among them.
    latents : tuple of int
        Numbers of those that are latents.
    shapes : tuple of tuples of int
        Of a row of each latent.
    """

    group: int
    read: tuple[int, ...]
    latents: tuple[int, ...]
    shapes: tuple[tuple[int, ...], ...]

    def apart(self, values: Array) -> list[Array]:
        """Return the blocks of latents, of values of shape (n_rows, n_latents)."""
        blocks, first = [], 0
        for shape in self.shapes:
            last = first + int(np.prod(shape))
            block = values[:, first:last].reshape(len(values), *shape)
            blocks.append(np.ascontiguousarray(block))
            first = last
        return blocks

    def together(self, blocks: Sequence[Array]) -> Array:
        """Return values, shape (n_rows, n_latents), of the blocks of latents."""
        return np.concatenate([block.reshape(len(block), -1) for block in blocks], axis=1)


@dataclass(frozen=True)
class LatentDensity:
    """The compiled log-density of each row in its latents, with its gradient.

    Holds no model, so that it can be sent to other processes.

    Attributes
    ----------
    function : callable
        ``f(position, *blocks) -> (log_density, *gradients)``, by row.
    leaves : LatentLeaves
    dtypes : tuple of str
        Of the blocks that are read.
    dtype : str
        Of the position.
    """

    function: Any
    leaves: LatentLeaves
    dtypes: tuple[str, ...]
    dtype: str

    def at(self, position: Array, blocks: Sequence[Array]) -> DensityOfRows:
        """Return the density of some rows, as kernels want it.

        Parameters
        ----------
        position : array, shape (n_dim,)
        blocks : sequence of arrays
            Of ``leaves.read``, for these rows; what stands for latents is not read.
        """
        leaves, position = self.leaves, np.asarray(position, dtype=self.dtype)
        data = [
            np.require(block, dtype=dtype, requirements=["C_CONTIGUOUS", "WRITEABLE"])
            for block, dtype in zip(blocks, self.dtypes, strict=True)
        ]
        places = [leaves.read.index(number) for number in leaves.latents]
        types = [self.dtypes[place] for place in places]

        def density(values: Array) -> Places:
            for place, kind, part in zip(places, types, leaves.apart(values), strict=True):
                data[place] = part.astype(kind, copy=False)
            log_density, *gradients = self.function(position, *data)
            return Places(values, np.asarray(log_density), leaves.together(gradients))

        return density


@dataclass(frozen=True, eq=False)
class JointRowModel(RowModel):
    """The rows of a model with their latents as data, made by :func:`joint_row_model`.

    Attributes
    ----------
    written : pm.Model
        As it was written. The attribute ``model`` has neither latents nor what depends on them.
    leaves_of_latents : LatentLeaves
    start : array, shape (N, n_latents)
        Unconstrained, of the initial point.
    names : tuple of str
        Of the variables.
    """

    written: pm.Model = None
    leaves_of_latents: LatentLeaves = None  # type: ignore[assignment]
    start: Array = field(default_factory=lambda: np.zeros((0, 0)), repr=False)
    names: tuple[str, ...] = ()

    def latent_density(self, mode: Any = None) -> LatentDensity:
        """Return the compiled density of rows in their latents; mode as of `block_function`."""
        own, mode = self.leaves_of_latents, self._mode(mode)
        read = [self.leaves[number] for number in own.read]
        if ("latents", mode) not in self._compiled:
            blocks = [self.leaves[number].block for number in own.latents]
            value = _of_latents(self, blocks)
            stable = rewrite_graph(value, include=("canonicalize", "stabilize"))
            gradients = pytensor.grad(stable.sum(), blocks)
            function = compile_function(
                [self.position, *(leaf.block for leaf in read)],
                [pt.cast(one, self.position.type.dtype) for one in (value, *gradients)],
                mode=without_assertions(mode),
            )
            function.trust_input = True  # `LatentDensity.at` sees to types
            self._compiled["latents", mode] = function
        return LatentDensity(
            self._compiled["latents", mode],
            own,
            tuple(leaf.block.type.dtype for leaf in read),
            self.position.type.dtype,
        )

    def verify_joint(self, mode: Any, rng: np.random.Generator) -> float:
        """Compare value and gradient by rows with the model as written, near its initial point.

        Parameters
        ----------
        mode : str or pytensor Mode
            That will sample.
        rng : numpy.random.Generator

        Returns
        -------
        float
            Relative error of the log-density.

        Raises
        ------
        RowError
            If it is not that of rounding.
        """
        function, own = self.block_function(mode), self.leaves_of_latents
        point = self.written.initial_point(random_seed=0)
        point = {name: one + 0.1 * rng.normal(size=np.shape(one)) for name, one in point.items()}
        blocks = [slice(None)] * len(self.groups)
        arrays = function.read(blocks)
        for number in own.latents:
            leaf = self.leaves[number]
            arrays[number] = np.moveaxis(point[leaf.name], leaf.axis, 0).astype(leaf.block.dtype)
        ones = [1.0] * len(self.groups)
        position = self.ravel(point)
        value, gradient = function.on_blocks(position, arrays, prior_weight=1.0, weights=ones)
        compiled = self.written.compile_logp(mode="FAST_COMPILE")
        slope = self.written.compile_dlogp(list(self._of_written()), mode="FAST_COMPILE")
        expected, by_position = float(compiled(point)), np.asarray(slope(point))
        scale = max(1.0, abs(expected), float(np.abs(by_position).max(initial=0.0)))
        gap = max(abs(value - expected), float(np.abs(gradient - by_position).max(initial=0)))
        if not gap / scale <= _TOLERANCE[self.position.type.dtype]:
            raise RowError(
                f"Identity check failed: the joint log-density by rows differs from the model's by "
                f"{gap / scale:.1e} (relative). This is a bug in pymc_sgld; please report the "
                "model. Until then use pm.sample()."
            )
        return gap / scale

    def _of_written(self) -> list[Any]:
        """Return the variables of the model as written that rows share, in our order."""
        by_name = {value.name: rv for rv, value in self.written.rvs_to_values.items()}
        return [by_name[value.name] for value in self.value_vars]


def joint_row_model(model: pm.Model | None = None, *, rows: RowsArgument = "auto") -> JointRowModel:
    """Return a model by rows, with the latents of its rows among the data of the rows.

    Parameters
    ----------
    model : pm.Model, optional
        The model of the context if not given.
    rows : str or dict, default "auto"
        As for `row_model`.

    Raises
    ------
    RowError
        If the model has no latents of rows, or they cannot be moved row by row.
    """
    model = chosen_model(model)
    if uses_minibatch(model):
        raise RowError(
            "The latents of rows of a pm.Minibatch cannot be kept: write the model on the full "
            "data; the rows of a step are drawn from it."
        )
    local = local_latent_model(model, rows=rows)
    density, point = local.row_model, model.initial_point(random_seed=0)
    names = _one_group(local.latents, density)
    started = {
        leaf.name: np.ascontiguousarray(np.moveaxis(np.array(point[leaf.name]), leaf.axis, 0))
        for leaf in local.latents
    }
    leaves = tuple(
        replace(leaf, source=None, derived=started[leaf.name]) if leaf in local.latents else leaf
        for leaf in density.leaves
    )
    numbers = tuple(n for n, leaf in enumerate(leaves) if leaf.name in started)
    group = leaves[numbers[0]].group
    own = LatentLeaves(
        group,
        tuple(n for n, leaf in enumerate(leaves) if leaf.group == group),
        numbers,
        tuple(started[leaves[n].name].shape[1:] for n in numbers),
    )
    shared = shared_model(model, names)
    given = {one.name: getattr(density, one.name) for one in fields(RowDensity)}
    given |= {"model": shared, "value_vars": tuple(shared.value_vars), "leaves": leaves}
    made = JointRowModel(
        **given,
        written=model,
        leaves_of_latents=own,
        start=own.together([started[leaves[n].name] for n in numbers]).astype(float),
        names=names,
    )
    _refuse_flat(made)
    return made


def shared_model(model: pm.Model, latents: Sequence[str]) -> pm.Model:
    """Return a model without its latents, by name, and all that depends on them."""
    fgraph, memo = as_graph(model)
    variables = [memo[model[name]] for name in latents]
    gone = set(variables)
    later = (*model.observed_RVs, *model.potentials, *model.deterministics)
    return without(
        model, fgraph, [*variables, *(memo[one] for one in later if depends(memo[one], gone))]
    )


def _one_group(latents: Sequence[RowLeaf], density: RowDensity) -> tuple[str, ...]:
    """Return the names of the variables, which belong to rows of one kind."""
    by_value = {value.name: rv.name for rv, value in density.model.rvs_to_values.items()}
    names = tuple(by_value[leaf.name] for leaf in latents)
    if len({leaf.group for leaf in latents}) > 1:
        raise RowError(
            f"{listed(names)} belong to rows of different kinds. One kind of rows at a time can "
            "have latents. Use pm.sample() (NUTS)."
        )
    return names


def _of_latents(density: RowDensity, blocks: Sequence[Any]) -> Any:
    """Return the sum, by row, of the terms that depend on latents."""
    wanted = set(blocks)
    terms = [t.logp for t in density.terms if not wanted.isdisjoint(ancestors([t.logp]))]
    return pt.add(*terms) if len(terms) > 1 else terms[0]


def _refuse_flat(made: JointRowModel) -> None:
    """Refuse latents that neither observed variables nor other latents depend on.

    Raises
    ------
    RowError
    """
    own, slopes = made.leaves_of_latents, []
    for number, name in zip(own.latents, made.names, strict=True):
        others = [term.logp.sum() for term in made.terms if term.name != name]
        value, block = sum(others, start=pt.constant(0.0)), made.leaves[number].block
        slopes += pytensor.grad(value, [block], disconnected_inputs="ignore")
    function = compile_function(
        [made.position, *(leaf.block for leaf in made.leaves)], slopes, mode="FAST_COMPILE"
    )
    few = [leaf.values()[:200] for leaf in made.leaves]
    # beside the initial point, where loadings are often zero
    position = made.ravel(made.written.initial_point(random_seed=0))
    position = position + np.random.default_rng(0).normal(size=position.shape)
    largest, rng = np.zeros(len(slopes)), np.random.default_rng(1)
    for _ in range(3):
        arrays = [
            block + rng.normal(size=block.shape).astype(block.dtype)
            if number in own.latents
            else block
            for number, block in enumerate(few)
        ]
        found = [np.nanmax(np.abs(slope), initial=0.0) for slope in function(position, *arrays)]
        largest = np.maximum(largest, found)
    flat = [name for name, slope in zip(made.names, largest, strict=True) if slope < _FLAT]
    if flat:
        raise RowError(
            f"{listed(flat)}: no observed variable depends on it; the likelihood is flat in it, in "
            "every row. Leave it out, or write it into the likelihood."
        )
