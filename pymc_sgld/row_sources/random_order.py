r"""A random order of so many rows that no permutation of them is held in memory.

Each row is given a bucket, all alike and independent; the rows of a bucket are then permuted. Given
how many rows the buckets have, every assignment of rows to them is as likely as any other, and so
is every order within: the result is a uniform permutation. It follows from the seed, the number of
rows and the number of buckets alone, whatever the blocks in which rows come.

The same two passes are made over files: see :mod:`pymc_sgld.row_sources.shuffle_on_disk`.

References
----------
.. [1] Sanders, P. (1998). Random permutations on distributed, external and hierarchical memory.
   Information Processing Letters 67. https://doi.org/10.1016/S0020-0190(98)00127-6
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from pymc_sgld.types import Array

BYTES_OF_A_BUCKET = 2**25
_FEWEST_ROWS, _MOST_ROWS = 2**12, 2**20  # of a bucket
_ROWS_OF_A_DRAW = 2**20
_BUCKETS, _WITHIN = range(2)


@dataclass(frozen=True)
class RandomOrder:
    """A permutation of ``total`` rows.

    Parameters
    ----------
    total : int
    rows_of_bucket : int
        About how many; all of them are in memory at once.
    seed : int
    """

    total: int
    rows_of_bucket: int
    seed: int = 0
    _drawn: dict[int, Array] = field(default_factory=dict, init=False, repr=False, compare=False)

    @classmethod
    def of(cls, total: int, bytes_of_widest: int, seed: int = 0) -> RandomOrder:
        """Return the order for rows whose widest array has so many bytes in a row."""
        fits = max(1, BYTES_OF_A_BUCKET // max(1, bytes_of_widest))
        power = 2 ** int(np.floor(np.log2(fits)))
        return cls(total, int(np.clip(power, _FEWEST_ROWS, _MOST_ROWS)), seed)

    def afresh(self) -> RandomOrder:
        """Return the same order, without what was drawn of it."""
        return RandomOrder(self.total, self.rows_of_bucket, self.seed)

    @property
    def n_buckets(self) -> int:
        """Number of buckets."""
        return max(1, -(-self.total // self.rows_of_bucket))

    @cached_property
    def starts(self) -> Array:
        """Where each bucket starts in the order, and its end, shape (n_buckets + 1,)."""
        counts = np.zeros(self.n_buckets, dtype=np.int64)
        for start in range(0, self.total, _ROWS_OF_A_DRAW):
            stop = min(start + _ROWS_OF_A_DRAW, self.total)
            counts += np.bincount(self.buckets(start, stop), minlength=self.n_buckets)
        return np.concatenate([[0], np.cumsum(counts)])

    def buckets(self, start: int, stop: int) -> Array:
        """Return the buckets of the rows from ``start`` to ``stop``."""
        parts = []
        while start < stop:
            number, offset = divmod(start, _ROWS_OF_A_DRAW)
            if number not in self._drawn:
                generator = self._generator(_BUCKETS, number)
                count = min(_ROWS_OF_A_DRAW, self.total - number * _ROWS_OF_A_DRAW)
                self._drawn.clear()
                # two bytes are sorted in linear time
                kind = np.uint16 if self.n_buckets <= 2**16 else np.uint32
                self._drawn[number] = generator.integers(0, self.n_buckets, count, dtype=kind)
            part = self._drawn[number][offset : offset + stop - start]
            parts.append(part)
            start += len(part)
        return np.concatenate(parts) if parts else np.zeros(0, np.uint32)

    def within(self, bucket: int) -> Array:
        """Return the permutation of the rows of a bucket."""
        count = int(self.starts[bucket + 1] - self.starts[bucket])
        return self._generator(_WITHIN, bucket).permutation(count)

    def rows(self) -> Array:
        """Return the rows in this order, shape (total,): eight bytes a row."""
        buckets = self.buckets(0, self.total)
        result = np.argsort(buckets, kind="stable")
        for bucket, (start, stop) in enumerate(self.ranges()):
            result[start:stop] = result[start:stop][self.within(bucket)]
        return result

    def ranges(self) -> Iterator[tuple[int, int]]:
        """Yield where the buckets start and end."""
        return zip(self.starts[:-1].tolist(), self.starts[1:].tolist(), strict=True)

    def _generator(self, stream: int, number: int) -> np.random.Generator:
        counter = np.array([0, 0, number, stream], dtype=np.uint64)
        key = np.array([self.seed, self.total], dtype=np.uint64)
        return np.random.Generator(np.random.Philox(counter=counter, key=key))
