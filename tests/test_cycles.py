"""Cyclical samplers: which steps they take, which draws they keep, and the law of those."""

from dataclasses import replace

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest

import pymc_sgld as psg

from pymc_sgld.chain.cycles import EXPLORING_BIAS, Cycles

QUIET = {"progressbar": False, "compute_convergence_checks": False}
CENTRES = np.array([[a, b] for a in (-4, -2, 0, 2, 4) for b in (-4, -2, 0, 2, 4)], float)


def run(step, tune, draws, seed=0):
    statistics = []
    step.setup_chain(np.random.default_rng(seed), tune, draws)
    point = {"theta": np.zeros(2)}
    points = []
    for number in range(tune + draws):
        if number == tune:
            step.stop_tuning()
        point, [stats] = step.step(point)
        points.append(point["theta"])
        statistics.append(stats)
    return np.array(points), statistics


@pytest.mark.parametrize("exploration", [0.0, 0.25, 0.75])
def test_draws_come_from_the_sampling_stage_alone(make_step, gaussian, exploration):
    """4 cycles of 3 draws of 5 steps; a schedule of the user's sees every step number."""
    seen = []

    def step_size(steps):
        seen.append(np.asarray(steps))
        return np.full(len(steps), 1e-3)

    step = make_step("gaussian", gaussian.model(), "cyclical_sgld", step_size=1e-3, batch_size=12)
    settings = step.chain.settings
    step.chain.settings = replace(
        settings, step_size=step_size, steps_per_draw=5, cycles=Cycles(4, exploration)
    )
    step.draws.most = 1  # so that each draw asks for its own steps
    _, statistics = run(step, 2, 12)
    step.chain.settings, step.draws.most = settings, None
    length = round(15 / (1 - exploration))
    assert (np.concatenate(seen) == np.arange(2 * 5 + 4 * length)).all()
    kept = [steps[-5:] - 10 for steps in seen[2:]]
    assert all((steps % length >= length - 15).all() for steps in kept)
    assert len(np.unique(kept)) == 4 * 15
    assert [stats["cycle"] for stats in statistics] == [-1, -1, *np.repeat(range(4), 3)]
    np.testing.assert_allclose([stats["step_size_weight"] for stats in statistics], 5e-3)
    passes = [stats["data_passes"] for stats in statistics]
    # one for the jitter; one for the noise and four for the Hessian, where sampling begins
    np.testing.assert_allclose(np.sum(passes), 10 + 4 * length + 6)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_every_step_is_that_of_sgld_at_the_cosine(make_step, gaussian, temperature):
    """Replayed in numpy, step by step, with the same random numbers and h of the formula."""
    step = make_step(
        "gaussian", gaussian.model(), "cyclical_sgld", step_size=0.1, batch_size=12,
        steps_per_draw=4, cycles=3, temperature=temperature,
    )  # fmt: skip
    points, statistics = run(step, 2, 12)
    streams, length = step.chain.streams(), 32  # 16 steps explore, 16 sample
    theta, ends = points[0], [8, *(8 + 32 * c + 20 + 4 * d for c in range(3) for d in range(4))]
    expected = []
    for k in range(4, ends[-1]):
        h = 0.05 * (np.cos(np.pi * (k / 8 if k < 8 else (k - 8) % length / length)) + 1)
        drift = h * gaussian.precision * (gaussian.mean - theta)
        theta = theta + drift + np.sqrt(2 * h * temperature) * streams.block(k, 1).noise[0, 0]
        if k + 1 in ends:
            expected.append(theta)
            assert statistics[len(expected)]["step_size"] == pytest.approx(h, rel=1e-9)
    np.testing.assert_allclose(points[1:], expected, rtol=1e-9)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_the_spread_of_the_draws_with_gradient_noise(make_step, gaussian, temperature):
    """Against the recursion of the variance through the cycle, within 4 standard errors.

    The cycles are independent but for their starts, which the exploration forgets.
    """
    cycles, h0 = 400, 0.3
    step = make_step(
        "gaussian", gaussian.model(), "cyclical_sgld", step_size=h0, batch_size=3,
        steps_per_draw=4, cycles=cycles, temperature=temperature,
    )  # fmt: skip
    n_rows, n, per_cycle, length = 12, 3, 5, 40
    points, _ = run(step, 1, cycles * per_cycle)
    rows_noise = gaussian.rows.var(axis=0) / gaussian.noise_sd**4
    noise = n_rows**2 / n * (n_rows - n) / (n_rows - 1) * rows_noise
    variance, expected = np.full(2, temperature / gaussian.precision), []
    for k in range(3 * length):
        h = h0 / 2 * (np.cos(np.pi * (k % length) / length) + 1)
        decay = 1 - h * gaussian.precision
        variance = decay**2 * variance + h**2 * noise + 2 * h * temperature
        if k >= 2 * length + 20 and k % 4 == 3:
            expected.append(variance)
    squares = (points[1:] - gaussian.mean) ** 2
    by_cycle = squares.reshape(cycles, per_cycle, 2).mean(axis=1)
    error = by_cycle.std(axis=0) / np.sqrt(cycles)
    assert (error / np.mean(expected, axis=0) < 0.08).all()
    assert (np.abs(by_cycle.mean(axis=0) - np.mean(expected, axis=0)) < 4 * error).all()
    mean = (points[1:] - gaussian.mean).reshape(cycles, per_cycle, 2).mean(axis=1)
    assert (np.abs(mean.mean(axis=0)) < 4 * mean.std(axis=0) / np.sqrt(cycles)).all()


@pytest.mark.parametrize("temperature", [1.0, 4.0])
@pytest.mark.parametrize("name", ["cyclical_sgld", "cyclical_sghmc"])
@pytest.mark.parametrize("exploration", [0.5, 0.9])
def test_sampling_begins_at_the_threshold(make_step, gaussian, name, exploration, temperature):
    step = make_step(
        "gaussian", gaussian.model(), name, batch_size=3, steps_per_draw=10, cycles=2,
        exploration=exploration, temperature=temperature,
    )  # fmt: skip
    run(step, 1, 4)
    chain = step.chain
    picture, schedule = chain.state.predicted_law, chain.plan.step_size
    length = schedule.plan.cycle_steps
    assert length == round(20 / (1 - exploration))
    start = schedule(np.array([10 + schedule.plan.exploring_steps, 10]))
    biases = (step.chain.settings.target_bias, EXPLORING_BIAS)
    wanted, largest = (picture.threshold_step_size(temperature, bias) for bias in biases)
    fraction = (np.cos(np.pi * exploration) + 1) / 2
    assert start[1] == pytest.approx(min(wanted / fraction, largest))
    assert start[0] == pytest.approx(min(wanted, largest * fraction))
    assert np.isfinite(picture.sd_inflation(start[1], temperature))


def mixture_with_gradient_noise():
    """25 Gaussians of variance 0.03; the rows add up to 0, and batches of one to noise N(0, I)."""
    n_rows = 64
    rows = np.random.default_rng(0).normal(size=(n_rows, 2))
    rows -= rows.mean(axis=0)
    rows = rows @ np.linalg.inv(np.linalg.cholesky(np.cov(rows.T, bias=True))).T / n_rows
    with pm.Model() as model:
        theta = pm.Flat("theta", shape=2)
        squares = ((theta - CENTRES) ** 2).sum(axis=1)
        pm.Potential("mixture", pm.math.logsumexp(-squares / 0.06))
        pm.Potential("noise", pt.as_tensor(rows) @ theta)
    return model


def modes_found(draws):
    """Number of modes with five draws or more within 3 sds, and the share of such draws."""
    squares = ((draws.reshape(-1, 1, 2) - CENTRES) ** 2).sum(axis=-1)
    near = squares.min(axis=1) < 0.03 * 9
    counts = np.bincount(squares.argmin(axis=1)[near], minlength=25)
    return int((counts >= 5).sum()), near.mean()


def test_25_gaussians():
    """Zhang et al., figure 2: cycles find all 25 modes where SGLD finds a few.

    50,000 steps in each of 4 chains, as there (2 of SGLD), in 60 cycles of which sampling takes
    half (with the 30 of the paper 5 seeds of 8 found all, the others 24). Steps of SGLD at which
    the draws are near the modes: constant steps of 0.04 wander, with a third of the draws in
    between.
    """
    common = {
        "tune": 1, "cores": 1, "random_seed": 3, "batch_size": 1,
        "steps_per_draw": 50, "verify": False, **QUIET,
    }  # fmt: skip
    with mixture_with_gradient_noise():
        cyclical = psg.sample("cyclical_sgld", 480, step_size=0.07, cycles=60, chains=4, **common)
        plain = psg.sample("sgld", 960, step_size=0.01, chains=2, **common)
    assert list(cyclical.sample_stats["cycle"][0].values) == list(np.repeat(range(60), 8))
    found, near = modes_found(cyclical.posterior["theta"].values)
    assert found == 25 and near > 0.8
    assert max(modes_found(chain)[0] for chain in plain.posterior["theta"].values) <= 5
