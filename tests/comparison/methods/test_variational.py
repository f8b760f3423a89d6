"""ADVI on minibatches: the law it has, when it has converged, and what is said when it has not."""

import numpy as np
import pymc as pm
import pytensor
import pytest

from pymc_sgld.comparison import compare
from pymc_sgld.comparison.methods import OUTSIDE
from pymc_sgld.comparison.methods.batched_model import batched_model, rows_or_whole
from pymc_sgld.comparison.methods.optimality import Scores, judge
from pymc_sgld.comparison.methods.variational import Watch, is_level
from pymc_sgld.model_graph import row_model

COVARIANCE = np.array([[1.0, 0.6, 0.0], [0.6, 1.0, 0.0], [0.0, 0.0, 4.0]])
MEAN = np.array([1.0, -2.0, 0.5])
PRECISION = np.linalg.inv(COVARIANCE)

PYTHON = {"mode": "FAST_COMPILE"}


def scores(positions):
    """Of N(MEAN, COVARIANCE)."""
    return -(positions - MEAN) @ PRECISION


def test_the_best_fits_of_a_gaussian_are_known_as_such():
    exact = judge(MEAN, COVARIANCE, scores)
    np.testing.assert_allclose(exact, (0, 1, 1), atol=1e-9)
    # Mean-field: the conditional sds, 1 / sqrt of the diagonal of the precision.
    mean_field = judge(MEAN, np.diag(1 / np.diag(PRECISION)), scores)
    np.testing.assert_allclose(mean_field, (0, 1, 1), atol=1e-9)
    assert exact.is_reached and mean_field.is_reached


@pytest.mark.parametrize("covariance", [COVARIANCE, np.diag(1 / np.diag(PRECISION))])
def test_how_far_a_fit_is_from_the_best(covariance):
    scale = np.array([1.0, 1.0, 1.5])
    wide = judge(MEAN, covariance * np.outer(scale, scale), scores)
    np.testing.assert_allclose(wide, (0, 1, 1.5), atol=1e-9)
    moved = judge(MEAN + np.array([0, 0, 0.4]), covariance, scores)
    np.testing.assert_allclose(moved, (0.2, 1, 1), atol=1e-9)
    assert not wide.is_reached and not moved.is_reached


def test_many_parameters_are_judged_one_by_one(monkeypatch):
    monkeypatch.setattr("pymc_sgld.comparison.methods.optimality._MOST_REGRESSED", 2)
    diagonal = np.diag(1 / np.diag(PRECISION))
    scale = np.diag([1.0, 1.0, 2.0])
    found = judge(MEAN, scale @ diagonal @ scale, scores)
    np.testing.assert_allclose(found.sd_ratio_max, 2.0, rtol=0.1)


def linear(n_rows=60):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n_rows, 2)) @ np.array([[1.0, 0.8], [0.0, 0.6]])
    y = x @ [1.0, -1.0] + rng.normal(size=n_rows)
    with pm.Model() as model:
        b = pm.Normal("b", 0.0, 1.0, shape=2)
        pm.Normal("y", (x * b).sum(-1), 1.0, observed=y)
    precision = x.T @ x + np.eye(2)
    return model, np.linalg.solve(precision, x.T @ y), precision


def test_scores_on_samples_of_rows_are_those_of_all_rows(monkeypatch):
    """For a Gaussian whose rows differ in curvature: on average over samples."""
    model, mean, precision = linear()
    monkeypatch.setattr("pymc_sgld.comparison.methods.optimality._ROWS", 20)
    found = Scores(row_model(model), 0)
    sd = np.diag(precision) ** -0.5
    positions = np.tile(mean + sd * [1.0, -1.0], (4_000, 1))
    positions[::2] -= 2 * sd * [1.0, -1.0]
    expected = -(positions - mean) @ precision
    difference = found(positions) - expected
    error = difference.std(axis=0) / np.sqrt(len(positions))
    assert (error > 0).all()
    assert (np.abs((difference * np.sign(expected)).mean(axis=0)) < 4 * error).all()


def test_a_batched_model_has_the_density_of_all_rows_on_average():
    model, mean, _ = linear(12)
    rows = rows_or_whole(model)
    batches = batched_model(rows, 5)
    density = batches.compile_fn(batches.logp(), mode="FAST_COMPILE", random_seed=1)
    one_by_one = np.array([density({"position": mean}) for _ in range(4_000)])
    error = one_by_one.std() / np.sqrt(len(one_by_one))
    assert error > 0
    assert abs(one_by_one.mean() - rows.logp(mean, compile_kwargs=PYTHON)) < 4 * error
    whole = batched_model(rows, 12)
    all_rows = whole.compile_logp(mode="FAST_COMPILE")({"position": mean})
    np.testing.assert_allclose(all_rows, rows.logp(mean, compile_kwargs=PYTHON), rtol=1e-12)


def test_is_level():
    noise = np.random.default_rng(0).normal(size=1000)
    assert is_level(noise)
    assert not is_level(noise - np.linspace(0, 2, 1000))
    assert is_level(noise + np.linspace(0, 2, 1000))


class Fit:
    """An approximation whose mean comes to its optimum at a known iteration."""

    def __init__(self):
        self.shared = pytensor.shared(MEAN + 10.0)
        self.mean, self.cov = self.shared, pytensor.shared(COVARIANCE)


def test_the_rate_is_lowered_when_the_loss_is_level_and_the_fit_judged_after_that():
    fit, rate = Fit(), pytensor.shared(0.1)
    watch = Watch(rate, (0.1, 0.01), scores, window=50, between=300)
    noise = np.random.default_rng(0).normal(size=1500)
    losses = noise + np.maximum(0.0, 100 - np.arange(1500))
    with pytest.raises(StopIteration):
        for iteration in range(1, 1501):
            if iteration == 700:
                fit.shared.set_value(MEAN)
            watch(fit, losses[:iteration], iteration)
            if iteration == 650:
                assert not watch.converged and watch.verdict.mean_off > 4
    # The loss falls up to 100: the windows 51-100 and 101-150 differ, 101-150 and 151-200 do not.
    assert rate.get_value() == 0.01 and 200 <= watch.since < 300
    assert watch.iterations == watch.since + 600
    assert watch.converged and watch.first_call > 0
    assert watch.said()["converged"] == 1


@pytest.fixture(scope="module")
def stopped_early():
    model, *_ = linear()
    options = {"draws": 100, "chains": 1, "random_seed": 0, "progressbar": False}
    return OUTSIDE["advi"](model, max_iterations=50, batch_size=20, **options)


@pytest.mark.slow
def test_a_fit_that_is_stopped_too_early_says_so(stopped_early):
    attrs = stopped_early["posterior"].attrs
    assert attrs["converged"] == 0 and attrs["iterations"] == 50
    assert attrs["sd_ratio_max"] > 1.1 or attrs["mean_off"] > 0.1
    assert attrs["tune_passes"] == pytest.approx(50 * 20 / 60)
    found = compare({"advi": stopped_early}, reference="advi")
    assert any("advi has NOT CONVERGED" in note for note in found.notes)


@pytest.mark.statistical
def test_full_rank_on_a_gaussian_is_exact_and_mean_field_is_the_best_of_its_kind():
    # Few rows: the optimiser scatters a fit in proportion to its rate, in units of the sds.
    model, mean, precision = linear(4)
    laws = {"fullrank_advi": np.linalg.inv(precision), "advi": np.diag(1 / np.diag(precision))}
    for method, covariance in laws.items():
        options = {"draws": 4_000, "chains": 1, "random_seed": 2, "progressbar": False}
        result = OUTSIDE[method](model, **options)
        posterior = result["posterior"]
        assert posterior.attrs["converged"] == 1
        draws = posterior["b"].to_numpy()[0]
        sd = np.sqrt(np.diag(covariance))
        # Converged means within 0.1 sd and 10 %; 4,000 independent draws add 0.016 and 1.1 %.
        assert (np.abs(draws.mean(axis=0) - mean) / sd < 0.1 + 0.06).all()
        np.testing.assert_allclose(draws.std(axis=0) / sd, 1, atol=0.1 + 0.05)
        correlation = np.corrcoef(draws.T)[0, 1]
        expected = covariance[0, 1] / sd.prod()
        np.testing.assert_allclose(correlation, expected, atol=0.1)
