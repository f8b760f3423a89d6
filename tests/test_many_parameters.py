"""No matrix of parameters by parameters where none is needed: 100,000 of them by name."""

import logging
import subprocess
import sys

from types import SimpleNamespace

import numpy as np
import pymc as pm
import pytest

import pymc_sgld as psg

from pymc_sgld.model_graph.density.pass_counter import count
from pymc_sgld.preconditioners import PRECONDITIONERS
from pymc_sgld.step_methods.progress import announce_tuning
from pymc_sgld.tuning import TuningError, Warmup, most_passes

N_DIM = 100_000


@pytest.mark.parametrize("name", ["identity", "diagonal", "low_rank", "rmsprop", "adam"])
def test_metrics_of_a_million_parameters_are_vectors(name):
    metric = PRECONDITIONERS[name].empty(1_000_000)
    assert sum(np.size(parameter) for parameter in metric.parameters()) <= 4_000_000


@pytest.mark.parametrize("sampler", ["sgld", "sghmc"])
def test_a_hundred_thousand_parameters_by_name(sampler):
    """The square of their number would take 80 GB; each parameter has its exact law."""
    rows = np.random.default_rng(0).normal(size=(4, N_DIM))
    with pm.Model() as model:
        theta = pm.Normal("theta", 0, 1, shape=N_DIM)
        pm.Normal("y", theta, 1, observed=rows)
    step_size = {"sgld": 0.02, "sghmc": 0.1}[sampler]
    result = psg.sample(
        sampler, 4, tune=1, chains=1, cores=1, step_size=step_size, steps_per_draw=60,
        gradient="full", preconditioner="identity", model=model, random_seed=1, verify=False,
        rows={"y": 0},
        check=False, progressbar=False, compute_convergence_checks=False,
        compile_kwargs={"mode": "FAST_COMPILE"},
    )  # fmt: skip
    last = result["posterior"]["theta"].to_numpy()[0, -1]
    assert abs((last - rows.sum(axis=0) / 5).mean()) < 4 * (1 / 5 / N_DIM) ** 0.5
    wide = {"sgld": (1 - 0.02 * 5 / 2) ** -0.5, "sghmc": 1.0}[sampler]  # SGLD's own excess
    assert (last - rows.sum(axis=0) / 5).std() == pytest.approx(wide * 5**-0.5, rel=0.03)


PEAK = """
import resource
import sys

import numpy as np
import pymc as pm

import pymc_sgld as psg

n_dim = 1_000_000
with pm.Model() as model:
    theta = pm.Normal("theta", 0, 1, shape=n_dim)
    pm.Normal("y", theta, 1, observed=np.random.default_rng(0).normal(size=(4, n_dim)))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
result = psg.sample(
    sys.argv[1], 3, tune=2, chains=1, cores=1, step_size=0.02, preconditioner="identity",
    steps_per_draw=5, rows={"y": 0}, gradient="full", random_seed=1, verify=False, check=False,
    progressbar=False, compute_convergence_checks=False, model=model, quiet=True,
)
assert result["posterior"]["theta"].shape == (1, 3, n_dim)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print((peak - before) * 1024 / (8 * n_dim))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="counts what Linux counts")
@pytest.mark.parametrize("sampler", ["sgld", "sghmc"])
def test_a_million_parameters_take_vectors_of_memory(sampler):
    """In vectors of the parameters, compiling included; a matrix of them would be a million."""
    command = [sys.executable, "-c", PEAK, sampler]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert float(said.split()[-1]) < 100


def test_tuning_of_many_parameters_is_announced(caplog):
    chain = SimpleNamespace(
        n_dim=100_000, prepared=None, settings=SimpleNamespace(needs_tuning=True),
        block_function=SimpleNamespace(total_sizes=[4]),
    )  # fmt: skip
    with caplog.at_level(logging.INFO, "pymc.sgld"):
        announce_tuning(chain)
        assert "100,000 parameters" in caplog.text
        assert "preconditioner='identity'" in caplog.text
        caplog.clear()
        for told in ({"n_dim": 5000}, {"prepared": 1}):
            announce_tuning(SimpleNamespace(**{**vars(chain), **told}))
        announce_tuning(
            SimpleNamespace(**{**vars(chain), "settings": SimpleNamespace(needs_tuning=False)})
        )
    assert not caplog.records


def test_tuning_of_many_parameters_is_bounded():
    """It ends, and says what goes without."""
    most = most_passes(10, 10_000)

    class Endless:
        total_sizes = (10,)

        def find(self, start, temperature, generator):
            count(most / 2)
            return self.find(start, temperature, generator)

    warmup = Warmup(SimpleNamespace(function=Endless()))
    object.__setattr__(warmup, "find", Endless().find)
    with pytest.raises(TuningError, match=r"Tuning stopped.*preconditioner='identity'"):
        warmup._found_in_time(np.zeros(10_000), 1.0, np.random.default_rng(0))
