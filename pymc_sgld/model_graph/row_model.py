"""From a `pm.Model` to prior + sum over row terms, evaluated on blocks of rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import pytensor
import pytensor.tensor as pt

from pymc.model import Model
from pytensor.graph.basic import Variable
from pytensor.graph.replace import graph_replace
from pytensor.graph.rewriting.utils import rewrite_graph

from pymc_sgld.model_graph.block_function import BlockFunction, compile_block_function
from pymc_sgld.model_graph.describe import describe
from pymc_sgld.model_graph.errors import RowError
from pymc_sgld.model_graph.evaluation import Evaluator
from pymc_sgld.model_graph.layout import Layout
from pymc_sgld.model_graph.naming import listed
from pymc_sgld.model_graph.push import RowGroup, RowLeaf
from pymc_sgld.model_graph.row_gradients import RowGradients
from pymc_sgld.model_graph.row_likelihood import RowFunction, compile_row_function, rows_by_group
from pymc_sgld.model_graph.sites import Site
from pymc_sgld.model_graph.sources import sources_of

if TYPE_CHECKING:
    from pymc_sgld.model_graph.coordinates import Coordinates

type PointOrVector = Mapping[str, Any] | np.ndarray


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
class RowModel:
    """A model's log-density as prior plus a sum over rows; made by `row_model`.

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
    sites : tuple of Site
        Group effects that are written non-centred, and in whose coordinates the samplers move:
        see `recentred`.
    left : tuple of str
        A line for each vector that was found but is left as written, and why.
    coordinates : Coordinates or None
        Of a recentred row model: from the value variables to the position and back.
    values : tuple of TensorVariable
        The value variables as graphs of `position`; the same as `slices`, but for those of sites
        in a recentred row model.
    log_jacobian : TensorVariable or None
        Of a recentred row model, what its log-density has beside that of the model.
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
    sites: tuple[Site, ...] = ()
    left: tuple[str, ...] = ()
    coordinates: Coordinates | None = field(default=None, repr=False)
    values: tuple[Variable, ...] = field(default=(), repr=False)
    log_jacobian: Variable | None = field(default=None, repr=False)
    _compiled: dict[Any, Any] = field(default_factory=dict, repr=False)

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
        return self._split(position)

    def _split(self, position: np.ndarray) -> dict[str, np.ndarray]:
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

    def check_fresh(self) -> None:
        """Raise if data that this object has already evaluated were changed since."""
        stale = self.evaluator.stale()
        if stale:
            raise RowError(
                f"{listed(stale)} changed after row_model read the model, and parts of it have "
                "been evaluated already. Call row_model again after pm.set_data."
            )

    def block_function(
        self, mode: Any = None, *, data: Mapping[str, Any] | None = None
    ) -> BlockFunction:
        """Return the compiled value and gradient on blocks of rows.

        Parameters
        ----------
        mode : str or pytensor Mode, optional
            If not given, one that was used before, or else ``"NUMBA"``. One function is
            compiled for each mode and kept.
        data : dict of str to array, memory map, path or other row source, optional
            Where the rows of streamed data are read from, by the name of their `pm.Data`.
            See `pymc_sgld.row_sources`. Nothing is read as a whole.

        Raises
        ------
        RowError
            If `data` lacks a streamed array or its rows are of the wrong number or kind.
        """
        self.check_fresh()
        mode = self._mode(mode)
        if mode not in self._compiled:
            self._compiled[mode] = compile_block_function(self, mode)
        if ("by row", mode) not in self._compiled:
            self._compiled["by row", mode] = RowGradients(self, mode)
        by_row = self._compiled["by row", mode]
        return BlockFunction(self._compiled[mode], **self._sources(data), by_row=by_row)

    def row_function(
        self, mode: Any = None, *, data: Mapping[str, Any] | None = None
    ) -> RowFunction:
        """Return the compiled log-likelihood of each row; arguments as for `block_function`."""
        self.check_fresh()
        mode = self._mode(mode)
        if ("rows", mode) not in self._compiled:
            self._compiled["rows", mode] = compile_row_function(self, mode)
        terms = tuple((t.name, t.group, t.axis) for t in self.terms)
        return RowFunction(self._compiled["rows", mode], **self._sources(data), terms=terms)

    def logp(
        self, point: PointOrVector, *, data: Mapping[str, Any] | None = None, mode: Any = None
    ) -> float:
        """Return the log-density with Jacobians on all rows, in chunks of bounded memory.

        Parameters
        ----------
        point : dict of str to array, or ndarray of shape (n_dim,)
            Unconstrained values, named as ``model.initial_point()`` names them, or a position.
        data, mode
            As for `block_function`.

        Returns
        -------
        float
            ``model.logp()`` at the point. For a model on `pm.Minibatch`: that of all rows.
        """
        return self.block_function(mode, data=data).full(self._position(point))[0]

    def row_logp(
        self,
        point: PointOrVector,
        rows: Any = None,
        *,
        data: Mapping[str, Any] | None = None,
        mode: Any = None,
    ) -> dict[str, np.ndarray]:
        """Return the log-likelihood of each row, unscaled.

        Parameters
        ----------
        point : dict of str to array, or ndarray of shape (n_dim,)
        rows : int array, or mapping of group name to int array, optional
            Row numbers; all rows in order if not given. An array where the model has one
            group of rows, else a mapping.
        data, mode
            As for `block_function`.

        Returns
        -------
        dict of str to ndarray, shape (n,)
            For each observed variable and each potential that is split by rows. Where an
            observed variable has other axes than the rows, its entries are summed over them.
        """
        chosen = None if rows is None else rows_by_group(self, rows)
        return self.row_function(mode, data=data).per_row(self._position(point), chosen)

    @overload
    def logp_and_gradient(
        self, point: np.ndarray, rows: Any = None, *, data: Any = None, mode: Any = None
    ) -> tuple[float, np.ndarray]: ...

    @overload
    def logp_and_gradient(
        self, point: Mapping[str, Any], rows: Any = None, *, data: Any = None, mode: Any = None
    ) -> tuple[float, dict[str, np.ndarray]]: ...

    def logp_and_gradient(
        self,
        point: PointOrVector,
        rows: Any = None,
        *,
        data: Mapping[str, Any] | None = None,
        mode: Any = None,
    ) -> tuple[float, np.ndarray] | tuple[float, dict[str, np.ndarray]]:
        """Return the log-density and its gradient, on all rows or estimated from some.

        Parameters
        ----------
        point : dict of str to array, or ndarray of shape (n_dim,)
        rows : int array, or mapping of group name to int array, optional
            Row numbers of a batch: the terms are then scaled by N / n. All rows if not given.
        data, mode
            As for `block_function`.

        Returns
        -------
        value : float
        gradient : dict of str to ndarray, or ndarray of shape (n_dim,)
            In the form of `point`: by value variable and in its shape, or one vector.
        """
        function, position = self.block_function(mode, data=data), self._position(point)
        if rows is None:
            value, gradient = function.full(position)
        else:
            value, gradient = function.batch(position, rows_by_group(self, rows))
        return (value, self._split(gradient)) if isinstance(point, Mapping) else (value, gradient)

    def describe(self, batch_size: int | None = None) -> str:
        """Return in words what is subsampled, what is not and why, and what a step costs.

        Parameters
        ----------
        batch_size : int, optional
            Rows of a step, of each group; 256, or all if there are fewer, if not given.
        """
        return describe(self, batch_size)

    def _position(self, point: PointOrVector) -> np.ndarray:
        if isinstance(point, Mapping):
            return self.ravel(point)
        position = np.asarray(point, dtype=self.position.type.dtype)
        if position.shape != (self.n_dim,):
            raise RowError(
                f"The position has shape {position.shape}, but the model has {self.n_dim} "
                "parameters. Pass a vector of them, or a point as model.initial_point() makes it."
            )
        return position

    def _mode(self, mode: Any) -> Any:
        if mode is not None:
            return mode
        used = [key for key in self._compiled if not isinstance(key, tuple)]
        return used[0] if used else "NUMBA"

    def _sources(self, data: Mapping[str, Any] | None) -> dict[str, Any]:
        """Return what a function of blocks of rows is made with, beside the function."""
        return {
            "arrays": tuple(sources_of(self.leaves, self.streamed, data)),
            "array_groups": tuple(leaf.group for leaf in self.leaves),
            "total_sizes": tuple(group.total_size for group in self.groups),
            "dtype": self.position.type.dtype,
            "names": tuple(leaf.name for leaf in self.leaves),
            "dtypes": tuple(leaf.block.type.dtype for leaf in self.leaves),
        }
