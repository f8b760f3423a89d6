"""Hyperparameters moved with the effects following: identities in place of simulations."""

from dataclasses import replace
from functools import cache
from types import SimpleNamespace

import numpy as np
import pymc as pm
import pytest

from scipy import stats
from scipy.sparse import csr_array

from pymc_sgld.hierarchical_gibbs import conditional_curvature as curvature_module
from pymc_sgld.hierarchical_gibbs.conditional_curvature import conditional_curvature
from pymc_sgld.hierarchical_gibbs.interweaving import interweaving, least_share, slice_move
from pymc_sgld.hierarchical_gibbs.prior_model import compile_prior, hyperparameters_of
from pymc_sgld.hierarchical_gibbs.quadratic_rows import QuadraticRows, quadratic_rows
from pymc_sgld.model_graph import row_model

SEED = 20261127
N_LEVELS = 9
GROUP = np.repeat(np.arange(N_LEVELS), [1, 1, 2, 3, 30, 2, 1, 9, 1])
OUTCOME = np.random.default_rng(SEED).normal(size=len(GROUP))


def walk():
    step = pm.HalfNormal("step", 1)
    first = pm.Normal.dist(0, 1)
    x = pm.GaussianRandomWalk("x", mu=0, sigma=step, init_dist=first, shape=N_LEVELS)
    pm.Normal("y", x[GROUP], 1, observed=OUTCOME)


def heavy_tails():
    u = pm.StudentT("u", nu=4, mu=pm.Normal("mu"), sigma=pm.HalfNormal("tau", 1), shape=N_LEVELS)
    pm.Normal("y", u[GROUP] + pm.Normal("b") * OUTCOME[::-1], 1, observed=OUTCOME)


@cache
def read(build):
    """Return the entries of hyperparameters, the compiled prior, and sizes of variables."""
    with pm.Model() as model:
        build()
    rows = row_model(model)
    entries = rows.layout.entries(hyperparameters_of(rows))
    return entries, compile_prior(rows, "NUMBA"), rows.layout.sizes


def moves_of(build):
    """Return the moves of a model with errors of sd 1, and a position."""
    entries, prior, sizes = read(build)
    rng = np.random.default_rng(SEED)
    position = 0.3 * rng.normal(size=sum(sizes))
    moving = np.setdiff1d(np.arange(sum(sizes)), entries)
    design = np.zeros((len(GROUP), N_LEVELS))
    design[np.arange(len(GROUP)), GROUP] = 1
    if len(moving) > N_LEVELS:
        design = np.column_stack([design, OUTCOME[::-1]])
    curvature = conditional_curvature(prior, position, entries, design.T @ design, sizes, rng)
    slope = design.T @ (OUTCOME - design @ position[moving])
    return interweaving(prior, curvature, quadratic_rows(curvature, slope), sizes), position


@pytest.fixture(scope="module", params=[walk, heavy_tails], ids=["walk", "heavy tails"])
def moved(request):
    return moves_of(request.param)


def followed(moves, position, hyperparameters):
    """Return the position of the same whitened effects at other hyperparameters."""
    whitened = moves.coordinates(position).to_coordinates(position)
    there = np.array(position)
    there[moves.curvature.hyperparameters] = hyperparameters
    moving, at = moves.curvature.moving, moves.coordinates(there)
    there[moving] = at.to_position(whitened, *at.parameters())[moving]
    return there, at


def test_density_has_the_jacobian_of_the_effects_that_follow(moved):
    """By differences of the map itself; of any prior, for the law is right whatever L is."""
    moves, position = moved
    moving, entries = moves.curvature.moving, moves.curvature.hyperparameters
    elsewhere = position[entries] + np.linspace(0.7, 0.3, len(entries))
    there, at = followed(moves, position, elsewhere)
    columns = []
    for entry in moving:
        ends = []
        for sign in (1, -1):
            shaken = np.array(position)
            shaken[entry] += sign * 1e-4
            ends.append(followed(moves, shaken, elsewhere)[0][moving])
        columns.append((ends[0] - ends[1]) / 2e-4)
    jacobian = np.linalg.slogdet(np.array(columns))[1]

    def of_posterior(where):
        return float(moves.prior(where, np.zeros_like(where))[2]) + moves.rows.value(where)

    expected = of_posterior(there) - of_posterior(position) + jacobian
    found = moves.density(there, at) - moves.density(position, moves.coordinates(position))
    assert found == pytest.approx(expected, abs=1e-6)
    assert abs(jacobian) > 0.5


def test_a_step_of_a_walk_moves_by_its_own_posterior():
    """Effects that are Gaussian given it and the rows are integrated out in closed form.

    So whitened effects say nothing of the step: wherever they are, its density is the same.
    """
    moves, position = moves_of(walk)
    differences = np.diff(np.eye(N_LEVELS), axis=0)
    information = np.diag(np.bincount(GROUP).astype(float))
    slope = np.bincount(GROUP, OUTCOME)

    def exact(log_step):
        prior = differences.T @ differences * np.exp(-2 * log_step)
        prior[0, 0] += 1
        precision = prior + information
        value = slope @ np.linalg.solve(precision, slope) - np.linalg.slogdet(precision)[1]
        return value / 2 - (N_LEVELS - 1) * log_step - np.exp(2 * log_step) / 2 + log_step

    grid = np.linspace(-4, 1, 6)
    expected = np.array([exact(value) for value in grid])
    for scale in (0.0, 1.0, 3.0):
        begin = position + scale * np.random.default_rng(1).normal(size=len(position))
        found = np.array([moves.density(*followed(moves, begin, value)) for value in grid])
        np.testing.assert_allclose(found - found[0], expected - expected[0], atol=1e-8)


def test_slice_moves_leave_a_density_alone():
    """Exact draws of two humps, moved once: Kolmogorov and Smirnov's distance."""
    rng, n_draws = np.random.default_rng(3), 4000
    begin = np.where(rng.random(n_draws) < 0.3, -2.0, 1.0) + 0.6 * rng.normal(size=n_draws)

    def log_density(x):
        humps = 0.3 * stats.norm.pdf(x, -2, 0.6) + 0.7 * stats.norm.pdf(x, 1, 0.6)
        return float(np.log(humps))

    ends = np.array(
        [x + slice_move(lambda d, x=x: log_density(x + d), log_density(x), 2.0, rng) for x in begin]
    )

    def cumulative(x):
        return 0.3 * stats.norm.cdf(x, -2, 0.6) + 0.7 * stats.norm.cdf(x, 1, 0.6)

    assert stats.kstest(ends, cumulative).pvalue > 0.01
    assert (ends != begin).all() and np.corrcoef(begin, ends)[0, 1] < 0.75


def test_no_move_from_where_there_is_no_density():
    rng = np.random.default_rng(4)
    assert slice_move(lambda distance: 0.0, -np.inf, 1.0, rng) == 0
    assert slice_move(lambda distance: 0.0, np.nan, 1.0, rng) == 0
    assert slice_move(lambda distance: -np.inf, 0.0, 1.0, rng) == 0


def test_no_warning_where_the_prior_has_no_curvature(moved, recwarn):
    """Far out a scale is 0 or infinite: 0 / 0 is no number, and no word of it is said."""
    moves, position = moved
    wide = replace(moves, directions=500 * moves.directions)
    for seed in range(5):
        assert np.isfinite(wide.propose(position, np.random.default_rng(seed))).all()
    assert not [one for one in recwarn if issubclass(one.category, RuntimeWarning)]


def test_coordinates_of_a_walk_are_whole_where_it_is_long(monkeypatch):
    """Neighbours are tied: a scale for each level alone would not be its posterior's covariance."""
    monkeypatch.setattr(curvature_module, "_LARGEST_BORDER", N_LEVELS - 1)
    moves, position = moves_of(walk)
    metric, moving = moves.curvature.metric(position), moves.curvature.moving
    factor = metric.matrix()[moving][:, moving]
    units = np.eye(len(position))[moving]
    of_prior = np.array([moves.prior(position, unit)[1][moving] for unit in units])
    precision = of_prior + np.diag(np.bincount(GROUP))
    np.testing.assert_allclose(factor @ factor.T @ precision, np.eye(N_LEVELS), atol=1e-9)


def test_share_of_a_variance_that_is_left_given_the_effects():
    """Of two hyperparameters with a constant curvature given the effects: by the eigenvalues."""
    rng = np.random.default_rng(5)
    precision = np.array([[4.0, 1.0], [1.0, 9.0]])

    def prior(position, direction):
        curved = np.zeros(4)
        curved[:2] = precision @ direction[:2]
        return None, curved, 0.0

    draws = rng.normal(size=(50, 4)) * [3.0, 0.5, 1.0, 1.0]
    covariance = np.cov(draws[:, :2], rowvar=False)
    inside = np.linalg.eigvals(np.linalg.inv(precision) @ np.linalg.inv(covariance)).min()
    found = least_share(prior, np.array([0, 1]), draws)
    assert found == pytest.approx(inside, rel=1e-9)


def test_the_quadratic_that_stands_for_the_rows():
    """With an information that goes with one of what moves, dense or sparse."""
    rng = np.random.default_rng(6)
    root = rng.normal(size=(3, 3))
    information, change = root @ root.T, np.diag([2.0, 0.0, 1.0])
    moving, centre, score = np.array([0, 2, 3]), *rng.normal(size=(2, 3))
    position = rng.normal(size=4)
    apart = position[moving] - centre
    expected = score @ apart - apart @ (information + apart[1] * change) @ apart / 2
    for kind in (np.asarray, csr_array):
        rows = QuadraticRows(centre, score, moving, kind(information), ((1, kind(change)),))
        assert rows.value(position) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("sizes", "expected"), [((1, 12, 2), [0, 13, 14]), ((12, 3), [])])
def test_hyperparameters_of_the_smallest_variables_are_moved(sizes, expected):
    """As long as they are few: of a dozen no move along a line gets far."""
    n_dim = sum(sizes)
    entries = np.arange(n_dim) if expected else np.arange(12)
    curvature = SimpleNamespace(hyperparameters=entries)
    moves = interweaving(None, curvature, None, sizes)
    assert (list(moves.entries) if moves else []) == expected


@pytest.mark.parametrize(
    ("sizes", "n_moved"), [((2, 8, 5), 10), ((2, 9, 5), 2), ((10, 5), 10), ((11, 5), 0)]
)
def test_ten_hyperparameters_at_most_are_moved_those_of_the_smallest_variables(sizes, n_moved):
    """Of the last variable the rows say something; the others are hyperparameters."""
    curvature = SimpleNamespace(hyperparameters=np.arange(sum(sizes[:-1])))
    moves = interweaving(None, curvature, None, sizes)
    entries = [] if moves is None else list(moves.entries)
    assert entries == list(range(n_moved))
