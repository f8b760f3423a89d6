"""Rows written in random order by several processes, into one file that all of them see.

The same two passes as in one process, and the same file to the last bit. Where the rows of a part
of the source go follows from the order alone; so does the permutation of a bucket. The second pass
writes to another file than it reads, so that each part may be run again, whatever came of it.
"""

from __future__ import annotations

import os
import shutil

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from pymc_sgld.row_sources.errors import RowSourceError
from pymc_sgld.row_sources.in_pieces import fingerprint_of, row_bytes
from pymc_sgld.row_sources.random_order import RandomOrder
from pymc_sgld.row_sources.rows_in_file import RowsInFile, permute, ranges, scatter
from pymc_sgld.types import Array

_ROWS_COUNTED = 2**20  # at a time


class Shuffler(Protocol):
    """Runs parts elsewhere."""

    @property
    def n_parts(self) -> int:
        """How many parts there are to be."""
        ...

    def is_worth(self, n_bytes: int) -> bool:
        """Whether so many bytes of rows are worth it."""
        ...

    def run(self, part: Callable[..., None], arguments: Sequence[tuple[Any, ...]]) -> bool:
        """Run a part with each of some arguments; return whether all were run."""
        ...


_SHUFFLER: ContextVar[Shuffler | None] = ContextVar("_SHUFFLER", default=None)


@contextmanager
def shuffled_by(shuffler: Shuffler | None) -> Iterator[None]:
    """Let the rows that are written within be written elsewhere."""
    token = _SHUFFLER.set(shuffler)
    try:
        yield
    finally:
        _SHUFFLER.reset(token)


@dataclass(frozen=True)
class Place:
    """Where rows lie in a file, for another process.

    Parameters
    ----------
    path : str
    offset : int
    dtype : numpy.dtype
    row_shape : tuple of int
    """

    path: str
    offset: int
    dtype: np.dtype[Any]
    row_shape: tuple[int, ...]

    @contextmanager
    def open(self) -> Iterator[RowsInFile]:
        """Open the file, which has to be there; when done, what was written is on the disk."""
        with open(self.path, "r+b") as file:
            yield RowsInFile(file.fileno(), self.offset, self.dtype, self.row_shape, None)
            os.fsync(file.fileno())


def shuffled_elsewhere(source: Any, order: RandomOrder, place: Place) -> bool:
    """Write the rows of a source in an order by parts elsewhere; return whether that was done.

    It is not where nobody else is there, the source is in no file, the rows are few, or they could
    not be read elsewhere: the caller then writes all of them.

    Raises
    ------
    RowSourceError
        Where the disk has no room for the rows twice.
    """
    shuffler = _SHUFFLER.get()
    size = order.total * row_bytes(source)
    if shuffler is None or fingerprint_of(source) is None or not shuffler.is_worth(size):
        return False
    between = Path(f"{place.path}.scattered")
    free = shutil.disk_usage(between.parent).free
    if 2 * size > free:
        raise RowSourceError(
            f"Rows that workers write in random order take {2 * size / 1e9:.3g} GB for a time in "
            f"{between.parent}, where {free / 1e9:.3g} GB are free. Give scratch=<a folder on "
            "another disk>."
        )
    scattered = Place(str(between), 0, place.dtype, place.row_shape)
    try:
        with open(between, "wb") as file:
            file.truncate(size)
        ends = np.linspace(0, order.total, shuffler.n_parts + 1).astype(int).tolist()
        firsts = _first_places(order, ends)
        parts = [
            (source, order.afresh(), scattered, start, stop, free_places)
            for (start, stop), free_places in zip(pairwise(ends), firsts, strict=True)
        ]
        if not shuffler.run(scatter_part, parts):
            return False
        ends = np.linspace(0, order.n_buckets, shuffler.n_parts + 1).astype(int).tolist()
        buckets = [(order.afresh(), scattered, place, *part) for part in pairwise(ends)]
        if not shuffler.run(permute_part, buckets):  # the same bytes: whoever is late does no harm
            permute_part(order, scattered, place, 0, order.n_buckets)
        return True
    finally:
        between.unlink(missing_ok=True)


def _first_places(order: RandomOrder, ends: Sequence[int]) -> list[Array]:
    """Return for each part of the rows where in each bucket its first row goes."""
    places, found = order.starts[:-1].copy(), []
    for start, stop in pairwise(ends):
        found.append(places.copy())
        for low, high in ranges(stop - start, _ROWS_COUNTED):
            buckets = order.buckets(start + low, start + high)
            places += np.bincount(buckets, minlength=order.n_buckets)
    return found


def scatter_part(
    source: Any, order: RandomOrder, place: Place, start: int, stop: int, free: Array
) -> None:
    """Write the rows from ``start`` to ``stop`` each to a place in its bucket."""
    with place.open() as rows:
        blocks = (
            _whole(source[start + low : start + high], high - low)
            for low, high in ranges(stop - start, rows.rows_at_once)
        )
        scatter(blocks, order, rows, start, free.copy())


def permute_part(order: RandomOrder, scattered: Place, place: Place, first: int, stop: int) -> None:
    """Write the rows of some buckets, permuted, to another file."""
    with scattered.open() as source, place.open() as rows:
        permute(order, source, rows, first, stop)


def _whole(block: Any, count: int) -> Array:
    rows: Array = np.asarray(block)
    if len(rows) != count:
        raise RowSourceError(f"{count} rows were to be read, and {len(rows)} came.")
    return rows
