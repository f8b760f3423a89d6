"""Rows larger than memory: what is asked ahead is what is read, and draws do not depend on it."""

import numpy as np
import pytest

from pymc_sgld.row_sources import RandomOrder, ShuffledBefore, batches_of, read_ahead
from pymc_sgld.row_sources.schemes import EpochsShuffledBefore, SymmetricEpochsShuffledBefore
from pymc_sgld.row_sources.shuffle_on_disk import ShuffledFile, shuffled_file

N, BATCH, LENGTH = 5000, 5, 50


@pytest.fixture
def batches(tmp_path, monkeypatch):
    monkeypatch.setattr(read_ahead, "available_memory", lambda: 100.0)
    monkeypatch.setattr(read_ahead, "_BYTES_AHEAD", 40 * BATCH * 8)
    rows = shuffled_file(np.arange(float(N)), RandomOrder(N, 64), tmp_path / "rows.npy")
    return batches_of([rows], [0], [N], [BATCH], ShuffledBefore((True,)))


def starts_of(scheme, number):
    steps = number * LENGTH + np.arange(LENGTH)
    generator = np.random.default_rng(number)
    return scheme.starts(generator, steps, np.array([N]), np.array([BATCH]))


class Streams:
    """Windows of a chain, with the blocks that were asked for."""

    key, block_length = "chain", LENGTH

    def __init__(self, scheme, made):
        self.scheme, self.made = scheme, made

    def block_of_starts(self, number):
        self.made.append(number)
        return starts_of(self.scheme, number)


@pytest.mark.parametrize("pieces", [[1] * 300, [7, 30, 100, 3, 160], [300]])
def test_every_window_within_reach_is_asked_for_before_it_is_read(pieces, batches, monkeypatch):
    asked = np.zeros(2 * N, dtype=bool)

    def ask_for(self, row, count):
        asked[row : row + count] = True

    monkeypatch.setattr(ShuffledFile, "ask_for", ask_for)
    made = []
    streams = Streams(batches.scheme, made)
    step = 0
    for piece in pieces:
        batches.read_ahead.before(streams, step)
        for at in range(step, step + min(piece, 20)):  # half of what is asked for
            start = int(starts_of(batches.scheme, at // LENGTH)[at % LENGTH, 0])
            assert asked[start : start + BATCH].all()
        step += piece
    # as far as half of 40 steps are left, nothing is asked again
    assert len(made) <= 3 * (sum(pieces) // 20 + len(set(pieces)) + 2)


def test_nothing_is_asked_where_the_rows_fit(batches, monkeypatch):
    monkeypatch.setattr(read_ahead, "available_memory", lambda: 2.0 * N * 8)
    made = []
    batches.read_ahead.before(Streams(batches.scheme, made), 0)
    assert not made


@pytest.mark.parametrize(
    "group, limit",
    [
        ("0::/a/b.scope\n", "a/b.scope/memory.max"),
        ("0::/a/b.scope\n", "a/memory.max"),  # of the group it is in
        ("4:memory:/a\n0::/c\n", "memory/a/memory.limit_in_bytes"),
        ("", "memory.max"),
    ],
)
def test_memory_is_that_of_the_control_group(group, limit, tmp_path, monkeypatch):
    (tmp_path / limit).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / limit).write_text("12345\n")
    (tmp_path / "mine").write_text(group)
    monkeypatch.setattr(read_ahead, "_GROUPS", tmp_path)
    monkeypatch.setattr(read_ahead, "_GROUP", tmp_path / "mine")
    assert read_ahead.available_memory() == 12345
    (tmp_path / limit).write_text("max\n")
    assert read_ahead.available_memory() > 1e8


def test_the_pages_of_a_file_can_be_asked_for(batches):
    [[file]] = [group.sources for group in batches.groups]
    for row, count in ((0, 1), (N - 1, 3), (N, file.shape_with_more[0] - N)):
        file.ask_for(row, count)
    np.testing.assert_array_equal(np.sort(file[:]), np.arange(N))


def test_windows_of_a_region_are_disjoint_and_every_row_is_as_likely():
    """The sum over all windows of regions at all places: each row in as many as any other."""
    scheme = ShuffledBefore((True,))
    counts = np.zeros(N, dtype=int)
    for number in range(4000):
        starts = starts_of(scheme, number)[:, 0]
        rows = (starts[:, None] + np.arange(BATCH)) % N
        assert len(np.unique(rows)) == LENGTH * BATCH
        assert not np.array_equal(starts, np.sort(starts))
        counts[rows.ravel()] += 1
    # binomial: 4000 regions of 250 of 5000 rows, 200 a row; five sds
    assert np.abs(counts - 200).max() < 5 * np.sqrt(200 * 0.95)


def test_few_rows_and_tested_rules_have_windows_at_random_places():
    places = starts_of(ShuffledBefore((True,), by_regions=False), 3)[:, 0]
    assert np.ptp(places) > N / 2
    small = ShuffledBefore((True,)).starts(
        np.random.default_rng(0), np.arange(LENGTH), np.array([1000]), np.array([BATCH])
    )
    assert np.ptp(small) > 500


@pytest.mark.parametrize("kind", [EpochsShuffledBefore, SymmetricEpochsShuffledBefore])
def test_a_sweep_reads_regions_in_turn_and_every_row_at_most_once(kind, monkeypatch):
    monkeypatch.setattr("pymc_sgld.row_sources.schemes._WINDOWS_OF_REGION", 20)
    total, batch = 3003, 10
    starts = kind((True,)).starts_of_sweeps(np.random.default_rng(2), total, batch, 1)[0, :300]
    rows = (starts[:, None] + np.arange(batch)) % total
    assert len(np.unique(rows)) == 3000
    places = (starts - starts.min()) % total
    for first in range(0, 300, 20):
        part = np.sort((starts[first : first + 20] - starts[first]) % total)
        # neighbours on the ring: no gap but one
        assert (np.diff(part) != batch).sum() <= 1
    assert not np.array_equal(places, np.sort(places))
