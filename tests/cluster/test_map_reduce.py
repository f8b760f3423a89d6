"""Passes of tuning that workers make are those of one process, to the last bit."""

import numpy as np
import pytest

import pymc_sgld as psg

from pymc_sgld.checkpoints.cluster import map_reduce, passes_by
from pymc_sgld.model_graph import PassCounter, counted
from pymc_sgld.model_graph.density import block_function
from tests.checkpoints.runs import assert_same
from tests.checkpoints.streamed import hierarchy, written
from tests.cluster.executors import OF_A_CLUSTER, Losing, Serial, threads


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows")
    return psg.row_model(
        hierarchy(), data=written(folder), progressbar=False, scratch=folder / "scratch"
    )


@pytest.fixture(autouse=True)
def small_is_worth_it(monkeypatch):
    monkeypatch.setattr(map_reduce, "_WORTH", 1)
    monkeypatch.setattr(block_function, "_CHUNK_BYTES", 1)  # of the fewest rows: 256


def passes_of(function, position, client):
    with counted(PassCounter()) as counter, passes_by(client):
        value, gradient = function.full(position)
    return value, gradient, counter.passes


@pytest.mark.parametrize("lost", [set(), {2, 3}])
def test_a_pass_is_that_of_one_process(rows, lost, caplog):
    function, position = rows.block_function(), np.linspace(-0.5, 0.5, rows.n_dim)
    serial = Serial()
    value, gradient, passes = passes_of(function, position, None)
    found = passes_of(function, position, Losing(serial, lambda number, _: number in lost))
    assert found[0] == value and found[2] == passes == pytest.approx(1)
    np.testing.assert_array_equal(found[1], gradient)
    tasks = [arguments[-1] for _, arguments in serial.given]
    assert [(task.first, task.stop) for task in tasks][:2] == [(0, 1), (1, 3)]
    assert tasks[-1].stop == 12
    assert ("made here from now on" in caplog.text) == bool(lost)


def test_a_chunk_that_is_left_out_is_noticed(rows):
    function, position = rows.block_function(), np.zeros(rows.n_dim)
    parts = list(function.parts(position, 256))
    assert len(parts) == 12
    value, _ = function.full(position)
    assert value == pytest.approx(sum(part for part, _ in parts), rel=1e-14)
    assert abs(value - sum(part for part, _ in parts[1:])) > 1


def test_rows_in_memory_stay_here(rows, monkeypatch):
    monkeypatch.setattr(map_reduce, "_WORTH", 2**28)
    serial = Serial()
    passes_of(rows.block_function(), np.zeros(rows.n_dim), serial)
    assert serial.count == 0


@pytest.mark.slow
def test_auto_is_tuned_to_the_same_bits(rows):
    settings = OF_A_CLUSTER | {"random_seed": 3, "tune": 20, "chains": 2, "rows": rows}
    one = psg.sample("auto", 30, model=rows.model, **settings, cores=1)
    with threads() as executor:
        losing = Losing(executor, lambda *_: False)
        other = psg.sample("auto", 30, model=rows.model, **settings, client=losing)
    assert_same(one, other)
    assert losing.count > 20
    assert one.posterior.attrs["sampler"] == "auto"
