"""Arrays in chunks, of Zarr and HDF5, as rows; any other array that is read by slices."""

from __future__ import annotations

import os

from pathlib import Path
from typing import Any

import numpy as np

from pymc_sgld.row_sources.errors import RowSourceError, optional
from pymc_sgld.row_sources.in_pieces import PiecewiseRows, of_file, rows_of_a_read
from pymc_sgld.types import Array


class ChunkedRows(PiecewiseRows):
    """An array that is read by slices of its rows, whole chunks at a time.

    Parameters
    ----------
    name : str
        For messages.
    array : object with shape, dtype and ``__getitem__`` for slices
    where : list, optional
        What tells its rows from others, as JSON.
    """

    def __init__(self, name: str, array: Any, where: list[Any] | None = None) -> None:
        self.name, self.array, self._where = name, array, where
        self.shape = tuple(int(n) for n in array.shape)
        self.dtype = np.dtype(array.dtype).newbyteorder("=")
        if not self.shape or not self.shape[0]:
            raise RowSourceError(f"{name!r} has shape {self.shape}, and no rows. Give an array.")
        # shards, or chunks: a part of one costs as much as all of it
        given = getattr(array, "shards", None) or getattr(array, "chunks", None)
        chunk = int(given[0]) if given else 1
        self.rows_of_piece = max(1, rows_of_a_read(self) // chunk) * chunk

    @property
    def lengths(self) -> Array:
        """Rows of each piece."""
        starts = np.arange(0, self.shape[0], self.rows_of_piece)
        return np.minimum(self.rows_of_piece, self.shape[0] - starts)

    def read_piece(self, number: int) -> Array:
        """Return some whole chunks."""
        start = number * self.rows_of_piece
        # an array that has shrunk answers with fewer rows
        return np.asarray(self.array[start : min(start + self.rows_of_piece, self.shape[0])])

    def fingerprint(self) -> list[Any] | None:
        """Return the file or folder with its size and time of change, if it is local."""
        return self._where


def is_chunked(source: Any) -> bool:
    """Whether an object is an array of Zarr or HDF5."""
    return type(source).__module__.split(".")[0] in ("zarr", "h5py") and hasattr(source, "chunks")


def rows_of_chunked(name: str, array: Any) -> ChunkedRows:
    """Return the rows of an array of Zarr or HDF5 that is open."""
    if type(array).__module__.startswith("h5py"):
        path = array.file.filename
        return ChunkedRows(name, _Hdf5(array), ["hdf5", array.name, *of_file(path)])
    root = getattr(getattr(array, "store", None), "root", None)
    if not isinstance(root, Path):
        return ChunkedRows(name, array)
    return ChunkedRows(name, array, ["zarr", array.path, *_of_folder(root / array.path)])


def zarr_rows(name: str, path: str) -> ChunkedRows:
    """Return the rows of a Zarr array, at a path or an address such as ``s3://...``."""
    zarr = optional("zarr", "zarr", f"{name!r}, a Zarr array,")
    if "://" in path:
        optional("fsspec", "remote", f"{name!r}, a source at {path!r},")
    try:
        return rows_of_chunked(name, zarr.open_array(path, mode="r"))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise RowSourceError(
            f"{name!r} cannot be opened as one Zarr array ({type(error).__name__}: {error}). Give "
            "the path of an array, not of a group."
        ) from None


def hdf5_rows(name: str, path: str) -> ChunkedRows:
    """Return the rows of the only array of an HDF5 file."""
    h5py = optional("h5py", "hdf5", f"{name!r}, an HDF5 file,")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise RowSourceError(f"{name!r} cannot be opened as HDF5: {error}") from None
    arrays: list[str] = []
    file.visititems(lambda at, one: arrays.append(at) if hasattr(one, "chunks") else None)
    if len(arrays) != 1:
        raise RowSourceError(
            f"{path} holds {len(arrays)} arrays, {', '.join(arrays[:5])}. Give one of them: "
            f"h5py.File({path!r})[name]."
        )
    return rows_of_chunked(name, file[arrays[0]])


class _Hdf5:
    """An array of an HDF5 file that can be sent to other processes, and is opened anew there."""

    def __init__(self, array: Any) -> None:
        self.path, self.inside = array.file.filename, array.name
        self.shape, self.dtype, self.chunks = array.shape, array.dtype, array.chunks
        self._open: tuple[int, Any] | None = (os.getpid(), array)

    def __getitem__(self, rows: slice) -> Array:
        if self._open is None or self._open[0] != os.getpid():
            h5py = optional("h5py", "hdf5", f"{self.path}")
            self._open = (os.getpid(), h5py.File(self.path, "r")[self.inside])
        return np.asarray(self._open[1][rows])

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_open": None}


def _of_folder(path: Path) -> list[Any]:
    """Return path, number, size and latest change of the files of a folder."""
    files = [one.stat() for one in sorted(path.rglob("*")) if one.is_file()]
    size, latest = sum(f.st_size for f in files), max((f.st_mtime_ns for f in files), default=0)
    return [str(path.absolute()), len(files), size, latest]
