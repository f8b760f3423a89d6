"""Batches as contiguous windows of a copy of the rows, in an order of its own.

Reading ``n`` neighbouring rows is faster than gathering ``n`` scattered ones. Which rows the copy
holds, and where the windows start, is said by a scheme: see :mod:`pymc_sgld.row_sources.schemes`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from pymc_sgld.row_sources.errors import RowSourceError
from pymc_sgld.row_sources.open_rows import RowSource
from pymc_sgld.row_sources.read_ahead import ReadAhead
from pymc_sgld.row_sources.schemes import Independent, SamplingScheme
from pymc_sgld.row_sources.shuffle_on_disk import ShuffledFile
from pymc_sgld.row_sources.sweep import Sweep
from pymc_sgld.types import Array


@dataclass
class ShuffledRows:
    """The rows of one group, shuffled now and then.

    Parameters
    ----------
    sources : sequence of RowSource
        The full arrays, or what is indexed like them, with the rows on axis 0; all have
        ``total_size`` rows.
    total_size, batch_size : int
        Numbers of rows, in all and in a window.
    scheme : SamplingScheme
        Which rows the windows hold.
    """

    sources: Sequence[RowSource]
    total_size: int
    batch_size: int
    scheme: SamplingScheme = field(default_factory=Independent)
    _shuffled_by: object = field(default=None, init=False, repr=False)
    _arrays: list[Array] = field(default_factory=list, init=False, repr=False)

    @property
    def whole(self) -> bool:
        """Whether a window is all the rows."""
        return self.batch_size == self.total_size

    def arrays(self, key: object, order: Callable[[], Array]) -> list[Array]:
        """Return the shuffled, extended arrays; the same ``key`` returns the same arrays.

        Parameters
        ----------
        key : hashable
            Names the order.
        order : callable
            Returns the rows of the order of that name; for all schemes but those with replacement
            a permutation, shape (total_size,).
        """
        if self.whole:
            if self._shuffled_by is None:
                self._check_held()
                self._arrays = [np.ascontiguousarray(source[:]) for source in self.sources]
                self._shuffled_by = True
        elif in_order := [one for one in self.sources if isinstance(one, ShuffledFile)]:
            return [source.of_windows(self.batch_size) for source in in_order]
        elif key != self._shuffled_by:
            rows = self.scheme.extended(order(), self.batch_size)
            self._arrays = [np.ascontiguousarray(source[rows]) for source in self.sources]
            self._shuffled_by = key
        return self._arrays

    def _check_held(self) -> None:
        """Refuse to read all rows into memory that are elsewhere because they are many."""
        if any(not isinstance(one, np.ndarray | ShuffledFile) for one in self.sources):
            raise RowSourceError(
                f"Each step takes all {self.total_size} rows, and scratch=False leaves them where "
                "each step would have to read them anew. Leave scratch out, or give scratch=<a "
                "folder>; a smaller batch_size, where a sampler by name takes one."
            )

    def __getstate__(self) -> dict[str, object]:
        """Leave the shuffled copy out of a pickle: it can be made again."""
        return {**self.__dict__, "_shuffled_by": None, "_arrays": []}


@dataclass
class Batches:
    """The windows of all the groups of a model."""

    groups: Sequence[ShuffledRows]
    leaf_groups: Sequence[int]  # for each leaf of the model, its group
    scheme: SamplingScheme = field(default_factory=Independent)

    @cached_property
    def read_ahead(self) -> ReadAhead:
        """What asks for the rows on disk before they are read."""
        return ReadAhead([group.sources for group in self.groups], self.batch_sizes)

    @cached_property
    def batch_sizes(self) -> Array:
        """Rows of a batch, by group."""
        return np.array([group.batch_size for group in self.groups], dtype=np.int64)

    @cached_property
    def total_sizes(self) -> Array:
        """All rows, by group."""
        return np.array([group.total_size for group in self.groups], dtype=np.int64)

    @cached_property
    def sweeps(self) -> tuple[Sweep, ...]:
        """How the batches of successive steps are tied together, by group."""
        sizes = zip(self.total_sizes.tolist(), self.batch_sizes.tolist(), strict=True)
        return tuple(self.scheme.sweep(total, batch) for total, batch in sizes)

    @cached_property
    def steps_per_sweep(self) -> int:
        """Steps of the longest sweep of a group of rows; 1 where batches are independent."""
        return max((sweep.n_steps for sweep in self.sweeps), default=1)

    @cached_property
    def rows_per_step(self) -> int:
        """Rows of a batch, of all groups together."""
        return int(self.batch_sizes.sum())

    @cached_property
    def steps_per_pass(self) -> int:
        """Steps that read as many rows as the largest group has."""
        return int(np.max(-(-self.total_sizes // self.batch_sizes), initial=1))

    @cached_property
    def passes_per_step(self) -> float:
        """Share of all rows that a step reads; all there is where the model has no rows."""
        if not self.groups:
            return 1.0
        return float(self.batch_sizes.sum() / self.total_sizes.sum())

    def arrays(
        self, key: object, order: Callable[[int], Array], numbers: Sequence[object] | None = None
    ) -> list[Array]:
        """Return the array of every leaf, in the order of the leaves.

        Parameters
        ----------
        key : hashable
            Names the orders.
        order : callable
            Group number to the rows of its order.
        numbers : sequence of hashable, optional
            Which order of that name a group is at, where groups change at different steps.
        """
        at = numbers or [0] * len(self.groups)
        by_group = [
            iter(group.arrays((key, at[number]), lambda number=number: order(number)))  # type: ignore[misc]
            for number, group in enumerate(self.groups)
        ]
        return [next(by_group[number]) for number in self.leaf_groups]


def batches_of(
    sources: Sequence[RowSource],
    leaf_groups: Sequence[int],
    total_sizes: Sequence[int],
    batch_sizes: Sequence[int],
    scheme: SamplingScheme | None = None,
) -> Batches:
    """Return the windows of a model with the given leaves and groups."""
    scheme = scheme or Independent()
    groups = [
        ShuffledRows(
            [source for source, owner in zip(sources, leaf_groups, strict=True) if owner == number],
            total,
            batch,
            scheme,
        )
        for number, (total, batch) in enumerate(zip(total_sizes, batch_sizes, strict=True))
    ]
    return Batches(groups, tuple(leaf_groups), scheme)
