"""Batches of a shuffled copy: every row as often as every other, nothing lost or changed."""

import pickle

import numpy as np
import pytest

from pymc_sgld.row_sources import ShuffledRows, batches_of


@pytest.mark.parametrize(("total", "batch"), [(1, 1), (5, 1), (5, 4), (5, 5), (97, 10)])
def test_every_row_is_in_as_many_windows_as_any_other(total, batch):
    rows = np.arange(total)
    batches = ShuffledRows([rows], total, batch)
    [shuffled] = batches.arrays(0, lambda: np.random.default_rng(0).permutation(total))
    starts = [0] if batches.whole else range(total)
    seen = np.concatenate([shuffled[s : s + batch] for s in starts])
    assert len(seen) == batch * len(starts)
    assert (np.bincount(seen, minlength=total) == (1 if batches.whole else batch)).all()
    assert (rows == np.arange(total)).all()


def test_leaves_of_a_group_are_shuffled_alike_and_groups_apart():
    a, b, c = np.arange(10), np.arange(10) * 2.0, np.arange(4)
    batches = batches_of([a, c, b], [0, 1, 0], [10, 4], [3, 2])
    rng = np.random.default_rng(1)
    orders = {0: rng.permutation(10), 1: rng.permutation(4)}
    first, third, second = batches.arrays("k", orders.__getitem__)
    np.testing.assert_array_equal(second, 2 * first)
    np.testing.assert_array_equal(first[:10], orders[0])
    np.testing.assert_array_equal(third[:4], orders[1])


def test_a_pickle_leaves_the_copy_out():
    batches = ShuffledRows([np.arange(100_000)], 100_000, 10)
    batches.arrays("k", lambda: np.arange(100_000)[::-1])
    assert len(pickle.dumps(batches)) < 1.1 * 100_000 * 8
    restored = pickle.loads(pickle.dumps(batches))
    np.testing.assert_array_equal(restored.arrays("n", lambda: np.arange(100_000))[0][:5], range(5))
