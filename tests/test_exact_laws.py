"""The stationary law of the chain as coded, without sampling.

On a Gaussian target the compiled update is affine in the position and the noise. Pushing unit
vectors through it gives its matrices; the Lyapunov equation gives the covariance the chain settles
in, exactly; theory says what that must be.
"""

import numpy as np
import pytest
import scipy.linalg

from pymc_sgld.preconditioners import DiagonalMetric, metric_from_covariance
from pymc_sgld.samplers import StochasticGradientLangevin
from pymc_sgld.step_methods.registry import REGISTRY, SGLD
from pymc_sgld.tuning import GaussianLaw, LinearLaw
from tests.affine_law import AffineStep, window_noise


def step_of(make_step, target, key, batch_size):
    return make_step(key, target.model(), step_size=0.1, batch_size=batch_size)


STEP_SIZES = [0.4, 0.1, 0.025]  # in units of 1 / precision


@pytest.mark.parametrize("temperature", [1.0, 4.0])
@pytest.mark.parametrize("relative_step", STEP_SIZES)
def test_full_batch_law_is_the_discretised_one(make_step, gaussian, relative_step, temperature):
    """Without gradient noise: variance (T / A) / (1 - h A / 2) in every direction."""
    step = step_of(make_step, gaussian, "gaussian", gaussian.n_rows)
    h = relative_step / gaussian.precision
    mean, covariance = AffineStep(step, h, temperature).stationary()
    theory = temperature / gaussian.precision / (1 - relative_step / 2)
    np.testing.assert_allclose(mean, gaussian.mean, rtol=1e-10)
    np.testing.assert_allclose(covariance, theory * np.eye(2), rtol=1e-9, atol=1e-12 * theory)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
@pytest.mark.parametrize("relative_step", STEP_SIZES)
def test_minibatch_law_adds_the_gradient_noise(make_step, gaussian, relative_step, temperature):
    """With noise of covariance V: C = (2 h T I + h^2 V) / (1 - (1 - h A)^2)."""
    batch_size = 3
    step = step_of(make_step, gaussian, "gaussian", batch_size)
    h = relative_step / gaussian.precision
    law = AffineStep(step, h, temperature)
    mean, covariance = law.stationary()
    noise = window_noise(gaussian, law, batch_size)
    decay = 1 - h * gaussian.precision
    theory = (2 * h * temperature * np.eye(2) + h**2 * noise) / (1 - decay**2)
    np.testing.assert_allclose(mean, gaussian.mean, rtol=1e-10)
    np.testing.assert_allclose(covariance, theory, rtol=1e-9)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_bias_is_of_first_order_in_the_step_size(make_step, gaussian, temperature):
    step = step_of(make_step, gaussian, "gaussian", 3)
    right = temperature / gaussian.precision
    excess = []
    for relative_step in (0.04, 0.02, 0.01, 0.005):
        _, covariance = AffineStep(
            step, relative_step / gaussian.precision, temperature
        ).stationary()
        excess.append(covariance[1, 1] / right - 1)
    orders = np.log2(np.array(excess[:-1]) / excess[1:])
    np.testing.assert_allclose(orders, 1, atol=0.03)


def test_law_under_a_dense_preconditioner(make_step, regression):
    """In parameters, with M = L L': the covariance solves the Lyapunov equation of h M."""
    step = make_step("regression", regression.model(), preconditioner="dense", batch_size=300)
    chain = step.chain
    chain.restart((1, 2), 1, 1)
    rng = np.random.default_rng(0)
    wrong = rng.normal(size=(3, 3))
    centre, covariance = rng.normal(size=3), wrong @ wrong.T / 300 + regression.covariance
    chain.state.metric = metric_from_covariance("dense", centre, covariance)
    h, temperature = 0.2, 4.0
    mean, found = AffineStep(step, h, temperature).stationary()
    L = chain.state.metric.matrix()
    np.testing.assert_allclose(centre + L @ mean, regression.mean, rtol=1e-9)
    # written in parameters: theta' = theta - h M A (theta - mean) + sqrt(2 h T) L xi
    step_matrix = np.eye(3) - h * covariance @ regression.precision
    theory = scipy.linalg.solve_discrete_lyapunov(step_matrix, 2 * h * temperature * covariance)
    np.testing.assert_allclose(L @ found @ L.T, theory, rtol=1e-8)


def test_predicted_inflation_is_that_of_the_exact_law(make_step, gaussian):
    """What the sample statistic predicts from A and V is what the compiled chain does."""
    batch_size, h = 3, 0.1 / gaussian.precision
    step = step_of(make_step, gaussian, "gaussian", batch_size)
    law = AffineStep(step, h, 1.0)
    _, covariance = law.stationary()
    picture = GaussianLaw(
        LinearLaw(StochasticGradientLangevin()),
        gaussian.precision * np.eye(2),
        window_noise(gaussian, law, batch_size),
        np.eye(2),
    )
    np.testing.assert_allclose(picture.stationary_covariance(h), covariance, rtol=1e-9)
    widest = np.sqrt(np.diag(covariance).max() * gaussian.precision) - 1
    assert picture.sd_inflation(h) == pytest.approx(widest, rel=1e-9)


def test_the_law_tells_noise_sd_from_noise_variance(gaussian):
    """The peers' slip, planted: a noise of sd sqrt(2 h) * T fails at T = 4 and passes at T = 1."""

    class Slipped(StochasticGradientLangevin):
        def update(self, state, gradient, *, temperature, **others):
            return super().update(state, gradient, temperature=temperature**2, **others)

    class SlippedStep(SGLD):
        rule_class = Slipped

    with gaussian.model():
        step = SlippedStep(step_size=0.1, batch_size=gaussian.n_rows, verify=False)
    h = 0.1 / gaussian.precision
    for temperature, agrees in ((1.0, True), (4.0, False)):
        _, covariance = AffineStep(step, h, temperature).stationary()
        theory = temperature / gaussian.precision / (1 - 0.05)
        assert np.allclose(covariance, theory * np.eye(2)) == agrees


# Stationary variance of the position, as the docstrings of the rules state it: with
# curvature c, gradient noise of variance v, friction g, temperature T and step h.
THEORY = {
    "sghmc": lambda h, c, v, g, T: (
        (2 * g * T + h * v) * (2 - h * g) / (g * c * (4 - 2 * h * g - h * h * c))
    ),
    "baoa": lambda h, c, v, g, T: (
        T / c + h * h * v * (1 + np.exp(-h * g)) / ((1 - np.exp(-h * g)) * c * (4 - h * h * c))
    ),
    "baoab": lambda h, c, v, g, T: (
        T / c + h * h * v * (1 + np.exp(-h * g)) / (4 * (1 - np.exp(-h * g)) * c)
    ),
    "obabo": lambda h, c, v, g, T: (
        T / (c * (1 - h * h * c / 4))
        + h
        * h
        * v
        * ((1 + np.exp(-h * g)) ** 2 - np.exp(-h * g) * h * h * c)
        / ((1 - np.exp(-2 * h * g)) * c * (4 - h * h * c))
    ),
}


@pytest.mark.parametrize("batch_size", [3, 12])
@pytest.mark.parametrize("sampler", THEORY)
def test_law_of_rules_with_momentum(make_step, gaussian, sampler, batch_size):
    """With and without gradient noise, T = 1 and 4, two steps."""
    friction = 0.3
    step = make_step(
        "gaussian",
        gaussian.model(),
        sampler=sampler,
        step_size=0.1,
        batch_size=batch_size,
        friction=friction,
    )
    for temperature in (1.0, 4.0):
        for relative in (0.6, 0.15):
            h = relative / np.sqrt(gaussian.precision)
            law = AffineStep(step, h, temperature)
            mean, covariance = law.stationary()
            noise = window_noise(gaussian, law, batch_size)
            theory = [
                THEORY[sampler](h, gaussian.precision, v, friction, temperature)
                for v in np.diag(noise)
            ]
            np.testing.assert_allclose(mean, gaussian.mean, rtol=1e-9)
            np.testing.assert_allclose(np.diag(covariance), theory, rtol=1e-9)


@pytest.mark.parametrize("noise", [0.0, 2.0])
@pytest.mark.parametrize("sampler", THEORY)
def test_law_of_rules_with_much_friction(sampler, noise):
    """The same theory, for the update alone: friction is a constant of the compiled loop."""
    friction, curvature = 5.0, 3.04
    law = LinearLaw(REGISTRY[sampler].rule_class(friction))
    for temperature in (1.0, 4.0):
        for h in (0.34, 0.086):
            theory = THEORY[sampler](h, curvature, noise, friction, temperature)
            found = law.variance(h, curvature, noise, temperature)
            assert found == pytest.approx(theory, rel=1e-9)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_law_of_leimkuhler_matthews(make_step, gaussian, temperature):
    step = make_step(
        "gaussian", gaussian.model(), sampler="leimkuhler_matthews", step_size=0.1, batch_size=3
    )
    h = 0.8 / np.sqrt(gaussian.precision)
    law = AffineStep(step, h, temperature)
    noise = np.diag(window_noise(gaussian, law, 3))
    c = gaussian.precision
    theory = temperature / c + h * h * noise / (c * (4 - h * h * c))
    np.testing.assert_allclose(np.diag(law.stationary()[1]), theory, rtol=1e-9)


def test_control_variates_leave_no_noise_where_curvature_is_shared(make_step, gaussian):
    """Batches of 3 have the law of the full batch, whatever the centre."""
    step = make_step("gaussian", gaussian.model(), sampler="sgld_cv", step_size=0.1, batch_size=3)
    chain = step.chain
    chain.restart((1, 2), 1, 1)
    centre = np.array([4.0, -7.0])
    rows_at_centre = (gaussian.rows - centre).sum(axis=0) / gaussian.noise_sd**2
    chain.state.estimator_parameters = (centre, rows_at_centre)
    h, temperature = 0.4 / gaussian.precision, 4.0
    mean, covariance = AffineStep(step, h, temperature).stationary()
    np.testing.assert_allclose(mean, gaussian.mean, rtol=1e-9)
    theory = temperature / gaussian.precision / (1 - 0.2)
    np.testing.assert_allclose(covariance, theory * np.eye(2), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
@pytest.mark.parametrize("sampler", ["sgld", "sghmc", "baoa", "baoab"])
def test_compensated_noise_leaves_the_law_of_exact_gradients(
    make_step, gaussian, sampler, temperature
):
    """In coordinates of unit variance: as if the batch were all rows."""
    step = make_step(
        "gaussian",
        gaussian.model(),
        sampler=sampler,
        preconditioner="diagonal",
        noise_compensation=True,
        step_size=0.1,
        batch_size=3,
    )
    chain = step.chain
    chain.restart((1, 2), 1, 1)
    scale = np.full(2, gaussian.precision**-0.5)
    chain.state.metric = DiagonalMetric(np.zeros(2), scale)
    h = 0.1
    law = AffineStep(step, h, temperature)
    noise = np.diag(window_noise(gaussian, law, 3)) * scale**2
    chain.state.gradient_noise = noise
    found = np.diag(law.stationary()[1])
    rule = step.chain.settings.kernel.rule
    exact = LinearLaw(rule).variance(h, 1.0, 0.0, temperature)
    np.testing.assert_allclose(found, exact, rtol=1e-9)
    chain.state.gradient_noise = np.zeros(2)
    assert (np.diag(law.stationary()[1]) > 1.001 * exact).all()
