"""Steps beside loops by hand: ``python -m tests.benchmarks.speed.steps FAMILY D DTYPE``.

The step method is called as PyMC calls it, so random numbers, statistics and Python around the
loop are in its time; loops by hand draw their numbers in bulk, as it does. All take turns in one
process, and each figure is a median.
"""

import json
import math
import sys
import time

import numba
import numpy as np
import pymc as pm
import pytensor

import pymc_sgld as psg

from tests.benchmarks.speed.data import regression

N_ROWS, N_STEPS, REPEATS, BLOCK = 100_000, 2_000, 7, 32
DRAWS = 100  # of N_STEPS / 20 steps, in a turn: much more than are made ahead at a time
SGLD_BATCH, AUTO_BATCH = 100, 256
FAST = {"fastmath": {"reassoc", "contract"}}


@numba.njit
def logistic(outcome, eta):
    return outcome - 1 / (1 + math.exp(-eta))


@numba.njit
def linear(outcome, eta):
    return outcome - eta


@numba.njit
def poisson(outcome, eta):
    return outcome - math.exp(eta)


RESIDUALS = {"logistic": logistic, "linear": linear, "Poisson": poisson}


def loops(residual):
    """Return SGLD, and the step of "auto" with two gradients and with one."""

    @numba.njit(**FAST)
    def add_rows(gradient, position, X, y, first, last, factor):
        for i in range(first, last):
            eta = X.dtype.type(0)
            for j in range(len(position)):
                eta += X[i, j] * position[j]
            slope = factor * residual(y[i], eta)
            for j in range(len(position)):
                gradient[j] += slope * X[i, j]

    @numba.njit(**FAST)
    def sgld(position, X, y, starts, noise, h, scale, n):
        q = position.copy()
        gradient = np.empty_like(q)
        spread = math.sqrt(2 * h)
        for t in range(len(starts)):
            gradient[:] = -q
            add_rows(gradient, q, X, y, starts[t], starts[t] + n, scale)
            for j in range(len(q)):
                q[j] += h * gradient[j] + spread * noise[t, j]
        return q

    @numba.njit(**FAST)
    def auto(z, centre, factor, full, table, X, y, starts, noise, h, scale, n, with_table):
        n_dim = len(z)
        z, q, gradient, along = z.copy(), np.empty_like(z), np.empty_like(z), np.empty_like(z)
        spread = math.sqrt(h / 2)
        for t in range(len(starts)):
            for j in range(n_dim):
                total = centre[j]
                for k in range(j + 1):
                    total += factor[j, k] * z[k]
                q[j] = total
            first = starts[t] * BLOCK
            gradient[:] = 0
            add_rows(gradient, q, X, y, first, first + n, scale)
            if with_table:
                for j in range(n_dim):
                    at_centre = table[starts[t] + n // BLOCK, j] - table[starts[t], j]
                    gradient[j] += full[j] - q[j] - scale * at_centre
            else:
                add_rows(gradient, centre, X, y, first, first + n, -scale)
                for j in range(n_dim):
                    gradient[j] += full[j] - q[j]
            along[:] = 0
            for j in range(n_dim):
                for k in range(j + 1):
                    along[k] += factor[j, k] * gradient[j]
            for j in range(n_dim):
                z[j] += h * along[j] + spread * (noise[t, j] + noise[t + 1, j])
        return z

    return sgld, auto


def model_of(family, design, outcome):
    with pm.Model() as model:
        eta = pm.math.dot(design, pm.Normal("beta", 0, 1, shape=design.shape[1]))
        if family == "logistic":
            pm.Bernoulli("y", logit_p=eta, observed=outcome)
        elif family == "Poisson":
            pm.Poisson("y", pm.math.exp(eta), observed=outcome)
        else:
            pm.Normal("y", eta, 1, observed=outcome)
    return model


def of_step(model, make, draws):
    """Return a function that makes some draws of a step method, after its tuning."""
    with model:
        step = make()
    tune = step.default_tune_steps if isinstance(step, psg.Auto) else 0
    step.setup_chain(np.random.default_rng(0), tune, 10**6)
    point = model.initial_point()
    for _ in range(tune):
        point, _ = step.step(point)
    step.stop_tuning()

    def run():
        nonlocal point
        for _ in range(draws):
            point, _ = step.step(point)

    return run


def by_hand(family, design, outcome, dtype):
    """Return the loops by hand, as functions of no arguments."""
    rng = np.random.default_rng(1)
    n_dim = design.shape[1]
    X, y = design.astype(dtype), outcome.astype(dtype)
    table = np.zeros((N_ROWS // BLOCK + 1, n_dim), dtype)
    zero = np.zeros(n_dim, dtype)
    residuals = y if family == "linear" else y - y.dtype.type(0.5 if family == "logistic" else 1)
    sums = (X * residuals[:, None])[: N_ROWS // BLOCK * BLOCK].reshape(-1, BLOCK, n_dim).sum(1)
    table[1:] = np.cumsum(sums, axis=0)
    factor = np.asarray(np.eye(n_dim) / np.sqrt(N_ROWS), dtype)
    sgld, auto = loops(RESIDUALS[family])
    number = y.dtype.type

    def numbers(n, last):
        noise = rng.standard_normal((N_STEPS + 1, n_dim), dtype=dtype)
        return rng.integers(0, last, N_STEPS), noise, number(n)

    def run_sgld():
        starts, noise, _ = numbers(0, N_ROWS - SGLD_BATCH)
        return sgld(zero, X, y, starts, noise, number(1e-6), number(N_ROWS / 100), SGLD_BATCH)

    def run_auto(with_table):
        starts, noise, scale = numbers(N_ROWS / AUTO_BATCH, (N_ROWS - AUTO_BATCH) // BLOCK)
        more = (X, y, starts, noise, number(0.5), scale, AUTO_BATCH, with_table)
        return auto(zero, zero, factor, table[-1], table, *more)

    state = rng.bit_generator.state
    two = run_auto(False)
    rng.bit_generator.state = state
    np.testing.assert_allclose(run_auto(True), two, rtol=1e-3 if dtype == "float32" else 1e-8)
    return {
        "sgld, by hand": run_sgld,
        "auto, by hand, two gradients": lambda: run_auto(False),
        "auto, by hand, table of the centre": lambda: run_auto(True),
    }


def main(family, n_dim, dtype):
    pytensor.config.floatX = dtype
    design, outcome = regression(family, N_ROWS, n_dim, 0)
    observed = outcome.astype(dtype) if family == "linear" else outcome
    model = model_of(family, design.astype(dtype), observed)
    size = {"verify": False}
    runs = {
        "sgld": of_step(
            model,
            lambda: psg.SGLD(
                step_size=1e-6, batch_size=SGLD_BATCH, steps_per_draw=N_STEPS // 20, **size
            ),
            DRAWS,
        ),
        "auto": of_step(
            model,
            lambda: psg.Auto(
                batch_size=AUTO_BATCH,
                batches="independent",
                steps_per_draw=N_STEPS // 20,
                rng=np.random.default_rng(1),
                **size,
            ),
            DRAWS,
        ),
        **by_hand(family, design, outcome, dtype),
    }
    seconds = {name: [] for name in runs}
    for run in runs.values():
        run()
    for _ in range(REPEATS):
        for name, run in runs.items():
            started = time.process_time()
            run()
            n_steps = N_STEPS if "hand" in name else DRAWS * (N_STEPS // 20)
            seconds[name].append((time.process_time() - started) / n_steps)
    return {name: float(np.median(each)) * 1e9 for name, each in seconds.items()}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]), sys.argv[3])))
