"""The ways to draw the rows of a batch, against their laws."""

import itertools

import numpy as np
import pytest

from pymc_sgld.chain import random_streams
from pymc_sgld.chain.random_streams import RandomStreams
from pymc_sgld.chain.step_graph import loop_constants
from pymc_sgld.row_sources import (
    BlockLayout,
    Epochs,
    Replacement,
    SymmetricEpochs,
    Weighted,
    batches_of,
    schemes,
)
from pymc_sgld.tuning import local_gaussian
from pymc_sgld.types import Randomness
from tests.targets import gaussian_mean


def rows_read(scheme, totals, batches, n_steps):
    """The rows of each group that each step of a chain reads."""
    streams = RandomStreams((1, 2), 3, 1, np.array(totals), np.array(batches), scheme)
    shuffled = batches_of(
        [np.arange(total) for total in totals], range(len(totals)), totals, batches, scheme
    )
    read = []
    for step in range(n_steps):
        numbers = streams.shuffle_numbers(step)
        arrays = shuffled.arrays("key", lambda g: streams.order(numbers[g], g), numbers)  # noqa: B023
        starts = streams.block(step, 1).starts[0]
        read.append([a[s : s + n] for a, s, n in zip(arrays, starts, batches, strict=True)])
    return read


@pytest.mark.parametrize("scheme", [Epochs(), SymmetricEpochs()], ids=lambda one: one.name)
def test_a_sweep_reads_every_row_once(scheme):
    """Groups of 12, 11 and 4 rows have sweeps of 4, 3 and 1 steps; the third is read whole."""
    read = rows_read(scheme, (12, 11, 4), (3, 3, 4), 48)
    again = 2 if scheme.name == "symmetric_epochs" else 1
    for group, (total, sweep) in enumerate(((12, 4), (11, 3), (4, 1))):
        sweeps = [
            [rows[group] for rows in read[first : first + sweep]] for first in range(0, 48, sweep)
        ]
        if again == 2 and group < 2:
            for forth, back in zip(sweeps[::2], sweeps[1::2], strict=True):
                np.testing.assert_array_equal(forth, back[::-1])
            sweeps = sweeps[::2]
        together = [np.concatenate(rows) for rows in sweeps]
        assert all(len(set(rows)) == len(rows) for rows in together)
        assert all(set(rows) <= set(range(total)) for rows in together)
        if group < 2:
            assert not np.array_equal(together[0], together[1])
        # where n does not divide N, other rows are left out each time
        assert set(np.concatenate(together)) == set(range(total))


def test_sweeps_do_not_depend_on_how_steps_are_asked_for(monkeypatch):
    """Two or five sweeps are drawn at once; blocks of 16 steps cut those of 7 and 3 batches."""
    monkeypatch.setattr(random_streams, "_STEPS_OF_SWEEPS", 15)
    sizes = np.array([29, 13]), np.array([4, 4])
    streams = [RandomStreams((5, 6), 2**17, 1, *sizes, Epochs()) for _ in range(2)]
    assert streams[0].block_length == 16
    at_once = streams[0].block(0, 60).starts
    backwards = [streams[1].block(step, 1).starts[0] for step in range(59, -1, -1)]
    np.testing.assert_array_equal(at_once, backwards[::-1])
    assert streams[0].steps_per_shuffle.tolist() == [700, 300]


def test_rows_of_a_sweep_are_in_all_pairs_alike():
    """Of one order, over many sweeps: each row is read alike often, at each place of a sweep."""
    generator, scheme = np.random.default_rng(0), Epochs()
    rows = scheme.extended(np.arange(7), 2)
    n_sweeps, counts = 30_000, np.zeros((3, 7))
    for sweep in scheme.starts_of_sweeps(generator, 7, 2, n_sweeps):
        for place, start in enumerate(sweep):
            counts[place, rows[start : start + 2]] += 1
    expected = n_sweeps * 2 / 7
    assert np.abs(counts - expected).max() < 5 * np.sqrt(expected)


def test_steps_of_replacement_read_rows_alike_and_apart(monkeypatch):
    """Each place of a batch has each row equally often, whatever the place beside it has."""
    read = np.array([rows[0] for rows in rows_read(Replacement(), (5,), (3,), 20_000)])
    assert read.shape == (20_000, 3)
    pairs = np.zeros((5, 5))
    np.add.at(pairs, (read[:, 0], read[:, 1]), 1)
    squares = ((pairs - 800) ** 2 / 800).sum()
    assert squares < 24 + 5 * np.sqrt(2 * 24)
    follow = np.corrcoef(read[:-1, 2], read[1:, 0])[0, 1]
    assert abs(follow) < 5 / np.sqrt(20_000)


def test_weighted_rows_come_with_their_probabilities(monkeypatch):
    """In every place of a batch, whatever the place beside it has."""
    monkeypatch.setattr(schemes, "_ROWS_PER_SHUFFLE", 1000)
    p = np.array([0.4, 0.05, 0.3, 0.15, 0.1])
    scheme = Weighted(p)
    np.testing.assert_allclose(scheme.weights * p, 1 / 5, rtol=1e-12)
    read = np.array([rows[0] for rows in rows_read(scheme, (5,), (3,), 20_000)])
    pairs = np.zeros((5, 5))
    np.add.at(pairs, (read[:, 0], read[:, 1]), 1)
    expected = 20_000 * np.outer(p, p)
    squares = ((pairs - expected) ** 2 / expected).sum()
    assert squares < 24 + 5 * np.sqrt(2 * 24)


def test_blocks_are_drawn_with_their_probabilities_and_rows_alike():
    """The mean over the integers that starts are made of is exact, for every N and n to 13."""
    for total in range(1, 14):
        for batch in range(1, total + 1):
            layout = BlockLayout(total, batch)
            starts = layout.block_start(np.arange(total))
            drawn = np.bincount(layout.number(np.arange(total)), minlength=layout.count)
            np.testing.assert_allclose(drawn / total, layout.probabilities, rtol=1e-12)
            np.testing.assert_array_equal(layout.number(starts), layout.number(np.arange(total)))
            scheme = schemes.FixedBlocks()
            rows = scheme.extended(np.arange(total), batch)
            seen = np.concatenate([rows[start : start + batch] for start in starts])
            assert len(seen) == total * batch and (np.bincount(seen) == batch).all()
            assert layout.count <= total // batch + 2 * batch


def test_replacement_over_all_tuples(make_step):
    """All N**n tuples: mean the full gradient, covariance the formula without its last factor."""
    target = gaussian_mean(n_rows=5)
    step = make_step("gaussian-5", target.model(), step_size=0.1, batch_size=3)
    function, position = step.chain.block_function, np.array([0.3, -1.0])
    gradients = [
        function.batch(position, [np.array(rows)])[1]
        for rows in itertools.product(range(5), repeat=3)
    ]
    np.testing.assert_allclose(
        np.mean(gradients, axis=0), function.full(position)[1], rtol=1e-10, atol=1e-10
    )
    picture = local_gaussian(function, position, np.random.default_rng(0))
    sizes = np.array([5]), np.array([3])
    formula = picture.gradient_noise(*sizes, with_replacement=True)
    np.testing.assert_allclose(np.cov(np.transpose(gradients), bias=True), formula, rtol=1e-10)
    without = picture.gradient_noise(*sizes)
    np.testing.assert_allclose(without, formula * 2 / 4, rtol=1e-12)
    assert (picture.gradient_noise(sizes[0], sizes[0], with_replacement=True) == 0).all()


def test_tuning_works_with_the_noise_of_the_scheme(make_step):
    """The picture of a chain: 5 rows in batches of 3, twice the noise with replacement."""
    target = gaussian_mean(n_rows=5)
    noise = {}
    for batches in ("independent", "epochs", "replacement"):
        step = make_step("gaussian-5", target.model(), step_size=0.1, batch_size=3, batches=batches)
        step.chain.restart((1, 2), 0, 1)
        step.chain.start(np.zeros(2))
        step.chain.measure(np.zeros(2))
        noise[batches] = step.chain.state.predicted_law.noise
    np.testing.assert_allclose(noise["replacement"], 2 * noise["independent"], rtol=1e-10)
    np.testing.assert_allclose(noise["epochs"], noise["independent"], rtol=1e-10)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
@pytest.mark.parametrize("batches", ["epochs", "symmetric_epochs"])
def test_exact_law_of_epochs(make_step, temperature, batches):
    """The compiled loop over all 720 orders of 6 rows in 3 batches, and the law that is predicted.

    At the end of a sweep of k steps with decay d the noise of the reshuffled order adds
    h^2 V (s2 - (s1^2 - s2) / (k - 1)), with s1 and s2 the sums of d^j and d^2j, j < k.
    """
    target = gaussian_mean(n_rows=6)
    h = 0.5 / target.precision
    step = make_step("gaussian-6", target.model(), step_size=h, batch_size=2, batches=batches)
    chain = step.chain
    starts = chain.batches.scheme.starts_of_sweeps(np.random.default_rng(0), 6, 2, 1).T
    k = len(starts)

    def sweep(position, noise, order):
        constants = loop_constants(
            batch_sizes=chain.batches.batch_sizes,
            scales=np.array([3.0]),
            gradient_noise=None,
            estimator_parameters=(),
            metric_parameters=(),
            leaves=[target.rows[chain.batches.scheme.extended(np.array(order), 2)]],
        )
        moved = chain.loop.run(
            {"position": position},
            Randomness(starts, noise),
            np.full(k, h),
            np.full(k, temperature),
            constants,
        )
        return moved["position"]

    orders = list(itertools.permutations(range(6)))
    quiet = np.zeros((k, 1, 2))
    shifts = np.array([sweep(np.zeros(2), quiet, order) for order in orders])
    b, orders = shifts.mean(axis=0), orders[:1]
    M = np.array([sweep(unit, quiet, orders[0]) - shifts[0] for unit in np.eye(2)]).T
    units = np.eye(k * 2).reshape(-1, k, 1, 2)
    B = np.array([sweep(np.zeros(2), unit, orders[0]) - shifts[0] for unit in units]).T
    source = np.cov(shifts.T, bias=True) + B @ B.T
    found = np.linalg.solve(np.eye(4) - np.kron(M, M), source.reshape(-1)).reshape(2, 2)
    np.testing.assert_allclose(np.linalg.solve(np.eye(2) - M, b), target.mean, rtol=1e-10)

    chain.restart((1, 2), 0, 1)
    chain.start(np.zeros(2))
    assert chain.plan.steps_per_draw % k == 0
    chain.measure(np.zeros(2))
    law = chain.state.predicted_law
    # the curvature is measured by differences
    predicted = law.stationary_covariance(h, temperature)
    np.testing.assert_allclose(found, predicted, rtol=1e-6, atol=1e-6 * found.max())

    scores = target.rows / target.noise_sd**2
    noise = 6**2 / 2 * 4 / 5 * np.cov(scores.T, bias=True)
    d = 1 - h * target.precision
    independent = (h**2 * noise + 2 * h * temperature * np.eye(2)) / (1 - d**2)
    assert (np.diag(found) < np.diag(independent)).all()
    if batches == "epochs":
        s1, s2 = (d ** np.arange(k)).sum(), (d ** (2 * np.arange(k))).sum()
        left = h**2 * noise * (s2 - (s1**2 - s2) / (k - 1))
        theory = (left + 2 * h * temperature * s2 * np.eye(2)) / (1 - d ** (2 * k))
        np.testing.assert_allclose(found, theory, rtol=1e-9)
