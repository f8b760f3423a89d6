"""Every batch a chain can see, enumerated: mean and variance of the gradient, to 1e-10."""

import itertools

import numpy as np
import pymc as pm
import pytest

import pymc_sgld as psg

from pymc_sgld.chain.backends import sampling_mode
from pymc_sgld.chain.block_gradients import CentreTables, layouts_of
from pymc_sgld.chain.step_graph import loop_constants
from pymc_sgld.model_graph import with_row_weights
from pymc_sgld.row_sources import Weighted
from pymc_sgld.tuning import LocalGaussian, centre_parameters, control_variate_noise, local_gaussian
from pymc_sgld.tuning.remaining_noise import _covariance
from pymc_sgld.types import Randomness
from tests.targets import gaussian_mean, logistic_model


@pytest.mark.parametrize("batch_size", [1, 3, 7])
def test_windows_of_one_permutation_are_unbiased(make_step, batch_size):
    """The average over all window starts is the full gradient, for any permutation."""
    step = make_step(
        "logistic-small", logistic_model(n_rows=11), step_size=0.1, batch_size=batch_size
    )
    chain = step.chain
    position = np.random.default_rng(0).normal(size=chain.n_dim)
    leaves = chain.batches.arrays(
        batch_size, lambda group: np.random.default_rng(3).permutation(11)
    )
    gradients = [
        chain.block_function.on_blocks(
            position,
            [leaf[start : start + batch_size] for leaf in leaves],
            prior_weight=1,
            weights=[11 / batch_size],
        )[1]
        for start in range(11)
    ]
    full = chain.block_function.full(position)[1]
    np.testing.assert_allclose(np.mean(gradients, axis=0), full, rtol=1e-10, atol=1e-10)


def test_variance_of_batches_without_replacement(make_step):
    """Over all subsets, the covariance of the batch gradient is the one tuning works with."""
    target = gaussian_mean(n_rows=6)
    step = make_step("gaussian-6", target.model(), step_size=0.1, batch_size=2)
    chain = step.chain
    position = np.array([0.3, -1.0])
    gradients = [
        chain.block_function.batch(position, [np.array(rows)])[1]
        for rows in itertools.combinations(range(6), 2)
    ]
    picture = local_gaussian(chain.block_function, position, np.random.default_rng(0))
    expected = picture.gradient_noise(np.array([6]), np.array([2]))
    np.testing.assert_allclose(np.cov(np.transpose(gradients), bias=True), expected, rtol=1e-10)
    full = chain.block_function.full(position)[1]
    np.testing.assert_allclose(np.mean(gradients, axis=0), full, rtol=1e-10)


def test_a_batch_of_all_rows_has_no_noise(make_step):
    target = gaussian_mean(n_rows=6)
    step = make_step("gaussian-6", target.model(), step_size=0.1, batch_size=2)
    picture = local_gaussian(step.chain.block_function, np.zeros(2), np.random.default_rng(0))
    assert (picture.gradient_noise(np.array([6]), np.array([6])) == 0).all()


def test_control_variates_are_unbiased_and_exact_at_their_centre(make_step):
    """Over all batches: mean the full gradient, at any centre; at the centre every one is it."""
    model = logistic_model(n_rows=11)
    step = make_step("logistic-small", model, sampler="sgld_cv", step_size=0.1, batch_size=3)
    chain = step.chain
    chain.restart((1, 2), 1, 1)
    rng = np.random.default_rng(0)
    centre, position = rng.normal(size=(2, chain.n_dim))
    chain.state.estimator_parameters = centre_parameters(chain.block_function, centre)
    starts = layouts_of(chain.batches)[0].block_start(np.arange(11))  # each as likely
    assert len(set(starts)) == 7  # two blocks apart, and five windows of a ring of five rows
    for at, spread in ((position, True), (centre, False)):
        gradients = np.array([one_gradient(chain, at, start) for start in starts])
        full = chain.block_function.full(at)[1]
        np.testing.assert_allclose(gradients.mean(axis=0), full, rtol=1e-8, atol=1e-8)
        of_two = [by_two_gradients(chain, at, centre, start) for start in starts]
        np.testing.assert_allclose(gradients, of_two, rtol=1e-8, atol=1e-8)
        assert (gradients.std(axis=0) > 1e-3).all() == spread


def rows_in_order(chain):
    return chain.batches.arrays("cv", lambda group: np.random.default_rng(3).permutation(11))


def by_two_gradients(chain, position, centre, start):
    """The estimate with the batch read at both points."""
    function = chain.block_function
    blocks = [leaf[start : start + 3] for leaf in rows_in_order(chain)]
    here, there = (
        function.on_blocks(at, blocks, prior_weight=weight, weights=[11 / 3])[1]
        for at, weight in ((position, 1.0), (centre, 0.0))
    )
    return here - there + chain.state.estimator_parameters[1]


@pytest.mark.parametrize(("batch_size", "n_blocks"), [(1, 11), (3, 7), (4, 8), (10, 11)])
def test_tables_of_the_centre_are_exact(make_step, batch_size, n_blocks):
    """Every block, to 1e-13; drawn as they are, their mean is the gradient of all rows."""
    model = logistic_model(n_rows=11)
    step = make_step(
        "logistic-small", model, sampler="sgld_cv", step_size=0.1, batch_size=batch_size
    )
    chain, leaves = step.chain, rows_in_order(step.chain)
    centre, [layout] = np.random.default_rng(1).normal(size=chain.n_dim), layouts_of(chain.batches)
    starts = layout.block_start(np.arange(11))
    tables = CentreTables()
    rows = chain.block_function, chain.batches, lambda: leaves
    found = tables.at(starts[:, None], "order", centre, *rows)
    weights = [11 / batch_size]
    expected = [
        chain.block_function.on_blocks(
            centre, [leaf[s : s + batch_size] for leaf in leaves], prior_weight=0.0, weights=weights
        )[1]
        for s in starts
    ]
    assert len(set(starts)) == n_blocks
    np.testing.assert_allclose(found, expected, rtol=1e-13, atol=1e-13)
    rows_at_centre = centre_parameters(chain.block_function, centre)[1]
    np.testing.assert_allclose(found.mean(axis=0), rows_at_centre, rtol=1e-12, atol=1e-12)
    # what is kept is made anew for another order and for another centre, and for nothing else
    again = tables.at(starts[:, None], "order", centre.copy(), *rows[:2], lambda: 1 / 0)
    np.testing.assert_array_equal(again, found)
    other = tables.at(starts[:, None], "order", centre + 1, *rows)
    reversed_rows = [leaf[::-1] for leaf in leaves]
    turned = tables.at(starts[:, None], "turned", centre + 1, *rows[:2], lambda: reversed_rows)
    assert not np.allclose(other, found) and not np.allclose(turned, other)


def test_groups_of_rows_have_tables_of_their_own(make_step):
    """Two groups of 7 and 5 rows, batches of 3 and 2: the sum of both, and their mean is exact."""
    rng = np.random.default_rng(2)
    with pm.Model() as model:
        slope = pm.Normal("slope", 0, 1)
        for name, size in (("a", 7), ("b", 5)):
            x = rng.normal(size=size)
            pm.Bernoulli(name, logit_p=slope * x, observed=(x > rng.normal(size=size)).astype(int))
    step = make_step("two-groups", model, sampler="sgld_cv", step_size=0.1, batch_size=3)
    chain, centre = step.chain, np.array([0.4])
    leaves = chain.batches.arrays("groups", lambda group: np.arange([7, 5][group]))
    columns = [layout.block_start(np.arange(layout.total)) for layout in layouts_of(chain.batches)]
    starts = np.array(list(itertools.product(*columns)))
    found = CentreTables().at(
        starts, 0, centre, chain.block_function, chain.batches, lambda: leaves
    )
    rows_at_centre = centre_parameters(chain.block_function, centre)[1]
    np.testing.assert_allclose(found.mean(axis=0), rows_at_centre, rtol=1e-12)
    assert found.std() > 0.1


def test_a_step_reads_one_gradient_and_a_pass_for_each_order(make_step):
    """Of rows that come alike; in sweeps, no block comes twice, and the batch is read twice."""
    model = logistic_model(n_rows=11)
    size = {"sampler": "sgld_cv", "step_size": 0.1, "batch_size": 3}
    steps = make_step("logistic-small", model, **size).chain.steps
    assert steps.passes_per_step == pytest.approx(3 / 11 + 1 / 400)
    twice = make_step("logistic-small", model, batches="epochs", **size).chain.steps
    assert twice.passes_per_step == pytest.approx(6 / 11)
    assert not twice.settings.kernel.estimator.tabled


def one_gradient(chain, position, start):
    """The estimate that the compiled loop uses: a step without noise moves by h times it."""
    h = 1e-3
    leaves, starts = rows_in_order(chain), np.array([[start]])
    centre, rows = chain.state.estimator_parameters[0], (chain.block_function, chain.batches)
    entries = CentreTables().at(starts, "cv", centre, *rows, lambda: leaves)
    constants = loop_constants(
        batch_sizes=chain.batches.batch_sizes,
        scales=np.array([11 / 3]),
        gradient_noise=None,
        estimator_parameters=chain.state.estimator_parameters,
        metric_parameters=(),
        leaves=leaves,
    )
    quiet = Randomness(starts, np.zeros((1, 1, chain.n_dim)))
    one, state = np.ones(1), {"position": position}
    moved = chain.loop.run(state, quiet, h * one, one, constants, entries)["position"]
    return (moved - position) / h


def test_noise_left_by_control_variates_is_what_tuning_measures(make_step):
    """At points of the posterior: average covariance over windows against the measured one."""
    model = logistic_model(n_rows=200)
    step = make_step("logistic-200", model, sampler="sgld_cv", step_size=0.1, batch_size=20)
    chain = step.chain
    function, rng = chain.block_function, np.random.default_rng(0)
    centre, covariance = np.zeros(chain.n_dim), 0.1 * np.eye(chain.n_dim)
    measured = control_variate_noise(function, centre, covariance, rng).row_noise
    everything = np.arange(200)
    exact = np.zeros((chain.n_dim, chain.n_dim))
    at_centre = function.row_gradients(centre, 0, everything)
    for _ in range(300):
        point = centre + np.sqrt(0.1) * rng.normal(size=chain.n_dim)
        left = function.row_gradients(point, 0, everything) - at_centre
        exact += np.cov(left.T, bias=True) / 300
    assert np.trace(measured[0]) == pytest.approx(np.trace(exact), rel=0.25)
    assert np.trace(exact) < 0.2 * np.trace(np.cov(at_centre.T, bias=True))


@pytest.fixture(scope="module")
def rare_column():
    """One row in 200 has a column of its own: uniform samples of rows mostly miss it."""
    rng = np.random.default_rng(4)
    X = rng.normal(size=(600, 2))
    X[:, 1] = 0.0
    X[rng.choice(600, 3, replace=False), 1] = 6.0
    y = rng.random(600) < 1 / (1 + np.exp(-X[:, 0] - 0.2 * X[:, 1]))
    with pm.Model() as model:
        beta = pm.Normal("beta", 0, 1, shape=2)
        pm.Bernoulli("y", logit_p=(X * beta).sum(axis=1), observed=y.astype(int))
    function = with_row_weights(psg.row_model(model)).block_function(sampling_mode())
    centre, covariance = np.array([1.0, 0.2]), np.diag([0.003, 0.05])
    points = centre + np.sqrt(np.diag(covariance)) * rng.normal(size=(200, 2))
    everything = np.arange(600)
    at_centre = function.row_gradients(centre, 0, everything)
    left = [function.row_gradients(point, 0, everything) - at_centre for point in points]
    return function, centre, covariance, left


def test_noise_of_rare_rows_is_found(rare_column):
    function, centre, covariance, left = rare_column
    measured = [
        control_variate_noise(function, centre, covariance, np.random.default_rng(seed))
        for seed in range(3)
    ]
    exact = np.mean([one[:, 1].var() for one in left])
    np.testing.assert_allclose([one.row_noise[0, 1, 1] for one in measured], exact, rtol=0.5)


def test_noise_of_rows_that_come_more_often(rare_column):
    """The law is N^2 / n times E[w^2 l l'] - E[w l] E[w l]', much below that of rows alike."""
    function, centre, covariance, left = rare_column
    ratios = []
    for seed in range(3):
        rng = np.random.default_rng(seed)
        uneven = control_variate_noise(function, centre, covariance, rng).uneven
        p = uneven.probabilities
        assert p.sum() == pytest.approx(1) and p.min() >= 0.1 / 600
        again = control_variate_noise(function, centre, covariance, rng, p).row_noise
        exact = np.mean(
            [(one.T / p / 600**2) @ one - np.outer(*[one.mean(axis=0)] * 2) for one in left],
            axis=0,
        )
        ratios += [np.diag(one[0]) / np.diag(exact) for one in (uneven.row_noise, again)]
    np.testing.assert_allclose(np.mean(ratios, axis=0), 1, atol=0.25)
    assert exact[1, 1] < 0.1 * np.mean([one[:, 1].var() for one in left])


def test_weighted_batches_enumerated(rare_column):
    """Pairs of 6 rows, each drawn with its probability: mean and variance of the estimate."""
    function, centre, *_ = rare_column
    rows = np.arange(594, 600)
    p = np.array([0.05, 0.1, 0.3, 0.25, 0.1, 0.2])
    scheme = Weighted(p)
    blocks = [array[rows] for array in function.arrays[:-1]] + [scheme.weights]

    def estimate(pair):
        pieces = [block[list(pair)] for block in blocks]
        return function.on_blocks(centre, pieces, prior_weight=0.0, weights=[6 / 2])[1]

    scores = function.row_gradients(centre, 0, rows)
    mean = variance = 0.0
    for pair in itertools.product(range(6), repeat=2):
        off = estimate(pair) - scores.sum(axis=0)
        mean = mean + p[list(pair)].prod() * off
        variance = variance + p[list(pair)].prod() * np.outer(off, off)
    np.testing.assert_allclose(mean, 0, atol=1e-10)
    of_row = (scores.T / p / 36) @ scores - np.outer(*[scores.mean(axis=0)] * 2)
    picture = LocalGaussian(np.eye(2), of_row[None], 0.0)
    expected = picture.gradient_noise(np.array([6]), np.array([2]), with_replacement=True)
    np.testing.assert_allclose(variance, expected, rtol=1e-10, atol=1e-12)


def test_noise_from_weighted_samples_is_unbiased():
    """Over all 64 samples of 3 of 4 rows: E[w l l'] of the batches, less the square of the mean."""
    rng = np.random.default_rng(0)
    scores, p, q = 1 + rng.normal(size=(4, 2)), *rng.dirichlet(np.full(4, 3.0), size=2)
    mean = 0.0
    for sample in itertools.product(range(4), repeat=3):
        rows = list(sample)
        found = _covariance(scores[rows], 1 / (4 * p[rows]), 1 / (4 * q[rows]))
        mean = mean + p[rows].prod() * found
    of_mean = scores.mean(axis=0)
    expected = (scores.T / (16 * q)) @ scores - np.outer(of_mean, of_mean)
    np.testing.assert_allclose(mean, expected, rtol=1e-12)


def test_rows_come_in_proportion_to_their_part():
    """With one column the part of a row is its square, at every point: a tenth is uniform."""
    x = np.append(0.1 + np.random.default_rng(0).random(199), 20.0)
    with pm.Model() as model:
        pm.Normal("y", pm.Normal("slope") * x, 1, observed=x)
    function = psg.row_model(model).block_function("FAST_COMPILE")
    found = control_variate_noise(
        function, np.array([0.7]), np.array([[0.04]]), np.random.default_rng(0)
    )
    expected = 0.1 / 200 + 0.9 * x**2 / (x**2).sum()
    np.testing.assert_allclose(found.uneven.probabilities, expected, rtol=1e-9)
