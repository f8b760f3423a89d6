"""Rows from anywhere: the same rows, whatever holds them and in whatever pieces they come."""

import pickle

import numpy as np
import pytest

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pymc_sgld.row_sources import RowSourceError, as_row_source, columns
from pymc_sgld.row_sources.in_pieces import blocks_of, fingerprint_of

TYPES = ["float64", "float32", "int64", "int32", "int8", "uint8", "bool"]


class Blocks:
    """A re-iterable of blocks of rows, cut where it was told to be."""

    def __init__(self, rows, cuts=(), n_rows=None):
        self.rows, self.cuts = rows, sorted(cuts)
        self.n_rows = len(rows) if n_rows is None else n_rows

    def __iter__(self):
        return iter(np.split(self.rows, self.cuts))


def numbers(total, width, dtype, seed=0):
    rng = np.random.default_rng(seed)
    shape = (total,) if width is None else (total, width)
    return (rng.normal(size=shape) * 40).astype(dtype)


def as_npy(rows, folder, piece):
    np.save(folder / "rows.npy", rows)
    return folder / "rows.npy"


def as_map(rows, folder, piece):
    mapped = np.memmap(folder / "rows.bin", rows.dtype, "w+", 0, rows.shape)
    mapped[:] = rows
    return mapped


def as_iterable(rows, folder, piece):
    return Blocks(rows, range(piece, len(rows), piece))


def as_zarr(rows, folder, piece):
    zarr = pytest.importorskip("zarr")
    array = zarr.create_array(folder / "a.zarr", data=rows, chunks=(piece, *rows.shape[1:]))
    return array if piece % 2 else str(folder / "a.zarr")


def as_hdf5(rows, folder, piece):
    h5py = pytest.importorskip("h5py")
    with h5py.File(folder / "a.h5", "w") as file:
        file.create_dataset("rows", data=rows, chunks=(min(piece, len(rows)), *rows.shape[1:]))
    return folder / "a.h5" if piece % 2 else h5py.File(folder / "a.h5", "r")["rows"]


def table_of(rows):
    arrow = pytest.importorskip("pyarrow")
    if rows.ndim == 1:
        return arrow.table({"x": rows})
    return arrow.table({f"x{i}": column for i, column in enumerate(rows.T)})


def as_parquet(rows, folder, piece):
    parquet = pytest.importorskip("pyarrow.parquet")
    table, half = table_of(rows), len(rows) // 2
    (folder / "parts").mkdir()
    parquet.write_table(table[:half], folder / "parts" / "0.parquet", row_group_size=piece)
    parquet.write_table(table[half:], folder / "parts" / "1.parquet", row_group_size=piece)
    return as_columns(folder / "parts", rows)


def as_arrow(rows, folder, piece):
    return as_columns(table_of(rows), rows)


def as_columns(table, rows):
    names = "x" if rows.ndim == 1 else [f"x{i}" for i in range(rows.shape[1])]
    return columns(table, names)


def as_pandas(rows, folder, piece):
    return as_columns(table_of(rows).to_pandas(), rows)


def as_polars(rows, folder, piece):
    polars = pytest.importorskip("polars")
    frame = polars.from_arrow(table_of(rows))
    return as_columns(frame if piece % 2 else frame.lazy(), rows)


MAKERS = [
    as_npy, as_map, as_iterable, as_zarr, as_hdf5, as_parquet, as_arrow, as_pandas, as_polars,
]  # fmt: skip


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: make.__name__)
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_rows_are_the_same_and_of_the_same_type(make, data, tmp_path_factory):
    total = data.draw(st.integers(1, 60))
    width = data.draw(st.sampled_from([None, 1, 3]))
    dtype = data.draw(st.sampled_from(TYPES))
    piece = data.draw(st.integers(1, 70))
    rows = numbers(total, width, dtype)
    before = rows.copy()
    source = as_row_source("X", make(rows, tmp_path_factory.mktemp("rows"), piece))
    assert (source.shape, np.dtype(source.dtype)) == (rows.shape, rows.dtype)
    whole = list(blocks_of(source))
    np.testing.assert_array_equal(np.concatenate(whole), rows)
    for _ in range(4):
        start, stop = sorted(data.draw(st.tuples(st.integers(0, total), st.integers(0, total + 5))))
        np.testing.assert_array_equal(source[start:stop], rows[start:stop])
    some = np.array(data.draw(st.lists(st.integers(0, total - 1), max_size=20)), dtype=int)
    np.testing.assert_array_equal(source[some], rows[some])
    np.testing.assert_array_equal(rows, before)
    read = source[:]
    assert read.dtype == rows.dtype


@pytest.mark.parametrize("make", [as_npy, as_map, as_zarr, as_hdf5, as_parquet])
def test_what_is_on_disk_is_sent_without_its_rows(make, tmp_path):
    rows = numbers(20_000, 3, "float64")
    source = as_row_source("X", make(rows, tmp_path, 999))
    assert source[5:8].shape == (3, 3)
    sent = pickle.dumps(source)
    assert len(sent) < 50_000
    np.testing.assert_array_equal(pickle.loads(sent)[19_000:], rows[19_000:])


@pytest.mark.parametrize("make", [as_npy, as_map, as_zarr, as_hdf5, as_parquet])
def test_files_that_change_are_other_rows(make, tmp_path):
    rows = numbers(500, 3, "float64")
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    source = as_row_source("X", make(rows, tmp_path / "a", 100))
    again = as_row_source("X", make(rows, tmp_path / "b", 100))
    known = fingerprint_of(source)
    assert known is not None and known == fingerprint_of(source)
    assert known != fingerprint_of(again)


def test_columns_of_one_file_have_fingerprints_of_their_own(tmp_path):
    as_parquet(numbers(50, 3, "float64"), tmp_path, 100)
    chosen = ["x0", ["x0"], ["x0", "x1"], ["x1", "x0"]]
    found = [fingerprint_of(as_row_source("X", columns(tmp_path / "parts", c))) for c in chosen]
    assert len({str(one) for one in found}) == 4


def test_categories_come_as_codes_and_keep_their_type(tmp_path):
    pandas = pytest.importorskip("pandas")
    values = pandas.Categorical(["b", "a", "c", "a"] * 50, categories=["c", "b", "a"])
    frame = pandas.DataFrame({"g": values, "n": np.arange(200, dtype="int16")})
    frame.to_parquet(tmp_path / "0.parquet", row_group_size=30)
    frame[::-1].to_parquet(tmp_path / "1.parquet")
    codes = np.array([1, 2, 0, 2] * 50, dtype="int8")
    np.testing.assert_array_equal(as_row_source("g", columns(frame, "g")), codes)
    source = as_row_source("g", columns(tmp_path, "g"))
    assert source.dtype.itemsize == 1 and source.dtype.kind in "iu"
    np.testing.assert_array_equal(source[:], np.concatenate([codes, codes[::-1]]))
    assert as_row_source("n", columns(tmp_path, "n")).dtype == np.int16


def test_categories_that_differ_between_files_are_renumbered_or_refused(tmp_path):
    pandas = pytest.importorskip("pandas")
    for number, (values, known) in enumerate([("ab", "ab"), ("ba", "ba"), ("az", "az")]):
        column = pandas.Categorical(list(values), categories=list(known))
        pandas.DataFrame({"g": column}).to_parquet(tmp_path / f"{number}.parquet")
    two = [tmp_path / "0.parquet", tmp_path / "1.parquet"]
    np.testing.assert_array_equal(as_row_source("g", columns(two, "g"))[:], [0, 1, 1, 0])
    three = as_row_source("g", columns(tmp_path, "g"))
    with pytest.raises(RowSourceError, match=r"categories \['z'\] in some of its parts"):
        list(three.blocks())


def test_columns_of_rows_without_names_are_counted():
    rows = numbers(30, 4, "float64")
    source = as_row_source("X", columns(Blocks(rows, [7]), [3, 0]))
    np.testing.assert_array_equal(source[4:20], rows[4:20, [3, 0]])
    one = as_row_source("X", columns(rows, 2))
    np.testing.assert_array_equal(one[np.array([5, 1])], rows[[5, 1], 2])
    with pytest.raises(RowSourceError, match="whole numbers from 0 to 3"):
        as_row_source("X", columns(rows, [4]))


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("text", r"Column 'text' of 'X' is of type .*, which is no number"),
        ("gaps", r"Column 'gaps' of 'X' has missing values"),
        ("absent", r"asks for columns \['absent'\], but the table has 'text', 'gaps'"),
    ],
)
@pytest.mark.parametrize("kind", ["pandas", "polars", "arrow", "parquet"])
def test_columns_without_numbers_are_refused(kind, column, message, tmp_path):
    arrow = pytest.importorskip("pyarrow")
    table = arrow.table({"text": ["a", "b"], "gaps": arrow.array([1, None], arrow.int32())})
    if kind == "parquet":
        pytest.importorskip("pyarrow.parquet").write_table(table, tmp_path / "a.parquet")
        table = tmp_path / "a.parquet"
    elif kind == "pandas":
        table = table.to_pandas(types_mapper={arrow.int32(): __import__("pandas").Int32Dtype()}.get)
    elif kind == "polars":
        table = pytest.importorskip("polars").from_arrow(table)
    with pytest.raises(RowSourceError, match=message):
        as_row_source("X", columns(table, column))


@pytest.mark.parametrize(
    ("path", "module", "extra"),
    [
        ("a.parquet", "pyarrow.dataset", "parquet"),
        ("a.zarr", "zarr", "zarr"),
        ("a.h5", "h5py", "hdf5"),
        ("s3://bucket/a.parquet", "fsspec.core", "remote"),
    ],
)
def test_a_package_that_is_missing_is_named_with_its_extra(path, module, extra, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, module, None)
    with pytest.raises(RowSourceError, match=rf'pip install "pymc-sgld\[{extra}\]"'):
        as_row_source("X", path)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("absent.csv", "which does not exist"),
        ("there.csv", r"whose format is not known by its name. Rows are read from .npy, .parquet"),
        ("broken.parquet", "cannot be opened as Parquet"),
        ("broken.h5", "cannot be opened as HDF5"),
        ("broken.zarr", "cannot be opened as one Zarr array"),
    ],
)
def test_paths_that_hold_no_rows_are_refused(path, message, tmp_path):
    for module in ("pyarrow", "h5py", "zarr"):
        pytest.importorskip(module)
    if not path.startswith("absent"):
        (tmp_path / path).write_bytes(b"no rows at all")
    with pytest.raises(RowSourceError, match=message):
        as_row_source("X", tmp_path / path)


def test_a_remote_parquet_file_is_read_through_fsspec():
    fsspec = pytest.importorskip("fsspec")
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = numbers(90, 2, "float32")
    with fsspec.open("memory://rows/a.parquet", "wb") as file:
        parquet.write_table(table_of(rows), file, row_group_size=40)
    source = as_row_source("X", columns("memory://rows/a.parquet", ["x0", "x1"]))
    np.testing.assert_array_equal(source[30:70], rows[30:70])
