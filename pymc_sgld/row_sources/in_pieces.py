"""Sources that are read piece by piece: row groups of a file, chunks of an array, a stream."""

from __future__ import annotations

import os

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from pymc_sgld.row_sources.errors import RowSourceError
from pymc_sgld.types import Array

_PIECES_KEPT = 2  # neighbouring rows are asked for one after the other
BYTES_OF_A_READ = 2**25


class SequentialRows(ABC):
    """Rows that can be read from the first to the last, again and again.

    What follows from that alone: a range of rows continues where the last one ended, and rows here
    and there take a pass.

    Attributes
    ----------
    name : str
        For messages.
    shape : tuple of int
        Number of rows, and shape of a row.
    dtype : numpy.dtype
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    _reading: tuple[int, Iterator[Array], Array] | None = None  # next row, what follows, left over

    @abstractmethod
    def _pieces(self) -> Iterator[Array]:
        """Yield the rows in order, in pieces of any length."""

    def fingerprint(self) -> list[Any] | None:
        """Return what tells these rows from others, as JSON; None where nothing does."""
        return None

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.shape[0]

    def blocks(self) -> Iterator[Array]:
        """Yield all rows in order, in blocks of any length, checked.

        Raises
        ------
        RowSourceError
            Where the source fails, gives more or fewer rows than it has, or rows of another kind.
        """
        total, at = self.shape[0], 0
        pieces = iter(self._pieces())
        while True:
            try:
                piece = next(pieces, None)
            except RowSourceError:
                raise
            except Exception as error:
                raise RowSourceError(
                    f"{self.name!r} could not be read from row {at} of {total} on "
                    f"({type(error).__name__}: {error}). Mend the source, and run again."
                ) from error
            if piece is None:
                break
            piece = self._checked(piece, at)
            at += len(piece)
            if at > total:
                break
            yield piece
        if at != total:
            raise RowSourceError(
                f"{self.name!r} was said to have {total} rows, but gave "
                f"{'more' if at > total else at}. It must not change while it is read: give the "
                "number of rows that there are."
            )

    def _checked(self, piece: Any, at: int) -> Array:
        piece = np.asarray(piece)
        if piece.dtype.newbyteorder("=") != self.dtype or piece.shape[1:] != self.shape[1:]:
            raise RowSourceError(
                f"{self.name!r} gave rows of shape {piece.shape[1:]} and type {piece.dtype} from "
                f"row {at} on, but those before are of shape {self.shape[1:]} and type "
                f"{self.dtype}. All rows of a source must be of one kind."
            )
        return np.asarray(piece.astype(self.dtype, copy=False))

    def __getitem__(self, rows: Any) -> Array:
        """Read rows into a new array.

        Parameters
        ----------
        rows : slice or int array, shape (n,)
            Numbers from 0 to N - 1; a slice may reach beyond.

        Returns
        -------
        ndarray, shape (n, ...)
        """
        if isinstance(rows, slice):
            start, stop, step = rows.indices(len(self))
            if step == 1:
                return self._range(start, max(start, stop))
            rows = np.arange(start, stop, step)
        return self._scattered(row_numbers(rows, len(self)))

    def _range(self, start: int, stop: int) -> Array:
        result = np.empty((stop - start, *self.shape[1:]), self.dtype)
        if self._reading is None or self._reading[0] > start:
            self._reading = (0, self.blocks(), result[:0])
        at, coming, left = self._reading
        self._reading = None  # of a source that fails nothing is kept
        while at < stop:
            if not len(left):
                left = next(coming)
                continue
            taken = left[: (start if at < start else stop) - at]
            if at >= start:
                result[at - start : at - start + len(taken)] = taken
            at, left = at + len(taken), left[len(taken) :]
        self._reading = (at, coming, left)
        return result

    def _scattered(self, rows: Array) -> Array:
        result = np.empty((len(rows), *self.shape[1:]), self.dtype)
        order = np.argsort(rows, kind="stable")
        in_order, at, low = rows[order], 0, 0
        for block in self.blocks():
            if low == len(rows):
                break
            high = int(np.searchsorted(in_order, at + len(block)))
            result[order[low:high]] = block[in_order[low:high] - at]
            at, low = at + len(block), high
        return result

    def __getstate__(self) -> dict[str, Any]:
        """Leave what is being read out of a pickle."""
        return {**self.__dict__, "_reading": None}


class PiecewiseRows(SequentialRows):
    """Rows in pieces of known length, each of which can be read by itself."""

    @property
    @abstractmethod
    def lengths(self) -> Array:
        """Rows of each piece, shape (n_pieces,)."""

    @abstractmethod
    def read_piece(self, number: int) -> Array:
        """Return the rows of a piece."""

    @cached_property
    def ends(self) -> Array:
        """Rows up to the end of each piece, shape (n_pieces,)."""
        return np.cumsum(self.lengths)

    def _pieces(self) -> Iterator[Array]:
        return (self.read_piece(number) for number in range(len(self.ends)))

    def _piece(self, number: int) -> Array:
        """Return the rows of a piece, checked; the last ones are remembered."""
        kept: dict[int, Array] = self.__dict__.setdefault("_kept", {})
        if number not in kept:
            at, length = int(self.ends[number] - self.lengths[number]), int(self.lengths[number])
            try:
                piece = self._checked(self.read_piece(number), at)
            except RowSourceError:
                raise
            except Exception as error:
                raise RowSourceError(
                    f"Rows {at} to {at + length - 1} of {self.name!r} could not be read "
                    f"({type(error).__name__}: {error}). Mend the source, and run again."
                ) from error
            if len(piece) != length:
                raise RowSourceError(
                    f"{self.name!r} was said to have {length} rows from row {at} on, but gave "
                    f"{len(piece)}. It must not change while it is read."
                )
            while len(kept) >= _PIECES_KEPT:
                del kept[next(iter(kept))]
            kept[number] = piece
        return kept[number]

    def _range(self, start: int, stop: int) -> Array:
        return self._scattered(np.arange(start, stop)) if start < stop else self._none()

    def _scattered(self, rows: Array) -> Array:
        if not len(rows):
            return self._none()
        result = np.empty((len(rows), *self.shape[1:]), self.dtype)
        order = np.argsort(rows, kind="stable")
        in_order = rows[order]
        wanted = np.searchsorted(self.ends, in_order, side="right")
        cuts = np.flatnonzero(np.diff(wanted, prepend=-1))
        for low, high in zip(cuts, [*cuts[1:], len(rows)], strict=True):
            number = int(wanted[low])
            first = int(self.ends[number] - self.lengths[number])
            result[order[low:high]] = self._piece(number)[in_order[low:high] - first]
        return result

    def _none(self) -> Array:
        return np.empty((0, *self.shape[1:]), self.dtype)

    def __getstate__(self) -> dict[str, Any]:
        """Leave what was read out of a pickle."""
        return {**super().__getstate__(), "_kept": {}}


class StreamedRows(SequentialRows):
    """Rows of an iterable that yields blocks of them, with their number in ``n_rows``."""

    def __init__(self, name: str, source: Iterable[Any]) -> None:
        self.name, self.source = name, source
        n_rows = getattr(source, "n_rows", None)
        if not isinstance(n_rows, int | np.integer) or n_rows < 1:
            raise RowSourceError(
                f"{name!r} is an iterable of blocks with n_rows={n_rows!r}. Give it an attribute "
                "n_rows, the number of rows of all its blocks."
            )
        if iter(source) is source:
            raise RowSourceError(
                f"{name!r} is an iterator, which can be read only once. Give an object whose "
                "__iter__ begins anew each time."
            )
        blocks = (np.asarray(block) for block in source)
        first = next((block for block in blocks if block.ndim == 0 or len(block)), np.empty(()))
        if first.ndim == 0:
            raise RowSourceError(
                f"{name!r} is an iterable without blocks of rows. Give arrays with rows on axis 0."
            )
        self.shape, self.dtype = (int(n_rows), *first.shape[1:]), first.dtype.newbyteorder("=")

    def _pieces(self) -> Iterator[Array]:
        return iter(self.source)


class PartOfRows(SequentialRows):
    """Some of the columns of rows that are vectors.

    Parameters
    ----------
    source : SequentialRows or other row source
    columns : list of int, or int
        One number alone gives rows that are scalars.
    """

    def __init__(self, source: Any, columns: Any) -> None:
        self.source, self.columns = source, columns
        self.name = getattr(source, "name", "an array")
        self.dtype = np.dtype(source.dtype).newbyteorder("=")
        if len(source.shape) != 2:
            raise RowSourceError(
                f"Columns {columns!r} were asked of rows of shape {tuple(source.shape[1:])}. Only "
                "rows that are vectors have columns."
            )
        width = source.shape[1]
        numbers = np.atleast_1d(np.asarray(columns))
        if numbers.dtype.kind not in "iu" or not ((0 <= numbers) & (numbers < width)).all():
            raise RowSourceError(
                f"Columns {columns!r} were asked of rows of {width} numbers without names. Give "
                f"whole numbers from 0 to {width - 1}."
            )
        self.shape = (source.shape[0], *np.shape(columns))

    def _pieces(self) -> Iterator[Array]:
        return (piece[:, self.columns] for piece in blocks_of(self.source))

    def __getitem__(self, rows: Any) -> Array:
        """Read rows into a new array."""
        return np.ascontiguousarray(np.asarray(self.source[rows])[:, self.columns])

    def fingerprint(self) -> list[Any] | None:
        """Return what tells these rows from others."""
        of_source = fingerprint_of(self.source)
        return None if of_source is None else ["columns", self.columns, of_source]


class NumbersOf(SequentialRows):
    """Rows as numbers of a type, none of them missing.

    Parameters
    ----------
    name : str
    source : row source
    dtype : numpy.dtype
        Whole numbers that do not fit into it are refused.
    """

    def __init__(self, name: str, source: Any, dtype: Any) -> None:
        self.name, self.source = name, source
        self.shape, self.dtype = tuple(source.shape), np.dtype(dtype)

    def _pieces(self) -> Iterator[Array]:
        at = 0
        for block in blocks_of(self.source):
            yield self._numbers(block, at)
            at += len(block)

    def _numbers(self, block: Array, at: int) -> Array:
        kind = np.dtype(self.source.dtype).newbyteorder("=")
        if block.dtype.newbyteorder("=") != kind:
            return block  # of another type than it should be: refused where it is checked
        with np.errstate(all="ignore"):
            numbers = block.astype(self.dtype, copy=False)
        bad = np.isnan(numbers) if numbers.dtype.kind == "f" else np.zeros(0, bool)
        what = "NaN"
        if numbers.dtype.kind in "iu" and numbers.dtype != kind:
            bad, what = numbers != block, f"numbers beyond {self.dtype}"
        if bad.any():
            row = at + int(np.flatnonzero(bad.reshape(len(bad), -1).any(axis=1))[0])
            raise RowSourceError(
                f"{self.name!r} has {what}, the first in row {row}: every batch that holds it "
                "would be lost. Drop these rows, or mend them."
            )
        return numbers

    def __getitem__(self, rows: Any) -> Array:
        """Read rows into a new array."""
        return self._numbers(np.asarray(self.source[rows]), 0)

    def fingerprint(self) -> list[Any] | None:
        """Return what tells these rows from others."""
        of_source = fingerprint_of(self.source)
        return None if of_source is None else ["numbers", str(self.dtype), of_source]


def blocks_of(source: Any) -> Iterator[Array]:
    """Yield all rows of any row source in order, in blocks of bounded size."""
    if isinstance(source, SequentialRows):
        yield from source.blocks()
        return
    total, rows = source.shape[0], rows_of_a_read(source)
    for start in range(0, total, rows):
        yield np.asarray(source[start : min(start + rows, total)])


def row_bytes(source: Any) -> int:
    """Return the bytes of a row."""
    return int(np.dtype(source.dtype).itemsize * np.prod(source.shape[1:], dtype=np.int64))


def rows_of_a_read(source: Any) -> int:
    """Return how many rows are read at once, where nothing else says so."""
    return max(1, BYTES_OF_A_READ // max(1, row_bytes(source)))


def fingerprint_of(source: Any) -> list[Any] | None:
    """Return what tells the rows of a source from others, as JSON; None where nothing does."""
    own = getattr(source, "fingerprint", None)
    return own() if callable(own) else None


def row_numbers(rows: Any, total: int) -> Array:
    """Return row numbers as integers from 0 on, or raise an IndexError."""
    numbers = np.asarray(rows)
    if numbers.ndim != 1 or numbers.dtype.kind not in "iu":
        raise IndexError(
            f"Rows are read by a slice or a vector of row numbers, got an array of shape "
            f"{numbers.shape} and type {numbers.dtype}."
        )
    numbers = numbers.astype(np.int64)
    numbers = np.where(numbers < 0, numbers + total, numbers)
    if numbers.size and not (0 <= numbers.min() and numbers.max() < total):
        raise IndexError(
            f"Row numbers from {numbers.min()} to {numbers.max()} were asked for, but there are "
            f"{total} rows."
        )
    return numbers


def of_file(path: Any) -> list[Any]:
    """Return path, size and time of change of a file."""
    status = os.stat(path)
    return [str(Path(path).absolute()), status.st_size, status.st_mtime_ns]
