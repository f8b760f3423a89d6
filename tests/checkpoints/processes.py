"""Runs in a process that is killed; it is forked, so that it has what is compiled."""

import multiprocessing
import os
import signal
import time

import numpy as np
import pymc as pm

import pymc_sgld as psg

from pymc_sgld.checkpoints import atomic_files
from pymc_sgld.checkpoints.chain_folder import ChainFolder

FORK = multiprocessing.get_context("fork")


class Endless:
    """Chains of a step method that is compiled, by ``pm.sample``."""

    def __init__(self, model, step, draws, *, tune=20, chains=2, cores=1, every=1e-9, pause=0.0):
        self.model, self.step, self.every, self.pause = model, step, every, pause
        self.call = {
            "draws": draws, "tune": tune, "chains": chains, "cores": cores, "random_seed": 5,
            "progressbar": False, "quiet": True, "compute_convergence_checks": False,
            "discard_tuned_samples": False,
        }  # fmt: skip

    def whole(self):
        with self.model:
            return pm.sample(step=self.step, **self.call)

    def begin(self, path, **more):
        with self.model:
            step = psg.CheckpointedStep(self.step, path, every=self.every)
            return pm.sample(step=step, **{"callback": self._wait, **self.call, **more})

    def go_on(self, path):
        with self.model:
            step = psg.CheckpointedStep(self.step, path, every=self.every, resume=True)
            return pm.sample(step=step, callback=self._wait, **self.call)

    def _wait(self, trace, draw):
        if self.pause:
            time.sleep(self.pause)


def in_a_process(target):
    """Run a function in a fork; return its process, started."""
    process = FORK.Process(target=target)
    process.start()
    return process


def stored(path):
    """Return how many draws are in the folder of a run, of all chains."""
    return sum(ChainFolder(chain).n_draws for chain in path.glob("chain-*"))


def killed_at(target, path, n_draws, rng):
    """Kill a fork some moment after so many draws are stored; return whether it was at work."""
    process = in_a_process(target)
    while process.exitcode is None and stored(path) < n_draws:
        time.sleep(1e-3)
    time.sleep(rng.uniform(0, 5e-3))
    at_work = process.exitcode is None
    if at_work:
        os.kill(process.pid, signal.SIGKILL)
    process.join()
    return at_work


def killed_often(run, path, n_kills, rng):
    """Begin a run, kill it, go on, and so on; return how often it was at work."""
    total = run.call["chains"] * (run.call["tune"] + run.call["draws"])
    moments = np.sort(rng.integers(1, total - 10, size=n_kills))
    kills = killed_at(lambda: run.begin(path), path, moments[0], rng)
    return kills + sum(
        killed_at(lambda: run.go_on(path), path, moment, rng) for moment in moments[1:]
    )


def killed_at_write(target, number, *, renamed):
    """Kill a fork at its write of a number, before or after the rename."""

    def run():
        count, replace = [0], os.replace

        def last(*arguments):
            count[0] += 1
            if count[0] == number:
                if renamed:
                    replace(*arguments)
                os.kill(os.getpid(), signal.SIGKILL)
            return replace(*arguments)

        atomic_files.os.replace = last
        target()

    process = in_a_process(run)
    process.join()
    return process.exitcode == -signal.SIGKILL


def same_draws(first, second):
    """Whether all draws and statistics are equal to the last bit, but for seconds."""
    for group in ("posterior", "sample_stats", "warmup_posterior", "warmup_sample_stats"):
        one, other = first[group].to_dataset(), second[group].to_dataset()
        if one.sizes != other.sizes or set(one) != set(other):
            return False
        for name in set(one) - {"seconds"}:
            values = one[name].to_numpy(), other[name].to_numpy()
            if not np.array_equal(*values, equal_nan=values[0].dtype.kind == "f"):
                return False
    return True
