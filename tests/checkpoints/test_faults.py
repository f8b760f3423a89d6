"""What may go wrong with a folder, and with a run."""

import logging
import resource
import signal

import numpy as np
import pytest

import pymc_sgld as psg

from pymc_sgld.checkpoints import run_folder
from pymc_sgld.checkpoints.chain_folder import ChainFolder
from pymc_sgld.checkpoints.recorder import Recorder
from tests.checkpoints.processes import Endless, same_draws
from tests.checkpoints.runs import SESSION, Stopped, assert_same, gaussian, sample

MODEL = gaussian()
OPTIONS = {"step_size": 1e-3, "steps_per_draw": 5, "verify": False}


@pytest.fixture(scope="module")
def run():
    with MODEL:
        step = psg.SGLD(**OPTIONS)
    return Endless(MODEL, step, 30, tune=10, chains=1)


@pytest.fixture(scope="module")
def whole(run):
    return run.whole()


def stop_at(number):
    def callback(trace, draw):
        if draw.draw_idx == number:
            raise Stopped

    return callback


@pytest.fixture
def stopped(run, tmp_path):
    """A chain that stopped after its draw 25; each draw is in a block of its own."""
    with MODEL, pytest.raises(Stopped):
        run.begin(tmp_path, callback=stop_at(25))
    [chain] = tmp_path.glob("chain-*")
    return chain


def cut(path):
    path.write_bytes(path.read_bytes()[:-40])


def turned(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def emptied(path):
    path.write_bytes(b"")


def removed(path):
    path.unlink()


@pytest.mark.parametrize("damage", [cut, turned, emptied, removed])
@pytest.mark.parametrize(
    ("kind", "place", "goes_on_at"),
    [("state", -1, 25), ("draws", -1, 25), ("state", -2, 26), ("draws", 4, 0)],
    ids=["last state", "last block", "state before", "old block"],
)
def test_the_state_before_is_taken(
    run, whole, stopped, kind, place, goes_on_at, damage, tmp_path, caplog
):
    path = sorted(stopped.glob(f"{kind}-*.npz"))[place]
    damage(path)
    with caplog.at_level(logging.WARNING, "pymc.sgld"):
        last = ChainFolder(stopped).last_state(given(run))
    assert (0 if last is None else last.n_draws) == goes_on_at
    assert same_draws(whole, run.go_on(tmp_path))
    if path.exists() and goes_on_at < 26 and damage is not removed:
        assert f"{path} cannot be read" in caplog.text


def given(run):
    settings = run.step.chain.settings
    return {"step_size": settings.step_size, "temperature": settings.temperature}


@pytest.mark.parametrize(
    ("sampler", "arguments"),
    [
        ("sghmc", {}),
        ("saga_ld", {"batch_size": 100}),
        ("sgld", {"preconditioner": "rmsprop"}),
        ("replica_exchange_sgld", {"preconditioner": "rmsprop", "swap_every": 5}),
        ("mala", {}),
    ],
    ids=["momentum", "table", "learned metric", "replicas", "acceptance"],
)
@pytest.mark.parametrize("number", [7, 19])
def test_a_step_that_fails_half_way_leaves_the_state_before(
    sampler, arguments, number, make_step, tmp_path, monkeypatch
):
    """As an interrupt does: the state has been written into, and the draw was not handed out."""
    step = make_step("two means", MODEL, sampler, step_size=1e-3, steps_per_draw=5, **arguments)
    run = Endless(MODEL, step, 20, tune=10, chains=1, every=1e9)
    whole = run.whole()
    count, complete = [0], step.step

    def half_way(point):
        drawn = complete(point)
        count[0] += 1
        if count[0] == number:
            raise Stopped
        return drawn

    monkeypatch.setattr(step, "step", half_way)
    with pytest.raises(Stopped):
        run.begin(tmp_path)
    [chain] = tmp_path.glob("chain-*")
    assert ChainFolder(chain).n_draws == number - 1
    assert same_draws(whole, run.go_on(tmp_path))


def test_a_full_disk_does_no_harm(run, whole, tmp_path, caplog):
    """Files may not grow beyond a size for a while: what is written then fails."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    def fill(trace, draw):
        if draw.draw_idx == 12:
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
        if draw.draw_idx == 20:
            [chain] = tmp_path.glob("chain-*")
            assert ChainFolder(chain).last_state(given(run)).n_draws == 13
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    try:
        with caplog.at_level(logging.WARNING, "pymc.sgld"):
            assert same_draws(whole, run.begin(tmp_path, callback=fill))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert "No checkpoint could be written" in caplog.text
    assert "the folder has the first 13 draws" in caplog.text
    assert same_draws(whole, psg.open_run(tmp_path))


def test_a_second_run_in_the_folder_of_one_that_lives(run, whole, tmp_path, monkeypatch):
    monkeypatch.setattr(run_folder, "_PATIENCE", 0.1)
    with MODEL:
        second = Endless(MODEL, psg.SGLD(**OPTIONS), 30, tune=10, chains=1)
    refused = []

    def begin_another(trace, draw):
        if draw.draw_idx == 15:
            with pytest.raises(RuntimeError, match="is being written by another process") as error:
                second.go_on(tmp_path)
            refused.append(error)

    assert same_draws(whole, run.begin(tmp_path, callback=begin_another))
    assert len(refused) == 1
    assert same_draws(whole, second.go_on(tmp_path))


def test_two_runs_by_psg_sample(tmp_path, monkeypatch):
    monkeypatch.setattr(run_folder, "_PATIENCE", 0.1)

    def begin_another(trace, draw):
        if draw.draw_idx == 3 and draw.chain == 0:
            with pytest.raises(RuntimeError, match="two runs cannot share a folder"):
                psg.resume(tmp_path, **SESSION)

    with MODEL:
        assert_same(sample(), sample(checkpoint=tmp_path, callback=begin_another))


def test_an_interrupt_gives_what_pymc_gives(tmp_path):
    def interrupt(trace, draw):
        if draw.chain == 1 and draw.draw_idx == 30:
            raise KeyboardInterrupt

    with MODEL:
        whole = sample()
        partial = sample(callback=interrupt)
        written = sample(callback=interrupt, checkpoint=tmp_path)
        assert_same(partial, written)
        assert partial.posterior.sizes["draw"] < whole.posterior.sizes["draw"]
        assert_same(whole, psg.resume(tmp_path, **SESSION))


def test_a_chain_that_fails_is_named_with_what_is_kept(tmp_path):
    with MODEL, pytest.raises(Stopped) as error:
        sample(checkpoint=tmp_path, callback=stop_at(30))
    [note] = error.value.__notes__
    assert note.startswith("Draws of the chains are kept") and "chain-0 31." in note


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with MODEL, pytest.raises(NotADirectoryError):
        sample(checkpoint=tmp_path / "file" / "run")


def test_nothing_but_the_run_is_removed(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with MODEL:
        sample(checkpoint=tmp_path)
        sample(checkpoint=tmp_path, overwrite=True, random_seed=9)
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_files_that_belong_to_no_run_are_left_out(stopped):
    (stopped / "draws-of-mine.npz").write_bytes(b"")
    (stopped / "state-000000000099.npz.part").write_bytes(b"")
    np.testing.assert_equal(ChainFolder(stopped).n_draws, 26)


def test_a_state_that_files_cannot_hold_is_said_and_the_chain_goes_on(tmp_path, caplog):
    recorder = Recorder(ChainFolder(tmp_path), 60, 0, 0, lambda point: {}, {})
    recorder.add({"x": np.zeros(1)}, {"seconds": 1.0}, {"law": abs})
    with caplog.at_level(logging.WARNING, "pymc.sgld"):
        recorder.write()
    assert "it[0]['law'] is a builtin_function" in caplog.text
    recorder.add({"x": np.ones(1)}, {"seconds": 1.0}, {"law": 2.0})
    recorder.write()
    assert ChainFolder(tmp_path).last_state({}).state == {"law": 2.0}
    [block] = ChainFolder(tmp_path).readable_blocks()
    assert block.values["x"].tolist() == [[0.0], [1.0]]
