"""Rows that workers read by themselves: the shared file, a copy of their own, or none."""

import os

import numpy as np
import pytest

import pymc_sgld as psg

from pymc_sgld.checkpoints.cluster import rows_here
from pymc_sgld.checkpoints.cluster.chain_piece import Parcel, Refused, Work, run_piece
from pymc_sgld.checkpoints.cluster.rows_here import PagesHeld
from pymc_sgld.row_sources import RandomOrder, scratch
from pymc_sgld.row_sources.shuffle_on_disk import shuffled_file
from tests.checkpoints.streamed import hierarchy, written
from tests.cluster.executors import Serial, run_of

pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A step method on rows in a scratch folder, its draws, and its pieces."""
    folder = tmp_path_factory.mktemp("rows")
    model, data = hierarchy(), written(folder)
    rows = psg.row_model(model, data=data, progressbar=False, scratch=folder / "scratch")
    with model:
        step = psg.SGLD(rows=rows, batch_size=50, step_size=1e-4, steps_per_draw=30, verify=False)
    serial = Serial()
    chains = run_of(serial, step, model, 20).chains
    return step, data, folder, [arguments[-1] for _, arguments in serial.given], chains


@pytest.fixture
def moved(begun, tmp_path, monkeypatch):
    """Another machine: it has a scratch folder of its own, and not the one of the run."""
    monkeypatch.setattr(scratch, "_default_folder", lambda: tmp_path / "own")
    files = sorted((begun[2] / "scratch").glob("rows-*.npy"))
    hidden = [file.rename(file.with_suffix(".hidden")) for file in files]
    yield files
    for file, before in zip(files, hidden, strict=True):
        before.rename(file)


def packed_before(begun):
    return Parcel.of(Work(begun[0], 1, None))


@pytest.fixture(scope="module")
def parcel(begun):
    return packed_before(begun)


def drawn(made):
    return np.concatenate([made.block.values[name].ravel() for name in made.block.values])


def test_files_travel_as_paths(parcel, begun):
    assert len(parcel.content) < 2e6
    assert not run_piece(parcel._replace(token="shared"), begun[3][0]).where == ""


def test_a_worker_without_the_scratch_writes_its_own(begun, parcel, moved, tmp_path):
    made = run_piece(parcel._replace(token="own"), begun[3][0])
    chain = begun[4][0].blocks[0]
    for name, values in made.block.values.items():
        np.testing.assert_array_equal(values, chain.values[name])
    assert len(list((tmp_path / "own").glob("rows-*.npy"))) == len(moved)


def test_a_file_that_was_cut_short_is_not_read(begun, parcel, moved, tmp_path):
    for file in moved:
        file.write_bytes(b"short")
    made = run_piece(parcel._replace(token="cut"), begun[3][0])
    assert not isinstance(made, Refused)
    assert list((tmp_path / "own").glob("rows-*.npy"))


def test_a_worker_that_sees_neither_is_refused(begun, parcel, moved):
    sources = begun[1].values()
    for source in sources:
        source.rename(source.with_suffix(".hidden"))
    try:
        refused = run_piece(parcel._replace(token="neither"), begun[3][0])
    finally:
        for source in sources:
            source.with_suffix(".hidden").rename(source)
    assert "no copy could be made" in str(refused.error)
    assert "scratch='/shared/rows'" in str(refused.error)
    assert any("On the worker" in note for note in refused.error.__notes__)


def test_another_source_at_the_same_place_is_refused(begun, parcel, moved):
    source = begun[1]["column"]
    content = source.read_bytes()
    np.save(source, np.zeros(3000))
    try:
        refused = run_piece(parcel._replace(token="other"), begun[3][0])
    finally:
        source.write_bytes(content)
    assert "are not those of the run" in str(refused.error)


def mapped():
    """Return the bytes of files that count as memory of this process."""
    with open("/proc/self/status") as status:
        lines = dict(line.split(":", 1) for line in status)
    return int(lines["RssFile"].split()[0]) * 1024


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="needs /proc")
def test_pages_that_were_read_are_let_go(tmp_path, monkeypatch):
    """Dask ends a worker whose limit they fill, though the system could have them back."""
    order, size = RandomOrder.of(4_000_000, 8), 32e6
    file = shuffled_file(np.ones(4_000_000), order, tmp_path / "rows-1.npy")
    before, held = mapped(), PagesHeld([file])
    total = file[:].sum()
    assert mapped() - before > 0.9 * size
    held.let_go()
    assert mapped() - before > 0.9 * size  # of few rows nothing is worth it
    monkeypatch.setattr(rows_here, "_LARGE", 1)
    held.let_go()
    assert mapped() - before < 0.1 * size
    assert file[:].sum() == total == 4e6
