"""Samplers that count the noise of batches as theirs: exact on a Gaussian for every step."""

import numpy as np
import pytest

from pymc_sgld.preconditioners import metric_from_covariance
from pymc_sgld.samplers import ConstantSgd, StochasticGradientFisherScoring
from pymc_sgld.tuning import GaussianLaw, LinearLaw
from tests.affine_law import AffineStep, window_noise

BATCH_SIZE = 3


def in_unit_scale(make_step, target, sampler):
    """A step in coordinates of unit curvature in which the noise of the windows is diagonal."""
    step = make_step("gaussian", target.model(), sampler=sampler, batch_size=BATCH_SIZE)
    chain = step.chain
    chain.restart((1, 2), 1, 1)
    law = AffineStep(step, 1.0, 1.0)
    metric = metric_from_covariance("dense", target.mean, np.eye(2) / target.precision)
    noise = window_noise(target, law, BATCH_SIZE) / target.precision
    chain.state.metric = metric.rotated(noise)
    chain.state.gradient_noise = np.linalg.eigvalsh(noise)
    return step


@pytest.mark.parametrize("temperature", [1.0, 4.0])
@pytest.mark.parametrize(
    ("sampler", "step_size"),
    [("sgfs", 0.01), ("sgfs", 0.5), ("sgfs", 20.0), ("constant_sgd", 1.0)],
)
def test_exact_for_every_step_where_the_noise_is_known(
    make_step, gaussian, sampler, step_size, temperature
):
    step = in_unit_scale(make_step, gaussian, sampler)
    mean, covariance = AffineStep(step, step_size, temperature).stationary()
    np.testing.assert_allclose(mean, 0, atol=1e-10)
    np.testing.assert_allclose(covariance, temperature * np.eye(2), atol=1e-9 * temperature)
    # with half of the noise unaccounted for it is wrong
    step.chain.state.gradient_noise = step.chain.state.gradient_noise / 2
    _, wrong = AffineStep(step, step_size, temperature).stationary()
    assert np.diag(wrong).max() > 1.001 * temperature


@pytest.mark.parametrize("temperature", [1.0, 4.0])
@pytest.mark.parametrize("relative_step", [0.1, 0.8])
def test_law_of_plain_steps(make_step, gaussian, relative_step, temperature):
    """With a step size given: h V / (A (2 - h A)), whatever the temperature."""
    step = make_step(
        "gaussian",
        gaussian.model(),
        sampler="constant_sgd",
        step_size=0.1,
        batch_size=BATCH_SIZE,
    )
    h = relative_step / gaussian.precision
    law = AffineStep(step, h, temperature)
    mean, covariance = law.stationary()
    noise = window_noise(gaussian, law, BATCH_SIZE)
    np.testing.assert_allclose(mean, gaussian.mean, rtol=1e-10)
    theory = h * noise / (gaussian.precision * (2 - relative_step))
    np.testing.assert_allclose(covariance, theory, rtol=1e-9)


def test_small_steps_of_fisher_scoring_are_langevin_steps():
    h, v, temperature = 1e-4, 3.0, 2.0
    rule = LinearLaw(StochasticGradientFisherScoring())
    one = rule.matrices(h, 1.0, temperature, v)
    assert one.gradient[0] == pytest.approx(h, rel=1e-3)
    assert one.noise[0, 0] ** 2 == pytest.approx(2 * h * temperature, rel=1e-3)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
@pytest.mark.parametrize("rule", [StochasticGradientFisherScoring(), ConstantSgd()])
def test_natural_step_is_exact_and_said_to_be(rule, temperature):
    """No search for a threshold; the prediction is of the law with the noise that is known."""
    noise = np.array([0.9, 2.0, 50.0])
    chain = GaussianLaw(
        LinearLaw(rule), np.eye(3), np.diag(noise), np.diag([1.0, 2.0, 3.0]), known_noise=noise
    )
    h = chain.threshold_step_size(temperature)
    assert chain.sd_inflation(h, temperature) == pytest.approx(0, abs=1e-9)
    wider = GaussianLaw(LinearLaw(rule), np.eye(3), np.diag(noise), np.eye(3), noise / 2)
    assert wider.sd_inflation(h, temperature) > 0.01
    # the slowest direction is the noisiest: gain 2 / (1 + (v + b) / T)
    injected = 2 * temperature / h if rule.noise_vectors else 0.0
    gain = 2 / (1 + (50.0 + injected) / temperature)
    assert chain.memory(h, temperature) == pytest.approx(-1 / np.log(1 - gain))
    if rule.noise_vectors:
        # at most as much noise from batches as is injected
        assert chain.noise_ratio(h, temperature) == pytest.approx(min(1, 12.5 / temperature))


def test_tuning_turns_the_coordinates_to_the_noise(make_step, gaussian):
    """By name alone: unit curvature, diagonal noise, the natural step; ready to draw."""
    step = make_step("gaussian", gaussian.model(), sampler="constant_sgd", batch_size=BATCH_SIZE)
    step.setup_chain(np.random.default_rng(0), 1, 1)
    step.step({"theta": np.zeros(2)})
    state = step.chain.state
    np.testing.assert_allclose(state.predicted_law.precision, np.eye(2), atol=1e-6)
    np.testing.assert_allclose(state.predicted_law.noise, np.diag(state.gradient_noise), atol=1e-9)
    assert state.plan.step_size(0) == 1.0
    [ratio, inflation] = step.chain.predictions(step.chain.draw(gaussian.mean))
    assert ratio == np.inf and inflation == pytest.approx(0, abs=1e-6)
