"""Named columns as rows: Arrow tables and datasets, Parquet files, pandas and polars frames.

Numbers keep their type, and categories come as their codes. What is in memory becomes an array;
Parquet is read a row group at a time, and only the columns that are asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pymc_sgld.row_sources.errors import RowSourceError, optional
from pymc_sgld.row_sources.in_pieces import PiecewiseRows
from pymc_sgld.types import Array
from pymc_sgld.validate import shown


@dataclass(frozen=True)
class Columns:
    """Columns of a table, or of rows that are vectors: see :func:`columns`."""

    source: Any
    names: str | int | tuple[str | int, ...]


_NO_ROWS = (bool, int, float, complex, bytes, type)


def columns(source: Any, names: str | int | Sequence[str | int]) -> Columns:
    """Return columns of a table as a source of rows.

    Parameters
    ----------
    source : path, frame, Arrow table or dataset, or rows that are vectors
        See :func:`pymc_sgld.sample`, argument ``data``.
    names : str, int, or sequence of them
        One name gives rows that are scalars, a list of names rows that are vectors, in this order.
        Whole numbers count the columns of rows without names.

    Returns
    -------
    Columns
        To be passed as a value of ``data=``. Nothing is read yet.

    Examples
    --------
    >>> flights = "flights/"  # a folder of Parquet files
    >>> data = {"X": columns(flights, ["distance", "hour"]), "delay": columns(flights, "delay")}
    """
    if isinstance(source, _NO_ROWS) or source is None or (isinstance(source, str) and not source):
        raise TypeError(
            "source of columns must be a path, a frame, an Arrow table or rows, got "
            f"{shown(source)}."
        )
    one_name = isinstance(names, str | int | np.integer) and not isinstance(names, bool)
    several: Any = [names] if one_name else names
    if isinstance(several, bytes | Mapping) or not isinstance(several, Iterable):
        raise TypeError(f"names of columns must be a name or a list of them, got {shown(names)}.")
    several = list(several)
    for name in several:
        whole = isinstance(name, int | np.integer) and not isinstance(name, bool) and name >= 0
        if not (whole or (isinstance(name, str) and name)):
            raise TypeError(
                "names of columns must be text that is not empty, or whole numbers >= 0, got "
                f"{shown(name)} among them."
            )
    if not several:
        raise ValueError("names of columns are empty: name at least one.")
    return Columns(source, several[0] if one_name else tuple(several))


def is_table(source: Any) -> bool:
    """Whether an object has named columns."""
    module = type(source).__module__.split(".")[0]
    kind = type(source).__name__
    known = {"pandas": ("DataFrame", "Series"), "polars": ("DataFrame", "LazyFrame", "Series")}
    if module == "pyarrow":
        return hasattr(source, "schema") or kind in ("ChunkedArray",) or kind.endswith("Array")
    return kind in known.get(module, ())


def rows_of_table(name: str, table: Any, names: Any = None) -> Any:
    """Return columns of a frame, an Arrow table or a dataset as rows.

    Parameters
    ----------
    name : str
        Of the data, for messages.
    table : frame, series, Arrow table or dataset
    names : str or tuple of str, optional
        All columns if not given; one alone gives rows that are scalars.

    Returns
    -------
    ndarray or ParquetRows
    """
    module = type(table).__module__.split(".")[0]
    if module == "pyarrow" and hasattr(table, "get_fragments"):
        return ParquetRows(name, table, names)
    if module == "polars" and type(table).__name__ == "LazyFrame":
        table = table.select(_chosen(name, names, table.collect_schema().names())).collect()
    if not hasattr(table, "columns") or (module == "pyarrow" and not hasattr(table, "schema")):
        return _array_of(name, type(table).__name__, table)  # a series, or an Arrow array
    known = list(table.column_names if module == "pyarrow" else table.columns)
    chosen = _chosen(name, names, known)
    arrays = [_array_of(name, one, table[one]) for one in chosen]
    return _joined(name, chosen, arrays, _is_scalar(names, chosen))


class ParquetRows(PiecewiseRows):
    """Columns of a Parquet file or folder, or of another Arrow dataset, as rows.

    A piece is a row group. Pickled as the dataset, without its rows.
    """

    def __init__(self, name: str, dataset: Any, names: Any = None) -> None:
        self.name, self.dataset = name, dataset
        self.chosen = _chosen(name, names, list(dataset.schema.names))
        self.scalar = _is_scalar(names, self.chosen)
        self._categories: dict[str, list[Any]] = {}
        groups = [
            (part, int(group.num_rows))
            for fragment in dataset.get_fragments()
            for part, group in _row_groups(name, fragment)
            if group.num_rows
        ]
        if not groups:
            raise RowSourceError(f"{name!r} has no rows: its files are {dataset.files!r}.")
        self._groups = [part for part, _ in groups]
        self._lengths = np.array([length for _, length in groups])
        first = self.read_piece(0)
        self.shape, self.dtype = (int(self._lengths.sum()), *first.shape[1:]), first.dtype

    @property
    def lengths(self) -> Array:
        """Rows of each row group."""
        return self._lengths

    def read_piece(self, number: int) -> Array:
        """Return the rows of a row group."""
        table = self._groups[number].to_table(columns=list(dict.fromkeys(self.chosen)))
        arrays = [
            _array_of(self.name, one, table[one], self._categories.setdefault(one, []))
            for one in self.chosen
        ]
        return _joined(self.name, self.chosen, arrays, self.scalar)

    def fingerprint(self) -> list[Any] | None:
        """Return name, size and time of change of every file, and the columns."""
        files = self.dataset.filesystem.get_file_info(self.dataset.files)
        if any(one.size is None or one.mtime_ns is None for one in files):
            return None
        of_files = [[str(Path(one.path).absolute()), one.size, one.mtime_ns] for one in files]
        return ["parquet", self.chosen, self.scalar, str(self.dtype), of_files]


def parquet_dataset(name: str, path: Any) -> Any:
    """Open a Parquet file, a folder of them, or a list of files, without reading rows.

    Parameters
    ----------
    name : str
        Of the data, for messages.
    path : str, Path, or list of them
        With ``://``, such as ``s3://``, it is opened by fsspec.
    """
    dataset = optional("pyarrow.dataset", "parquet", f"{name!r}, a Parquet source,")
    paths = [str(one) for one in path] if isinstance(path, list | tuple) else str(path)
    first = paths if isinstance(paths, str) else paths[0]
    filesystem = None
    if "://" in first:
        core = optional("fsspec.core", "remote", f"{name!r}, a source at {first!r},")
        filesystem = core.url_to_fs(first)[0]
        strip = filesystem._strip_protocol
        paths = strip(paths) if isinstance(paths, str) else [strip(one) for one in paths]
    try:
        return dataset.dataset(paths, format="parquet", filesystem=filesystem)
    except (OSError, ValueError) as error:
        raise RowSourceError(f"{name!r} cannot be opened as Parquet: {error}") from None


def column_names(name: str, table: Any) -> list[str]:
    """Return the columns of a table: a frame, an Arrow table or dataset, or a Parquet path."""
    if isinstance(table, str | Path):
        table = parquet_dataset(name, table)
    if hasattr(table, "schema") and not hasattr(table, "collect_schema"):
        return list(table.schema.names)
    return list(table.collect_schema().names() if hasattr(table, "collect") else table.columns)


def _row_groups(name: str, fragment: Any) -> Any:
    if not hasattr(fragment, "split_by_row_group"):
        raise RowSourceError(
            f"{name!r} is a dataset of {type(fragment).__name__}, but rows are read from Parquet "
            "or from tables in memory. Write it with pyarrow.dataset.write_dataset(..., "
            "format='parquet')."
        )
    for part in fragment.split_by_row_group():
        [group] = part.row_groups
        yield part, group


def _is_scalar(names: Any, chosen: list[str]) -> bool:
    return isinstance(names, str) or (names is None and len(chosen) == 1)


def _chosen(name: str, names: Any, known: list[str]) -> list[Any]:
    if names is None:
        return known
    chosen = [names] if isinstance(names, str | int) else list(names)
    missing = [one for one in chosen if one not in known]
    if missing or not chosen:
        raise RowSourceError(
            f"{name!r} asks for columns {missing or chosen!r}, but the table has "
            f"{', '.join(map(repr, known))}. Use names of these."
        )
    return chosen


def _joined(name: str, chosen: list[str], arrays: list[Array], scalar: bool) -> Array:
    if scalar:
        return np.ascontiguousarray(arrays[0])
    result = np.empty((len(arrays[0]), len(arrays)), np.result_type(*arrays))
    for number, array in enumerate(arrays):
        result[:, number] = array
    return result


def _array_of(name: str, column: str, values: Any, categories: list[Any] | None = None) -> Array:
    """Return a column as an array of numbers; categories as codes, in their own order."""
    module = type(values).__module__.split(".")[0]
    if module == "pyarrow":
        array = _of_arrow(name, column, values, [] if categories is None else categories)
    elif module == "pandas":
        array = _of_pandas(values)
    else:
        array = _of_polars(name, column, values)
    if array is None:
        raise RowSourceError(
            f"Column {column!r} of {name!r} has missing values. Drop these rows, or impute them."
        )
    if array.dtype.kind not in "biuf" or array.ndim != 1:
        kind = values.type if module == "pyarrow" else values.dtype
        raise RowSourceError(
            f"Column {column!r} of {name!r} is of type {kind}, which is no number. Make it a "
            "categorical column, whose codes are taken, or numbers."
        )
    return array


def _of_arrow(name: str, column: str, values: Any, categories: list[Any]) -> Array | None:
    arrow = optional("pyarrow", "parquet", f"{name!r}, an Arrow table,")
    if values.null_count:
        return None
    if not arrow.types.is_dictionary(values.type):
        whole = values.combine_chunks() if hasattr(values, "chunks") else values
        return np.asarray(whole.to_numpy(zero_copy_only=False))
    codes = []
    for chunk in values.chunks if hasattr(values, "chunks") else [values]:
        own = chunk.dictionary.to_pylist()
        if not categories:
            categories.extend(own)
        if own == categories[: len(own)]:
            codes.append(chunk.indices.to_numpy(zero_copy_only=False))
            continue
        unknown = [one for one in own if one not in categories]
        if unknown:
            raise RowSourceError(
                f"Column {column!r} of {name!r} has categories {unknown[:3]!r} in some of its "
                f"parts and not in the first, whose codes are taken. Write all parts with the "
                "same categories, or codes."
            )
        dtype = chunk.indices.type.to_pandas_dtype()
        renumbered = np.array([categories.index(one) for one in own], dtype)
        codes.append(renumbered[chunk.indices.to_numpy(zero_copy_only=False)])
    return np.concatenate(codes)


def _of_pandas(values: Any) -> Array | None:
    if hasattr(values, "cat"):
        codes = values.cat.codes.to_numpy()
        return None if (codes < 0).any() else codes
    if values.dtype.kind in "biu" and hasattr(values.dtype, "numpy_dtype"):  # nullable, or Arrow's
        return None if values.isna().any() else values.to_numpy(dtype=values.dtype.numpy_dtype)
    return np.asarray(values.to_numpy())


def _of_polars(name: str, column: str, values: Any) -> Array | None:
    polars = optional("polars", "polars", f"{name!r}, a polars frame,")
    if values.null_count():
        return None
    if values.dtype in (polars.Categorical, polars.Enum):
        values = values.to_physical()
    return np.asarray(values.to_numpy())
