"""Group effects in the place of vectors that make them, and the way from one to the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pytensor.graph.basic import Apply, Variable

from pymc_sgld.model_graph.rewrite.naming import listed


@dataclass(frozen=True, eq=False)
class Effect:
    """Group effects ``u = shift + scale * (matrix @ z)`` of a vector z, in graphs of a row model.

    Attributes
    ----------
    name : str
        The free variable z.
    number : int
        Its place among the value variables.
    shift, scale : TensorVariable or None
        Tables that broadcast to the shape of z.
    matrix : TensorVariable or None
        Triangular, along the axis `mixed` of z.
    lower : bool
        Which half of the matrix is not zero.
    shift_of, scale_of : tuple of str
        The free variables they are made of.
    deterministic : str or None
        The deterministic variable of the model that u is.
    edits : tuple of (Apply, TensorVariable) or None
        What operations on rows lose where u takes the place of z; None where z stays in the rows
        as a function of u, and what cancels does so in the numbers.
    """

    name: str
    number: int
    shape: tuple[int, ...]
    shift: Variable | None = None
    scale: Variable | None = None
    matrix: Variable | None = None
    mixed: int = 0
    lower: bool = True
    shift_of: tuple[str, ...] = ()
    scale_of: tuple[str, ...] = ()
    deterministic: str | None = None
    edits: tuple[tuple[Apply, Variable], ...] | None = None

    @property
    def graphs(self) -> list[Variable]:
        """Shift, scale and matrix, those there are."""
        return [one for one in (self.shift, self.scale, self.matrix) if one is not None]

    @property
    def label(self) -> str:
        """What u is called in messages."""
        return self.deterministic or f"recentred {self.name}"

    def describe(self) -> str:
        """Return one line on the effect."""
        size = int(np.prod(self.shape))
        shift = f"shift from {listed(self.shift_of)}, " if self.shift_of else ""
        known = f"'{self.deterministic}', that is with " if self.deterministic else ""
        return f"'{self.name}' ({size} entries) as {known}{shift}scale from {listed(self.scale_of)}"


@dataclass(frozen=True, eq=False)
class Coordinates:
    """From the vector of value variables, as the user wrote them, to the position and back.

    Holds no model, so it can be sent to other processes.
    """

    _to_position: Any
    _to_values: Any

    def to_position(self, values: np.ndarray) -> np.ndarray:
        """Return the position of ravelled value variables, shape (n_dim,)."""
        return np.asarray(self._to_position(values))

    def to_values(self, position: np.ndarray) -> np.ndarray:
        """Return the ravelled value variables of a position, shape (n_dim,)."""
        return np.asarray(self._to_values(position))
