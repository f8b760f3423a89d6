"""Chains that die in their processes, and interrupts at any moment: what is kept of a run."""

import logging
import multiprocessing
import os
import signal
import time

import numpy as np
import pytest

from pymc.exceptions import SamplingError
from pymc.sampling.parallel import ParallelSamplingError

import pymc_sgld as psg

from pymc_sgld import records
from pymc_sgld.checkpoints.checkpoint import keys_of_chains
from pymc_sgld.step_methods import SGLD
from tests.checkpoints.runs import CHAINS, DRAWS, SESSION, TUNE, assert_same, gaussian, sample

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
MODEL = gaussian()
SECOND = tuple(keys_of_chains(3, CHAINS)[1])
DIES_AT = TUNE + 9
MANY = 3000


@pytest.fixture(scope="module")
def whole():
    with MODEL:
        return sample()


def assert_first(whole, partial, chains=(0,)):
    """Compare draws with the first ones of the whole run."""
    length = partial.posterior.sizes["draw"]
    assert list(partial.posterior["chain"]) == list(chains) and length >= 1
    assert_same(whole.isel(chain=list(chains), draw=slice(length)), partial)


def killing(name, by):
    """Return a callback that kills the process of a chain once both have draws."""
    after_tuning = {0: 0, 1: 0}

    def callback(trace, draw):
        after_tuning[draw.chain] += not draw.tuning
        if draw.chain == 1 and min(after_tuning.values()) == 0:
            time.sleep(0.01)
        elif draw.chain == 1 and after_tuning[1] < DRAWS:
            for worker in multiprocessing.active_children():
                if worker.name == name:
                    os.kill(worker.pid, by)

    return callback


@pytest.mark.parametrize("written", [False, True])
def test_a_process_that_is_killed(whole, written, tmp_path, caplog):
    more = {"checkpoint": tmp_path, "checkpoint_every": 1e-9} if written else {}
    callback = killing("worker_chain_1", signal.SIGKILL)
    with MODEL, caplog.at_level(logging.INFO, "pymc.sgld"):
        partial = sample(cores=2, callback=callback, **more)
    assert_first(whole, partial)
    told = "Chain 1 died: its process was ended by SIGKILL, as where memory runs out"
    assert told in caplog.text and partial.posterior.attrs[records.DIED] == told.replace(
        " died", ""
    )
    if written:
        assert "goes on with all chains" in caplog.text
        with MODEL:
            assert_same(whole, psg.resume(tmp_path, **SESSION))


def failing(error, at, monkeypatch):
    """Let the second chain fail at a draw."""
    step, count = SGLD.step, [0]

    def fails(self, point):
        count[0] += self.chain_state.key == SECOND
        if count[0] == at:
            time.sleep(0.5)  # the other chain goes on
            raise error
        return step(self, point)

    monkeypatch.setattr(SGLD, "step", fails)


@pytest.mark.filterwarnings("ignore:.return_inferencedata=False")
def test_a_chain_that_fails(whole, monkeypatch, caplog):
    failing(OSError(5, "the disk is out"), DIES_AT, monkeypatch)
    with MODEL:
        partial = sample(cores=2, discard_tuned_samples=False)
        assert_first(whole, partial)
        assert partial.warmup_posterior.sizes["draw"] == TUNE
        assert "Chain 1 died: OSError: [Errno 5] the disk is out" in caplog.text
        trace = sample(cores=2, return_inferencedata=False)
    np.testing.assert_array_equal(trace["mu"], partial.posterior["mu"][0][: len(trace["mu"])])


@pytest.mark.parametrize(
    ("error", "at"),
    [(SamplingError("The chain has left the posterior."), DIES_AT), (OSError("no disk"), 1)],
    ids=["says why", "never begins"],
)
def test_a_chain_that_cannot_be_sampled_is_an_error(error, at, monkeypatch):
    failing(error, at, monkeypatch)
    with MODEL, pytest.raises(ParallelSamplingError, match=f"Chain 1 failed with: .*{error}"):
        sample(cores=2)


def test_an_error_of_a_callback_is_no_death():
    def callback(trace, draw):
        if draw.draw_idx == DIES_AT:
            raise EOFError("of the user")

    with MODEL, pytest.raises(EOFError, match="of the user"):
        sample(cores=2, callback=callback)


@pytest.fixture(scope="module")
def many():
    with MODEL:
        return sample(draws=MANY)


@pytest.mark.filterwarnings("ignore:Found chain dimension to be longer")  # of two draws
# of an archive that was being written when the interrupt came
@pytest.mark.filterwarnings("ignore:Exception ignored in.*ZipFile")
@pytest.mark.parametrize("cores", [1, 2])
@pytest.mark.parametrize("written", [False, True])
def test_an_interrupt_at_any_moment(whole, many, cores, written, tmp_path):
    """By a timer, wherever the process is: in a draw, in PyMC, or while files are written."""
    rng = np.random.default_rng(cores)

    def interrupt(number, frame):
        raise KeyboardInterrupt

    def begin(trace, draw):
        if draw.draw_idx == TUNE + 2 and draw.chain == 0:
            signal.setitimer(signal.ITIMER_REAL, rng.uniform(1e-4, 1e-2))

    handler = signal.signal(signal.SIGALRM, interrupt)
    try:
        for number in range(1 if written else 3):
            more = {"draws": MANY}
            if written:
                more = {"checkpoint": tmp_path / str(number), "checkpoint_every": 1e-9}
            with MODEL:
                partial = sample(cores=cores, callback=begin, **more)
            expected = whole if written else many
            assert_first(expected, partial, partial.posterior["chain"].values)
            assert partial.posterior["mu"].size < expected.posterior["mu"].size
            if written:
                with MODEL:
                    assert_same(whole, psg.resume(more["checkpoint"], **SESSION))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, handler)


def test_an_interrupt_of_the_check_leaves_the_draws(whole, monkeypatch, caplog):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("pymc_sgld.sampling.check_run", interrupted)
    with MODEL:
        assert_same(whole, sample(check=True))
    assert "The check was interrupted: psg.check(idata)" in caplog.text
