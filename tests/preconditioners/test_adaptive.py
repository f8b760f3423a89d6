"""Preconditioners learned from gradients: averages, freezing, law, state."""

import itertools

import numpy as np
import pytest

from pymc_sgld.preconditioners import Adam, DiagonalMetric, RMSprop
from pymc_sgld.samplers import PreconditionedLangevin
from tests.affine_law import AffineStep, window_noise


def run(step, tune, draws, seed=0, **point):
    step.setup_chain(np.random.default_rng(seed), tune, draws)
    metrics = []
    for number in range(tune + draws):
        if number == tune:
            step.stop_tuning()
        point, [stats] = step.step(point)
        metrics.append(step.chain.state.metric.scale)
    return point, stats, metrics


def test_averages_by_hand():
    """Sums with weights written out; adam's are divided by their sum and lose the squared mean."""
    gradients = np.random.default_rng(0).normal(2, [1.0, 5.0], size=(50, 2))
    kept = np.minimum(0.9, 1 - 5 / (np.arange(50) + 15))
    assert kept[20] < 0.9 == kept[40]
    left = np.cumprod(kept[::-1])[::-1]
    weights = (1 - kept) * np.append(left[1:], 1.0)
    rmsprop, adam = RMSprop(0.9), Adam(0.9)
    start = np.array([4.0, 3.0])
    one, other = rmsprop.expected(start), adam.first(gradients[:20])
    for number, gradient in enumerate(gradients):
        one = rmsprop.add(one, gradient)
        other = adam.add(other, gradient) if number >= 20 else other
    expected = weights @ gradients**2 + left[0] * start
    np.testing.assert_allclose(rmsprop.squares(one), expected, rtol=1e-10)
    np.testing.assert_allclose(rmsprop.scale(one), expected**-0.25, rtol=1e-10)
    weights /= weights.sum()
    variance = weights @ gradients**2 - (weights @ gradients) ** 2
    np.testing.assert_allclose(adam.squares(other), variance, rtol=1e-10)


def test_a_parameter_without_gradient_keeps_a_finite_scale():
    scale = RMSprop().scale(RMSprop().expected(np.array([0.0, 4.0])))
    assert np.isfinite(scale).all() and scale[1] == pytest.approx(4**-0.25)
    np.testing.assert_array_equal(RMSprop().scale(RMSprop().expected(np.zeros(3))), 1)


@pytest.mark.parametrize("decay", [0, 1, 1.5, -0.1, np.nan, "much"])
@pytest.mark.parametrize("made", [RMSprop, Adam, PreconditionedLangevin])
def test_refused_decays(made, decay):
    with pytest.raises((TypeError, ValueError), match=r"decay.*must be.*1 / \(1 - decay\)"):
        made(decay=decay)


@pytest.mark.parametrize("kind", ["rmsprop", "adam"])
def test_learned_while_tuning_then_frozen(make_step, gaussian, kind):
    """Without a mode; V is about noise plus curvature, and does not move once tuned."""
    step = make_step(
        "gaussian",
        gaussian.model(),
        preconditioner=kind,
        step_size=0.1,
        batch_size=3,
    )
    *_, metrics = run(step, 300, 20, theta=np.array([40.0, -40.0]))
    assert all(not np.array_equal(a, b) for a, b in itertools.pairwise(metrics[:300]))
    assert all(np.array_equal(metrics[299], one) for one in metrics[300:])
    assert step.chain.state.predicted_law is not None  # measured where sampling began
    noise = np.diag(window_noise(gaussian, AffineStep(step, 1.0, 1.0), 3))
    expected = (gaussian.precision + noise) ** -0.25
    np.testing.assert_allclose(metrics[-1], expected, rtol=0.15)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_law_of_the_frozen_preconditioner(make_step, gaussian, temperature):
    """A constant M: the covariance of SGLD with a matrix of steps, noise of batches included."""
    step = make_step(
        "gaussian", gaussian.model(), preconditioner="rmsprop", step_size=0.1, batch_size=3
    )
    run(step, 3, 1, theta=np.zeros(2))
    h, scale = 0.3, step.chain.state.metric.scale
    centre = step.chain.state.metric.centre
    law = AffineStep(step, h, temperature)
    mean, found = law.stationary()
    np.testing.assert_allclose(centre + scale * mean, gaussian.mean, rtol=1e-9)
    decay = 1 - h * scale**2 * gaussian.precision
    noise = h**2 * window_noise(gaussian, law, 3) * np.outer(scale, scale) ** 2
    theory = (2 * h * temperature * np.diag(scale**2) + noise) / (1 - np.outer(decay, decay))
    np.testing.assert_allclose(found * np.outer(scale, scale), theory, rtol=1e-9)


def test_step_size_left_out_is_chosen_for_the_frozen_metric(make_step, regression):
    """Curvature at most 1 in its coordinates, every sd within 5 %, and no jump at the end."""
    step = make_step("regression", regression.model(), preconditioner="adam", batch_size=100)
    _, stats, _ = run(step, 30, 2, theta=np.zeros(3))
    picture, scale = step.chain.state.predicted_law, step.chain.state.metric.scale
    np.testing.assert_array_equal(np.diag(picture.factor), scale)
    np.testing.assert_allclose(
        picture.precision, regression.precision * np.outer(scale, scale), rtol=1e-4
    )
    assert np.linalg.eigvalsh(picture.precision)[-1] == pytest.approx(1)
    assert stats["step_size"] == pytest.approx(picture.threshold_step_size())
    assert 0 < stats["predicted_sd_inflation"] <= np.sqrt(1.1) - 1 + 1e-6


def test_known_noise_follows_the_coordinates(make_step, gaussian):
    step = make_step(
        "gaussian",
        gaussian.model(),
        preconditioner="rmsprop",
        step_size=0.1,
        batch_size=3,
        noise_compensation=True,
    )
    run(step, 20, 1, theta=np.zeros(2))
    state = step.chain.state
    scale = state.metric.scale
    exact = state.predicted_law.noise.diagonal() / scale**2
    np.testing.assert_allclose(state.gradient_noise / scale**2, exact, rtol=1e-9)
    np.testing.assert_allclose(state.predicted_law.known_noise, state.gradient_noise, rtol=1e-9)


@pytest.mark.parametrize("saved_after", [5, 12])
def test_learning_survives_save_and_restore(make_step, gaussian, saved_after):
    """In the middle of the tune phase and after it."""
    step = make_step(
        "gaussian",
        gaussian.model(),
        sampler="baoa",
        preconditioner="adam",
        step_size=0.1,
        batch_size=3,
        steps_per_draw=2,
    )
    step.setup_chain(np.random.default_rng(0), 10, 10)
    point = {"theta": np.zeros(2)}
    for _ in range(saved_after):
        point, _ = step.step(point)
    saved, here = step.sampling_state, point
    whole = [point := step.step(point)[0] for _ in range(6)]
    step.setup_chain(np.random.default_rng(9), 10, 10)
    step.step(here)
    step.sampling_state, point = saved, here
    again = [point := step.step(point)[0] for _ in range(6)]
    assert all(np.array_equal(a["theta"], b["theta"]) for a, b in zip(whole, again, strict=True))


def test_there_must_be_a_tune_phase_to_learn_in(make_step, gaussian):
    step = make_step(
        "gaussian", gaussian.model(), preconditioner="rmsprop", step_size=0.1, batch_size=3
    )
    with pytest.raises(ValueError, match=r"measured before sampling, but tune=0"):
        step.setup_chain(np.random.default_rng(0), 0, 10)
    assert isinstance(step.chain.settings.kernel.metric, DiagonalMetric)


@pytest.mark.parametrize(
    ("sampler", "arguments", "message"),
    [
        ("psgld", {"preconditioner": "adam"}, r"preconditioner of psgld must be one of 'identity'"),
        ("sgfs", {"preconditioner": RMSprop()}, r"preconditioner of sgfs must be one of 'dense'"),
        ("sgfs", {"step_size": 0.1, "preconditioner": "identity"}, r"must be one of 'dense'"),
        ("constant_sgd", {"batch_size": 12}, r"batches of all 12 rows have none.*Give batch_size"),
        ("constant_sgd", {"step_size": 0.1, "noise_compensation": True}, r"Leave step_size out"),
        ("sgld", {"preconditioner": 3}, r"preconditioner must be one of .*'low_rank', 'rmsprop'"),
    ],
)
def test_combinations_that_are_refused(make_step, gaussian, sampler, arguments, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make_step("gaussian", gaussian.model(), sampler=sampler, **{"batch_size": 3, **arguments})
