"""Batches as contiguous windows of a shuffled copy of the rows.

Reading ``n`` neighbouring rows is faster than gathering ``n`` scattered ones. The copy is extended
by its own first ``n - 1`` rows, so a window may start at any of the ``N`` rows: each row is then in
exactly ``n`` of the ``N`` windows, and the batch gradient is unbiased for every single permutation,
not only on average over them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from pymc_sgld.types import Array

# Data passes between two shuffles, each of which costs as much as several passes. Over one
# permutation the windows overlap, so the covariance of the gradients' noise is off by a relative
# sqrt(n / N) or so; shuffling averages that out.
PASSES_PER_SHUFFLE = 100


@dataclass
class ShuffledWindows:
    """The rows of one group, shuffled now and then.

    Parameters
    ----------
    sources : sequence of arrays
        The full arrays, with the rows on axis 0; all have ``total_size`` rows.
    total_size, batch_size : int
        Numbers of rows, in all and in a window.
    """

    sources: Sequence[Array]
    total_size: int
    batch_size: int
    _shuffled_by: object = field(default=None, init=False, repr=False)
    _arrays: list[Array] = field(default_factory=list, init=False, repr=False)

    @property
    def whole(self) -> bool:
        """Whether a window is all the rows."""
        return self.batch_size == self.total_size

    def arrays(self, key: object, permutation: Callable[[], Array]) -> list[Array]:
        """Return the shuffled, extended arrays; the same ``key`` returns the same arrays.

        Parameters
        ----------
        key : hashable
            Names the permutation.
        permutation : callable
            Returns the permutation of that name, shape (total_size,).
        """
        if self.whole:
            if self._shuffled_by is None:
                self._arrays = [np.ascontiguousarray(source) for source in self.sources]
                self._shuffled_by = True
        elif key != self._shuffled_by:
            order = permutation()
            rows = np.concatenate([order, order[: self.batch_size - 1]])
            self._arrays = [np.ascontiguousarray(source[rows]) for source in self.sources]
            self._shuffled_by = key
        return self._arrays

    def __getstate__(self) -> dict[str, object]:
        """Leave the shuffled copy out of a pickle: it can be made again."""
        return {**self.__dict__, "_shuffled_by": None, "_arrays": []}


@dataclass
class Windows:
    """The windows of all the groups of a model."""

    groups: Sequence[ShuffledWindows]
    leaf_groups: Sequence[int]  # for each leaf of the model, its group

    @property
    def batch_sizes(self) -> Array:
        """Rows of a batch, by group."""
        return np.array([group.batch_size for group in self.groups], dtype=np.int64)

    @property
    def total_sizes(self) -> Array:
        """All rows, by group."""
        return np.array([group.total_size for group in self.groups], dtype=np.int64)

    @property
    def steps_per_shuffle(self) -> int:
        """Steps between two shuffles: a fixed number of passes through the largest group."""
        ratios = [-(-group.total_size // group.batch_size) for group in self.groups]
        return PASSES_PER_SHUFFLE * max(ratios)

    @property
    def passes_per_step(self) -> float:
        """Share of all rows that a step reads."""
        return float(self.batch_sizes.sum() / self.total_sizes.sum())

    def arrays(self, key: object, permutation: Callable[[int], Array]) -> list[Array]:
        """Return the array of every leaf, in the order of the leaves.

        Parameters
        ----------
        key : hashable
            Names the permutations.
        permutation : callable
            Group number to permutation.
        """
        by_group = [
            iter(group.arrays((key, number), lambda number=number: permutation(number)))  # type: ignore[misc]
            for number, group in enumerate(self.groups)
        ]
        return [next(by_group[number]) for number in self.leaf_groups]


def windows_of(
    sources: Sequence[Array],
    leaf_groups: Sequence[int],
    total_sizes: Sequence[int],
    batch_sizes: Sequence[int],
) -> Windows:
    """Return the windows of a model with the given leaves and groups."""
    groups = [
        ShuffledWindows(
            [source for source, owner in zip(sources, leaf_groups, strict=True) if owner == number],
            total,
            batch,
        )
        for number, (total, batch) in enumerate(zip(total_sizes, batch_sizes, strict=True))
    ]
    return Windows(groups, tuple(leaf_groups))
