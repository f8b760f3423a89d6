"""Rows in random order, in memory and on disk: every row once, and the same wherever it is made."""

import errno
import gc
import mmap

import numpy as np
import pytest

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pymc_sgld.row_sources import (
    RandomOrder,
    as_row_source,
    in_random_order,
    rows_in_file,
    shuffle_on_disk,
)
from pymc_sgld.row_sources.shuffle_on_disk import ShuffledFile, rows_again, shuffled_file
from tests.row_sources.test_any_source import TYPES, Blocks, numbers

ANY = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))


@ANY
@given(total=st.integers(1, 400), bucket=st.integers(1, 500), seed=st.integers(0, 5))
def test_an_order_is_a_permutation_made_in_any_pieces(total, bucket, seed):
    order = RandomOrder(total, bucket, seed)
    np.testing.assert_array_equal(np.sort(order.rows()), np.arange(total))
    cut = total // 3
    parts = [RandomOrder(total, bucket, seed).buckets(*at) for at in ((cut, total), (0, cut))]
    np.testing.assert_array_equal(np.concatenate(parts[::-1]), order.buckets(0, total))


def test_draws_of_buckets_continue_over_their_ends(monkeypatch):
    monkeypatch.setattr("pymc_sgld.row_sources.random_order._ROWS_OF_A_DRAW", 10)
    order = RandomOrder(95, 7)
    np.testing.assert_array_equal(np.sort(order.rows()), np.arange(95))
    np.testing.assert_array_equal(order.buckets(0, 95)[37:64], order.buckets(37, 64))


def test_every_order_of_four_rows_is_as_likely():
    """All 24 within 5 sds of a 24th of 2400, for one bucket and for several."""
    for bucket in (4, 2, 1):
        orders = [tuple(RandomOrder(4, bucket, seed).rows()) for seed in range(2400)]
        counts = np.unique(orders, axis=0, return_counts=True)[1]
        assert len(counts) == 24
        assert np.abs(counts - 100).max() < 5 * np.sqrt(100)


@ANY
@given(data=st.data())
def test_a_file_holds_every_row_once_in_the_order_in_memory(data, tmp_path_factory):
    total = data.draw(st.integers(1, 300))
    width = data.draw(st.sampled_from([None, 1, 3]))
    rows = numbers(total, width, data.draw(st.sampled_from(TYPES)))
    cuts = data.draw(st.lists(st.integers(0, total), max_size=8))
    order = RandomOrder(total, data.draw(st.integers(1, 400)))
    before = rows.copy()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows_in_file, "_BYTES_AT_ONCE", data.draw(st.integers(1, 5000)))
        patch.setattr(shuffle_on_disk, "_FEWEST_AGAIN", data.draw(st.integers(0, 300)))
        path = tmp_path_factory.mktemp("rows") / "rows.npy"
        source = as_row_source("X", Blocks(rows, cuts))
        on_disk, in_memory = shuffled_file(source, order, path), in_random_order(rows, order)
        again = rows_again(total)
    expected = rows[order.rows()]
    np.testing.assert_array_equal(on_disk[:], expected)
    np.testing.assert_array_equal(on_disk.windows(), np.concatenate([expected, expected[:again]]))
    np.testing.assert_array_equal(in_memory.windows(), on_disk.windows())
    assert on_disk.dtype == on_disk[:].dtype == rows.dtype
    assert [one.name for one in path.parent.iterdir()] == ["rows.npy"]
    np.testing.assert_array_equal(rows, before)


def test_every_row_is_in_as_many_windows_as_any_other(tmp_path):
    total, batch = 53, 9
    found = shuffled_file(np.arange(total), RandomOrder(total, 8), tmp_path / "rows.npy")
    array = found.of_windows(batch)
    seen = np.concatenate([array[start : start + batch] for start in range(total)])
    assert (np.bincount(seen, minlength=total) == batch).all()
    assert isinstance(found, ShuffledFile) and np.shares_memory(array, found[3:5])


def test_what_compiled_code_would_write_does_not_reach_the_file(tmp_path):
    found = shuffled_file(np.arange(100.0), RandomOrder(100, 32), tmp_path / "rows.npy")
    expected = found[:].copy()
    assert found[:].flags.writeable and found[:].flags.c_contiguous
    found[:][:] = -1
    again = shuffled_file(np.arange(100.0), RandomOrder(100, 32), tmp_path / "rows.npy")
    np.testing.assert_array_equal(again[:], expected)


def test_rows_are_mapped_where_private_maps_count_as_memory(tmp_path, monkeypatch):
    """As where a process may have less memory of its own than the file is long."""
    granted = mmap.mmap

    def refuses(file, length, **how):
        if how.get("prot", 0) & mmap.PROT_WRITE:
            raise OSError(errno.ENOMEM, "Cannot allocate memory")
        return granted(file, length, **how)

    rows = np.arange(300.0).reshape(100, 3)
    whole = shuffled_file(rows, RandomOrder(100, 32), tmp_path / "rows.npy").of_windows(10).copy()
    monkeypatch.setattr(shuffle_on_disk.mmap, "mmap", refuses)
    found = shuffled_file(rows, RandomOrder(100, 32), tmp_path / "rows.npy").of_windows(10)
    assert found.flags.writeable and found.flags.c_contiguous and found.dtype == whole.dtype
    gc.collect()  # the file it came from is gone: the array keeps the map
    np.testing.assert_array_equal(found, whole)


def test_the_order_does_not_depend_on_the_rows_but_on_their_widest_array():
    assert RandomOrder.of(10**7, 8) == RandomOrder.of(10**7, 8)
    wide = RandomOrder.of(10**7, 80_000)
    assert (
        wide.rows_of_bucket * 80_000 < 2**29 and wide.n_buckets > RandomOrder.of(10**7, 8).n_buckets
    )
