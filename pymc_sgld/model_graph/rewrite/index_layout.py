"""NumPy's rules of indexing: where the axes of ``x[indices]`` come from."""

from __future__ import annotations

from typing import Any

import pytensor.tensor as pt

from pytensor.graph.basic import Constant, Variable

FULL = slice(None)


def is_full(entry: Any) -> bool:
    """Whether a slice keeps its whole axis as it is."""
    if not isinstance(entry, slice):
        return False

    def absent(bound: Any, neutral: int) -> bool:
        if bound is None:
            return True
        return isinstance(bound, Constant) and bound.data is not None and bound.data == neutral

    return absent(entry.start, 0) and entry.stop is None and absent(entry.step, 1)


def without_masks(indices: list[Any]) -> list[Any]:
    """Replace boolean masks by the positions of their true entries."""
    result: list[Any] = []
    for entry in indices:
        if not isinstance(entry, slice) and entry.type.dtype == "bool":
            result.extend(pt.nonzero(entry))
        else:
            result.append(entry)
    return result


class IndexLayout:
    """Where the axes of ``x[indices]`` come from, by NumPy's rule for advanced indexing."""

    def __init__(self, x: Variable, indices: list[Any]) -> None:
        self.indices = without_masks(indices)
        self.indices += [FULL] * (x.type.ndim - len(self.indices))
        self.arrays = [i for i, e in enumerate(self.indices) if not isinstance(e, slice)]
        self.slices = [i for i, e in enumerate(self.indices) if isinstance(e, slice)]
        self.n_joint = max(self.indices[i].type.ndim for i in self.arrays)
        together = self.arrays == list(range(self.arrays[0], self.arrays[-1] + 1))
        # Index arrays separated by a slice put their joint axes in front.
        self.start = self.arrays[0] if together else 0

    def sliced_axis(self, axis: int) -> int | None:
        """Axis of `x` behind an output axis, or None for a joint axis of the arrays."""
        if self.start <= axis < self.start + self.n_joint:
            return None
        return self.slices[axis if axis < self.start else axis - self.n_joint]

    def joint_axis(self, position: int, axis: int) -> int:
        """Axis of the index array at `position` behind an output axis (negative: none)."""
        return axis - self.start - int(self.n_joint - self.indices[position].type.ndim)
