"""A number belongs to its step: chunks, resumption and chains cannot change it."""

from dataclasses import replace

import numpy as np
import pytest

from pymc_sgld.chain import random_streams
from pymc_sgld.chain.random_streams import RandomStreams, draw_key
from pymc_sgld.row_sources import Replacement
from tests.targets import logistic_model


def streams(key=(1, 2), totals=(50, 7), batches=(5, 7)):
    return RandomStreams(key, 3, 2, np.array(totals), np.array(batches))


@pytest.mark.parametrize(
    "pieces", [[9000], [1, 4095, 1, 4903], [4096, 4096, 808], [17] * 529 + [7]]
)
def test_numbers_do_not_depend_on_the_chunks(pieces):
    whole = streams().block(0, 9000)
    one, step, parts = streams(), 0, []
    for n in pieces:
        parts.append(one.block(step, n))
        step += n
    np.testing.assert_array_equal(np.concatenate([p.noise for p in parts]), whole.noise)
    np.testing.assert_array_equal(np.concatenate([p.starts for p in parts]), whole.starts)


def test_streams_are_standard_normal_and_uniform_and_unrelated():
    block = streams(totals=(50, 9), batches=(5, 5)).block(0, 200_000)
    noise = block.noise.reshape(200_000, -1)
    np.testing.assert_allclose(noise.mean(axis=0), 0, atol=5 / np.sqrt(2e5))
    np.testing.assert_allclose(np.cov(noise.T), np.eye(6), atol=5 * np.sqrt(2 / 2e5))
    counts = np.bincount(block.starts[:, 0], minlength=50)
    assert ((counts - 4000) ** 2 / 4000).sum() < 49 + 5 * np.sqrt(2 * 49)
    lag = np.corrcoef(block.starts[:-1, 0], block.starts[1:, 0])[0, 1]
    cross = np.corrcoef(block.starts[:, 0], block.starts[:, 1])[0, 1]
    assert max(abs(lag), abs(cross)) < 5 / np.sqrt(2e5)


def test_a_batch_of_all_rows_starts_at_the_first():
    assert (streams().block(0, 100).starts[:, 1] == 0).all()


def test_chains_have_different_numbers():
    keys = [draw_key(rng) for rng in np.random.default_rng(0).spawn(3)]
    first = [streams(key).block(0, 1).noise[0, 0, 0] for key in keys]
    assert len(set(first)) == 3


def test_permutations_are_permutations_and_differ():
    one = streams()
    orders = [one.order(number, group) for number in (0, 1) for group in (0, 1)]
    assert [sorted(order) for order in orders] == [list(range(n)) for n in (50, 7, 50, 7)]
    assert not np.array_equal(orders[0], orders[2])
    assert (one.shuffle_numbers(999), one.shuffle_numbers(1000)) == ((0, 0), (1, 1))
    assert (one.steps_until_copy(0), one.steps_until_copy(999)) == (1000, 1)


def test_an_order_serves_whole_trajectories():
    one = RandomStreams((1, 2), 3, 2, np.array([50]), np.array([5]), trajectory=7)
    assert one.steps_per_shuffle.tolist() == [1001]


def of_one_run(n_rows, scheme=None):
    """The streams of two chains of a run."""
    totals, known = (n_rows, 7), {} if scheme is None else {"scheme": scheme}
    made = [streams(key=key, totals=totals) for key in ((1, 2), (3, 4))]
    return [replace(one, run_key=(5, 6), **known) for one in made]


def test_chains_of_a_run_share_the_orders_of_many_rows_and_nothing_else():
    one, other = of_one_run(60_000)
    np.testing.assert_array_equal(one.order(2, 0), other.order(2, 0))
    of_another_run = replace(one, run_key=(7, 8))
    assert not np.array_equal(one.order(2, 0), of_another_run.order(2, 0))
    assert not np.array_equal(one.block(0, 50).starts[:, 0], other.block(0, 50).starts[:, 0])
    assert not np.array_equal(one.block(0, 50).noise, other.block(0, 50).noise)


@pytest.mark.parametrize(("n_rows", "scheme"), [(500, None), (60_000, Replacement())])
def test_chains_have_orders_of_their_own_where_those_make_the_batches(n_rows, scheme):
    """Else all of them would read the same batches; few rows are shuffled in no time."""
    one, other = of_one_run(n_rows, scheme)
    assert not np.array_equal(one.order(2, 0), other.order(2, 0))


def test_chains_of_a_run_share_one_shuffled_copy(make_step, monkeypatch):
    """Told by the arrays themselves: the second chain shuffles nothing."""
    monkeypatch.setattr(random_streams, "_WORTH_SHARING", 500)
    step = make_step("logistic", logistic_model(), step_size=1e-3, batch_size=20)
    copies = []
    for seed in (1, 2):
        step.setup_chain(np.random.default_rng(seed), 0, 5)
        step.step(logistic_model().initial_point())
        copies.append(step.chain.steps.leaves(0))
    assert all(a is b for a, b in zip(*copies, strict=True))
    assert step.chain.batches.batch_sizes < step.chain.batches.total_sizes
