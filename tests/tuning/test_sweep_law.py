"""The law of a chain whose batches come in sweeps, against the enumeration of all orders."""

import itertools

import numpy as np
import pytest

from pymc_sgld.row_sources import INDEPENDENT, Epochs, Sweep, SymmetricEpochs
from pymc_sgld.samplers import (
    Baoa,
    Baoab,
    StochasticGradientHamiltonian,
    StochasticGradientLangevin,
)
from pymc_sgld.tuning import GaussianLaw, LinearLaw
from pymc_sgld.tuning.predicted_law import TiedNoise
from pymc_sgld.tuning.sweep_law import phases, settled_noise

RULES = {
    "sgld": StochasticGradientLangevin(),
    "sghmc": StochasticGradientHamiltonian(friction=1.5),
    "leimkuhler_matthews": Baoa(friction=np.inf),
    "baoab": Baoab(friction=0.7),
}
ROWS = np.array(
    [[1.0, 0.2], [-2.0, 1.0], [0.5, -3.0], [1.5, 0.4], [0.3, 2.5], [-0.6, 0.1], [4, -1]]
)
BATCH = 2  # of 7 rows: three batches, and a row that is left out
CURVATURES = np.array([0.6, 1.4])


def batches_of_all_orders(symmetric):
    """Gradient noise of the steps of every sweep, shape (n_orders, n_steps, 2)."""
    scores, orders = ROWS - ROWS.mean(axis=0), []
    pairs = [set(pair) for pair in itertools.combinations(range(len(ROWS)), BATCH)]
    for order in itertools.permutations(pairs, len(ROWS) // BATCH):
        if len(set.union(*order)) == BATCH * len(order):
            steps = [len(ROWS) / BATCH * scores[list(pair)].sum(axis=0) for pair in order]
            orders.append(steps + steps[::-1] if symmetric else steps)
    return np.array(orders)


def enumerated(rule, step_size, temperature, symmetric):
    """Covariance of the position at each step of a sweep, shape (n_steps + 1, 2, 2)."""
    matrices = [LinearLaw(rule).matrices(step_size, c, temperature) for c in CURVATURES]
    n = len(matrices[0].gradient)
    step = np.block([[matrices[0].step, np.zeros((n, n))], [np.zeros((n, n)), matrices[1].step]])
    injected = np.zeros((2 * n, 2 * n))
    kick = np.zeros((2 * n, 2))
    for j, one in enumerate(matrices):
        here = slice(j * n, (j + 1) * n)
        injected[here, here], kick[here, j] = one.noise @ one.noise.T, one.gradient
    noise = batches_of_all_orders(symmetric)
    states = np.zeros((len(noise), 2 * n))
    added, source, power = [np.zeros((2 * n, 2 * n))], np.zeros((2 * n, 2 * n)), np.eye(2 * n)
    for now in np.swapaxes(noise, 0, 1):
        states = states @ step.T + now @ kick.T
        source = step @ source @ step.T + injected
        power = step @ power
        np.testing.assert_allclose(states.mean(axis=0), 0, atol=1e-12)
        added.append(source + states.T @ states / len(states))
    kron = np.eye(4 * n * n) - np.kron(power, power)
    at_end = np.linalg.solve(kron, added[-1].reshape(-1)).reshape(2 * n, 2 * n)
    found, power = [], np.eye(2 * n)
    for one in added:
        found.append((power @ at_end @ power.T + one)[::n, ::n])
        power = step @ power
    return np.array(found)


@pytest.mark.parametrize("scheme", [Epochs(), SymmetricEpochs()], ids=lambda one: one.name)
@pytest.mark.parametrize("temperature", [1.0, 4.0])
@pytest.mark.parametrize("name", RULES)
def test_law_at_every_step_of_a_sweep(name, temperature, scheme):
    """Over all 630 sweeps of three batches of 7 rows, in two directions whose noise is tied."""
    rule, step_size = RULES[name], 0.4
    sweep = scheme.sweep(len(ROWS), BATCH)
    exact = enumerated(rule, step_size, temperature, sweep.symmetric)
    assert sweep.n_steps == len(exact) - 1
    np.testing.assert_allclose(exact[0], exact[-1], rtol=1e-10)  # it is settled
    n, N = BATCH, len(ROWS)
    noise = N**2 / n * (N - n) / (N - 1) * np.cov(ROWS.T, bias=True)

    def law(at):
        return GaussianLaw(
            LinearLaw(rule),
            np.diag(CURVATURES),
            noise,
            np.eye(2),
            tied=(TiedNoise(noise, sweep, at),),
        )

    for step in range(sweep.n_steps):
        covariance = law((step,)).stationary_covariance(step_size, temperature)
        np.testing.assert_allclose(covariance, exact[step], rtol=1e-10, atol=1e-10)
    everywhere = law(phases(sweep, 1)).stationary_covariance(step_size, temperature)
    np.testing.assert_allclose(everywhere, exact[1:].mean(axis=0), rtol=1e-10)
    for j, curvature in enumerate(CURVATURES):
        alone = LinearLaw(rule).variance(
            step_size, curvature, noise[j, j], temperature, sweep=sweep
        )
        np.testing.assert_allclose(alone, exact[0, j, j], rtol=1e-10)
    # independent batches of the same noise make the chain wider
    independent = law((0,)).__class__(LinearLaw(rule), np.diag(CURVATURES), noise, np.eye(2))
    wide = independent.stationary_covariance(step_size, temperature)
    assert (np.diag(wide) > 1.05 * np.diag(exact[0])).all()


def test_a_sweep_of_one_batch_is_an_independent_batch():
    """And many directions one by one give what pairs of them do."""
    step = np.array([[0.7, 0.1], [-0.2, 0.5]])
    kick = np.array([0.3, 0.4])
    alone = settled_noise(step, step, (kick, kick), INDEPENDENT)
    np.testing.assert_allclose(alone, step @ alone @ step.T + np.outer(kick, kick), rtol=1e-12)
    tied = settled_noise(step, step, (kick, kick), Sweep(1, -0.9))
    np.testing.assert_allclose(tied, alone, rtol=1e-12)


def test_when_draws_are_taken():
    """Draws after 4, 6 and 9 steps of sweeps of 12, and where there are more than are looked at."""
    sweep = Sweep(12, -0.1)
    assert phases(sweep, 12) == phases(sweep, 36) == (0,)
    assert phases(sweep, 4) == (0, 4, 8)
    assert phases(sweep, 9) == (0, 3, 6, 9)
    assert phases(Sweep(12, -0.1, symmetric=True), 12) == (0, 12)
    many = phases(Sweep(1000, -0.001), 1)
    assert len(many) == 32 and many[0] == 0 and many[-1] == 999


def test_largest_step_of_sweeps():
    """The numbers of the literature of sweeps: R = 100 batches of all noise, sd 5 % too wide.

    Passes an effective draw are 2 / (h R): 9.86 with independent batches, 1.44 and 1.24 in sweeps.
    """
    law, n = LinearLaw(StochasticGradientLangevin()), 100
    noise = float(n)
    excess = 1.05**2 - 1
    passes = {
        symmetric: 2
        / (n * law.largest_step([(noise, Sweep(n, -1 / (n - 1), symmetric), (0,))], 1.0, excess))
        for symmetric in (False, True)
    }
    apart = 2 / (n * law.largest_step(noise, 1.0, excess))
    np.testing.assert_allclose([apart, passes[False], passes[True]], [9.86, 1.44, 1.24], rtol=0.01)
