"""Take a model apart into what all rows share and an integral over the latents of each row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt

from pymc.model.fgraph import ModelVar, clone_model, fgraph_from_model, model_from_fgraph
from pytensor.gradient import DisconnectedInputError
from pytensor.graph.basic import Variable
from pytensor.graph.fg import FunctionGraph
from pytensor.graph.replace import graph_replace
from pytensor.graph.rewriting.utils import rewrite_graph
from pytensor.graph.traversal import ancestors, toposort

from pymc_sgld.model_graph.density.row_density import RowLeaf
from pymc_sgld.model_graph.latents.quadrature_rules import QuadratureRule
from pymc_sgld.model_graph.latents.row_integrals import SIMPLE, RowIntegral
from pymc_sgld.model_graph.latents.row_modes import RowModes, in_terms_of
from pymc_sgld.model_graph.rewrite.errors import RowError
from pymc_sgld.model_graph.rewrite.evaluator import Evaluator
from pymc_sgld.model_graph.rewrite.factors import uses_minibatch
from pymc_sgld.model_graph.rewrite.fold_and_cost import rebuild
from pymc_sgld.model_graph.rewrite.local_latents import local_latent_model
from pymc_sgld.model_graph.rewrite.naming import listed
from pymc_sgld.model_graph.rewrite.parameter_checks import conditions_of
from pymc_sgld.model_graph.rewrite.private_api import CheckParameterValue
from pymc_sgld.model_graph.rewrite.row_axes import RowsArgument

MOST_LATENTS = 2  # of a row: nodes grow with their power
# From modes at a point near by; more would only make the graph longer.
NEWTON_STEPS = 3
# From where another mode of a row is looked for: standard deviations of the prior, by latent.
_PLACES_IN_PRIOR = {
    1: np.array([[-4.0], [-1.5], [1.5], [4.0]]),
    2: np.array([[-2.5, 0.0], [2.5, 0.0], [0.0, -2.5], [0.0, 2.5]]),
}
_STEPS_TO_ANOTHER_MODE = 40
_ARRIVED_THERE = 1e-2
_APART = 3.0  # standard deviations of the row
_SHARE_OF_DENSITY = 0.05


@dataclass(frozen=True, eq=False)
class RowLatents:
    """A model taken apart: what all rows share, and the joint density of a row and its latents.

    Attributes
    ----------
    shared : pm.Model
        Without the latents, the observed variables that depend on them, and what else does.
    latents, observed : tuple of str
        What is integrated out, and the observed variables that depend on it.
    left_out : tuple of str
        Deterministics that depend on the latents.
    n_rows, n_latents : int
        Number of rows, and of latents in each.
    """

    shared: pm.Model
    latents: tuple[str, ...]
    observed: tuple[str, ...]
    left_out: tuple[str, ...]
    n_rows: int
    n_latents: int
    dims: tuple[str, ...]
    integral: RowIntegral = field(repr=False)  # of placeholders, as is the next
    prior: RowIntegral = field(repr=False)  # of the latents alone
    placeholders: Mapping[str, Variable] = field(repr=False)
    starts: tuple[Any, ...] = field(repr=False)  # shared variables, each of shape (N,)
    natural: tuple[Variable, ...] = field(repr=False)  # each latent as its variable has it, (N,)
    places: tuple[tuple[str, int], ...]  # of each latent: its variable, and which entry of a row

    @property
    def potential(self) -> str:
        """Name of the potential that holds the integrals."""
        return f"log_marginal_{'_'.join(self.observed)}"

    def marginal_model(self, rule: QuadratureRule, *, newton_steps: int = NEWTON_STEPS) -> pm.Model:
        """Return the model of what all rows share, with the integrals as a potential.

        The models of several rules have the same starts.
        """
        model = clone_model(self.shared)
        value = self.integral.log_integral(self.starts, rule, newton_steps)
        with model:
            pm.Potential(self.potential, self._in(model, [value])[0], dims=self.dims or None)
        return model

    def model_at_nodes(self, points: np.ndarray) -> pm.Model:
        """Return a model whose potentials are the joint density and the latents at nodes.

        Parameters
        ----------
        points : array, shape (n_points, n_latents)
            From a row's mode, in units of its own scale.

        Returns
        -------
        pm.Model
            With potentials ``joint`` and ``latent_0``, ..., each of shape (N, n_points).
        """
        model = clone_model(self.shared)
        nodes, _ = self.integral.nodes(self.starts, points, NEWTON_STEPS)
        graphs = self.integral.at_nodes([self.integral.joint, *self.natural], nodes)
        names = ("joint", *(f"latent_{j}" for j in range(self.n_latents)))
        with model:
            for name, graph in zip(names, self._in(model, graphs), strict=True):
                pm.Potential(name, rewrite_graph(graph.T, include=SIMPLE))
        return model

    def move_starts(self, point: Mapping[str, Any]) -> float:
        """Put the starts at the modes of the latents given what all rows share.

        Parameters
        ----------
        point : dict of str to array
            Unconstrained values, named as ``shared.initial_point()`` names them.

        Returns
        -------
        float
            Length of the longest last step, in standard deviations of a row's latents.
        """
        climbed = self._climbs(self.integral).climb(point, self._at_starts())
        for start, value in zip(self.starts, climbed.latents, strict=True):
            start.set_value(value)
        return float(np.max(climbed.length))

    def rows_of_several_modes(self, point: Mapping[str, Any]) -> np.ndarray:
        """Return in which rows the latents have another mode than that where the starts are.

        Newton's method begins at places that are spread over the prior of the latents. Another
        mode is one that it arrives at, three of the row's standard deviations or more from the
        starts, and not below a twentieth of the density there.

        Parameters
        ----------
        point : dict of str to array
            As for :meth:`move_starts`.

        Returns
        -------
        array of bool, shape (N,)
        """
        climbs = self._climbs(self.integral)
        here = climbs.climb(point, self._at_starts(), most_steps=1)
        prior = self._climbs(self.prior).climb(point, np.zeros_like(here.latents))
        several = np.zeros(self.n_rows, dtype=bool)
        for offset in _PLACES_IN_PRIOR[self.n_latents]:
            place = prior.latents + np.einsum("jmn,m->jn", prior.factor, offset)
            there = climbs.climb(point, place, _STEPS_TO_ANOTHER_MODE)
            with np.errstate(invalid="ignore"):
                apart = np.abs(there.latents - here.latents) / here.standard_deviations
                high = there.value > here.value + np.log(_SHARE_OF_DENSITY)
                arrived = there.length < _ARRIVED_THERE
            several |= arrived & high & (apart > _APART).any(axis=0)
        return several

    def _at_starts(self) -> np.ndarray:
        return np.stack([start.get_value() for start in self.starts])

    def _climbs(self, integral: RowIntegral) -> RowModes:
        return RowModes(self.shared, in_terms_of(integral, self.shared, self.placeholders))

    def _in(self, model: pm.Model, graphs: Sequence[Variable]) -> list[Variable]:
        """Return graphs with a model's own variables in the places of the placeholders."""
        places = {place: model[name] for name, place in self.placeholders.items()}
        replaced: list[Variable] = graph_replace(list(graphs), places, strict=False)
        return replaced


def row_latents(model: pm.Model | None = None, *, rows: RowsArgument = "auto") -> RowLatents:
    """Take a model with one or two free entries per row apart.

    Parameters
    ----------
    model : pm.Model, optional
        The model of the context if not given.
    rows : str or dict, default "auto"
        As for `row_model`.

    Raises
    ------
    RowError
        If the model has no latents of rows, or they cannot be integrated out.
    """
    model = pm.modelcontext(model)
    if uses_minibatch(model):
        raise RowError(
            "The latents of rows of a pm.Minibatch cannot be integrated out: write the model on "
            "the full data; the rows of a step are drawn from it."
        )
    local = local_latent_model(model, rows=rows)
    n_rows, n_latents = local.latents[0].total_size, _number_of_latents(local.latents)
    fgraph, memo = as_graph(model)
    by_value = {value.name: variable for variable, value in model.rvs_to_values.items()}
    variables = [by_value[leaf.name] for leaf in local.latents]
    gone = {memo[variable] for variable in variables}
    observed = [y for y in model.observed_RVs if depends(memo[y], gone)]
    _refuse_potentials(model, memo, gone)
    axes = {term.name: term.axis for term in local.row_model.terms}
    latents = [pt.vector(f"latent_{j}", shape=(n_rows,)) for j in range(n_latents)]
    graphs = _joint(model, memo, local.latents, variables, observed, axes, latents)
    boundary = [v for v in ancestors(graphs, blockers=fgraph.outputs) if _is_named(v)]
    placeholders = {v.owner.op.name: v.type(name=v.owner.op.name) for v in boundary}
    joint, prior, *natural = graph_replace(
        graphs, {v: placeholders[v.owner.op.name] for v in boundary}, strict=False
    )
    left_out = [d for d in model.deterministics if depends(memo[d], gone)]
    group = local.row_model.groups[local.latents[0].group].name
    return RowLatents(
        shared=without(model, fgraph, [memo[v] for v in (*variables, *observed, *left_out)]),
        latents=tuple(v.name for v in variables),
        observed=tuple(y.name for y in observed),
        left_out=tuple(d.name for d in left_out),
        n_rows=n_rows,
        n_latents=n_latents,
        dims=(group,) if group in model.coords else (),
        integral=RowIntegral.of(joint, latents),
        prior=_of_prior(prior, latents, variables),
        natural=tuple(natural),
        places=tuple(
            (variable.name, entry)
            for variable, leaf in zip(variables, local.latents, strict=True)
            for entry in range(_per_row(leaf))
        ),
        placeholders=placeholders,
        starts=tuple(
            pytensor.shared(np.zeros(n_rows, dtype=z.type.dtype), name=f"mode_of_{z.name}")
            for z in latents
        ),
    )


def _of_prior(
    prior: Variable, latents: Sequence[Variable], variables: Sequence[Variable]
) -> RowIntegral:
    """Return the integral of the latents' own density, which has to have one."""
    try:
        return RowIntegral.of(prior, latents)
    except DisconnectedInputError:
        raise RowError(
            f"{listed([v.name for v in variables])}: a flat prior has no integral. Give latents of "
            "rows a proper prior, such as pm.Normal."
        ) from None


def as_graph(model: pm.Model) -> tuple[FunctionGraph, dict[Variable, Variable]]:
    """Return PyMC's graph of a model, whose variables can be taken out."""
    try:
        graph: tuple[FunctionGraph, dict[Variable, Variable]] = fgraph_from_model(model)
    except (NotImplementedError, ValueError) as error:
        raise RowError(
            f"Latents of rows cannot be integrated out of this model: {error}. Leave out initval= "
            "of its variables, and write it as one model."
        ) from None
    return graph


def _joint(
    model: pm.Model,
    memo: Mapping[Variable, Variable],
    leaves: Sequence[RowLeaf],
    variables: Sequence[Variable],
    observed: Sequence[Variable],
    axes: Mapping[str, int],
    latents: Sequence[Variable],
) -> list[Variable]:
    """Return by row the log of the joint density, that of the latents, and each latent.

    The latents are returned as their variables have them: transformed back.
    """
    terms, natural, left = [], {}, list(latents)
    for variable, leaf in zip(variables, leaves, strict=True):
        value = _assembled([left.pop(0) for _ in range(_per_row(leaf))], leaf)
        random, transform = memo[variable].owner.inputs[0], model.rvs_to_transforms[variable]
        inputs, axis = random.owner.inputs, axes[variable.name]
        natural[memo[variable]] = value if transform is None else transform.backward(value, *inputs)
        terms.append(_by_row(pm.logp(random, natural[memo[variable]]), axis))
        if transform is not None:
            terms.append(_by_row(transform.log_jac_det(value, *inputs), axis))
    prior = sum(terms[1:], start=terms[0])
    joint = prior
    for y in observed:
        random, data = memo[y].owner.inputs
        joint = joint + _by_row(pm.logp(random, data), axes[y.name])
    graphs = [joint, prior] + [
        entry
        for variable, leaf in zip(variables, leaves, strict=True)
        for entry in _entries(natural[memo[variable]], leaf)
    ]
    for _ in variables:  # a latent may depend on another
        graphs = graph_replace(graphs, natural, strict=False)
    return [*(_checked_by_entry(graph, set(latents)) for graph in graphs[:2]), *graphs[2:]]


def _entries(value: Variable, leaf: RowLeaf) -> list[Variable]:
    """Return the vectors of a variable's entries, one a row."""
    if leaf.block.type.ndim == 1:
        return [value]
    by_entry = pt.moveaxis(value, leaf.axis, 1)
    return [by_entry[j] for j in range(_per_row(leaf))]


def _checked_by_entry(joint: Variable, latents: set[Variable]) -> Variable:
    """Give minus infinity to the entries whose parameters are out of range, instead of raising."""
    replaced: dict[Variable, Variable] = {}
    for node in toposort([joint]):
        if not isinstance(node.op, CheckParameterValue):
            continue
        logp = node.inputs[0]
        for condition in conditions_of(node, Evaluator({})):
            by_entry = condition.type.ndim == logp.type.ndim
            if latents.isdisjoint(ancestors([condition])) or not by_entry:
                condition = pt.all(condition)
            logp = pt.switch(condition, logp, -np.inf)
        replaced[node.outputs[0]] = rebuild([logp], replaced)[0] if replaced else logp
    return rebuild([joint], replaced)[0] if replaced else joint


def _by_row(density: Variable, axis: int) -> Variable:
    """Sum over all axes but that of the rows."""
    others = tuple(a for a in range(density.type.ndim) if a != axis)
    return density.sum(axis=others) if others else density


def _per_row(leaf: RowLeaf) -> int:
    """Return how many entries of a variable each row has."""
    return int(np.prod(leaf.block.type.shape[1:]))


def _number_of_latents(leaves: Sequence[RowLeaf]) -> int:
    number = sum(_per_row(leaf) for leaf in leaves)
    names = listed([leaf.name for leaf in leaves])
    if number > MOST_LATENTS:
        raise RowError(
            f"{names} are {number} latents in each row, of which quadrature integrates at most "
            f"{MOST_LATENTS} out. Use psg.sample(latents='joint'), which keeps them, pm.sample() "
            "(NUTS), or integrate them out by hand where the integral has a closed form."
        )
    if len({leaf.group for leaf in leaves}) > 1:
        raise RowError(
            f"{names} belong to rows of different kinds. One kind of rows at a time can have its "
            "latents integrated out. Use pm.sample() (NUTS)."
        )
    return number


def _assembled(entries: Sequence[Variable], leaf: RowLeaf) -> Variable:
    """Return a variable's value from the vectors of its entries, one a row."""
    ndim = leaf.block.type.ndim
    if ndim == 1:
        return entries[0]
    if ndim > 2:
        raise RowError(
            f"'{leaf.name}' has {ndim} axes; latents with one axis of rows and one other at most "
            "can be integrated out. Use pm.sample() (NUTS)."
        )
    return pt.stack(list(entries), axis=1 - leaf.axis)


def _is_named(variable: Variable) -> bool:
    return variable.owner is not None and isinstance(variable.owner.op, ModelVar)


def depends(variable: Variable, on: set[Variable]) -> bool:
    """Return whether a variable is made of any of some others."""
    return not on.isdisjoint(ancestors([variable]))


def _refuse_potentials(
    model: pm.Model, memo: Mapping[Variable, Variable], gone: set[Variable]
) -> None:
    names = [potential.name for potential in model.potentials if depends(memo[potential], gone)]
    if names:
        raise RowError(
            f"Potential {listed(names)} depends on latents of rows, which cannot be integrated out "
            "of a potential. Write it as the likelihood of an observed variable, or use "
            "pm.sample() (NUTS)."
        )


def without(model: pm.Model, fgraph: FunctionGraph, gone: Sequence[Variable]) -> pm.Model:
    """Return the model of a graph without some of its variables, the others in their order."""
    for variable in gone:
        fgraph.remove_output(fgraph.outputs.index(variable))
    shared = model_from_fgraph(fgraph, mutate_fgraph=True)
    order = [variable.name for variable in model.free_RVs]
    shared.free_RVs.sort(key=lambda variable: order.index(variable.name))
    return shared
