"""Chains in processes: they end with their parent, interrupts stop all of them, Auto is seeded."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
import pymc as pm
import pytest

import pymc_sgld as psg

from tests.checkpoints.runs import assert_same, gaussian, sample

MODEL = gaussian()
DRAWS = 3000  # longer than it takes an interrupt to arrive
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def _is_alive(process):
    try:
        with open(f"/proc/{process}/stat", encoding="utf-8") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


# A process of its own: what pytest's worker forks inherits a fork server that is not its child.
PARENT = """
import multiprocessing, sys, time
from tests.checkpoints.runs import gaussian, sample

def told(trace, draw):
    if draw.draw_idx == 0:
        print(*(worker.pid for worker in multiprocessing.active_children()), flush=True)
    time.sleep(0.05)

if __name__ == "__main__":
    with gaussian():
        sample(draws=100_000, cores=2, mp_ctx=sys.argv[1], callback=told)
"""


@needs_fork
@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="needs /proc")
@pytest.mark.parametrize("start", ["fork", "forkserver"])
def test_workers_end_with_a_parent_that_is_killed(start, tmp_path):
    """They used to wait for it forever."""
    script = tmp_path / "parent.py"
    script.write_text(PARENT, encoding="utf-8")
    root = str(pathlib.Path(__file__).parents[1])
    parent = subprocess.Popen(
        [sys.executable, script, start], stdout=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": root},
    )  # fmt: skip
    try:
        workers = [int(number) for number in parent.stdout.readline().split()]
    finally:
        parent.kill()
        parent.wait()
        parent.stdout.close()
    assert len(workers) == 2
    deadline = time.monotonic() + 20
    while any(map(_is_alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(_is_alive, workers))


def _interrupt_at(chain, number):
    def callback(trace, draw):
        if (draw.chain, draw.draw_idx) == (chain, number):
            signal.raise_signal(signal.SIGINT)

    return callback


@pytest.mark.parametrize("cores", [1, pytest.param(2, marks=needs_fork)])
def test_an_interrupt_stops_all_chains_and_keeps_what_is_there(cores):
    """On one core the chains that follow used to run to their end, and the one at work was lost."""
    with MODEL:
        whole = sample(draws=DRAWS)
        partial = sample(draws=DRAWS, cores=cores, callback=_interrupt_at(0, 12 + 30))
    n_draws = partial.posterior.sizes["draw"]
    assert 0 < n_draws < DRAWS
    chains = partial.posterior["chain"].to_numpy()
    assert 0 in chains
    assert cores == 2 or list(chains) == [0]
    assert_same(whole.isel(chain=chains, draw=slice(n_draws)), partial)


@pytest.mark.parametrize("cores", [1, pytest.param(2, marks=needs_fork)])
def test_an_interrupt_of_tuning_says_so(cores):
    with MODEL, pytest.raises(KeyboardInterrupt, match=r"in the tune phase.*checkpoint='run/'"):
        sample(draws=DRAWS, tune=50, cores=cores, callback=_interrupt_at(0, 5))


def test_auto_as_a_step_method_is_seeded_by_pymc():
    """What it chooses before PyMC seeds the chains is the same in every run."""

    def draws(seed):
        with gaussian():
            result = pm.sample(
                20, tune=5, chains=1, cores=1, step=psg.step_methods.Auto(verify=False),
                random_seed=seed, progressbar=False, compute_convergence_checks=False, quiet=True,
            )  # fmt: skip
        return result["posterior"]["mu"].to_numpy()

    first = draws(5)
    np.testing.assert_array_equal(draws(5), first)
    assert (draws(6) != first).any()
