"""Chains on workers: what a task costs, 1 to 4 workers, and a simulation of many.

``python -m tests.benchmarks.cluster [rows]``
"""

import heapq
import logging
import os
import sys
import tempfile
import time

from pathlib import Path

import numpy as np
import pymc as pm

import pymc_sgld as psg

from pymc_sgld.checkpoints.cluster import driver, run_chains

CHAINS, COLUMNS, DRAWS, TUNE, STEPS = 4, 4, 400, 20, 1000
N_TINY = 50  # draws of a chain, one a task: what a task costs
WORKERS = 1, 2, 4
SIMULATED = 1, 4, 16, 64, 256, 1000
BYTES_A_SECOND = 1e9 / 8  # of the client's network
PIECE_SPREAD = 0.2  # of the seconds of a piece, as a part
TASKS_SIMULATED = 30  # of each chain


def written(folder, n_rows):
    """Write rows block by block, and return where they are."""
    rng = np.random.default_rng(0)
    X = np.lib.format.open_memmap(folder / "X.npy", "w+", "float32", (n_rows, COLUMNS))
    y = np.lib.format.open_memmap(folder / "y.npy", "w+", "float32", (n_rows,))
    slopes = np.arange(1, COLUMNS + 1) / COLUMNS
    for start in range(0, n_rows, 10**6):
        block = rng.standard_normal((min(10**6, n_rows - start), COLUMNS), dtype="float32")
        X[start : start + len(block)] = block
        noise = rng.standard_normal(len(block), dtype="float32")
        y[start : start + len(block)] = block @ slopes + noise
    return {"X": folder / "X.npy", "y": folder / "y.npy"}


def regression():
    with pm.Model() as model:
        X, y = pm.Data("X", np.zeros((1, COLUMNS))), pm.Data("y", np.zeros(1))
        slopes = pm.Normal("slopes", shape=COLUMNS)
        pm.Normal("outcome", X @ slopes, 1.0, observed=y)
    return model


def prepared(folder, n_rows):
    """Return the model and a step method on rows in the scratch folder."""
    model, data = regression(), written(folder, n_rows)
    rows = psg.row_model(model, data=data, scratch=folder / "scratch", progressbar=False)
    with model:
        step = psg.SGLD(
            rows=rows, batch_size=256, step_size=0.1 / n_rows, steps_per_draw=STEPS, verify=False
        )
    return model, step


def run(client, model, step, draws):
    """Return what came of the chains, wall seconds, and seconds of this process's processor."""
    options = {
        "model": model, "chains": CHAINS, "tune": TUNE, "random_seed": 1, "progressbar": False,
    }  # fmt: skip
    started, used = time.perf_counter(), time.process_time()
    found = run_chains(client, step, options, draws)
    return found, time.perf_counter() - started, time.process_time() - used


def of_one_machine(model, step, cores):
    """Return draws and wall seconds of ``pm.sample``."""
    started = time.perf_counter()
    with model:
        result = pm.sample(
            DRAWS, step=step, tune=TUNE, chains=CHAINS, cores=cores, random_seed=1,
            progressbar=False, compute_convergence_checks=False, quiet=True,
        )  # fmt: skip
    return result.posterior["slopes"].to_numpy(), time.perf_counter() - started


def of_cluster(model, step, n_workers, whole, *, tiny):
    """Print what chains take on so many workers; return what a task costs, where that is asked."""
    import distributed

    with (
        distributed.LocalCluster(
            n_workers=n_workers, threads_per_worker=1, dashboard_address=":0", silence_logs=50
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        run(client, model, step, 1)  # each worker has read the model
        found, wall, _ = run(client, model, step, DRAWS)
        drawn = np.stack(
            [
                np.concatenate([block.values["slopes"] for block in chain.blocks])[TUNE:]
                for chain in found.chains
            ]
        )
        n_tasks, busy = found.driver.n_pieces, found.driver.busy
        memory = max(client.run(_memory).values())
        print(
            f"| Dask, {n_workers} workers | {wall:.1f} | {n_tasks} | {busy:.1f} | "
            f"{np.array_equal(drawn, whole)} | {memory:.2f} |"
        )
        return costs(client, model, step) if tiny else None


def costs(client, model, step):
    """Return seconds beside the work, of client and scheduler, and bytes, of a task."""
    before, driver._SECONDS = driver._SECONDS, 0.0
    try:
        found, _, used = run(client, model, step, N_TINY)
    finally:
        driver._SECONDS = before
    n_tasks = found.driver.n_pieces
    state = max(len(chain.saved) for chain in found.chains)
    of_draw = sum(one.nbytes for one in found.chains[0].blocks[-1].values.values())
    return found.driver.waited / n_tasks, used / n_tasks, state, of_draw


def _memory():
    """Return gigabytes of a process that are no pages of files."""
    with open("/proc/self/status") as status:
        lines = dict(line.split(":", 1) for line in status)
    return int(lines["RssAnon"].split()[0]) / 1e6


def simulated(n_chains, piece, own, transfer):
    """Return the share of the time that workers work, one of them for each chain.

    A chain works for a piece of so many seconds, give or take, and then waits until client and
    scheduler, who see to one after the other, have taken it in and sent the next.
    """
    rng = np.random.default_rng(n_chains)
    begins = piece * rng.uniform(0, 1, n_chains)
    ready = [(begin, chain, 0) for chain, begin in enumerate(begins)]
    heapq.heapify(ready)
    free, worked, lasted = 0.0, 0.0, 0.0
    while ready:
        at, chain, done = heapq.heappop(ready)
        if done == TASKS_SIMULATED:
            lasted += at - begins[chain]
            continue
        free = max(free, at) + own + transfer
        seconds = piece * rng.uniform(1 - PIECE_SPREAD, 1 + PIECE_SPREAD)
        worked += seconds
        heapq.heappush(ready, (free + seconds, chain, done + 1))
    return worked / lasted


def main():
    n_rows = int(float(sys.argv[1])) if len(sys.argv) > 1 else 10**7
    logging.getLogger("pymc").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as folder:
        model, step = prepared(Path(folder), n_rows)
        print(f"{n_rows:,} rows in a shared file, {CHAINS} chains of {TUNE} + {DRAWS} draws of")
        print(f"{STEPS} steps, batches of 256; {os.cpu_count()} cores.\n")
        print("| where | seconds | tasks | seconds of work | equal to one process | GB a worker |")
        print("|---|---|---|---|---|---|")
        of_one_machine(model, step, 1)  # pages of the file are in memory
        whole, wall = of_one_machine(model, step, 1)
        print(f"| one process | {wall:.1f} | | | | |")
        _, wall = of_one_machine(model, step, 2)
        print(f"| two processes of `pm.sample` | {wall:.1f} | | | | |")
        for n_workers in WORKERS:
            cost = of_cluster(model, step, n_workers, whole, tiny=n_workers == CHAINS)
    waits, own, state, of_draw = cost
    print(
        f"\nA task costs {1e3 * waits:.0f} ms beside its work, of which client and scheduler take"
    )
    print(f"{1e3 * own:.0f} ms; {state:,} bytes of state, {of_draw} bytes a draw.")
    print(f"Of a piece of {driver._SECONDS:.0f} s that is {1e2 * waits / driver._SECONDS:.2f} %.\n")
    print("Simulated, not run: one worker a chain, and client and scheduler see to one task after")
    print(f"the other, {1e3 * own:.1f} ms each and the bytes at 1 Gbit/s.\n")
    print("| workers | tasks a second | share of work | with a state of 10 MB |")
    print("|---|---|---|---|")
    for n_workers in SIMULATED:
        shares = [
            simulated(n_workers, driver._SECONDS, own, 2 * n_bytes / BYTES_A_SECOND)
            for n_bytes in (state, 10e6)
        ]
        rate = n_workers / driver._SECONDS
        print(f"| {n_workers:,} | {rate:.2g} | {shares[0]:.1%} | {shares[1]:.1%} |")


if __name__ == "__main__":
    main()
