"""pSGLD, whose update is not affine: k-sigma tests of many chains at once, through its update.

Each coordinate of the state is a chain of its own, so that the Hessian is diagonal. The chains are
independent, hence so are the means over time of each, and the standard error follows from them.
"""

import itertools

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest
import scipy.linalg

from scipy import integrate

from pymc_sgld.samplers import PreconditionedLangevin
from tests.affine_law import AffineStep, window_noise

N_CHAINS = 2000


def step_function(rule, slope):
    """One step on the PyTensor's Python linker; the gradient is ``slope`` plus given noise."""
    state = {name: pt.dvector(name) for name in ("position", *rule.extra_state)}
    noise, error, step_size, temperature = pt.dmatrix(), pt.dvector(), pt.dscalar(), pt.dscalar()
    new = rule.update(
        state,
        lambda position: slope(position) + error,
        step_size=step_size,
        temperature=temperature,
        noise=noise,
    )
    return pytensor.function(
        [*state.values(), noise, error, step_size, temperature],
        [new[name] for name in state],
        mode="FAST_COMPILE",
        on_unused_input="ignore",
    )


def moments(rule, slope, start, noise, step_size, temperature, seconds=30.0, settling=10.0):
    """Return the mean and mean square of every chain over ``seconds`` of its time."""
    rng = np.random.default_rng(0)
    function = step_function(rule, slope)
    squares = slope(pt.constant(start)).eval() ** 2
    squares = np.full(len(start), squares.mean()) + noise
    states = (start, *rule.start_from_squares(squares).values())
    steps = int(seconds / step_size)
    sums = np.zeros((2, len(start)))
    first = int(settling / step_size)
    for number in range(first + steps):
        signs = rng.standard_normal((rule.noise_vectors, len(start)))
        error = np.sqrt(noise) * rng.standard_normal(len(start))
        states = function(*states, signs, error, step_size, temperature)
        if number >= first:
            sums += states[0], states[0] ** 2
    return sums / steps


def check(found, mean, variance, bias):
    """Within 4 standard errors, and ``bias`` in sds or of the variance for the finite step."""
    centred = found[1] - 2 * mean * found[0] + mean**2
    error = np.std(found, axis=1) / np.sqrt(found.shape[1])
    assert abs(found[0].mean() - mean) < 4 * error[0] + bias * np.sqrt(variance)
    ratio = centred.mean() / variance
    spread = np.std(centred) / np.sqrt(len(centred)) / variance
    assert spread < 0.02
    assert abs(ratio - 1) < 4 * spread + bias, ratio
    return ratio


@pytest.mark.parametrize("temperature", [1.0, 4.0])
@pytest.mark.parametrize("decay", [0.9, 0.99])
def test_gaussian(decay, temperature):
    """Curvature 1 and gradient noise of variance 3; both temperatures, two lengths of memory."""
    start = np.sqrt(temperature) * np.random.default_rng(1).standard_normal(N_CHAINS)
    arguments = (lambda x: -x, start, 3.0, 0.04, temperature)
    check(moments(PreconditionedLangevin(decay), *arguments), 0.0, temperature, bias=0.04)


@pytest.mark.parametrize(("decay", "excess"), [(0.9, 0.15), (0.99, 0.06)])
def test_without_the_correction_it_is_too_wide(decay, excess):
    start = np.random.default_rng(1).standard_normal(N_CHAINS)
    rule = PreconditionedLangevin(decay, correction=False)
    found = moments(rule, lambda x: -x, start, 3.0, 0.04, 1.0)
    assert found[1].mean() > 1 + excess


ROWS = np.array([-0.5, 0.1, 0.4, 1.0, 3.0])


def gumbel(x):
    """Gradient of the log-posterior of the location of five Gumbel rows: skewed."""
    return sum(1 - pt.exp(-(row - x) / 1.5) for row in ROWS) / 1.5 - x / 9


@pytest.mark.parametrize("decay", [0.9, 0.99])
def test_skewed(decay):
    """Curvature that varies sevenfold within an sd or two of the mean: mean and variance."""

    def density(m):
        z = (ROWS - m) / 1.5
        return np.exp(-(z + np.exp(-z)).sum() - m**2 / 18 + 6)

    integrals = [integrate.quad(lambda m, k=k: m**k * density(m), -15, 15)[0] for k in range(3)]
    mean, second = integrals[1] / integrals[0], integrals[2] / integrals[0]
    variance = second - mean**2
    start = mean + np.sqrt(variance) * np.random.default_rng(1).standard_normal(N_CHAINS)
    arguments = (gumbel, start, 1.0, 0.02, 1.0, 20.0)
    check(moments(PreconditionedLangevin(decay), *arguments), mean, variance, bias=0.04)
    without = moments(PreconditionedLangevin(decay, correction=False), *arguments)
    assert (without[1] - 2 * mean * without[0] + mean**2).mean() > 1.08 * variance


def test_units_of_a_parameter_do_not_matter():
    """Position times 1e6, step size times 1e6: the same chain."""
    chains = []
    for unit in (1.0, 1e6):
        rule, rng = PreconditionedLangevin(0.9), np.random.default_rng(2)
        function = step_function(rule, lambda x, unit=unit: -((x / unit) ** 3) / unit)
        states = (
            np.array([0.5, -2.0]) * unit,
            *rule.start_from_squares(np.ones(2) / unit**2).values(),
        )
        for _ in range(200):
            noise, error = rng.standard_normal((2, 2)), rng.standard_normal(2) / unit
            states = function(*states, noise, error, 0.02 * unit, 1.0)
        chains.append(states[0] / unit)
    np.testing.assert_allclose(*chains, rtol=1e-9)


def test_slope_is_the_derivative_of_the_expected_square():
    """All signs and all noises enumerated: the mean of S is that of d E[g^2] / d theta."""
    rng = np.random.default_rng(3)
    hessians = [a @ a.T for a in rng.normal(size=(4, 3, 3))]  # of four batches
    at = rng.normal(size=3)
    rule = PreconditionedLangevin(0.9)
    function = [step_function(rule, lambda x, H=H: -pt.dot(pt.constant(H), x)) for H in hessians]
    start = rule.start_from_squares(np.ones(3)).values()
    found = [
        one(at, *start, np.array([np.zeros(3), signs]), np.zeros(3), 0.1, 1.0)[2]
        for one in function
        for signs in itertools.product([-1.5, 0.3], repeat=3)
    ]
    exact = np.mean([2 * (H @ at) * np.diag(H) for H in hessians], axis=0)
    np.testing.assert_allclose(np.mean(found, axis=0), 0.1 * exact, rtol=1e-10)


def test_chosen_step_and_start(make_step, regression):
    """V starts at its expectation; the law at that metric is within a tenth of the right one."""
    temperature = 4.0
    step = make_step(
        "regression",
        regression.model(),
        sampler="psgld",
        batch_size=100,
        temperature=temperature,
    )
    step.setup_chain(np.random.default_rng(0), 5, 1)
    chain = step.chain
    chain.start(np.zeros(3))
    noise = window_noise_at_mode(regression, 100)
    expected = temperature * np.diag(regression.precision) + np.diag(noise)
    squares = chain.state.extra_state["squares"]
    np.testing.assert_allclose(squares, expected, rtol=1e-3)
    h, rule = chain.plan.step_size(0), chain.settings.kernel.rule
    metric = np.diag(1 / ((1 + rule.damping) * np.sqrt(squares)))
    law = scipy.linalg.solve_discrete_lyapunov(
        np.eye(3) - h * metric @ regression.precision,
        2 * h * temperature * metric + h**2 * metric @ noise @ metric,
    )
    excess = np.diag(law) / np.diag(temperature * regression.covariance) - 1
    assert 0.01 < excess.max() < 0.1001


def window_noise_at_mode(target, batch_size):
    """Covariance of the gradient of batches of distinct rows, at the mean."""
    scores = target.design * (target.outcome - target.design @ target.mean)[:, None]
    total = len(scores)
    left = (total - batch_size) / (total - 1)
    return total**2 / batch_size * left * np.cov(scores.T, bias=True)


def test_start_without_a_mode(make_step, gaussian):
    """With a step size given: the mean over batches of the squared gradient at the start."""
    step = make_step(
        "gaussian", gaussian.model(), sampler="psgld", step_size=0.01, batch_size=3, decay=0.999
    )
    step.setup_chain(np.random.default_rng(0), 0, 1)
    step.chain.start(np.array([3.0, 3.0]))
    noise = np.diag(window_noise(gaussian, AffineStep(step, 1.0, 1.0), 3))
    drift = (gaussian.precision * (gaussian.mean - 3.0)) ** 2
    found = step.chain.state.extra_state
    np.testing.assert_allclose(found["squares"], drift + noise, rtol=0.5)
    np.testing.assert_array_equal(found["reference"], found["squares"])
    np.testing.assert_array_equal(found["slope"], 0)
