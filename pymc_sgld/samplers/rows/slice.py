"""Slice sampling along a random direction, row by row."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pymc_sgld.samplers.rows._base import Places, RowDensity, RowKernel, chosen
from pymc_sgld.types import Array

_MOST_SHRINKS = 60  # beyond, an interval is a rounding error wide, and the row stays


@dataclass(frozen=True)
class SliceRows(RowKernel):
    r"""Slice sampling [1]_ of each row along a direction that is drawn anew.

    Below the density at the row a height is drawn; an interval of a width of `scales` around the
    row is widened, by steps of this width, until both ends are out of the slice, and shrunk towards
    the row at every draw from it that is not in the slice. No gradient is read, and no step size
    can be wrong, only slow.

    Parameters
    ----------
    widest : int, default 8
        Widths of an interval at most.

    References
    ----------
    .. [1] Neal, R. M. (2003). Slice sampling. Annals of Statistics 31, 705-767.
       https://doi.org/10.1214/aos/1056562461
    """

    widest: int = 8

    name: ClassVar[str] = "slice"
    evaluations: ClassVar[float] = 8.0  # about

    def move(
        self, density: RowDensity, at: Places, scales: Array, generator: np.random.Generator
    ) -> tuple[Places, Array]:
        """Move every row once; see :meth:`RowKernel.move`. Rows that stay are not accepted."""
        n_rows = len(scales)
        direction = generator.standard_normal(at.values.shape)
        direction *= scales / np.linalg.norm(direction, axis=1, keepdims=True)

        def along(distance: Array) -> Places:
            with np.errstate(all="ignore"):
                return density(at.values + distance[:, None] * direction)

        height = at.log_density - generator.exponential(size=n_rows)
        low, high = self._widened(along, height, generator)
        here, waiting = at, np.ones(n_rows, dtype=bool)
        for _ in range(_MOST_SHRINKS):
            distance = low + (high - low) * generator.random(n_rows)
            there = along(np.where(waiting, distance, 0.0))
            within = waiting & (there.log_density > height)
            here, waiting = chosen(within, there, here), waiting & ~within
            if not waiting.any():
                break
            low = np.where(waiting & (distance < 0), distance, low)
            high = np.where(waiting & (distance >= 0), distance, high)
        return here, np.where(waiting, 0.0, 1.0)

    def _widened(
        self, along: Callable[[Array], Places], height: Array, generator: np.random.Generator
    ) -> tuple[Array, Array]:
        """Return the ends of the intervals, in widths; each end takes its share of the steps."""
        n_rows = len(height)
        low = -generator.random(n_rows)
        high = low + 1
        to_low = generator.integers(0, self.widest, size=n_rows)
        for end, step, left in ((low, -1.0, to_low), (high, 1.0, self.widest - 1 - to_low)):
            for number in range(self.widest - 1):
                inside = (left > number) & (along(end).log_density > height)
                if not inside.any():
                    break
                end += step * inside
        return low, high
