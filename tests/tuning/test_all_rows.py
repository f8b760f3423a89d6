"""Rows that matter much, however many there are, and modes of posteriors that have one."""

from types import SimpleNamespace

import numpy as np
import pymc as pm
import pytest

import pymc_sgld as psg

from pymc_sgld.chain.backends import sampling_mode
from pymc_sgld.samplers import Baoa
from pymc_sgld.tuning import (
    GaussianLaw,
    LinearLaw,
    LocalGaussian,
    control_variate_noise,
    find_laplace,
    remaining_noise,
    smallest_batch,
)
from pymc_sgld.tuning import row_sizes as row_sizes_module
from pymc_sgld.tuning.mode_search import on_the_way
from pymc_sgld.tuning.other_modes import path_dips
from pymc_sgld.tuning.proof import on_all_rows_proven, proven
from pymc_sgld.tuning.row_sample import RowSample
from pymc_sgld.tuning.row_sizes import (
    row_sizes,
    rows_looked_at,
    sizes_in_two_looks,
    unevenness,
)
from pymc_sgld.tuning.starts import jittered
from tests.random_log_concave import random_model


def block_function(model):
    return psg.row_model(model).block_function(sampling_mode())


@pytest.fixture(scope="module")
def rare():
    """Known errors, a level of 10 rows at the end of 30,000: design, function, covariance, mean."""
    rng = np.random.default_rng(0)
    design = np.column_stack([np.ones(30_000), rng.normal(size=30_000), np.zeros(30_000)])
    design[-10:, 2] = 1.0
    outcome = design @ [0.3, -0.2, 1.5] + rng.normal(size=30_000)
    with pm.Model() as model:
        beta = pm.Normal("beta", 0, 2, shape=3)
        pm.Normal("y", (design * beta).sum(axis=1), 1, observed=outcome)
    covariance = np.linalg.inv(design.T @ design + np.eye(3) / 4)
    return design, block_function(model), covariance, covariance @ design.T @ outcome


def test_sizes_of_rows_are_their_leverages_on_average(rare):
    design, function, covariance, mean = rare
    leverage = ((design @ covariance) * design).sum(axis=1)
    factor, rng = np.linalg.cholesky(covariance), np.random.default_rng(1)
    sizes = np.mean([row_sizes(function, mean, factor, 0, rng) for _ in range(60)], axis=0)
    assert sizes.sum() == pytest.approx(leverage.sum(), rel=0.15)
    np.testing.assert_allclose(sizes[-10:], leverage[-10:], rtol=0.5)


@pytest.mark.parametrize("n_dim, looks", [(20, 8), (100, 16), (900, 32)])
def test_more_parameters_take_more_looks(monkeypatch, n_dim, looks):
    """The least of the looks at a level is the smaller the more levels there are."""
    seen = []

    def sizes(function, centre, factor, group, generator, looks):
        seen.append(looks)
        return np.ones(5)

    monkeypatch.setattr(remaining_noise, "row_sizes", sizes)
    function, rng = SimpleNamespace(total_sizes=(5,)), np.random.default_rng(0)
    measure = remaining_noise._Measure(function, np.zeros(n_dim), np.eye(n_dim), 0, rng, None)
    np.testing.assert_allclose(measure.by_size(None, False), 0.2)
    np.testing.assert_allclose(measure.by_size(np.ones(5), False), 0.2)
    assert seen == [looks, looks // 2]


@pytest.fixture
def few_looked_at(monkeypatch):
    """As if there were more rows than are remembered one by one."""
    monkeypatch.setattr(row_sizes_module, "MOST_ROWS", 20_000)
    monkeypatch.setattr(row_sizes_module, "_SAMPLED_BEYOND", 5000)


def test_beyond_the_most_rows_a_sample_stands_for_them(rare, few_looked_at):
    _, function, covariance, mean = rare
    factor, rng = np.linalg.cholesky(covariance), np.random.default_rng(1)
    rows = rows_looked_at(30_000)
    assert 4000 < len(rows) < 5000 and (np.diff(rows) > 0).all()
    sizes, looks = sizes_in_two_looks(function, mean, factor, 0, rng)
    assert len(sizes) == len(rows) and looks in (5 * len(rows) / 30_000, 10 * len(rows) / 30_000)


def test_the_noise_of_a_sample_is_that_of_all_rows(rare, few_looked_at, monkeypatch):
    """Logistic: a normal's control variate leaves nothing. Within five standard errors."""
    design, outcome = rare[0][:, :2].copy(), np.random.default_rng(3).random(30_000) < 0.4
    design[5000:] *= 2  # those in front are no sample of all
    with pm.Model() as model:
        beta = pm.Normal("beta", 0, 2, shape=2)
        pm.Bernoulli("y", logit_p=(design * beta).sum(axis=1), observed=outcome.astype(int))
    function, rng = block_function(model), np.random.default_rng(4)
    covariance = np.linalg.inv(design.T @ design / 4) * 30
    sampled = control_variate_noise(function, np.zeros(2), covariance, rng)
    monkeypatch.setattr(row_sizes_module, "MOST_ROWS", 10**9)
    whole = control_variate_noise(function, np.zeros(2), covariance, rng)
    error = np.hypot(sampled.error, whole.error)
    ratio = np.trace(covariance @ sampled.row_noise[0]) / np.trace(covariance @ whole.row_noise[0])
    assert abs(ratio - 1) < 5 * error < 1
    assert sampled.uneven is None


def test_two_strata_of_many_rows_add_up_to_all(rare, few_looked_at):
    """The rows taken as themselves and the others, each with its factor, are all rows."""
    design, function, covariance, _ = rare
    rows = rows_looked_at(30_000)
    size = ((design[rows] @ covariance) * design[rows]).sum(axis=1)
    size[:40] = 1.0
    sample = RowSample(function, 1000, np.random.default_rng(5), [size])
    [(sure, one), (some, factor)] = sample.by_group[0]
    assert set(rows[:40]) <= set(sure) and one == 1.0 and not set(sure) & set(some)
    assert len(set(some)) == 1000 and len(sure) + factor * len(some) == pytest.approx(30_000)


def test_the_rows_that_matter_are_in_the_sample(rare):
    """The estimate of the Hessian is exact along the level; without sizes it is not seen."""
    design, function, covariance, mean = rare
    leverage = ((design @ covariance) * design).sum(axis=1)
    unit = np.array([0.0, 0.0, 1.0])

    def along(sample):
        return (sample.gradient(mean - unit) - sample.gradient(mean + unit))[2] / 2

    rng = np.random.default_rng(2)
    for _ in range(3):
        sample = RowSample(function, 1000, rng, [leverage])
        assert along(sample) == pytest.approx(10, rel=1e-6) and sample.share < 0.1
    assert any(along(RowSample(function, 1000, rng)) == 0 for _ in range(10))


def test_a_precision_is_mended_along_directions_where_it_is_wrong():
    rng = np.random.default_rng(3)
    one = rng.normal(size=(12, 12))
    right = one @ one.T + np.eye(12)
    factor = np.linalg.cholesky(np.linalg.inv(right))
    back = np.linalg.inv(factor)
    wrong = back.T @ np.diag([0.2, *np.ones(10), 3.0]) @ back
    proof = proven(wrong, lambda v: right @ v, rng)
    assert (proof.lowest, proof.highest) == (pytest.approx(1 / 3), pytest.approx(5.0))
    np.testing.assert_allclose(proof.precision, right, rtol=1e-6, atol=1e-6 * right.max())
    assert proven(right, lambda v: right @ v, rng).products == 1


@pytest.mark.parametrize("spread", [1.0, 30.0, 1000.0])
def test_no_step_leaps_over_the_mode_of_all_rows(spread):
    """Also where the precision is wrong in more directions than two rounds can mend."""
    rng = np.random.default_rng(9)
    one = rng.normal(size=(60, 60))
    right = one @ one.T / 60 + np.eye(60)
    back = np.linalg.inv(np.linalg.cholesky(np.linalg.inv(right)))
    off = spread ** rng.uniform(-1, 1, 60)
    proof = proven(back.T @ np.diag(off) @ back, lambda v: right @ v, rng)
    factor = np.linalg.cholesky(np.linalg.inv(proof.precision))
    largest = np.linalg.eigvalsh(factor.T @ right @ factor)[-1]
    assert (largest > 1.5) == (spread > 1)
    law = LinearLaw(Baoa(friction=np.inf))
    gaussian = GaussianLaw(law, np.eye(60), np.zeros((60, 60)), factor, stiffest=proof.stiffest)
    step_size = gaussian.threshold_step_size()
    assert 0.5 < step_size**2 * largest <= 2
    # and where the coordinates are not white, as with a metric of one scale for each parameter
    plain = GaussianLaw(law, np.diag([2.5, 1.0]), np.zeros((2, 2)), np.eye(2))
    assert plain.threshold_step_size() ** 2 * 2.5 == pytest.approx(2)


def test_a_rare_level_of_many_rows_is_found_and_its_rows_are_drawn(rare):
    _, function, covariance, mean = rare
    rng = np.random.default_rng(4)
    laplace = find_laplace(function, np.zeros(3), rng)
    sd = np.sqrt(np.diag(covariance))
    assert np.abs((laplace.position - mean) / sd).max() < 0.1 and laplace.data_passes < 100
    np.testing.assert_allclose(np.sqrt(np.diag(laplace.covariance)) / sd, 1, atol=0.05)
    left = remaining_noise.control_variate_noise(function, mean, covariance, rng)
    assert left.uneven is None or left.uneven.probabilities[-10:].min() > 10 / 30_000


def test_log_concave_paths_do_not_dip_and_those_between_modes_do():
    def two(at):
        return np.logaddexp(-8 * (at[0] - 1) ** 2, -8 * (at[0] + 1) ** 2)

    first, last = np.array([-1.0]), np.array([1.0])
    assert path_dips(two, first, last) and not path_dips(two, first, np.array([-0.9]))
    assert not path_dips(lambda at: -8 * (at[0] - 1) ** 2, first, last)


def test_starts_are_dispersed_by_the_units_of_the_columns():
    """A column in other units gives the same starts in these units."""
    rng = np.random.default_rng(7)
    column, outcome = rng.normal(size=400), rng.integers(0, 2, 400)

    def offset(unit):
        with pm.Model() as model:
            slope = pm.Normal("slope", 0, 10 / unit)
            pm.Bernoulli("y", logit_p=slope * (unit * column), observed=outcome)
        function = block_function(model)
        return jittered(function, np.zeros(1), np.random.default_rng(3))[0]

    np.testing.assert_allclose(offset(1e5) * 1e5, offset(1.0), rtol=1e-6)


def test_the_batch_is_chosen_for_the_upper_end_of_the_noise():
    plain = LocalGaussian(np.eye(1), np.full((1, 1, 1), 1e-6), 0.0)
    unsure = plain._replace(noise_error=0.1)
    sizes = [
        smallest_batch(LinearLaw(Baoa()), one, np.eye(1), [10_000], target_bias=0.05)
        for one in (plain, unsure, plain._replace(row_noise=1.2 * plain.row_noise))
    ]
    assert sizes[0] < sizes[1] == sizes[2]


def test_counts_far_out_in_a_column_do_not_overflow():
    """A column with a heavy tail and counts: the mode of a small sample is far from all rows'."""
    rng = np.random.default_rng(10)
    x = np.exp(1.2 * rng.normal(size=30_000))
    with pm.Model() as model:
        a, b = pm.Normal("a", 0, 20), pm.Normal("b", 0, 10)
        pm.Poisson(
            "y", pm.math.exp(a + b * x), observed=rng.poisson(np.exp(0.6 * np.minimum(x, 5)))
        )
    function = block_function(model)
    start, end = np.zeros(2), np.array([-1.0, 1.0])
    assert function.full(end)[0] < function.full(start)[0]
    found, passes = on_the_way(function, start, end)
    assert function.full(found)[0] >= function.full(start)[0] and 2 < passes < 12
    share = found[1] / end[1]
    assert 0 < share < 1 and found[0] == share * end[0]
    assert on_the_way(function, end, start)[1] == 2  # where the end is the better one it is taken
    laplace = find_laplace(function, start, rng)
    assert laplace.arrived and laplace.data_passes < 100


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in (1, 2))]
)
def test_raw_units_rare_levels_and_sorted_rows_have_one_mode(seed):
    """Logistic, Poisson and normal; of 200 such models in the statistical tests."""
    step = psg.Auto(model=random_model(seed), rng=seed, verify=False)
    assert step.choice.other_mode == 0 and step.choice.score_at_centre < 0.1
    rng = np.random.default_rng(seed)
    start = step.chain.tuner.start(np.zeros(11), 1.0, rng, jitters=True)
    assert start.mode_distance < 0.2


def test_rows_are_looked_at_again_only_where_they_are_unlike(rare):
    """A mean of L squares of normal numbers has a relative variance of 2 / L."""
    rng = np.random.default_rng(8)
    for looks in (2, 8):
        alike = rng.chisquare(looks, 200_000)
        assert unevenness(alike, looks) == pytest.approx(1, abs=0.02)
        some = alike * rng.choice([1.0, 9.0], 200_000, p=[0.9, 0.1])
        # (.9 + 8.1) / (.9 + .9)^2
        assert unevenness(some, looks) == pytest.approx(9 / 1.8**2, rel=0.05)
    _, function, covariance, mean = rare
    factor = np.linalg.cholesky(covariance)
    sizes, passes = sizes_in_two_looks(function, mean, factor, 0, rng)
    assert passes == 10 and sizes[-10:].min() > 20 * np.median(sizes)
    # without the level, whose direction has no width then
    factor = np.linalg.cholesky(covariance * np.outer([1, 1, 1e-9], [1, 1, 1e-9]))
    assert sizes_in_two_looks(function, mean, factor, 0, rng)[1] == 5


def test_errors_with_a_kink_are_measured_over_the_width_of_the_posterior():
    rng = np.random.default_rng(5)
    x = rng.normal(size=4000)
    outcome = 1 + 2 * x + rng.laplace(0, 1, 4000)
    with pm.Model() as model:
        a, b = pm.Normal("a", 0, 5), pm.Normal("b", 0, 5)
        pm.CustomDist(
            "y", a + b * x, logp=lambda v, mu: -pm.math.abs(v - mu) - np.log(2.0), observed=outcome
        )
    function = block_function(model)
    laplace = find_laplace(function, np.zeros(2), rng)
    assert laplace.gaussian.kinked and laplace.arrived
    np.testing.assert_allclose(np.sqrt(np.diag(laplace.covariance)) * np.sqrt(4000), 1, atol=0.15)
    # a row has a part in the noise where the kink lies between centre and draw: few have one
    left = remaining_noise.control_variate_noise(
        function, laplace.position, laplace.covariance, rng, kinked=True
    )
    assert left.uneven is not None
    assert np.trace(left.uneven.row_noise[0]) < np.trace(left.row_noise[0]) / 10
    far = np.abs(outcome - laplace.position @ [np.ones(4000), x]) > 1
    assert left.uneven.probabilities[far].max() < left.uneven.probabilities.max() / 10


def test_a_precision_is_tested_on_all_rows(rare):
    """Without knowing that the level's rows matter, and with a sample that has two of the ten."""
    _, function, covariance, mean = rare
    hessian = np.linalg.inv(covariance)
    hessian[2, 2] -= 8
    found, _, passes = on_all_rows_proven(
        function, mean, hessian, np.eye(3) / 4, np.random.default_rng(0)
    )
    assert passes > 0 and np.abs(found @ covariance - np.eye(3)).max() < 1e-3
