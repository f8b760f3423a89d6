"""The row model that users hold: a density by rows, compiled when it is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, overload

import numpy as np

from pymc_sgld.model_graph.density.block_function import BlockFunction, compile_block_function
from pymc_sgld.model_graph.density.describe import describe
from pymc_sgld.model_graph.density.modes import chosen_mode
from pymc_sgld.model_graph.density.row_density import RowDensity
from pymc_sgld.model_graph.density.row_gradients import RowGradients
from pymc_sgld.model_graph.density.row_likelihood import (
    RowFunction,
    compile_row_function,
    rows_by_group,
)
from pymc_sgld.model_graph.density.sources import sources_of
from pymc_sgld.model_graph.rewrite.errors import RowError
from pymc_sgld.model_graph.rewrite.naming import listed

type PointOrVector = Mapping[str, Any] | np.ndarray


@dataclass(frozen=True, eq=False)
class RowModel(RowDensity):
    """A model's log-density as prior plus a sum over rows; made by `row_model`.

    What it is made of are the attributes of `RowDensity`. Functions are compiled when they are
    first asked for, and kept.
    """

    _compiled: dict[Any, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, density: RowDensity) -> RowModel:
        """Return the row model of a density, with nothing compiled."""
        return cls(**{one.name: getattr(density, one.name) for one in fields(RowDensity)})

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
        self,
        point: PointOrVector,
        *,
        data: Mapping[str, Any] | None = None,
        backend: str | None = None,
        compile_kwargs: dict[str, Any] | None = None,
    ) -> float:
        """Return the log-density with Jacobians on all rows, in chunks of bounded memory.

        Parameters
        ----------
        point : dict of str to array, or ndarray of shape (n_dim,)
            Unconstrained values, named as ``model.initial_point()`` names them, or a position.
        data
            As for `block_function`.
        backend, compile_kwargs
            As in :func:`pymc.sample`. Default: what was used before, or else "numba".

        Returns
        -------
        float
            ``model.logp()`` at the point. For a model on `pm.Minibatch`: that of all rows.
        """
        mode = chosen_mode(backend, compile_kwargs)
        return self.block_function(mode, data=data).full(self._position(point))[0]

    def row_logp(
        self,
        point: PointOrVector,
        rows: Any = None,
        *,
        data: Mapping[str, Any] | None = None,
        backend: str | None = None,
        compile_kwargs: dict[str, Any] | None = None,
    ) -> dict[str, np.ndarray]:
        """Return the log-likelihood of each row, unscaled.

        Parameters
        ----------
        point : dict of str to array, or ndarray of shape (n_dim,)
        rows : int array, or mapping of group name to int array, optional
            Row numbers; all rows in order if not given. An array where the model has one
            group of rows, else a mapping.
        data
            As for `block_function`.
        backend, compile_kwargs
            As in :func:`pymc.sample`. Default: what was used before, or else "numba".

        Returns
        -------
        dict of str to ndarray, shape (n,)
            For each observed variable and each potential that is split by rows. Where an
            observed variable has other axes than the rows, its entries are summed over them.
        """
        chosen = None if rows is None else rows_by_group(self, rows)
        mode = chosen_mode(backend, compile_kwargs)
        return self.row_function(mode, data=data).per_row(self._position(point), chosen)

    @overload
    def logp_and_gradient(
        self,
        point: np.ndarray,
        rows: Any = None,
        *,
        data: Mapping[str, Any] | None = None,
        backend: str | None = None,
        compile_kwargs: dict[str, Any] | None = None,
    ) -> tuple[float, np.ndarray]: ...

    @overload
    def logp_and_gradient(
        self,
        point: Mapping[str, Any],
        rows: Any = None,
        *,
        data: Mapping[str, Any] | None = None,
        backend: str | None = None,
        compile_kwargs: dict[str, Any] | None = None,
    ) -> tuple[float, dict[str, np.ndarray]]: ...

    def logp_and_gradient(
        self,
        point: PointOrVector,
        rows: Any = None,
        *,
        data: Mapping[str, Any] | None = None,
        backend: str | None = None,
        compile_kwargs: dict[str, Any] | None = None,
    ) -> tuple[float, np.ndarray] | tuple[float, dict[str, np.ndarray]]:
        """Return the log-density and its gradient, on all rows or estimated from some.

        Parameters
        ----------
        point : dict of str to array, or ndarray of shape (n_dim,)
        rows : int array, or mapping of group name to int array, optional
            Row numbers of a batch: the terms are then scaled by N / n. All rows if not given.
        data
            As for `block_function`.
        backend, compile_kwargs
            As in :func:`pymc.sample`. Default: what was used before, or else "numba".

        Returns
        -------
        value : float
        gradient : dict of str to ndarray, or ndarray of shape (n_dim,)
            In the form of `point`: by value variable and in its shape, or one vector.
        """
        mode = chosen_mode(backend, compile_kwargs)
        function, position = self.block_function(mode, data=data), self._position(point)
        if rows is None:
            value, gradient = function.full(position)
        else:
            value, gradient = function.batch(position, rows_by_group(self, rows))
        return (value, self.by_name(gradient)) if isinstance(point, Mapping) else (value, gradient)

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
            "arrays": tuple(
                sources_of(self.leaves, self.streamed, self.data if data is None else data)
            ),
            "array_groups": tuple(leaf.group for leaf in self.leaves),
            "total_sizes": tuple(group.total_size for group in self.groups),
            "dtype": self.position.type.dtype,
            "names": tuple(leaf.name for leaf in self.leaves),
            "dtypes": tuple(leaf.block.type.dtype for leaf in self.leaves),
        }
