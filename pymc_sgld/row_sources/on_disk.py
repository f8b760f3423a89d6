"""Rows that stay on disk: .npy files and memory maps, read where they are asked for.

An `np.memmap` can be sliced like an array, but it is pickled whole, and a block of it is no
plain array. `RowsOnDisk` is pickled as paths and hands out plain arrays. Any other object
with ``shape``, ``dtype`` and ``__getitem__`` for slices and for arrays of row numbers is a
row source as it is, for example an HDF5 or Zarr array.
"""

from __future__ import annotations

import mmap

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from pymc_sgld.types import Array


@runtime_checkable
class RowSource(Protocol):
    """What rows can be read from: an array, or anything that is indexed like one."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows on axis 0."""
        ...

    @property
    def dtype(self) -> Any:
        """NumPy type of the entries."""
        ...

    def __getitem__(self, rows: Any) -> Any:
        """Return the rows of a slice or of an array of row numbers."""
        ...


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
        for end, file in zip(self._ends(), self._open(), strict=True):
            low, high = max(start, first), min(stop, int(end))
            if low < high:
                result[low - start : high - start] = file[low - first : high - first]
            first = int(end)
        return result

    def _read_scattered(self, rows: Array) -> Array:
        if rows.ndim != 1 or rows.dtype.kind not in "iu":
            raise IndexError(
                f"Rows on disk are read by a slice or a vector of row numbers, got an array of "
                f"shape {rows.shape} and type {rows.dtype}."
            )
        rows = rows.astype(np.int64)
        rows = np.where(rows < 0, rows + len(self), rows)
        if rows.size and not (0 <= rows.min() and rows.max() < len(self)):
            raise IndexError(
                f"Row numbers from {rows.min()} to {rows.max()} were asked for, but there are "
                f"{len(self)} rows."
            )
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


def as_row_source(name: str, source: Any) -> Any:
    """Return what rows of ``source`` can be read from.

    Parameters
    ----------
    name : str
        Of the data, for messages.
    source : array, np.memmap, path, sequence of paths, or another row source

    Raises
    ------
    TypeError
        If rows cannot be read from it.
    """
    if _is_whole_map(source):
        return rows_on_disk(source)
    paths = [source] if isinstance(source, str | Path) else source
    if isinstance(paths, list | tuple) and paths and isinstance(paths[0], str | Path):
        return rows_on_disk(paths)
    if isinstance(source, RowSource) and len(source.shape) > 0:
        return source
    raise TypeError(
        f"{name!r} is a {type(source).__name__}, from which no rows can be read. Pass a NumPy "
        "array or memory map, the path of a .npy file or a list of such paths, or an object with "
        "shape, dtype and __getitem__."
    )


def _is_whole_map(source: Any) -> bool:
    return (
        isinstance(source, np.memmap)
        and isinstance(getattr(source, "base", None), mmap.mmap)
        and (source.flags.c_contiguous or source.flags.f_contiguous)
        and source.ndim > 0
    )


def _file_of_map(source: np.memmap) -> _File:
    if not _is_whole_map(source):
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
