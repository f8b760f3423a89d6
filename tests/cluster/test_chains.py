"""Chains on an executor are those of one process, whatever happens to their pieces."""

import concurrent.futures
import logging
import pickle

import numpy as np
import pymc as pm
import pytest

import pymc_sgld as psg

from pymc_sgld import records
from pymc_sgld.checkpoints import ChainFolder
from pymc_sgld.checkpoints.cluster import ClusterError, chain_piece, driver
from pymc_sgld.checkpoints.open_run import between
from tests.checkpoints.runs import SESSION, assert_same, gaussian, sample
from tests.cluster.executors import (
    OF_A_CLUSTER,
    Gone,
    Interrupting,
    Losing,
    Serial,
    Stopping,
    on,
    run_of,
    threads,
)

MODEL = gaussian()
DRAWS = 60


@pytest.fixture(scope="module")
def whole():
    with MODEL:
        return sample(draws=DRAWS)


@pytest.fixture(scope="module")
def executor():
    with threads() as made:
        yield made


@pytest.fixture(scope="module")
def step():
    """Compiled once, for the tests of what happens to pieces alone."""
    with MODEL:
        return psg.SGLD(step_size=1e-3, steps_per_draw=5, verify=False)


def run(client, step, draws=DRAWS):
    return run_of(client, step, MODEL, draws)


def assert_draws_of(whole, elsewhere, chains=(0, 1)):
    """Compare draws and statistics of chains, the tune phase left out."""
    for number in chains:
        blocks, chain = elsewhere.chains[number].blocks, whole.isel(chain=number)
        assert blocks[-1].stop == 12 + DRAWS
        drawn = between(blocks, 12, 12 + DRAWS)
        np.testing.assert_array_equal(drawn.values["mu"], chain.posterior["mu"])
        for name in set(chain.sample_stats.data_vars) - {records.SECONDS}:
            np.testing.assert_array_equal(drawn.statistics[name], chain.sample_stats[name], name)


def test_draws_are_those_of_one_process(whole, executor):
    with MODEL:
        found = on(executor, draws=DRAWS)
    assert_same(whole, found)
    assert list(found.posterior.data_vars) == list(whole.posterior.data_vars)
    assert set(found.posterior.attrs) == set(whole.posterior.attrs)


def test_pieces_are_pure_and_of_growing_length(whole, step):
    """A piece that is run again, in any order, comes out the same to the last bit."""
    serial = Serial()
    assert_draws_of(whole, run(serial, step))
    pieces = [arguments[-1] for _, arguments in serial.given]
    lengths = [piece.n_draws for piece in pieces if piece.chain == 0]
    assert lengths[:2] == [4, 32] and sum(lengths) == 12 + DRAWS
    function, (_, parcel, _) = serial.given[0]
    content = function.__globals__["run_piece"]
    for piece in reversed(pieces):
        again = content(parcel, pickle.loads(pickle.dumps(piece)))
        chain = whole.isel(chain=piece.chain)
        inside = max(0, 12 - piece.first)
        drawn = again.block.values["mu"][inside:]
        first = piece.first + inside - 12
        np.testing.assert_array_equal(drawn, chain.posterior["mu"][first : first + len(drawn)])


@pytest.mark.parametrize("numbers", [{1, 5}, {2, 3, 4}])
def test_pieces_that_are_lost_are_run_again(whole, step, executor, numbers, caplog):
    with caplog.at_level(logging.WARNING, "pymc.sgld"):
        assert_draws_of(whole, run(Losing(executor, lambda number, _: number in numbers), step))
    assert caplog.text.count("were lost: ConnectionError: a worker is gone") == len(numbers)


def test_a_chain_that_is_lost_for_good_leaves_the_others(whole, step, caplog):
    losing = Losing(Serial(), lambda _, piece: piece.chain == 1 and piece.first > 0)
    with caplog.at_level(logging.WARNING, "pymc.sgld"):
        found = run(losing, step)
        found.recorded(None)
    assert_draws_of(whole, found, chains=[0])
    assert found.chains[1].done == 4
    assert "Chain 1: ConnectionError: a worker is gone, 4 times in a row" in caplog.text


def test_an_executor_that_is_gone_ends_the_run(step, caplog):
    with caplog.at_level(logging.ERROR, "pymc.sgld"):
        found = run(Gone(Serial(), 4), step)
        found.recorded(None)
    assert sorted(chain.done for chain in found.chains) == [4, 36]
    assert "RuntimeError: shut down" in caplog.text
    with pytest.raises(ClusterError, match=r"lost before there was a draw.*RuntimeError: shut"):
        run(Gone(Serial(), 3), step)


def test_a_piece_that_hangs_is_given_to_another_worker(whole, step, executor, monkeypatch):
    monkeypatch.setattr(driver, "_FEWEST_SECONDS", 0.2)
    monkeypatch.setattr(driver, "_LOOK", 0.05)
    stopping = Stopping(executor, 3)
    assert_draws_of(whole, run(stopping, step))
    assert stopping.count >= 7  # of six pieces


def test_an_interrupt_of_the_tune_phase_is_one(step, executor):
    assert run(Interrupting(executor, 3), step).interrupted


def test_an_interrupt_keeps_what_is_there_and_the_run_goes_on(whole, executor, tmp_path):
    """Interrupted, gone on with elsewhere, and read."""
    every = {"checkpoint_every": 1e-9}
    with MODEL:
        found = on(Interrupting(executor, 5), draws=DRAWS, checkpoint=tmp_path, **every)
        chains, n_draws = found.posterior["chain"].to_numpy(), found.posterior.sizes["draw"]
        assert n_draws in (24, DRAWS)  # 36 of a chain, and 12 of them tuning
        assert_same(whole.isel(chain=chains, draw=slice(n_draws)), found)
        stops = {n: ChainFolder(tmp_path / f"chain-{n}").n_draws for n in range(2)}
        assert max(stops.values()) in (36, 12 + DRAWS)
        serial = Serial()
        assert_same(whole, psg.resume(tmp_path, client=serial, **OF_A_CLUSTER))
        pieces = [arguments[-1] for _, arguments in reversed(serial.given)]
        missing = {n: stop for n, stop in stops.items() if stop < 12 + DRAWS}
        assert {piece.chain: piece.first for piece in pieces} == missing
        assert_same(whole, psg.open_run(tmp_path))


@pytest.mark.slow
def test_thinned_draws_and_a_run_that_was_begun_in_one_process(executor, tmp_path):
    with MODEL:
        one = sample(draws=DRAWS, thin=5, checkpoint=tmp_path / "one")
        other = on(executor, draws=DRAWS, thin=5, checkpoint=tmp_path / "other")
        assert_same(one, other, ("posterior", "sample_stats", "all_draws"))
        more = psg.resume(tmp_path / "one", DRAWS + 10, client=executor, **OF_A_CLUSTER)
        again = psg.resume(tmp_path / "other", DRAWS + 10, **SESSION)
    assert_same(more, again, ("posterior", "sample_stats", "all_draws"))


@pytest.mark.slow
def test_step_sizes_that_are_functions(executor, tmp_path):
    step_size = lambda step: 1e-3 / (1 + step) ** 0.1  # noqa: E731
    with MODEL:
        one = sample(step_size=step_size)
        other = on(executor, step_size=step_size, checkpoint=tmp_path)
        assert_same(one, other)
        longer = psg.resume(tmp_path, 40, client=executor, step_size=step_size, **OF_A_CLUSTER)
    assert_same(one, longer.isel(draw=slice(30)))


def test_errors_of_a_chain_come_once_with_their_words(step, monkeypatch):
    def refuse(self, point):
        raise ValueError("no such point")

    serial = Serial()
    monkeypatch.setattr(psg.SGLD, "step", refuse)
    with pytest.raises(ValueError, match="no such point") as error:
        run(serial, step)
    assert any("On the worker" in note for note in error.value.__notes__)
    assert any("Of chain" in note for note in error.value.__notes__)
    assert serial.count == 2


def test_other_versions_are_refused(monkeypatch):
    known = chain_piece.versions()
    monkeypatch.setattr(chain_piece, "versions", lambda: dict(known))
    parcel = chain_piece.Parcel("another", known | {"numpy": "1.0"}, b"")
    refused = chain_piece.run_piece(parcel, None)
    assert "numpy: 1.0 at the client" in str(refused.error)
    assert "Install the same" in str(refused.error)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"cores": 2}, "cores how they share this machine"),
        ({"callback": print}, "callback is called after each draw in the process"),
        ({"trace": "somewhere"}, "client or trace, not both"),
    ],
)
def test_what_has_no_meaning_is_refused(more, words, executor):
    with MODEL, pytest.raises(ValueError, match=words):
        psg.sample("sgld", client=executor, **more)


@pytest.mark.parametrize("client", ["tcp://scheduler:8786", concurrent.futures.ThreadPoolExecutor])
def test_what_is_no_client_is_refused(client):
    with MODEL, pytest.raises(TypeError, match=r"client is .*Pass dask.distributed.Client\(\)"):
        psg.sample("sgld", client=client)


def test_nuts_is_refused_with_its_reason(executor):
    with pm.Model(), pytest.raises(ValueError, match=r"left to NUTS \(.*name a sampler"):
        pm.Normal("x", pm.Normal("mu"), observed=np.zeros(3))
        psg.sample(client=executor)
