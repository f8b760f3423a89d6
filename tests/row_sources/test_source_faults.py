"""Sources that fail while they are read: said with the row, and nothing is left behind."""

import errno
import os
import shutil

import numpy as np
import pytest

from pymc_sgld.row_sources import RandomOrder, RowSourceError, Scratch, as_row_source
from pymc_sgld.row_sources.shuffle_on_disk import shuffled_file

N = 100
ROWS = np.arange(2.0 * N).reshape(N, 2)


class Failing:
    """A source of four blocks, of which the third time it is read something is wrong."""

    n_rows = N

    def __init__(self, fault):
        self.fault, self.reads = fault, 0

    def __iter__(self):
        self.reads += 1
        for number, block in enumerate(np.split(ROWS, 4)):
            wrong = self.reads > 1 and number == 2
            yield from self.fault(block) if wrong else [block]


def raises(block):
    yield block[:5]
    raise OSError("the cable is out")


FAULTS = {
    "raises": (
        raises,
        r"'X' could not be read from row 55 of 100 on \(OSError: the cable is out\)",
    ),
    "shrinks": (lambda block: [block[:-1]], r"'X' was said to have 100 rows, but gave 99"),
    "grows": (lambda block: [block, block], r"'X' was said to have 100 rows, but gave more"),
    "type": (lambda b: [b.astype("float32")], r"'X' gave rows .* type float32 from row 50 on"),
    "shape": (lambda b: [b[:, :1]], r"'X' gave rows of shape \(1,\) .* from row 50 on"),
    "scalar": (lambda b: [np.float64(3)], r"'X' gave rows"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_source_that_changes_is_caught_and_leaves_no_file(fault, tmp_path):
    wrong, message = FAULTS[fault]
    source = as_row_source("X", Failing(wrong))
    with pytest.raises(RowSourceError, match=message):
        shuffled_file(source, RandomOrder(N, 16), tmp_path / "rows.npy")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault != "grows"])
def test_a_source_that_changes_is_caught_where_blocks_are_asked_for(fault):
    source = as_row_source("X", Failing(FAULTS[fault][0]))
    with pytest.raises(RowSourceError, match=r"'X'"):
        source[:N]
        source[:N]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_disk_that_is_full_is_said_and_leaves_no_file(code, tmp_path, monkeypatch):
    write, written = os.pwrite, []

    def until_full(file, block, at):
        written.append(len(block))
        if sum(written) > 2000:
            raise OSError(code, os.strerror(code))
        return write(file, block, at)

    monkeypatch.setattr(os, "pwrite", until_full)
    with pytest.raises(RowSourceError, match=r"No space is left in .* Give scratch="):
        shuffled_file(ROWS, RandomOrder(N, 16), tmp_path / "rows.npy")
    assert not list(tmp_path.iterdir())


def test_a_disk_that_is_too_small_is_said_before_anything_is_written(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    folder, order = Scratch.at(tmp_path), RandomOrder(N, 16)
    with pytest.raises(RowSourceError, match=r"take 3.31e-06 GB in .*, where 1e-06 GB are free"):
        folder.file_of(ROWS, order, folder.path_of(ROWS, order))
    assert not list(tmp_path.iterdir())


def test_writes_that_are_cut_short_are_continued(tmp_path, monkeypatch):
    write, read = os.pwrite, os.preadv
    monkeypatch.setattr(os, "pwrite", lambda file, block, at: write(file, block[:7], at))
    monkeypatch.setattr(os, "preadv", lambda file, into, at: read(file, [into[0][:11]], at))
    found = shuffled_file(ROWS, RandomOrder(N, 16), tmp_path / "rows.npy")
    np.testing.assert_array_equal(found[:], ROWS[RandomOrder(N, 16).rows()])


def test_a_file_of_rows_that_was_cut_short_is_not_taken(tmp_path):
    path = tmp_path / "rows.npy"
    shuffled_file(ROWS, RandomOrder(N, 16), path)
    for size in (path.stat().st_size - 1, 100, 0):
        os.truncate(path, size)
        with pytest.raises(RowSourceError, match=r"was changed or cut short. Delete it"):
            shuffled_file(ROWS, RandomOrder(N, 16), path)


def test_a_file_that_is_cut_short_while_it_is_read_is_no_crash(tmp_path):
    np.save(tmp_path / "X.npy", ROWS)
    source = as_row_source("X", tmp_path / "X.npy")
    source[:10]
    os.truncate(tmp_path / "X.npy", 1000)
    with pytest.raises(RowSourceError, match=r"X.npy was cut short while it was read: rows 50 to"):
        source[50:100]


def test_a_chunk_that_cannot_be_read_is_named(tmp_path):
    zarr = pytest.importorskip("zarr")
    zarr.create_array(tmp_path / "a.zarr", data=ROWS, chunks=(10, 2))
    source = as_row_source("X", tmp_path / "a.zarr")
    (tmp_path / "a.zarr" / "c" / "4" / "0").write_bytes(b"broken")
    with pytest.raises(RowSourceError, match=r"'X' could not be read from row 0 of 100 on"):
        list(source.blocks())
    with pytest.raises(RowSourceError, match=r"Rows 0 to 99 of 'X' could not be read"):
        source[45:50]


def test_a_row_group_that_cannot_be_read_is_named(tmp_path):
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "a.parquet"
    table = arrow.table({"x": np.random.default_rng(0).normal(size=4000)})
    parquet.write_table(table, path, row_group_size=1000)
    source = as_row_source("x", path)
    os.truncate(path, path.stat().st_size * 5 // 8)
    with pytest.raises(RowSourceError, match=r"'x' could not be read from row [12]000 of 4000 on"):
        list(source.blocks())


def test_a_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RowSourceError, match=r"cannot be made .*Give scratch="):
        Scratch.at(tmp_path / "file" / "scratch")


def test_rows_that_nothing_tells_from_others_are_not_taken_again(tmp_path):
    folder, order = Scratch.at(tmp_path), RandomOrder(N, 16)
    assert folder.path_of(ROWS, order) != folder.path_of(ROWS, order)
    np.save(tmp_path / "X.npy", ROWS)
    source = as_row_source("X", tmp_path / "X.npy")
    assert folder.path_of(source, order) == folder.path_of(source, order)
    assert folder.path_of(source, order) != folder.path_of(source, RandomOrder(N, 16, seed=1))


def test_a_user_without_a_name_has_a_folder(tmp_path, monkeypatch):
    def nameless():
        raise OSError("No username set in the environment")

    monkeypatch.setattr("getpass.getuser", nameless)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert Scratch.at().folder == tmp_path / f"pymc-sgld-rows-{os.getuid()}"
