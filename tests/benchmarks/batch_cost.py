"""Cost of a minibatch step against the number of rows, and what building costs at N = 1e6.

``python -m tests.benchmarks.batch_cost``: SGLD on logistic regression with 5 columns, batch 100,
for N from 1e4 to 1e7. A step does the same work whatever N is; what grows is the time to fetch a
window from a larger array, from the processor's caches at N = 1e4 and from main memory at 1e7. A
loop written by hand in numba on the same windows and noise shows how much that is. Shuffling the
rows, which happens once in 100 passes, is shown apart, spread over the steps between two shuffles.
Every N runs in a process of its own, so that peak memory is its own.
"""

import multiprocessing
import resource
import time

from concurrent.futures import ProcessPoolExecutor

import numpy as np
import pymc as pm

from rich.console import Console
from rich.table import Table

import pymc_sgld as psg

from pymc_sgld.chain.backends import sampling_mode
from pymc_sgld.model_graph import verify
from pymc_sgld.types import Randomness
from tests.benchmarks.loop_speed import by_hand_windows

SIZES = [10**4, 10**5, 10**6, 10**7]
N_BUILD, N_DIM, BATCH, N_STEPS, REPEATS = 10**6, 5, 100, 5_000, 9


def problem(n_rows):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, N_DIM))
    y = (rng.random(n_rows) < 1 / (1 + np.exp(-X.sum(axis=1) / 2))).astype(np.int64)
    with pm.Model() as model:
        beta = pm.Normal("beta", 0, 1, shape=N_DIM)
        pm.Bernoulli("y", logit_p=X @ beta, observed=y)
    return X.nbytes + y.nbytes, model


def step_cost(n_rows):
    """Return microseconds a step in the loop, by hand and of shuffling, medians of several."""
    _, model = problem(n_rows)
    with model:
        step = psg.SGLD(step_size=1e-8, batch_size=BATCH, steps_per_draw=N_STEPS, verify=False)
    chain = step.chain
    step.setup_chain(np.random.default_rng(0), 0, 10**6)
    position = np.zeros(N_DIM)
    chain.start(position)
    rng = np.random.default_rng(1)
    order = rng.permutation(n_rows)
    sizes = np.full(N_STEPS, 1e-8), np.ones(N_STEPS)
    shuffles, steps, hand = [], [], []
    for repeat in range(REPEATS):
        started = time.perf_counter()
        leaves = chain.batches.arrays(repeat, lambda group: order)
        batches = chain.batches
        [apart] = batches.scheme.steps_per_shuffle(batches.total_sizes, batches.batch_sizes)
        shuffles.append((time.perf_counter() - started) / apart)
        constants = [chain.batches.batch_sizes, np.array([n_rows / BATCH]), *leaves]
        randomness = Randomness(
            rng.integers(0, n_rows, (N_STEPS, 1)), rng.normal(size=(N_STEPS, 1, N_DIM))
        )
        started = time.perf_counter()
        chain.loop.run({"position": position}, randomness, *sizes, constants)
        steps.append((time.perf_counter() - started) / N_STEPS)
        X, y = sorted(leaves, key=lambda leaf: -leaf.ndim)
        y = y.astype(np.float64)
        started = time.perf_counter()
        by_hand_windows(
            position, X, y, randomness.starts[:, 0], randomness.noise[:, 0], 1e-8, BATCH,
            n_rows / BATCH,
        )  # fmt: skip
        hand.append((time.perf_counter() - started) / N_STEPS)
    return [1e6 * float(np.median(times)) for times in (steps, hand, shuffles)]


def gigabytes():
    """Return memory in use now, and the peak of this process."""
    with open("/proc/self/statm") as file:
        now = int(file.read().split()[1]) * resource.getpagesize()
    return now / 1e9, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def build_cost(n_rows):
    """Return name, seconds, memory after it and peak so far of every stage of building."""
    stages = []

    def stage(name, make):
        started = time.perf_counter()
        result = make()
        stages.append((name, time.perf_counter() - started, *gigabytes()))
        return result

    mode = sampling_mode("numba")
    stages.append(("imports", 0.0, *gigabytes()))
    n_bytes, model = stage("pm.Model, with the data made", lambda: problem(n_rows))
    rows = stage("row_model", lambda: psg.row_model(model))
    function = stage("block_function", lambda: rows.block_function(mode))
    stage("verify (compiles)", lambda: verify(rows, mode, rng=np.random.default_rng(0)))
    position = np.zeros(N_DIM)
    stage("full gradient in chunks", lambda: function.full(position))
    with model:
        step = stage(
            "psg.SGLD (all of it again)", lambda: psg.SGLD(step_size=1e-8, batch_size=BATCH)
        )
    order = np.random.default_rng(0).permutation(n_rows)
    stage("shuffled windows", lambda: step.chain.batches.arrays("x", lambda group: order))
    return n_bytes / 1e9, stages


def alone(function, *arguments):
    """Call a function in a new process."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(function, *arguments).result()


def main():
    console = Console(width=100)
    table = Table(title=f"A step of SGLD, logistic regression, D={N_DIM}, batch {BATCH}, float64")
    for column in ("N", "us a step", "by hand", "x by hand", "us a step for shuffling"):
        table.add_column(column, justify="right")
    for n_rows in SIZES:
        step, hand, shuffle = alone(step_cost, n_rows)
        cells = f"{step:.2f}", f"{hand:.2f}", f"{step / hand:.2f}", f"{shuffle:.3f}"
        table.add_row(f"{n_rows:,}", *cells)
    console.print(table)
    n_bytes, stages = alone(build_cost, N_BUILD)
    table = Table(title=f"Building at N = {N_BUILD:,}: {n_bytes:.3f} GB of data")
    for column in ("stage", "seconds", "GB in use after", "GB peak so far"):
        table.add_column(column, justify="left" if column == "stage" else "right")
    for name, seconds, now, peak in stages:
        table.add_row(name, f"{seconds:.2f}", f"{now:.2f}", f"{peak:.2f}")
    console.print(table)


if __name__ == "__main__":
    main()
