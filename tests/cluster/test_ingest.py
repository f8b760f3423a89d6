"""Rows that workers write are those that one process writes, byte for byte."""

import numpy as np
import pytest

from pymc_sgld.checkpoints.cluster import ingest, rows_written_by
from pymc_sgld.row_sources import RandomOrder, rows_in_file, rows_on_disk
from pymc_sgld.row_sources.shuffle_on_disk import shuffled_file
from tests.cluster.executors import Losing, Serial, threads

N_ROWS = 20_000


@pytest.fixture
def source(tmp_path):
    np.save(tmp_path / "source.npy", np.arange(2 * N_ROWS, dtype="int32").reshape(N_ROWS, 2))
    return rows_on_disk(tmp_path / "source.npy")


@pytest.fixture(autouse=True)
def few_rows_are_worth_it(monkeypatch):
    monkeypatch.setattr(ingest, "_WORTH_PARTS", 1)
    monkeypatch.setattr(rows_in_file, "_ROWS_AT_ONCE", 700)


ORDER = RandomOrder(N_ROWS, 1000, seed=4)


@pytest.mark.parametrize("lost", [(), (3,), (9,), (20, 21)])
def test_the_file_is_that_of_one_process(source, lost, tmp_path, caplog):
    """Sixteen parts of each pass, of which some are lost: then one process does it."""
    shuffled_file(source, ORDER.afresh(), tmp_path / "one.npy")
    losing = Losing(Serial(), lambda number, _: number in lost)
    with rows_written_by(losing):
        file = shuffled_file(source, ORDER.afresh(), tmp_path / "other.npy")
    assert (tmp_path / "one.npy").read_bytes() == (tmp_path / "other.npy").read_bytes()
    np.testing.assert_array_equal(file[:], source[:][ORDER.rows()])
    assert losing.count == (32 if max(lost, default=99) > 16 else 16)
    assert ("which is done here" in caplog.text) == bool(lost)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "one.npy", "other.npy", "source.npy",
    ]  # fmt: skip


def test_threads_at_once(source, tmp_path):
    shuffled_file(source, ORDER.afresh(), tmp_path / "one.npy")
    with threads() as executor, rows_written_by(executor):
        shuffled_file(source, ORDER.afresh(), tmp_path / "other.npy")
    assert (tmp_path / "one.npy").read_bytes() == (tmp_path / "other.npy").read_bytes()


def test_a_part_may_be_run_again(source, tmp_path):
    """As Dask does where a worker is lost after its work."""
    serial = Serial()
    with rows_written_by(serial):
        shuffled_file(source, ORDER.afresh(), tmp_path / "other.npy")
    before = (tmp_path / "other.npy").read_bytes()

    class Twice(Serial):
        def submitted(self, number, function, *arguments):
            super().submitted(number, function, *arguments)
            return super().submitted(number, function, *arguments)

    with rows_written_by(Twice()):
        shuffled_file(source, ORDER.afresh(), tmp_path / "again.npy")
    assert (tmp_path / "again.npy").read_bytes() == before
