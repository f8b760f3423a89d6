"""No matrix of parameters by parameters where none is needed: 100,000 of them by name."""

import numpy as np
import pymc as pm
import pytest

import pymc_sgld as psg

from pymc_sgld.preconditioners import PRECONDITIONERS

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
