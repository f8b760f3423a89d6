"""The formulas against one another, against enumeration, and against the sampler."""

import numpy as np
import pytest

from models import constant_sgd
from models.constant_sgd import NOISE, PRIOR, Quadratic


@pytest.fixture(scope="module")
def exact():
    return constant_sgd.quadratic(constant_sgd.load_data())


def test_mode_and_curvature_are_those_of_the_model():
    data = constant_sgd.load_data(60)
    exact = constant_sgd.quadratic(data)
    model = constant_sgd.build_model(data)
    logp = model.compile_logp(mode="FAST_COMPILE")
    top = float(logp({"slope": exact.mode}))
    for away in 0.2 * np.eye(4):
        fall = -away @ exact.curvature @ away / 2
        assert float(logp({"slope": exact.mode + away})) - top == pytest.approx(fall, rel=1e-8)


def test_noise_of_the_gradient_by_enumeration():
    """Three rows, all nine batches of two with replacement."""
    rng = np.random.default_rng(0)
    exact = Quadratic(rng.normal(size=(3, 2)), rng.normal(size=3))
    scores = exact.design * (exact.outcome - exact.design @ exact.mode)[:, None] / NOISE**2
    gradients = [
        3 / 2 * (scores[i] + scores[j]) - exact.mode / PRIOR**2 for i in range(3) for j in range(3)
    ]
    np.testing.assert_allclose(np.cov(np.transpose(gradients), bias=True), exact.gradient_noise(2))
    np.testing.assert_allclose(np.mean(gradients, axis=0), 0, atol=1e-12)


def test_exact_covariance_by_enumeration():
    """It reproduces itself under one step, averaged over all batches and two-point positions."""
    rng = np.random.default_rng(1)
    exact = Quadratic(rng.normal(size=(4, 2)), rng.normal(size=4))
    step_size = 0.02
    covariance = exact.of_the_steps(step_size, 1, everywhere=False)
    root = np.linalg.cholesky(covariance) * np.sqrt(2)
    after = np.zeros((2, 2))
    for away in [*root.T, *-root.T]:  # four points with this covariance and mean 0
        theta = exact.mode + away
        for x, y in zip(exact.design, exact.outcome, strict=True):
            gradient = 4 * x * (y - x @ theta) / NOISE**2 - theta / PRIOR**2
            new = away + step_size * gradient
            after += np.outer(new, new) / 16
    np.testing.assert_allclose(after, covariance, rtol=1e-8)


def test_formulas_agree_for_small_steps(exact):
    """All within 1 % at a hundredth of the largest stable step; apart at a third of it."""
    largest = 2 / np.linalg.eigvalsh(exact.curvature)[-1]
    for share, apart in ((0.002, False), (0.3, True)):
        step_size, n = share * largest, 50
        text = np.diag(exact.of_the_text(step_size, n))
        steps = np.diag(exact.of_the_steps(step_size, n, everywhere=True))
        whole = np.diag(exact.of_the_steps(step_size, n, everywhere=False))
        assert (np.abs(steps / text - 1) < 0.01).all() != apart
        assert (np.abs(whole / text - 1) < 0.03).all() != apart
        assert (whole > steps).all() and (steps > text).all()


def test_too_large_a_step_has_no_width(exact):
    """Noise that grows with the distance ends it long before the curvature does."""
    assert np.isinf(exact.of_the_steps(1.5e-3, 10, everywhere=False)).all()
    assert np.isfinite(exact.of_the_steps(8e-4, 10, everywhere=False)).all()
    assert 1.2e-3 < 2 / np.linalg.eigvalsh(exact.curvature)[-1]
    assert np.isinf(exact.of_the_steps(1e-2, 10, everywhere=True)).all()


@pytest.mark.statistical
@pytest.mark.parametrize("step_size", [1e-4, 4e-4])
def test_the_sampler_has_the_exact_width(exact, step_size):
    import arviz as az

    draws = constant_sgd.simulate(
        constant_sgd.load_data(), step_size, 10, random_seed=3, progressbar=False
    )
    expected = np.diag(exact.of_the_steps(step_size, 10, everywhere=False))
    for number in range(4):
        squares = np.ascontiguousarray((draws[..., number] - exact.mode[number]) ** 2)
        assert float(az.ess(squares)) > 300
        assert abs(squares.mean() - expected[number]) < 4 * float(az.mcse(squares))
