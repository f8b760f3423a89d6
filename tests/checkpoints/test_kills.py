"""SIGKILL at any moment: what was written goes on to the run that was never stopped."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import pymc_sgld as psg

from pymc_sgld.model_graph.density import bound_data
from pymc_sgld.row_sources import random_blocks
from tests.checkpoints.processes import (
    Endless,
    in_a_process,
    killed_at_write,
    killed_often,
    same_draws,
    stored,
)
from tests.checkpoints.runs import gaussian, sample
from tests.checkpoints.streamed import STREAMED, prepared_on_disk
from tests.test_pinned_draws import hierarchy

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
needs_proc = pytest.mark.skipif(not os.path.exists("/proc/self/task"), reason="needs /proc")
OPTIONS = {"step_size": 1e-3, "steps_per_draw": 5, "verify": False}

CASES = {
    "sgld": ("sgld", gaussian, {"verify": False}),
    "sghmc": ("sghmc", gaussian, {"verify": False}),
    "auto": ("auto", gaussian, {"verify": False}),
    "auto, gibbs": ("auto", hierarchy, {"hyperparameters": "gibbs", "verify": False}),
}


def prepared(name, make, arguments, **call):
    model = make()
    with model:
        step = psg.step_methods.REGISTRY[name](rng=1, **arguments)
    run = Endless(model, step, **call)
    return run, run.whole()


@pytest.fixture(scope="module")
def sgld():
    return prepared("sgld", gaussian, OPTIONS, draws=60, pause=2e-3)


@pytest.fixture(scope="module")
def gibbs():
    return prepared(
        "auto", hierarchy, {"hyperparameters": "gibbs", "verify": False}, draws=40, pause=2e-3
    )


@pytest.mark.parametrize("renamed", [False, True])
@pytest.mark.parametrize("number", [1, 3, 4, 61])
def test_killed_between_write_and_rename(sgld, number, renamed, tmp_path):
    """The first write is that of the manifest; without it there is no run."""
    run, whole = sgld
    assert killed_at_write(lambda: run.begin(tmp_path), number, renamed=renamed)
    if number == 1 and not renamed:
        with pytest.raises(FileNotFoundError, match="holds no run"):
            run.go_on(tmp_path)
        assert same_draws(whole, run.begin(tmp_path))
    else:
        assert same_draws(whole, run.go_on(tmp_path))
    assert not list(tmp_path.rglob("*.part"))


@pytest.mark.parametrize("case", ["sgld", pytest.param("gibbs", marks=pytest.mark.slow)])
def test_killed_at_any_time(case, request, tmp_path):
    """Again and again the same run, as long as it takes."""
    run, whole = request.getfixturevalue(case)
    assert killed_often(run, tmp_path, 4, np.random.default_rng(2)) == 4
    assert same_draws(whole, run.go_on(tmp_path))
    again = psg.open_run(tmp_path)  # pm.sample says of no chain which it is
    assert same_draws(whole, again) or same_draws(whole, again.isel(chain=[1, 0]))


@pytest.mark.slow
@pytest.mark.parametrize("cores", [1, 2])
@pytest.mark.parametrize("case", CASES)
def test_twenty_kills(case, cores, tmp_path):
    name, make, arguments = CASES[case]
    run, whole = prepared(name, make, arguments, draws=400, pause=2e-3)
    run.call["cores"] = cores
    assert killed_often(run, tmp_path, 20, np.random.default_rng(3)) == 20
    assert same_draws(whole, run.go_on(tmp_path))


def workers_of(process):
    """Return the processes of chains that a process has started."""
    tasks = f"/proc/{process.pid}/task/{process.pid}/children"
    with open(tasks) as file:
        return [int(number) for number in file.read().split()]


@needs_proc
def test_processes_of_chains_end_with_the_run(sgld, tmp_path):
    """They write what they have; PyMC's would wait for a run that is gone, and hold the folder."""
    run, whole = sgld
    slow = Endless(run.model, run.step, 60, cores=2, every=1e9, pause=20e-3)
    process = in_a_process(lambda: slow.begin(tmp_path))
    while stored(tmp_path) < 2:
        time.sleep(0.01)
    time.sleep(0.2)
    workers = workers_of(process)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert len(workers) == 2
    assert same_draws(whole, run.go_on(tmp_path))
    deadline = time.monotonic() + 60  # they look for their parent now and then
    while any(os.path.exists(f"/proc/{number}") for number in workers):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@needs_proc
@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGINT])
def test_the_process_of_a_chain_dies(sgld, by, tmp_path):
    """The chains that live on write what they have, as they are stopped by PyMC."""
    run, whole = sgld
    slow = Endless(run.model, run.step, 60, cores=2, every=1e9, pause=20e-3)
    process = in_a_process(lambda: slow.begin(tmp_path))
    deadline = time.monotonic() + 60
    while sum(path.stat().st_size > 0 for path in tmp_path.glob("chain-*/state-*.npz")) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(0.5)
    os.kill(workers_of(process)[0], by)
    process.join(60)
    assert process.exitcode is not None
    stops = [len(list(path.glob("state-*.npz"))) for path in tmp_path.glob("chain-*")]
    assert sorted(stops) == ([1, 2] if by == signal.SIGKILL else [2, 2])
    run.call["cores"] = 1
    assert same_draws(whole, run.go_on(tmp_path))


@pytest.mark.slow
def test_a_home_that_cannot_be_written(tmp_path):
    """Nothing is written but where a run was told to, and what PyTensor compiles.

    From a cold compile cache, in processes that are spawned, the draws are those of this process.
    """
    program = (
        "from tests.checkpoints.runs import *\n"
        "if __name__ == '__main__':\n"
        "    with gaussian():\n"
        f"        sample(checkpoint={str(tmp_path / 'run')!r}, cores=2, mp_ctx='spawn')\n"
        f"        idata = psg.resume({str(tmp_path / 'run')!r}, 40, **SESSION)\n"
        "        print(idata.posterior['mu'].values.tobytes().hex())\n"
    )
    (tmp_path / "program.py").write_text(program)
    flags = f"base_compiledir={tmp_path / 'compiled'}"  # cold
    env = os.environ | {"HOME": os.devnull, "PYTENSOR_FLAGS": flags, "PYTHONPATH": os.getcwd()}
    done = subprocess.run(
        [sys.executable, str(tmp_path / "program.py")], env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    with gaussian():
        whole = sample(draws=40)
    assert whole.posterior["mu"].values.tobytes().hex() in done.stdout


@pytest.mark.parametrize(
    "kind",
    [pytest.param(kind, marks=[] if kind == "blocks" else pytest.mark.slow) for kind in STREAMED],
)
def test_rows_on_disk_are_read_on_where_a_run_was_killed(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(bound_data, "_INTO_MEMORY", bound_data._INTO_MEMORY)  # set back afterwards
    monkeypatch.setattr(random_blocks, "BYTES_OF_A_BLOCK", random_blocks.BYTES_OF_A_BLOCK)
    run, whole = prepared_on_disk(kind, tmp_path, draws=30, pause=2e-3)
    folder = tmp_path / "run"
    folder.mkdir()
    assert killed_often(run, folder, 3, np.random.default_rng(2)) == 3
    assert same_draws(whole, run.go_on(folder))
