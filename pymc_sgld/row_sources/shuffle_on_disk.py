"""Rows written once in random order to a file, of which batches are contiguous windows.

Two passes of :class:`RandomOrder` over one file: the rows are scattered to their buckets as they
come, then every bucket is read, permuted, and written back. The disk holds the rows once, memory a
block and a bucket of them. The first rows are written again behind the last ones, so that a window
that starts near the end is contiguous too.
"""

from __future__ import annotations

import errno
import mmap
import os

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pymc_sgld.row_sources.errors import RowSourceError
from pymc_sgld.row_sources.in_pieces import blocks_of, fingerprint_of, row_bytes
from pymc_sgld.row_sources.random_order import RandomOrder
from pymc_sgld.row_sources.rows_in_file import Progress, RowsInFile, permute, ranges, scatter
from pymc_sgld.row_sources.shuffle_by_parts import Place, shuffled_elsewhere
from pymc_sgld.types import Array

_SHARE_AGAIN = 16  # the first of so many parts of the rows are written again behind the last
_FEWEST_AGAIN = 2**16
_BYTES_ASKED = 2**20  # of rows that are asked for where the first page of them is not in memory


@dataclass(eq=False)
class ShuffledFile:
    """Rows in random order: a file, or an array, with the first rows again behind the last.

    A row source of ``total_size`` rows. Pickled as a path, where it is a file.

    Attributes
    ----------
    path : str or None
    total_size : int
    shape_with_more : tuple of int
        Of the array with the rows that come again.
    dtype : numpy.dtype
    made_of : tuple or None
        The source and the order, where the source is in files: another machine may write the same.
    """

    path: str | None
    total_size: int
    shape_with_more: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int = 0
    made_of: tuple[Any, RandomOrder] | None = None
    _array: Array | None = field(default=None, repr=False)
    _pages: mmap.mmap | None = field(default=None, repr=False)

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of rows, and shape of a row."""
        return (self.total_size, *self.shape_with_more[1:])

    @property
    def largest_window(self) -> int:
        """Rows of the longest window that may start anywhere."""
        return self.shape_with_more[0] - self.total_size + 1

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.total_size

    def __getitem__(self, rows: Any) -> Array:
        """Return rows: those of a slice without a copy."""
        return np.asarray(self.windows()[: self.total_size][rows])

    def of_windows(self, batch_size: int) -> Array:
        """Return all rows with those that come again, for windows of so many rows."""
        if batch_size > self.largest_window:
            raise RowSourceError(
                f"batch_size={batch_size} is more than the {self.largest_window} rows that windows "
                f"of {self.total_size} rows from a scratch folder can have. Give fewer."
            )
        return self.windows()

    def windows(self) -> Array:
        """Return all rows with those that come again, mapped and not read.

        Compiled functions take arrays that can be written to, which nothing does: pages would be
        this process's own. Where the system grants no private map, because it counts each as memory
        that may be used, writing would end the process.
        """
        if self._array is None:
            if self.path is None:
                raise RowSourceError("Rows in memory were not sent along.")
            with open(self.path, "rb") as file:
                self._pages = pages = _mapped(file.fileno())
            count = int(np.prod(self.shape_with_more))
            flat = np.frombuffer(pages, self.dtype, count, self.offset)
            if not flat.flags.writeable:
                flat = np.asarray(_AsIfWritten(flat))
            self._array = flat.reshape(self.shape_with_more)
        return self._array

    def ask_for(self, row: int, count: int) -> None:
        """Tell the system that so many rows from one on will be read soon."""
        self.windows()
        if self._pages is None or not hasattr(mmap, "MADV_WILLNEED"):
            return
        start = self.offset + row * row_bytes(self)
        stop, first = start + count * row_bytes(self), start - start % mmap.PAGESIZE
        with open(self.path or "", "rb", buffering=0) as file:
            for at in range(first, stop, _BYTES_ASKED):
                if not _is_in_memory(file.fileno(), at):
                    self._pages.madvise(mmap.MADV_WILLNEED, at, min(_BYTES_ASKED, stop - at))

    def let_go(self) -> None:
        """Take the pages that were read out of what counts as memory of this process.

        They stay in the system's cache of files, and are mapped again where they are read again.
        """
        if self._pages is not None and hasattr(mmap, "MADV_DONTNEED"):
            self._pages.madvise(mmap.MADV_DONTNEED)

    @property
    def is_there(self) -> bool:
        """Whether this machine has the file, whole."""
        if self.path is None:
            return True
        content = int(np.prod(self.shape_with_more, dtype=np.int64)) * self.dtype.itemsize
        try:
            return os.path.getsize(self.path) == self.offset + content
        except OSError:
            return False

    def take(self, other: ShuffledFile) -> None:
        """Read the rows from another file with the same ones."""
        self.path, self.offset = other.path, other.offset
        self._array = self._pages = None

    def fingerprint(self) -> list[Any]:
        """Return what tells these rows from others."""
        return ["shuffled", self.path, list(self.shape_with_more), str(self.dtype)]

    def __getstate__(self) -> dict[str, Any]:
        """Leave the map out of a pickle."""
        return {**self.__dict__, "_pages": None, "_array": None if self.path else self._array}


class _AsIfWritten:
    """An array that cannot be written to, shown as one that can."""

    def __init__(self, array: Array) -> None:
        self.array = array  # kept, and with it the map
        interface = array.__array_interface__
        self.__array_interface__ = {**interface, "data": (interface["data"][0], False)}


def _mapped(file: int) -> mmap.mmap:
    """Map a file: for this process alone where it may, and shared where that counts as memory."""
    # not reserved: a private map of a file larger than memory would be refused
    private = mmap.MAP_PRIVATE | getattr(mmap, "MAP_NORESERVE", 0)
    try:
        return mmap.mmap(file, 0, flags=private, prot=mmap.PROT_READ | mmap.PROT_WRITE)
    except OSError as error:
        if error.errno not in (errno.ENOMEM, errno.EAGAIN):
            raise
        return mmap.mmap(file, 0, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ)


def _is_in_memory(file: int, at: int) -> bool:
    """Whether the page at a place of a file is in memory; False where the system does not say."""
    if not hasattr(os, "RWF_NOWAIT"):
        return False
    try:
        return os.preadv(file, [bytearray(1)], at, os.RWF_NOWAIT) == 1
    except OSError:
        return False


def in_random_order(source: Any, order: RandomOrder) -> ShuffledFile:
    """Return rows in memory in an order, in memory."""
    rows = order.rows()
    rows = np.concatenate([rows, rows[: rows_again(order.total)]])
    array = np.ascontiguousarray(np.asarray(source[:])[rows])
    return ShuffledFile(None, order.total, array.shape, array.dtype, _array=array)


def rows_again(total: int) -> int:
    """Return how many of the first rows are written again behind the last."""
    return min(total - 1, max(_FEWEST_AGAIN, total // _SHARE_AGAIN))


def size_of_file(source: Any) -> int:
    """Return the bytes of the file of a source."""
    rows = int(source.shape[0])
    return (rows + rows_again(rows)) * row_bytes(source) + 128


def shuffled_file(
    source: Any, order: RandomOrder, path: Path, progress: Progress | None = None
) -> ShuffledFile:
    """Write the rows of a source in an order, and return the file; one that is there is taken.

    Parameters
    ----------
    source : row source
    order : RandomOrder
    path : Path
        A .npy file. It gets this name when it is whole.
    progress : callable, optional
        Told the bytes that were written, as they are: twice those of the rows.

    Raises
    ------
    RowSourceError
        Where the source fails, or the disk is full; nothing is left on it then.
    """
    made_of = None if fingerprint_of(source) is None else (source, order.afresh())
    total, shape = order.total, (order.total + rows_again(order.total), *source.shape[1:])
    dtype = np.dtype(source.dtype).newbyteorder("=")
    if path.exists():
        return _opened(path, total, shape, dtype, made_of)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with open(part, "w+b") as file:
            descr = np.lib.format.dtype_to_descr(dtype)
            header = {"descr": descr, "fortran_order": False, "shape": shape}
            np.lib.format.write_array_header_2_0(file, header)
            writer = RowsInFile(file.fileno(), file.tell(), dtype, source.shape[1:], progress)
            file.flush()
            place = Place(str(part), writer.offset, dtype, source.shape[1:])
            if not shuffled_elsewhere(source, order, place):
                scatter(blocks_of(source), order, writer, 0, order.starts[:-1].copy())
                permute(order, writer, writer, 0, order.n_buckets)
            for start, stop in ranges(rows_again(total), writer.rows_at_once):
                writer.write(total + start, writer.read(start, stop))
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise RowSourceError(
                f"No space is left in {path.parent} for {size_of_file(source) / 1e9:.3g} GB of "
                "rows in random order. Give scratch=<a folder on another disk>."
            ) from error
        raise
    finally:
        part.unlink(missing_ok=True)
    return _opened(path, total, shape, dtype, made_of)


def _opened(
    path: Path, total: int, shape: tuple[int, ...], dtype: np.dtype[Any], made_of: Any
) -> ShuffledFile:
    try:
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError):
        mapped = None
    if not isinstance(mapped, np.memmap) or mapped.shape != shape or mapped.dtype != dtype:
        raise RowSourceError(
            f"{path} should hold rows in random order, of shape {shape} and type {dtype}, but was "
            "changed or cut short. Delete it."
        )
    return ShuffledFile(str(path), total, shape, dtype, mapped.offset, made_of)
