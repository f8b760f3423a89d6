"""Splits of thousands of effects by sparse matrices, against closed forms and dense algebra."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import pymc as pm
import pytest
import scipy.optimize

from pytensor.compile.mode import Mode
from scipy.sparse import csr_array

from pymc_sgld.gradient_estimators import ESTIMATORS
from pymc_sgld.hierarchical_gibbs import sparse_curvature
from pymc_sgld.hierarchical_gibbs import sparse_prior as sparse_prior_module
from pymc_sgld.hierarchical_gibbs.hierarchy import Hierarchy
from pymc_sgld.hierarchical_gibbs.hyperparameter_step import hyperparameter_step
from pymc_sgld.hierarchical_gibbs.large_search import LargeHierarchySearch
from pymc_sgld.hierarchical_gibbs.marginal_mode import MarginalDensity
from pymc_sgld.hierarchical_gibbs.prior_model import compile_prior, hyperparameters_of
from pymc_sgld.hierarchical_gibbs.sparse_prior import sparse_prior
from pymc_sgld.hierarchical_gibbs.sparse_rows import SparseRows
from pymc_sgld.model_graph import gathered_rows, row_model
from pymc_sgld.samplers import RestartedLangevin
from pymc_sgld.tuning import TuningProblem
from pymc_sgld.tuning.sparse_hessian import coloured_sparse

SEED = 20261127


@dataclass(frozen=True)
class Crossed:
    """y_i ~ N(u[a_i] + v[b_i], 1), u_a ~ N(mu, tau_u), v_b ~ N(0, tau_v)."""

    n_first: int
    n_second: int
    n_rows: int

    @cached_property
    def data(self):
        rng = np.random.default_rng(SEED)
        first, second = (
            rng.permutation(np.arange(self.n_rows) % count)
            for count in (self.n_first, self.n_second)
        )
        outcome = 1 + 0.5 * rng.normal(size=self.n_first)[first]
        outcome += 0.8 * rng.normal(size=self.n_second)[second] + rng.normal(size=self.n_rows)
        return first, second, outcome

    def model(self, sigma=1.0):
        first, second, outcome = self.data
        with pm.Model() as model:
            mu = pm.Normal("mu", 0, 2)
            tau_u, tau_v = pm.HalfNormal("tau_u", 1), pm.HalfNormal("tau_v", 1)
            u = pm.Normal("u", mu, tau_u, shape=self.n_first)
            mean = u[first]
            if self.n_second > 1:
                mean = mean + pm.Normal("v", 0, tau_v, shape=self.n_second)[second]
            sigma = sigma or pm.HalfNormal("sigma", 2)
            pm.Normal("y", mean, sigma, observed=outcome)
        return model

    def log_density(self, mu, log_u, log_v):
        """Of the hyperparameters and the data, effects integrated out, and their means given it."""
        first, second, outcome = self.data
        n, rows = self.n_first, np.arange(self.n_rows)
        design = csr_array((np.ones(self.n_rows), (rows, first)), shape=(self.n_rows, n))
        precision = np.exp([-2 * log_u, -2 * log_v])
        # the first factor's precision given the second's effects is diagonal
        own = np.bincount(first, minlength=n) + precision[0]
        other = csr_array(
            (np.ones(self.n_rows), (rows, second)), shape=(self.n_rows, self.n_second)
        )
        left = outcome - mu
        cross = (design.T @ other).toarray()
        schur = np.diag(np.bincount(second, minlength=self.n_second) + precision[1])
        schur = schur - cross.T @ (cross / own[:, None])
        slope_u, slope_v = design.T @ left, other.T @ left
        v = np.linalg.solve(schur, slope_v - cross.T @ (slope_u / own))
        u = (slope_u - cross @ v) / own
        determinant = np.log(own).sum() + np.linalg.slogdet(schur)[1]
        determinant += 2 * n * log_u + 2 * self.n_second * log_v
        square = left @ left - slope_u @ u - slope_v @ v
        prior = -(mu**2) / 8 - np.exp(2 * log_u) / 2 - np.exp(2 * log_v) / 2 + log_u + log_v
        return prior - square / 2 - determinant / 2, mu + u, v


def searched(model):
    """Return what a search by sparse matrices comes to, and the hierarchy."""
    rows = row_model(model)
    function, names = rows.block_function("NUMBA"), hyperparameters_of(rows)
    start = rows.ravel(rows.model.initial_point())
    step = hyperparameter_step(rows, names, rows.layout.entries(names), rows.model.initial_point())
    hierarchy = Hierarchy(compile_prior(rows, "NUMBA"), step, rows.layout.sizes)
    generator = np.random.default_rng(0)
    kernel = RestartedLangevin(3), ESTIMATORS["full"], None, None
    problem = TuningProblem(
        function, None, *kernel, noise_compensation=False, chooses_step_size=True
    )
    entries = LargeHierarchySearch.prior_entries(hierarchy, start, generator)
    found = SparseRows.of(function, gathered_rows(rows, "NUMBA"))
    return LargeHierarchySearch(problem, hierarchy, found, entries, generator).find(
        start, 1.0
    ), hierarchy


@pytest.fixture(
    scope="module",
    params=[(30, 11, 300), pytest.param((5000, 400, 60_000), marks=pytest.mark.slow)],
    ids=["small", "5,400"],
)
def crossed(request):
    case = Crossed(*request.param)
    return case, *searched(case.model())


def test_marginal_density_of_hyperparameters_and_best_effects(crossed):
    case, tuned, hierarchy = crossed
    curvature = tuned.curvature
    slope = tuned.slope[curvature.moving]
    density = MarginalDensity(curvature, hierarchy.density, slope, np.arange(3))
    places = [[0.9, -0.8, -0.3], [1.1, -0.4, 0.2], [0.7, 0.1, -1.0]]
    found = [density.at(np.array(place)) for place in places]
    exact = [case.log_density(*place) for place in places]
    ours = np.array([value for value, _ in found])
    theirs = np.array([value for value, _, _ in exact])
    np.testing.assert_allclose(ours - ours[0], theirs - theirs[0], rtol=1e-8, atol=1e-8)
    for (_, position), (_, u, v) in zip(found, exact, strict=True):
        np.testing.assert_allclose(position[3:], np.concatenate([u, v]), atol=1e-8)


def test_mode_is_that_of_the_hyperparameters_alone(crossed):
    """The joint density has no mode: it grows without bound where a scale goes to zero."""
    case, tuned, _ = crossed
    mode = tuned.mode[:3]
    best = case.log_density(*mode)[0]
    spread = tuned.draws[:, :3].std(axis=0)
    for entry in range(3):
        for way in (-0.3, 0.3):
            moved = mode + way * spread * (np.arange(3) == entry)
            assert case.log_density(*moved)[0] < best + 0.01


def test_run_without_data_has_the_law_of_the_effects(crossed):
    """Given the hyperparameters: means and sds."""
    case, tuned, _ = crossed
    curvature, position = tuned.curvature, tuned.mode
    slope = np.array(curvature.prior(position, np.zeros_like(position))[0])
    apart = position - curvature.reference
    moving = curvature.moving
    slope[moving] += tuned.slope[moving] - curvature.information @ apart[moving]
    rng = np.random.default_rng(0)
    factor = curvature.factor(position)
    normals = rng.normal(size=(400, len(position)))
    draws = np.array([curvature.draw(position, slope, one) for one in normals])[:, moving]
    _, u, v = case.log_density(*position[:3])
    sds = np.sqrt(factor.inverse_diagonal())
    errors = (draws.mean(axis=0) - np.concatenate([u, v])) / sds * np.sqrt(len(draws))
    assert np.abs(errors).max() < 5
    ratios = draws.std(axis=0) / sds
    assert np.abs(ratios - 1).max() < 6 / np.sqrt(2 * len(draws))


@pytest.mark.parametrize("n_rows", [800, 2000])
def test_scales_of_errors_and_effects_are_at_their_marginal_mode(n_rows):
    """The joint mode of effects and the scale of errors is sds below: no effect counts there."""
    case = Crossed(400, 1, n_rows)
    tuned, _ = searched(case.model(sigma=None))
    first, _, outcome = case.data
    counts = np.bincount(first)

    def log_density(values):
        # group means are N(mu, tau^2 + s^2 / n), and what is left is chi-squared
        mu, log_u, log_s = values
        means = np.bincount(first, outcome) / counts
        left = ((outcome - means[first]) ** 2).sum()
        tau2, s2 = np.exp(2 * log_u), np.exp(2 * log_s)
        variance = tau2 + s2 / counts
        value = -np.log(variance).sum() / 2 - ((means - mu) ** 2 / variance).sum() / 2
        value -= (len(outcome) - len(counts)) * log_s + left / (2 * s2)
        return value - mu**2 / 8 - tau2 / 2 + log_u - s2 / 8 + log_s

    found = tuned.mode[[0, 1, -1]]
    best = scipy.optimize.minimize(lambda values: -log_density(values), found)
    sds = np.sqrt(np.diag(best.hess_inv))
    assert (np.abs(best.x - found) < 0.2 * sds).all()
    joint = np.sqrt(((outcome - tuned.mode[3:-1][first]) ** 2).mean())
    assert np.log(joint) - found[2] < -3 * sds[2]  # where the joint mode would be


def prior_of(build):
    """Return the compiled prior of a model, a position, and what is no hyperparameter."""
    with pm.Model() as model:
        build()
    rows = row_model(model)
    moving = np.setdiff1d(np.arange(rows.n_dim), rows.layout.entries(hyperparameters_of(rows)))
    position = 0.3 * np.random.default_rng(SEED).normal(size=rows.n_dim)
    by_numpy = Mode(linker="py", optimizer="minimum_compile")  # numba takes 20 s over a Cholesky
    return compile_prior(rows, by_numpy), position, moving, rows.layout.sizes


GROUP = np.repeat(np.arange(12), 6)
OUTCOME = np.random.default_rng(SEED).normal(size=len(GROUP))


def independent():
    u = pm.StudentT("u", nu=4, mu=0, sigma=pm.HalfNormal("tau"), shape=12)
    pm.Normal("y", u[GROUP] + pm.Normal("b"), 1, observed=OUTCOME)


def walk():
    x = pm.GaussianRandomWalk(
        "x", sigma=pm.HalfNormal("tau"), init_dist=pm.Normal.dist(0, 1), shape=12
    )
    pm.Normal("y", x[GROUP], 1, observed=OUTCOME)


def slopes():
    chol = pm.HalfNormal("tau") * np.array([[1.0, 0.0], [0.5, 0.8]])
    u = pm.MvNormal("u", mu=np.zeros(2), chol=chol, shape=(12, 2))
    pm.Normal("y", u[GROUP, 0] + u[GROUP, 1] * OUTCOME[::-1], 1, observed=OUTCOME)


def field():
    place = np.arange(12.0)
    near = np.exp(-(np.abs(place[:, None] - place) ** 2) / 20) + 1e-3 * np.eye(12)
    u = pm.MvNormal("u", np.zeros(12), cov=pm.HalfNormal("tau") ** 2 * near)
    pm.Normal("y", u[GROUP], 1, observed=OUTCOME)


@pytest.mark.parametrize(
    ("build", "n_products"), [(independent, 1), (walk, 3), (slopes, 2), (field, None)]
)
def test_entries_of_a_prior_are_those_of_its_hessian(monkeypatch, build, n_products):
    monkeypatch.setattr(sparse_prior_module, "_LARGEST_APART", 3)  # the effects are many
    prior, position, moving, sizes = prior_of(build)
    entries = sparse_prior(prior, position, moving, sizes, np.random.default_rng(0))
    if n_products is None:
        assert entries is None
        return
    units = np.eye(len(position))[moving]
    hessian = np.array([prior(position, unit)[1][moving] for unit in units])
    directions = entries.directions(np.ones(len(moving))) @ units
    products = np.array([prior(position, one)[1][moving] for one in directions])
    assert len(products) <= n_products + (build is independent)
    np.testing.assert_allclose(
        entries.matrix(products, np.ones(len(moving))), hessian, atol=1e-9 * np.abs(hessian).max()
    )


def test_a_sparse_matrix_is_read_from_few_products():
    """Effects with a row of some neighbours, and two columns that go with all."""
    rng = np.random.default_rng(SEED)
    n_dim = 120
    matrix = np.zeros((n_dim, n_dim))
    for _ in range(80):
        i, j = rng.integers(0, n_dim - 2, 2)
        matrix[i, j] = matrix[j, i] = rng.normal()
    matrix[-2:] = rng.normal(size=(2, n_dim))
    matrix[:, -2:] = matrix[-2:].T
    matrix[-2:, -2:] = np.eye(2)
    np.fill_diagonal(matrix, 3.0)
    colouring = coloured_sparse(csr_array(matrix))
    assert colouring.n_products < 20
    sizes = rng.uniform(0.5, 2, n_dim)
    products = colouring.directions(sizes) @ matrix
    np.testing.assert_allclose(colouring.matrix(products, sizes), matrix, atol=1e-12)


@pytest.mark.parametrize(("n_first", "n_second", "n_rows"), [(300, 1, 900), (120, 20, 900)])
def test_quadratic_that_stands_for_the_rows_follows_the_scale_of_errors(n_first, n_second, n_rows):
    """Effects moved at another scale of errors: their information is that of this scale."""
    case = Crossed(n_first, n_second, n_rows)
    model = case.model(sigma=None)
    tuned, hierarchy = searched(model)
    function = row_model(model).block_function("NUMBA")
    sd = 1 / np.sqrt(2 * n_rows)
    errors, changes = {"with": [], "without": []}, []
    fixed = replace(tuned, curvature=replace(tuned.curvature, changes=()))
    for seed in range(5):
        rng = np.random.default_rng(seed)
        old, new = tuned.draws[rng.integers(len(tuned.draws), size=2)].copy()
        old[-1] = new[-1] = tuned.curvature.reference[-1] + 2 * sd
        exact = [function.full(at)[0] - hierarchy.density(at) for at in (new, old)]
        changes.append(exact[0] - exact[1])
        for name, one in (("with", tuned), ("without", fixed)):
            by_quadratic = [float(one.quadratic.value(at)) for at in (new, old)]
            errors[name].append(exact[0] - exact[1] - by_quadratic[0] + by_quadratic[1])
    size = {name: np.sqrt(np.mean(np.square(one))) for name, one in errors.items()}
    # what is left is of the second order in the change of the scale
    assert (np.abs(errors["with"]) <= 1.5 * (2 * sd) ** 2 * 2 * np.abs(changes) + 0.01).all()
    assert size["with"] < 0.5 * size["without"]
    assert size["without"] > 0.1


@pytest.mark.parametrize("whole", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_coordinates_of_a_long_walk_are_those_of_the_whole_matrix(monkeypatch, whole):
    """Small steps and few rows at each: alone, no scale by parameter is right."""
    n_levels, rng = 120, np.random.default_rng(SEED)
    level = np.repeat(np.arange(n_levels), 5)
    path = np.cumsum(0.1 * rng.normal(size=n_levels))
    with pm.Model() as model:
        step = pm.HalfNormal("step", 0.5)
        first = pm.Normal.dist(0, 1)
        x = pm.GaussianRandomWalk("x", sigma=step, init_dist=first, shape=n_levels)
        pm.Normal("y", x[level], 1, observed=path[level] + rng.normal(size=len(level)))
    monkeypatch.setattr(sparse_prior_module, "_LARGEST_APART", 3)
    monkeypatch.setattr(sparse_curvature, "_LARGEST_WHOLE", n_levels - (not whole))
    tuned, _ = searched(model)
    assert (tuned.predicted_law.smallest_curvature > 0.99) == whole
    precision = tuned.curvature.precision(tuned.mode).toarray()
    factor = tuned.metric.matrix()[1:, 1:]
    found = np.linalg.eigvalsh(factor.T @ precision @ factor)
    law = tuned.predicted_law
    assert law.curvature_eigenvalue == pytest.approx(found[-1], rel=0.02)
    assert law.smallest_curvature == pytest.approx(found[0], abs=0.02 * found[-1])
