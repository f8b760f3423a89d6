"""Chains on Dask: workers that die, stop, or are short of memory; a scheduler that goes away."""

import os
import signal
import threading
import time

import numpy as np
import pytest

import pymc_sgld as psg

from pymc_sgld.checkpoints import ChainFolder
from pymc_sgld.checkpoints.cluster import driver
from tests.checkpoints.runs import SESSION, assert_same, gaussian, sample
from tests.cluster.executors import OF_A_CLUSTER, on
from tests.test_pinned_draws import hierarchy

distributed = pytest.importorskip(
    "distributed", reason="Dask is not installed: pip install 'pymc-sgld[dask]'"
)
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # sockets of Dask, as it closes
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
MODEL = gaussian()
LONG = {"draws": 400, "steps_per_draw": 2000}  # some seconds of a chain


def client_of(cluster):
    return distributed.Client(cluster, set_as_default=False)


@pytest.fixture(scope="module")
def cluster():
    """Two processes, each of one thread."""
    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=50
    ) as made:
        yield made


@pytest.fixture(scope="module")
def client(cluster):
    with client_of(cluster) as made:
        yield made


@pytest.fixture(scope="module")
def long():
    with MODEL:
        return sample(**LONG)


@pytest.fixture
def short_pieces(monkeypatch):
    monkeypatch.setattr(driver, "_SECONDS", 0.3)


def workers_of(cluster):
    """Return the processes of the workers that are alive."""
    return [nanny.pid for nanny in cluster.workers.values() if nanny.pid is not None]


class Meanwhile(threading.Thread):
    """Does something at some times while a run goes on."""

    def __init__(self, times, action):
        super().__init__(daemon=True)
        self.times, self.action, self.done = times, action, 0

    def run(self):
        for seconds in self.times:
            time.sleep(seconds)
            self.action()
            self.done += 1


def test_threads_of_dask_in_this_process_that_come_late(caplog):
    """As where a queue gives workers when it has some."""
    with (
        distributed.LocalCluster(
            n_workers=0, threads_per_worker=2, processes=False, dashboard_address=":0"
        ) as cluster,
        client_of(cluster) as client,
        MODEL,
    ):
        one = sample()

        def come():
            while "Waiting for a worker of Dask" not in caplog.text:
                time.sleep(0.05)
            cluster.scale(1)

        late = Meanwhile([0], come)
        late.start()
        assert_same(one, on(client))
        late.join(1)
    assert late.done


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sampler", "make", "more"),
    [
        ("sgld", gaussian, {}),
        ("sgld", gaussian, {"gradient": "saga", "batches": "independent", "tune": 30}),
        ("auto", gaussian, {"step_size": None, "steps_per_draw": None}),
        (
            "auto",
            hierarchy,
            {"step_size": None, "steps_per_draw": None, "hyperparameters": "gibbs"},
        ),
        ("mala", gaussian, {}),
    ],
)
def test_processes(sampler, make, more, client):
    with make():
        assert_same(sample(sampler, **more), on(client, sampler, **more))


@pytest.mark.slow
def test_workers_are_killed_at_random(long, cluster, client, short_pieces):
    """Dask starts them anew, and runs again what they had."""
    rng = np.random.default_rng(1)

    def kill():
        alive = workers_of(cluster)
        if alive:
            os.kill(rng.choice(alive), signal.SIGKILL)

    killer = Meanwhile(rng.uniform(0.3, 3.0, size=4), kill)
    killer.start()
    with MODEL:
        found = on(client, **LONG, chains=2)
    assert killer.done
    assert_same(long, found)
    killer.join()
    client.wait_for_workers(2, timeout=60)


@pytest.mark.slow
def test_the_scheduler_is_restarted(long, short_pieces, tmp_path, caplog):
    """What has arrived is in the folder, and another cluster goes on with it."""
    options = {"threads_per_worker": 1, "dashboard_address": ":0", "silence_logs": 50}
    with distributed.LocalCluster(n_workers=2, **options) as first, client_of(first) as client:

        def close_after_some_draws():
            while sum(ChainFolder(one).n_draws for one in tmp_path.glob("chain-*")) < 100:
                time.sleep(0.05)
            first.close()

        stop = Meanwhile([0], close_after_some_draws)
        stop.start()
        with MODEL:
            found = on(client, **LONG, checkpoint=tmp_path, checkpoint_every=0.1)
        stop.join()
    assert "Not all chains came to their end" in caplog.text
    assert 0 < found.posterior.sizes["draw"] < LONG["draws"]
    with (
        distributed.LocalCluster(n_workers=1, **options) as second,
        client_of(second) as client,
        MODEL,
    ):
        assert_same(long, psg.resume(tmp_path, client=client, **OF_A_CLUSTER))
        assert_same(long, psg.resume(tmp_path, **SESSION))
