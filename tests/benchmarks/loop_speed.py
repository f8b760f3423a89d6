"""Steps per second of the compiled loop beside loops written by hand in numba.

``python -m tests.benchmarks.loop_speed``: SGLD on logistic regression, N = 100,000, batch 100.
All variants take turns in one process; each figure is a median. The loop made from the PyMC model
and the first loop by hand do the same work on the same windows and the same noise, and end at the
same position; the second by hand gathers scattered rows and draws its own numbers, as most
published code does.
"""

import math
import time

import numba
import numpy as np
import pymc as pm

from rich.console import Console
from rich.table import Table

import pymc_sgld as psg

from pymc_sgld.types import Randomness

N_ROWS, BATCH, N_STEPS, REPEATS = 100_000, 100, 5_000, 9


@numba.njit(fastmath={"reassoc", "contract"}, cache=False)
def by_hand_windows(position, X, y, starts, noise, h, batch, scale):
    n_dim = len(position)
    q = position.copy()
    gradient = np.empty(n_dim)
    for t in range(len(starts)):
        gradient[:] = -q
        for i in range(starts[t], starts[t] + batch):
            eta = 0.0
            for j in range(n_dim):
                eta += X[i, j] * q[j]
            residual = scale * (y[i] - 1.0 / (1.0 + math.exp(-eta)))
            for j in range(n_dim):
                gradient[j] += residual * X[i, j]
        for j in range(n_dim):
            q[j] += h * gradient[j] + math.sqrt(2 * h) * noise[t, j]
    return q


@numba.njit(fastmath={"reassoc", "contract"}, cache=False)
def by_hand_gather(position, X, y, rng, n_steps, h, batch, scale):
    n_dim = len(position)
    q = position.copy()
    gradient = np.empty(n_dim)
    for _ in range(n_steps):
        gradient[:] = -q
        for _ in range(batch):
            i = int(rng.random() * len(y))
            eta = 0.0
            for j in range(n_dim):
                eta += X[i, j] * q[j]
            residual = scale * (y[i] - 1.0 / (1.0 + math.exp(-eta)))
            for j in range(n_dim):
                gradient[j] += residual * X[i, j]
        for j in range(n_dim):
            q[j] += h * gradient[j] + math.sqrt(2 * h) * rng.standard_normal()
    return q


def problem(n_dim):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(N_ROWS, n_dim))
    truth = rng.normal(size=n_dim) / np.sqrt(n_dim)
    y = (rng.random(N_ROWS) < 1 / (1 + np.exp(-X @ truth))).astype(np.float64)
    with pm.Model() as model:
        beta = pm.Normal("beta", 0, 1, shape=n_dim)
        pm.Bernoulli("y", logit_p=pm.math.dot(X, beta), observed=y.astype(np.int64))
    return X, y, model


def variants(n_dim):
    """Return a function of no arguments for each variant, and the build time of ours."""
    X, y, model = problem(n_dim)
    h, scale = 1e-6, N_ROWS / BATCH
    started = time.perf_counter()
    with model:
        step = psg.SGLD(step_size=h, batch_size=BATCH, steps_per_draw=N_STEPS, verify=False)
    built = time.perf_counter() - started
    chain = step.chain
    step.setup_chain(np.random.default_rng(0), 0, 10**6)
    position = np.zeros(n_dim)
    chain.start(position)
    rng = np.random.default_rng(1)
    starts, noise = rng.integers(0, N_ROWS, (N_STEPS, 1)), rng.normal(size=(N_STEPS, 1, n_dim))
    order = rng.permutation(N_ROWS)
    leaves = chain.batches.arrays("benchmark", lambda group: order)
    rows = np.concatenate([order, order[: BATCH - 1]])
    X_windows, y_windows = np.ascontiguousarray(X[rows]), y[rows]
    sizes = np.full(N_STEPS, h), np.ones(N_STEPS)

    constants = [chain.batches.batch_sizes, np.array([scale]), *leaves]

    def ours():
        state = {"position": position}
        return chain.loop.run(state, Randomness(starts, noise), *sizes, constants)["position"]

    def whole_draw():
        chain.batches.arrays(chain.state.key, lambda group: order)
        return chain.draw(position)

    def hand_windows():
        return by_hand_windows(
            position, X_windows, y_windows, starts[:, 0], noise[:, 0], h, BATCH, scale
        )

    def hand_gather():
        return by_hand_gather(position, X, y, rng, N_STEPS, h, BATCH, scale)

    np.testing.assert_allclose(ours(), hand_windows(), rtol=1e-9)
    return {
        "psg loop": ours,
        "psg draw (with random numbers and statistics)": whole_draw,
        "numba by hand, same windows and noise": hand_windows,
        "numba by hand, gathers and draws inside": hand_gather,
    }, built


def measure(functions):
    """Return the median seconds a step of each function, taken in turns."""
    seconds = {name: [] for name in functions}
    for function in functions.values():
        function()
    for _ in range(REPEATS):
        for name, function in functions.items():
            started = time.perf_counter()
            function()
            seconds[name].append((time.perf_counter() - started) / N_STEPS)
    return {name: float(np.median(times)) for name, times in seconds.items()}


def main():
    table = Table(title=f"SGLD on logistic regression, N={N_ROWS:,}, batch {BATCH}, float64")
    for column in ("D", "loop", "us a step", "steps/s", "x by hand"):
        table.add_column(column, justify="left" if column == "loop" else "right")
    for n_dim in (20, 123):
        functions, built = variants(n_dim)
        medians = measure(functions)
        baseline = medians["numba by hand, same windows and noise"]
        for name, seconds in medians.items():
            table.add_row(
                str(n_dim), name, f"{seconds * 1e6:.2f}", f"{1 / seconds:,.0f}",
                f"{seconds / baseline:.2f}",
            )  # fmt: skip
        table.add_row(str(n_dim), f"(build of the step method: {built:.1f} s)", "", "", "")
    Console(width=100).print(table)


if __name__ == "__main__":
    main()
