"""Where in one vector the arrays that it is made of lie."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Layout:
    """Names and shapes of the arrays that make up a vector, one after the other.

    Attributes
    ----------
    names : tuple of str
    shapes : tuple of tuple of int
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Number of entries of each array."""
        return tuple(int(np.prod(shape)) for shape in self.shapes)

    @cached_property
    def slices(self) -> dict[str, slice]:
        """Part of the vector, by name."""
        stops = np.cumsum([0, *self.sizes]).tolist()
        parts = map(slice, stops[:-1], stops[1:])
        return dict(zip(self.names, parts, strict=True))

    @property
    def n_dim(self) -> int:
        """Length of the vector."""
        return sum(self.sizes)

    def __iter__(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Yield name and shape of each array."""
        return zip(self.names, self.shapes, strict=True)

    def ravel(self, point: Mapping[str, Any]) -> np.ndarray:
        """Return the vector of arrays given by name."""
        return np.concatenate([np.ravel(point[name]) for name in self.names])

    def split(self, vector: Any) -> dict[str, Any]:
        """Return the parts of a vector, numbers or a graph, by name and in their shapes."""
        return {name: vector[self.slices[name]].reshape(shape) for name, shape in self}

    def entries(self, names: Collection[str]) -> np.ndarray:
        """Return where in the vector the arrays of these names are, in the order of the vector."""
        chosen = [name in names for name in self.names]
        return np.flatnonzero(np.repeat(chosen, self.sizes))
