"""The stationary law of the chain as coded, without sampling.

On a Gaussian target the compiled update is affine in the position and the noise. Pushing unit
vectors through it gives its matrices; the Lyapunov equation gives the covariance the chain settles
in, exactly; theory says what that must be.
"""

import numpy as np
import pytest
import scipy.linalg

from pymc_sgld.samplers import StochasticGradientLangevin
from pymc_sgld.tuning import LinearChain
from pymc_sgld.types import Randomness


class AffineStep:
    """The matrices of one compiled step, for a window start: x' = M x + b + B noise."""

    def __init__(self, step, step_size, temperature):
        self.step, self.h, self.temperature = step, step_size, temperature
        self.chain = step.chain
        self.n_dim = self.chain.n_dim

    def push(self, x, noise, start):
        windows = self.chain.windows
        leaves = windows.arrays("law", self._permutation)
        state = {"position": np.asarray(x, float)}
        randomness = Randomness(
            np.array([[start]], dtype=np.int64), np.asarray(noise, float).reshape(1, 1, -1)
        )
        new = self.chain.loop.run(
            state,
            randomness,
            np.array([self.h]),
            np.array([self.temperature]),
            batch_sizes=windows.batch_sizes,
            scales=windows.total_sizes / windows.batch_sizes,
            metric_parameters=self.chain.state.metric.parameters(),
            leaves=leaves,
        )
        return new["position"]

    def _permutation(self, group):
        return np.random.default_rng(5).permutation(int(self.chain.windows.total_sizes[group]))

    def matrices(self, start):
        zero = np.zeros(self.n_dim)
        b = self.push(zero, zero, start)
        M = np.array([self.push(e, zero, start) - b for e in np.eye(self.n_dim)]).T
        B = np.array([self.push(zero, e, start) - b for e in np.eye(self.n_dim)]).T
        return M, b, B

    def stationary(self):
        """Mean and covariance, exact over all windows of the permutation."""
        windows = self.chain.windows
        starts = range(int(windows.total_sizes[0])) if not windows.groups[0].whole else [0]
        Ms, bs, Bs = map(np.array, zip(*(self.matrices(start) for start in starts), strict=True))
        n = self.n_dim
        mean = np.linalg.solve(np.eye(n) - Ms.mean(axis=0), bs.mean(axis=0))
        # second moments about the mean: x' - mean = M (x - mean) + (M mean + b - mean) + B noise
        shift = np.einsum("sij,j->si", Ms, mean) + bs - mean
        source = np.einsum("si,sj->ij", shift, shift) / len(shift)
        source += np.einsum("sik,sjk->ij", Bs, Bs) / len(Bs)
        kron = np.einsum("sij,skl->ikjl", Ms, Ms).reshape(n * n, n * n) / len(Ms)
        covariance = np.linalg.solve(np.eye(n * n) - kron, source.reshape(-1)).reshape(n, n)
        return mean, covariance


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
    order = law._permutation(0)
    gradients = np.array(
        [
            gaussian.window_gradient(order, start, batch_size, np.zeros(2))
            for start in range(gaussian.n_rows)
        ]
    )
    noise = np.cov(gradients.T, bias=True)
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
    from pymc_sgld.preconditioners import metric_from_covariance

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
    order = law._permutation(0)
    gradients = [
        gaussian.window_gradient(order, start, batch_size, np.zeros(2))
        for start in range(gaussian.n_rows)
    ]
    picture = LinearChain(
        gaussian.precision * np.eye(2), np.cov(np.transpose(gradients), bias=True), np.eye(2)
    )
    np.testing.assert_allclose(picture.stationary_covariance(h), covariance, rtol=1e-9)
    widest = np.sqrt(np.diag(covariance).max() * gaussian.precision) - 1
    assert picture.sd_inflation(h) == pytest.approx(widest, rel=1e-9)


def test_the_law_tells_noise_sd_from_noise_variance(gaussian, make_step):
    """The peers' slip, planted: a noise of sd sqrt(2 h) * T fails at T = 4 and passes at T = 1."""

    class Slipped(StochasticGradientLangevin):
        def update(self, state, gradient, *, step_size, temperature, noise):
            return super().update(
                state,
                gradient,
                step_size=step_size,
                temperature=temperature**2,
                noise=noise,
            )

    class SlippedStep(type(step_of(make_step, gaussian, "gaussian", 3))):
        rule = Slipped()

    with gaussian.model():
        step = SlippedStep(step_size=0.1, batch_size=gaussian.n_rows, verify=False)
    h = 0.1 / gaussian.precision
    for temperature, agrees in ((1.0, True), (4.0, False)):
        _, covariance = AffineStep(step, h, temperature).stationary()
        theory = temperature / gaussian.precision / (1 - 0.05)
        assert np.allclose(covariance, theory * np.eye(2)) == agrees
