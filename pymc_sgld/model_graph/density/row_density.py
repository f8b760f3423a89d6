"""Prior plus a sum over row terms: graphs of one position vector, and the data they read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt

from pymc.model import Model
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Variable
from pytensor.graph.replace import graph_replace
from pytensor.graph.rewriting.utils import rewrite_graph

from pymc_sgld.model_graph.density.coordinates import Coordinates, Effect
from pymc_sgld.model_graph.density.layout import Layout
from pymc_sgld.model_graph.rewrite.errors import RowError
from pymc_sgld.model_graph.rewrite.evaluator import Evaluator
from pymc_sgld.model_graph.rewrite.naming import listed


@dataclass(frozen=True)
class RowGroup:
    """Terms whose rows belong together and are drawn together.

    Attributes
    ----------
    name : str
        Dimension name, or ``"rows_<N>"`` for terms without one.
    total_size : int
        Number of rows N.
    """

    name: str
    total_size: int


@dataclass(frozen=True, eq=False)
class RowLeaf:
    """One array whose rows a batch needs.

    Attributes
    ----------
    name : str
        Name of the data, for messages.
    group : int
        Position of its `RowGroup`.
    block : TensorVariable
        Symbolic block, rows on axis 0, static length unknown.  # (n, ...)
    source : Variable or None
        Constant or shared variable the rows come from; None for derived arrays.
    """

    name: str
    group: int
    block: Variable
    total_size: int
    source: Variable | None = field(default=None, repr=False)
    axis: int = 0
    derived: Any = field(default=None, repr=False)

    def values(self) -> Any:
        """Return the full array with rows on axis 0, read now from its source."""
        if self.source is None:
            return self.derived
        if isinstance(self.source, SharedVariable):
            value = self.source.get_value(borrow=True)
        else:
            value = self.source.data
        if value.shape[self.axis] != self.total_size:
            raise RowError(
                f"'{self.name}' has {value.shape[self.axis]} rows now but had "
                f"{self.total_size} when row_model read the model. Call row_model again "
                "after pm.set_data changes the number of rows."
            )
        return value if self.axis == 0 else np.moveaxis(value, self.axis, 0)


@dataclass(frozen=True, eq=False)
class RowTerm:
    """Per-row log-likelihood of one observed variable or potential.

    Attributes
    ----------
    name : str
        Name of the observed variable or potential.
    group : int
        Position of its `RowGroup` in ``RowModel.groups``.
    logp : TensorVariable
        Log-likelihood of each row of the batch, other axes summed.  # (n,)
    entries : TensorVariable
        The same before other axes are summed.  # (..., n, ...)
    axis : int
        Axis of the rows in `entries`.
    kind : {"observed", "potential", "local prior"}
    """

    name: str
    group: int
    logp: Variable
    entries: Variable
    axis: int = 0
    kind: str = "observed"


@dataclass(frozen=True, eq=False)
class WholeTerm:
    """A factor of the log-density that is evaluated in full at every step, within `prior`.

    Attributes
    ----------
    name : str
        Name of the variable or potential.
    kind : {"prior", "observed", "potential"}
    reason : str
        Why it is not split by rows; empty for priors.
    entries : TensorVariable or None
        Elementwise log-likelihood of an observed variable.
    """

    name: str
    kind: str
    reason: str = ""
    entries: Variable | None = None


@dataclass(frozen=True)
class Folded:
    """An expression of long data that was evaluated once, while the model was read.

    Attributes
    ----------
    name : str
        The named data it is made of.
    operation : str
        Its outermost operation.
    shape : tuple of int
    """

    name: str
    operation: str
    shape: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class RowDensity:
    """A model's log-density as prior plus a sum over rows; as graphs and data.

    The log-density with Jacobians is ``prior + sum over terms of (N / n) * logp.sum()`` for
    a batch of n of the N rows of the term's group, and exact for n = N.

    Attributes
    ----------
    model : pm.Model
    value_vars : tuple of TensorVariable
        Unconstrained free variables in model order.
    layout : Layout
        Their names and shapes, and where in the position they are.
    n_dim : int
        Length of the position.
    position : TensorVariable
        All value variables in one vector; `prior` and `terms` are graphs of it.  # (n_dim,)
    slices : tuple of TensorVariable
        The parts of `position`, shaped as the value variables. Gradients are cheaper with
        respect to these: see `gradient`.
    prior : TensorVariable
        Log-density of the free variables with Jacobians, and all that is kept whole.  # ()
    terms : tuple of RowTerm
    groups : tuple of RowGroup
    leaves : tuple of RowLeaf
    whole : tuple of WholeTerm
        What `prior` is the sum of.
    folded : tuple of Folded
        Statistics of data that were evaluated once.
    streamed : tuple of bool
        For each group whether its rows come from the caller, not from the model.
    notes : tuple of str
        What was decided on the way: terms kept whole, axes chosen.
    draws : tuple of Variable or None
        For each group the generator of the `pm.Minibatch` call it was written on, if any.
    jacobian : TensorVariable or None
        Log of the Jacobians of the transforms, where `prior` was asked to leave them out.
    effects : tuple of Effect
        Group effects that are written non-centred, and in whose coordinates the samplers move:
        see `recentred`.
    left : tuple of str
        A line for each vector that was found but is left as written, and why.
    coordinates : Coordinates or None
        Of a recentred row model: from the value variables to the position and back.
    values : tuple of TensorVariable
        The value variables as graphs of `position`; the same as `slices`, but for those of effects
        in a recentred row model.
    log_jacobian : TensorVariable or None
        Of a recentred row model, what its log-density has beside that of the model.
    data : dict of str to row source, or None
        What the rows of streamed leaves are read from, by the name of their `pm.Data`.
    """

    model: Model
    value_vars: tuple[Variable, ...]
    layout: Layout
    position: Variable
    slices: tuple[Variable, ...]
    prior: Variable
    terms: tuple[RowTerm, ...]
    groups: tuple[RowGroup, ...]
    leaves: tuple[RowLeaf, ...]
    whole: tuple[WholeTerm, ...]
    folded: tuple[Folded, ...]
    streamed: tuple[bool, ...]
    notes: tuple[str, ...]
    draws: tuple[Variable | None, ...] = field(repr=False)
    evaluator: Evaluator = field(repr=False)
    jacobian: Variable | None = None
    effects: tuple[Effect, ...] = ()
    left: tuple[str, ...] = ()
    coordinates: Coordinates | None = field(default=None, repr=False)
    values: tuple[Variable, ...] = field(default=(), repr=False)
    log_jacobian: Variable | None = field(default=None, repr=False)
    data: Mapping[str, Any] | None = field(default=None, repr=False)

    @property
    def n_dim(self) -> int:
        """Length of the position vector."""
        return self.layout.n_dim

    def ravel(self, point: Mapping[str, Any]) -> np.ndarray:
        """Return the position of a point given by value variable name.

        Parameters
        ----------
        point : dict of str to array
            Unconstrained values, named as ``model.initial_point()`` names them.

        Returns
        -------
        ndarray, shape (n_dim,)
        """
        missing = [name for name in self.layout.names if name not in point]
        if missing:
            raise RowError(
                f"The point lacks {listed(missing)}. Give every value variable, named as "
                "model.initial_point() names them."
            )
        for name, shape in self.layout:
            if np.shape(point[name]) != shape:
                raise RowError(
                    f"'{name}' has shape {np.shape(point[name])} in the point but {shape} in the "
                    "model. Pass it in the shape of model.initial_point()."
                )
        flat = self.layout.ravel(point).astype(self.position.type.dtype, copy=False)
        return flat if self.coordinates is None else self.coordinates.to_position(flat)

    def unravel(self, position: np.ndarray) -> dict[str, np.ndarray]:
        """Return the point of a position: value variable name to array (0-d for scalars).

        Parameters
        ----------
        position : ndarray, shape (n_dim,)
        """
        if self.coordinates is not None:
            position = self.coordinates.to_values(position)
        return self.by_name(position)

    def by_name(self, position: np.ndarray) -> dict[str, np.ndarray]:
        """Return the parts of a vector by name of value variable."""
        parts = self.layout.split(np.asarray(position))
        return {
            var.name: np.array(parts[var.name], dtype=var.type.dtype) for var in self.value_vars
        }

    def gradient(self, cost: Variable) -> Variable:
        """Return the gradient of a scalar graph of `position`, as one vector.

        Parameters
        ----------
        cost : TensorVariable
            Scalar built from `prior` and `terms`.

        Returns
        -------
        TensorVariable, shape (n_dim,)
        """
        apart = {part: part.type(name=part.name) for part in self.slices}
        # stabilised first, as PyMC does: log(1 - sigmoid(x)) has no gradient where sigmoid is 1
        stable = rewrite_graph(
            graph_replace([cost], apart, strict=False)[0], include=("canonicalize", "stabilize")
        )
        parts = pytensor.grad(stable, list(apart.values()), disconnected_inputs="ignore")
        parts = graph_replace(parts, {one: part for part, one in apart.items()}, strict=False)
        flat = [pt.cast(g.reshape((-1,)), self.position.type.dtype) for g in parts]
        return flat[0] if len(flat) == 1 else pt.concatenate(flat)


def row_term(name: str, group: int, entries: Variable, axis: int, kind: str) -> RowTerm:
    """Return a term from its pushed entries."""
    return RowTerm(name, group, _one_number_per_row(entries, axis), entries, axis, kind)


def _one_number_per_row(taken: Variable, axis: int) -> Variable:
    others = [i for i in range(taken.type.ndim) if i != axis]
    return taken.sum(axis=others) if others else taken


def slices_of(position: Variable, values: Mapping[Variable, np.ndarray]) -> list[Variable]:
    """Return the parts of the position shaped as the value variables."""
    parts, start = [], 0
    for var, value in values.items():
        part = pt.cast(position[start : start + value.size], var.type.dtype)
        part = part[0] if value.ndim == 0 else part.reshape(value.shape)
        part.name = var.name
        parts.append(part)
        start += value.size
    return parts
