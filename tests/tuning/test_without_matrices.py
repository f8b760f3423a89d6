"""Rows that matter, jumps, and curvature, of more parameters than a matrix is made of."""

import numpy as np
import pymc as pm
import pytest
import scipy

import pymc_sgld as psg

from pymc_sgld.chain.backends import sampling_mode
from pymc_sgld.preconditioners import LowRank
from pymc_sgld.row_sources import Weighted
from pymc_sgld.step_methods import arguments, auto_choices
from pymc_sgld.tuning import (
    find_laplace,
    look_at_scores,
    rough_coordinates,
    trust_region,
    warmup,
)
from pymc_sgld.tuning.by_products import mended_by_all_rows, mode_of_many
from pymc_sgld.tuning.noise_by_size import noise_by_size

N_ROWS, N_DIM, RARE = 30_000, 12, 10


@pytest.fixture(scope="module")
def rare():
    """Correlated columns in unlike units, and a level of ten rows: model, precision, mean."""
    rng = np.random.default_rng(0)
    design = rng.normal(size=(N_ROWS, N_DIM)) + 2 * rng.normal(size=(N_ROWS, 1))
    design[:, -1] = 0.0
    design[-RARE:, -1] = 1.0
    design *= 10.0 ** np.r_[np.linspace(-3, 3, N_DIM - 1), 0]
    sds = 10 / np.maximum(design.std(axis=0), 0.1)
    outcome = design @ np.r_[np.zeros(N_DIM - 1), 1.5] + rng.normal(size=N_ROWS)
    with pm.Model() as model:
        beta = pm.Normal("beta", 0, sds, shape=N_DIM)
        pm.Normal("y", (design * beta).sum(axis=1), 1, observed=outcome)
    precision = design.T @ design + np.diag(sds**-2.0)
    return model, precision, np.linalg.solve(precision, design.T @ outcome)


@pytest.fixture(scope="module")
def function(rare):
    return psg.row_model(rare[0]).block_function(sampling_mode())


@pytest.fixture
def many(monkeypatch):
    """Twelve parameters are too many for a matrix."""
    monkeypatch.setattr(rough_coordinates, "LARGEST_MATRIX", N_DIM - 1)


@pytest.mark.parametrize("largest", [N_DIM, N_DIM - 1])
def test_rough_coordinates_are_nearly_white(rare, function, monkeypatch, largest):
    """As a matrix, or as scales and a few directions; scales alone leave a condition of forty."""
    monkeypatch.setattr(rough_coordinates, "LARGEST_MATRIX", largest)
    _, precision, mean = rare
    factor, passes = rough_coordinates.coordinates_of_some(function, mean, np.random.default_rng(1))
    assert isinstance(factor, np.ndarray) == (largest == N_DIM) and 0 < passes < 1
    whole = factor @ np.eye(N_DIM)
    np.testing.assert_allclose(factor.T @ np.eye(N_DIM), whole.T, rtol=1e-9)
    seen = slice(None, -1)  # ten rows are in few samples
    rough = np.linalg.inv((whole @ whole.T)[seen, seen])
    values = scipy.linalg.eigh(precision[seen, seen], rough, eigvals_only=True)
    assert 0.15 < values[0] and values[-1] < 2
    scale = 1 / np.sqrt(np.diag(precision))[seen]
    assert np.linalg.cond(precision[seen, seen] * np.outer(scale, scale)) > 40


def test_newton_steps_are_those_of_scipy_and_end_where_coordinates_are_bad():
    rng = np.random.default_rng(2)
    design = rng.normal(size=(300, 30)) * 3.0 ** rng.uniform(-4, 4, 30)
    y = rng.random(300) < 0.3

    def at(beta):
        eta = design @ beta
        slope = design.T @ (scipy.special.expit(eta) - y) + beta
        return float(np.sum(np.logaddexp(0, eta) - y * eta) + beta @ beta / 2), slope

    def product(beta, way):
        p = scipy.special.expit(design @ beta)
        return design.T @ (p * (1 - p) * (design @ way)) + way

    options = {"gtol": 0.1, "initial_trust_radius": 1.0, "max_trust_radius": 1e6, "maxiter": 20}
    theirs = scipy.optimize.minimize(
        at, np.zeros(30), jac=True, hessp=product, method="trust-ncg", options=options
    )
    ours, value, steps = trust_region._newton_steps(at, product, 30, 0.1, 1.0)
    np.testing.assert_allclose(ours, theirs.x, rtol=1e-9, atol=1e-12)
    assert (value, steps) == (pytest.approx(theirs.fun), theirs.nit)


def test_the_mode_and_the_rare_rows_are_found(rare, function, many):
    _, precision, mean = rare
    rng, sd = np.random.default_rng(3), np.sqrt(np.diag(np.linalg.inv(precision)))
    laplace = find_laplace(function, np.zeros(N_DIM), rng)
    assert np.abs((laplace.position - mean) / sd).max() < 0.3 and laplace.arrived
    np.testing.assert_allclose(np.sqrt(np.diag(laplace.covariance)) / sd, 1, atol=0.06)
    [sizes] = look_at_scores(function, mean, rng).sizes
    assert np.median(sizes[-RARE:]) > 20 * np.median(sizes)


def test_the_mode_of_many_is_found_by_products_of_a_sample(rare, function, many):
    _, precision, mean = rare
    sd = np.sqrt(np.diag(np.linalg.inv(precision)))
    search, looked = mode_of_many(function, np.zeros(N_DIM), np.random.default_rng(4))
    assert np.abs((search.position - mean) / sd).max() < 0.3
    assert search.data_passes < 60 and not looked.kinked
    assert np.median(looked.sizes[0][-RARE:]) > 20 * np.median(looked.sizes[0])


def test_a_metric_is_mended_where_all_rows_are_stiffer(rare, function):
    """The level is thought to have the curvature of its prior alone, a hundredth of its own."""
    _, precision, mean = rare
    thought = precision.copy()
    thought[-1, -1] /= 100
    metric = LowRank(rank=5).at_mode(mean, thought)
    before = np.linalg.eigvalsh(metric.matrix().T @ precision @ metric.matrix())
    inside = np.linalg.eigvalsh(metric.matrix().T @ thought @ metric.matrix())
    assert before[-1] > 10 * inside[-1]
    mended, highest, passes = mended_by_all_rows(
        function, metric, inside[-1], np.random.default_rng(5)
    )
    after = np.linalg.eigvalsh(mended.matrix().T @ precision @ mended.matrix())
    assert after[-1] <= 1.05 * highest <= 1.5 * inside[-1] and passes < 35
    np.testing.assert_allclose(mended.operator() @ np.eye(N_DIM), mended.matrix(), rtol=1e-9)


def test_noise_by_size_is_that_of_all_rows(rare, function):
    """Against sums over all rows: with a control variate the noise of a row is x (x' (b - c))."""
    _, precision, mean = rare
    metric = LowRank(rank=3).at_mode(mean, precision)
    design = np.asarray(function.arrays[[a.ndim for a in function.arrays].index(2)])
    sizes = ((design @ np.linalg.inv(precision)) * design).sum(axis=1)
    found = noise_by_size(
        function, metric, np.eye(N_DIM)[:, :1], sizes,
        control_variate=True, temperature=1.0, generator=np.random.default_rng(6),
    )  # fmt: skip
    pulled = design @ metric.matrix()
    squares = (pulled**2).sum(axis=1)
    # the mean over points of (x' L z)^2 is |L' x|^2
    alike = N_ROWS * (squares[:, None] * pulled**2).sum(axis=0) - 1
    by_size = (squares[:, None] * pulled**2 / found.probabilities[:, None]).sum(axis=0) - 1
    np.testing.assert_allclose(found.alike.by_coordinate, alike, rtol=0.35)
    np.testing.assert_allclose(found.by_size.by_coordinate, by_size, rtol=0.35)
    assert by_size.max() < alike.max() / 10


def test_rare_rows_are_drawn_and_no_step_is_too_long_for_them(rare, many, monkeypatch):
    for module in (auto_choices, warmup, arguments):
        monkeypatch.setattr(module, "LARGEST_MEASURED", N_DIM - 1)
    model, precision, _ = rare
    step = psg.Auto(model=model, rng=1, verify=False)
    assert isinstance(step.chain.batches.scheme, Weighted)
    assert step.choice.batch_size < N_ROWS / 10
    factor = step.chain.prepared.metric.matrix()
    largest = np.linalg.eigvalsh(factor.T @ precision @ factor)[-1]
    assert largest < 1.1  # at the rule's step of 1.2, h^2 lambda is below 2
