"""PyMC's points as positions of the chain, and back."""

from dataclasses import dataclass

import numpy as np

from pymc_sgld.model_graph import Coordinates, Layout, RowModel
from pymc_sgld.types import Array, Point


@dataclass(frozen=True)
class PointMap:
    """The way from a point, a mapping of value variables, to the position of a chain, and back.

    Parameters
    ----------
    layout : Layout
        Of the value variables.
    coordinates : Coordinates or None
        Those of a recentred model; None where a position is the ravelled point.
    dtype : str
        Of positions.
    """

    layout: Layout
    coordinates: Coordinates | None
    dtype: str

    @classmethod
    def of(cls, row_model: RowModel) -> "PointMap":
        """Return the way of a row model."""
        return cls(row_model.layout, row_model.coordinates, row_model.position.type.dtype)

    def flat(self, point: Point) -> Array:
        """Return the value variables of a point, ravelled."""
        return np.asarray(self.layout.ravel(point).astype(self.dtype, copy=False))

    def positions(self, values: Array) -> Array:
        """Return the positions of ravelled value variables, shape (..., n_dim)."""
        if self.coordinates is None:
            return values
        return np.apply_along_axis(self.coordinates.to_position, -1, values)

    def position(
        self,
        point: Point,
        known: tuple[Array, Array] | None = None,
        last: tuple[Point, Array] | None = None,
    ) -> Array:
        """Return the position of a point.

        Parameters
        ----------
        point : dict
        known : tuple, optional
            Ravelled values and their position, which is returned as it was for these values.
        last : tuple, optional
            The same of arrays by name: where the point holds the same objects.
        """
        if last is not None and all(point[name] is value for name, value in last[0].items()):
            return last[1]
        values = self.flat(point)
        if self.coordinates is None:
            return values
        if known is not None and np.array_equal(values, known[0]):
            return known[1]
        return self.coordinates.to_position(values).astype(values.dtype, copy=False)

    def point(self, position: Array) -> Point:
        """Return the point of a position, by name of value variable."""
        if self.coordinates is not None:
            position = self.coordinates.to_values(position)
        return {name: np.array(part) for name, part in self.layout.split(position).items()}
