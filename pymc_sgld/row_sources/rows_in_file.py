"""Rows of one kind in a file, and the two passes that bring them into random order."""

from __future__ import annotations

import errno
import os

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from pymc_sgld.row_sources.random_order import RandomOrder
from pymc_sgld.types import Array

_BYTES_AT_ONCE = 2**27  # of rows that are scattered together: the more, the fewer writes
_ROWS_AT_ONCE = 2**22  # at most: of narrow rows the numbers of their order are what takes memory

type Progress = Callable[[int], None]


def scatter(
    blocks: Iterator[Array], order: RandomOrder, writer: RowsInFile, at: int, free: Array
) -> None:
    """Write every row to a place in its bucket, in the order in which they come.

    Parameters
    ----------
    blocks : iterator of array
    order : RandomOrder
    writer : RowsInFile
    at : int
        Number of the first row.
    free : array of int, shape (n_buckets,)
        Where the next row of each bucket goes; written into.
    """
    for block in _joined(blocks, writer.rows_at_once):
        buckets = order.buckets(at, at + len(block))
        first = np.argsort(buckets, kind="stable")
        block, counts = block[first], np.bincount(buckets, minlength=len(free))
        low = 0
        for bucket in np.flatnonzero(counts).tolist():
            high = low + int(counts[bucket])
            writer.write(int(free[bucket]), block[low:high])
            low = high
        free += counts
        at += len(block)


def permute(
    order: RandomOrder, source: RowsInFile, writer: RowsInFile, first: int, last: int
) -> None:
    """Permute the rows of the buckets ``first, ..., last - 1``, from one file to another or in one.

    Parameters
    ----------
    order : RandomOrder
    source, writer : RowsInFile
    first, last : int
    """
    for bucket in range(first, last):
        start, stop = order.starts[bucket : bucket + 2].tolist()
        writer.write(start, source.read(start, stop)[order.within(bucket)])


def _joined(blocks: Iterator[Array], rows: int) -> Iterator[Array]:
    """Yield blocks of about so many rows, however long those are that come."""
    waiting: list[Array] = []
    for block in blocks:
        for start, stop in ranges(len(block), rows):
            waiting.append(block[start:stop])
            if sum(map(len, waiting)) >= rows:
                yield np.concatenate(waiting)
                waiting = []
    if waiting:
        yield np.concatenate(waiting)


def ranges(total: int, rows: int) -> Iterator[tuple[int, int]]:
    """Yield from where to where pieces of so many rows reach."""
    return ((start, min(start + rows, total)) for start in range(0, total, rows))


@dataclass
class RowsInFile:
    """Rows of a file that is written by plain writes: no page of it is mapped."""

    file: int
    offset: int
    dtype: np.dtype[Any]
    row_shape: tuple[int, ...]
    progress: Progress | None

    @property
    def row_bytes(self) -> int:
        """Bytes of a row."""
        return int(self.dtype.itemsize * np.prod(self.row_shape, dtype=np.int64))

    @property
    def rows_at_once(self) -> int:
        """Rows that are scattered together."""
        return max(1, min(_ROWS_AT_ONCE, _BYTES_AT_ONCE // max(1, self.row_bytes)))

    def write(self, row: int, block: Array) -> None:
        """Write rows from a number on."""
        left = memoryview(np.ascontiguousarray(block, self.dtype).reshape(-1).view(np.uint8))
        at = self.offset + row * self.row_bytes
        if self.progress is not None:
            self.progress(len(left))
        while len(left):
            written = os.pwrite(self.file, left, at)
            at, left = at + written, left[written:]

    def read(self, start: int, stop: int) -> Array:
        """Read rows into a new array."""
        result = np.empty((stop - start, *self.row_shape), self.dtype)
        into = memoryview(result.reshape(-1).view(np.uint8))
        at = self.offset + start * self.row_bytes
        while len(into):
            read = os.preadv(self.file, [into], at)
            if not read:
                raise OSError(errno.EIO, "the file of rows in random order was cut short")
            at, into = at + read, into[read:]
        return result
