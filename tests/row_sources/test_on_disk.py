import pickle

import numpy as np
import pytest

from pymc_sgld.row_sources import RowsOnDisk, as_row_source, rows_on_disk


@pytest.fixture
def rows():
    return np.random.default_rng(0).normal(size=(57, 3))


@pytest.fixture
def three_files(rows, tmp_path):
    paths = []
    for number, piece in enumerate((rows[:20], rows[20:21], rows[21:])):
        paths.append(tmp_path / f"part{number}.npy")
        np.save(paths[-1], piece)
    return rows_on_disk(paths)


@pytest.mark.parametrize(
    "asked",
    [
        slice(0, 57),
        slice(18, 23),
        slice(20, 21),
        slice(50, 99),
        slice(5, 40, 7),
        slice(30, 10),
        np.array([56, 0, 20, 20, 19, 21]),
        np.array([-1, 3]),
        np.array([], dtype=int),
    ],
    ids=str,
)
def test_rows_of_several_files_are_those_of_one_array(asked, three_files, rows):
    found = three_files[asked]
    np.testing.assert_array_equal(found, rows[asked])
    assert type(found) is np.ndarray
    assert found.flags.c_contiguous and found.flags.writeable
    found[...] = 0.0  # a copy: the file stays as it is
    np.testing.assert_array_equal(three_files[:], rows)


def test_shape_and_type(three_files):
    assert (three_files.shape, three_files.dtype, len(three_files)) == ((57, 3), np.float64, 57)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("offset", [0, 24])
def test_a_memory_map_is_read_from_where_it_begins(order, offset, rows, tmp_path):
    path = tmp_path / "rows.bin"
    path.write_bytes(b"x" * offset + rows.tobytes(order))
    mapped = np.memmap(path, np.float64, "r", offset, rows.shape, order)
    source = as_row_source("X", mapped)
    assert isinstance(source, RowsOnDisk)
    np.testing.assert_array_equal(source[10:30], rows[10:30])


def test_a_slice_of_a_memory_map_is_read_as_the_array_it_is(rows, tmp_path):
    mapped = np.memmap(tmp_path / "rows.bin", np.float64, "w+", 0, rows.shape)
    mapped[:] = rows
    source = as_row_source("X", mapped[20:])
    np.testing.assert_array_equal(source[:5], rows[20:25])
    with pytest.raises(ValueError, match=r"^A slice of a memory map does not know where"):
        rows_on_disk(mapped[20:])


def test_other_byte_order_is_read_as_this_machines(rows, tmp_path):
    np.save(tmp_path / "big.npy", rows.astype(">f8"))
    found = rows_on_disk(tmp_path / "big.npy")[3:9]
    assert found.dtype.isnative
    np.testing.assert_array_equal(found, rows[3:9])


def test_a_pickle_holds_the_path_and_not_the_rows(tmp_path):
    np.save(tmp_path / "long.npy", np.arange(100_000.0))
    source = rows_on_disk(tmp_path / "long.npy")
    source[5:9]
    data = pickle.dumps(source)
    assert len(data) < 2000
    np.testing.assert_array_equal(pickle.loads(data)[99_990:], np.arange(99_990.0, 100_000.0))


def test_anything_indexed_like_an_array_is_a_source(rows):
    class Counted:
        shape, dtype = rows.shape, rows.dtype

        def __getitem__(self, asked):
            return rows[asked]

    source = Counted()
    assert as_row_source("X", source) is source
    assert as_row_source("X", rows) is rows


@pytest.mark.parametrize("wrong", [3.0, [1.0, 2.0], object(), np.float64(2)])
def test_what_has_no_rows_is_refused(wrong):
    with pytest.raises(TypeError, match=r"^'X' is a .*, from which no rows can be read"):
        as_row_source("X", wrong)


def test_files_that_hold_no_rows_are_refused(tmp_path, rows):
    np.savez(tmp_path / "several.npz", a=rows)
    np.save(tmp_path / "objects.npy", np.array([{}, {}]))
    np.save(tmp_path / "rows.npy", rows)
    np.save(tmp_path / "wider.npy", np.zeros((5, 4)))
    with pytest.raises(ValueError, match=r"several\.npz holds no array with rows"):
        rows_on_disk(tmp_path / "several.npz")
    with pytest.raises(ValueError, match=r"objects\.npy is no \.npy file of plain numbers"):
        rows_on_disk(tmp_path / "objects.npy")
    with pytest.raises(ValueError, match=r"wider\.npy holds rows of shape \(4,\)"):
        rows_on_disk([tmp_path / "rows.npy", tmp_path / "wider.npy"])
    with pytest.raises(ValueError, match=r"^No file was given"):
        rows_on_disk([])


@pytest.mark.parametrize("asked", [np.array([0, 57]), np.array([-58]), np.array([0.5]), 3])
def test_rows_that_are_not_there_are_refused(asked, three_files):
    with pytest.raises(IndexError, match="ow"):
        three_files[asked]
