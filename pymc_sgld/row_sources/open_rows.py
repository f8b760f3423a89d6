"""What rows can be read from, and how what a user gives becomes that."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from pymc_sgld.row_sources.chunked_arrays import (
    hdf5_rows,
    is_chunked,
    rows_of_chunked,
    zarr_rows,
)
from pymc_sgld.row_sources.errors import RowSourceError
from pymc_sgld.row_sources.in_pieces import PartOfRows, StreamedRows
from pymc_sgld.row_sources.on_disk import is_whole_map, rows_on_disk
from pymc_sgld.row_sources.tables import (
    Columns,
    ParquetRows,
    is_table,
    parquet_dataset,
    rows_of_table,
)

_PARQUET = (".parquet", ".pq")
_HDF5 = (".h5", ".hdf5", ".hdf")


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


def as_row_source(name: str, source: Any) -> Any:
    """Return what rows of ``source`` can be read from.

    Parameters
    ----------
    name : str
        Of the data, for messages.
    source : array, path, table, Columns, iterable of blocks, or another row source
        An array or memory map; the path of a .npy, Parquet, Zarr or HDF5 file or folder, or a list
        of paths; a pandas or polars frame, an Arrow table or dataset; columns of one of these; an
        open Zarr or HDF5 array; an iterable of blocks of rows with an attribute ``n_rows``; or
        any object with ``shape``, ``dtype`` and ``__getitem__``.

    Raises
    ------
    TypeError
        If rows cannot be read from it.
    RowSourceError
        If it should be possible, but is not.
    """
    names = None
    if isinstance(source, Columns):
        source, names = source.source, source.names
    rows = _opened(name, source, names)
    if rows is None:
        raise TypeError(
            f"{name!r} is a {type(source).__name__}, from which no rows can be read. Pass a NumPy "
            "array or memory map; the path of a .npy, Parquet, Zarr or HDF5 file, or a list of "
            "such paths; a frame or an Arrow table; an iterable of blocks with n_rows; or an "
            "object with shape, dtype and __getitem__."
        )
    return rows


def _opened(name: str, source: Any, names: Any) -> Any:
    """Return the rows of a source, of the named columns alone; None where there is no way."""
    if is_table(source):
        return rows_of_table(name, source, names)
    paths = source if isinstance(source, list | tuple) else [source]
    if paths and all(isinstance(one, str | Path) for one in paths):
        kind = _kind_of(name, str(paths[0]))
        if kind == "parquet":
            return ParquetRows(name, parquet_dataset(name, source), names)
        rows = _of_paths(kind, name, source)
    elif is_whole_map(source):
        rows = rows_on_disk(source)
    elif is_chunked(source):
        rows = rows_of_chunked(name, source)
    elif hasattr(source, "n_rows") and hasattr(source, "__iter__"):
        rows = StreamedRows(name, source)
    elif isinstance(source, RowSource) and len(source.shape) > 0:
        rows = source
    else:
        return None
    if names is None:
        return rows
    return PartOfRows(rows, names if isinstance(names, int | str) else list(names))


def _kind_of(name: str, path: str) -> str:
    """Return in which format a file or folder is, by its name."""
    suffix = Path(path.rstrip("/")).suffix.lower()
    folder = Path(path)
    if suffix == ".zarr" or any((folder / inside).exists() for inside in ("zarr.json", ".zarray")):
        return "zarr"
    if suffix in _HDF5:
        return "hdf5"
    if suffix in _PARQUET or folder.is_dir():
        return "parquet"
    if suffix in (".npy", ".npz"):
        return "npy"
    if "://" not in path and not folder.exists():
        raise RowSourceError(f"{name!r} should be read from {path}, which does not exist.")
    raise RowSourceError(
        f"{name!r} should be read from {path}, whose format is not known by its name. Rows are "
        "read from .npy, .parquet (or a folder of such files), .zarr, and .h5 or .hdf5."
    )


def _of_paths(kind: str, name: str, source: Any) -> Any:
    if kind == "npy":
        return rows_on_disk(source)
    if not isinstance(source, str | Path):
        raise RowSourceError(
            f"{name!r} is a list of {kind} paths; lists are read of .npy and Parquet files. Give "
            "one path."
        )
    return zarr_rows(name, str(source)) if kind == "zarr" else hdf5_rows(name, str(source))
