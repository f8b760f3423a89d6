"""Rows that stay on disk: .npy files and memory maps, read where they are asked for.

An `np.memmap` can be sliced like an array, but it is pickled whole, and a block of it is no
plain array. `RowsOnDisk` is pickled as paths and hands out plain arrays.
"""

from __future__ import annotations

import mmap

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pymc_sgld.row_sources.errors import RowSourceError
from pymc_sgld.row_sources.in_pieces import of_file, row_numbers
from pymc_sgld.types import Array


@dataclass(frozen=True)
class _File:
    """Where an array lies in a file."""

    path: str
    offset: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    order: Any

    def open(self) -> Array:
        return np.memmap(
            self.path, self.dtype, mode="r", offset=self.offset, shape=self.shape, order=self.order
        )

    def read(self, start: int, stop: int) -> Array:
        """Read rows that lie together, without mapping them: a file cut short is no crash then."""
        count = (stop - start) * int(np.prod(self.shape[1:], dtype=np.int64))
        offset = self.offset + start * int(
            self.dtype.itemsize * np.prod(self.shape[1:], dtype=np.int64)
        )
        numbers = np.fromfile(self.path, self.dtype, count, offset=offset)
        if len(numbers) != count:
            raise RowSourceError(
                f"{self.path} was cut short while it was read: rows {start} to {stop - 1} of "
                f"{self.shape[0]} are not there any more."
            )
        return numbers.reshape(stop - start, *self.shape[1:])


@dataclass(eq=False)
class RowsOnDisk:
    """Rows in one or several files, read as one array with the rows on axis 0.

    Made by :func:`rows_on_disk`. Pickled as the files' paths, without their content.

    Attributes
    ----------
    shape : tuple of int
    dtype : numpy.dtype
    """

    files: tuple[_File, ...]
    _maps: list[Array] = field(default_factory=list, init=False, repr=False)

    @property
    def shape(self) -> tuple[int, ...]:
        """Number of rows of all files, and shape of a row."""
        return (int(self._ends()[-1]), *self.files[0].shape[1:])

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the entries, in the byte order of this machine."""
        return self.files[0].dtype.newbyteorder("=")

    def __len__(self) -> int:
        """Return the number of rows."""
        return self.shape[0]

    def fingerprint(self) -> list[Any]:
        """Return path, size and time of change of every file, and what is read of it."""
        return [
            "files",
            [
                [*of_file(file.path), file.offset, list(file.shape), str(file.dtype), file.order]
                for file in self.files
            ],
        ]

    def __getitem__(self, rows: slice | Array) -> Array:
        """Read rows into a new, contiguous array.

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
                return self._read_range(start, max(start, stop))
            rows = np.arange(start, stop, step)
        return self._read_scattered(np.asarray(rows))

    def _read_range(self, start: int, stop: int) -> Array:
        result = np.empty((stop - start, *self.shape[1:]), self.dtype)
        first = 0
        for number, (end, file) in enumerate(zip(self._ends(), self.files, strict=True)):
            low, high = max(start, first), min(stop, int(end))
            if low < high and file.order == "C":
                result[low - start : high - start] = file.read(low - first, high - first)
            elif low < high:
                mapped = self._open()[number]
                result[low - start : high - start] = mapped[low - first : high - first]
            first = int(end)
        return result

    def _read_scattered(self, rows: Array) -> Array:
        rows = row_numbers(rows, len(self))
        result = np.empty((len(rows), *self.shape[1:]), self.dtype)
        # In the order of the file: neighbouring rows share a page.
        order = np.argsort(rows, kind="stable")
        ends = self._ends()
        cuts = np.searchsorted(rows[order], ends)
        first, low = 0, 0
        for end, high, file in zip(ends, cuts, self._open(), strict=True):
            here = order[low:high]
            result[here] = file[rows[here] - first]
            first, low = int(end), int(high)
        return result

    def _ends(self) -> Array:
        return np.cumsum([file.shape[0] for file in self.files])

    def _open(self) -> list[Array]:
        if not self._maps:
            self._maps = [file.open() for file in self.files]
        return self._maps

    def __getstate__(self) -> dict[str, Any]:
        """Leave the open maps out of a pickle."""
        return {**self.__dict__, "_maps": []}


def rows_on_disk(source: str | Path | np.memmap | Sequence[str | Path]) -> RowsOnDisk:
    """Return the rows of ``.npy`` files, or of a memory map.

    Parameters
    ----------
    source : path, sequence of paths, or np.memmap
        Several files are read one after the other, as one array. A memory map must be the
        whole map: a slice of one does not know where in the file it begins.

    Returns
    -------
    RowsOnDisk

    Raises
    ------
    ValueError
        If a file is no ``.npy`` file of plain numbers, or files do not fit together.
    """
    if isinstance(source, np.memmap):
        return RowsOnDisk((_file_of_map(source),))
    paths = [source] if isinstance(source, str | Path) else list(source)
    if not paths:
        raise ValueError("No file was given. Pass the path of a .npy file, or a list of them.")
    files = tuple(_file_of_path(Path(path)) for path in paths)
    for file in files[1:]:
        if file.shape[1:] != files[0].shape[1:] or file.dtype != files[0].dtype:
            raise ValueError(
                f"{file.path} holds rows of shape {file.shape[1:]} and type {file.dtype}, but "
                f"{files[0].path} rows of shape {files[0].shape[1:]} and type {files[0].dtype}. "
                "Files that are read as one array must hold rows of one kind."
            )
    return RowsOnDisk(files)


def is_whole_map(source: Any) -> bool:
    """Whether an array is a memory map that knows where in its file it lies."""
    return (
        isinstance(source, np.memmap)
        and isinstance(getattr(source, "base", None), mmap.mmap)
        and (source.flags.c_contiguous or source.flags.f_contiguous)
        and source.ndim > 0
    )


def _file_of_map(source: np.memmap) -> _File:
    if not is_whole_map(source):
        raise ValueError(
            "A slice of a memory map does not know where in its file it begins. Pass the whole "
            "map, or make one with np.memmap(path, offset=...)."
        )
    source.flush()
    order = "C" if source.flags.c_contiguous else "F"
    return _File(str(source.filename), source.offset, source.shape, source.dtype, order)


def _file_of_path(path: Path) -> _File:
    try:
        opened = np.load(path, mmap_mode="r", allow_pickle=False)
    except ValueError as error:
        raise ValueError(
            f"{path} is no .npy file of plain numbers ({error}). Write it with "
            "np.save(path, array)."
        ) from None
    if not isinstance(opened, np.memmap) or opened.ndim == 0:
        raise ValueError(
            f"{path} holds no array with rows. Write one array with np.save(path, array); an .npz "
            "file cannot be read in parts."
        )
    return _file_of_map(opened)
