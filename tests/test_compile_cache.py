"""Draws depend on the seed alone, not on what was compiled before; other data compile nothing."""

import os
import subprocess
import sys

from pathlib import Path

import pytest

# Six chains, each of which looks for a mode: with fast-math four of them end elsewhere.
RUN = """
import hashlib
import sys
import numpy as np
import pymc as pm
import pymc_sgld as psg

seed, n_rows = map(int, sys.argv[1:])
rows = np.random.default_rng(seed).normal(1, 2, size=n_rows)
with pm.Model():
    mu = pm.Normal("mu", 0, 10)
    sigma = pm.Exponential("sigma", 1)
    pm.Normal("y", mu, sigma, observed=rows)
    posterior = psg.sample(
        "sgld", 20, tune=100, chains=6, cores=1, batch_size=100, random_seed=1,
        progressbar=False, check=False,
    ).posterior
print(hashlib.sha256(posterior.mu.values.tobytes() + posterior.sigma.values.tobytes()).hexdigest())
"""


def draws(folder, seed=0, n_rows=1000):
    """Return a hash of the draws of a new process that compiles into a folder."""
    flags = [part for part in os.environ.get("PYTENSOR_FLAGS", "").split(",") if part]
    flags = [part for part in flags if not part.startswith("base_compiledir=")]
    environment = os.environ | {"PYTENSOR_FLAGS": ",".join([*flags, f"base_compiledir={folder}"])}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", RUN, str(seed), str(n_rows)],
        cwd=Path(__file__).parents[1],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()[-1]


def compiled(folder):
    """Return the compiled functions in a folder."""
    return {path.name for path in folder.rglob("*.nb?")}


@pytest.fixture(scope="module")
def filled(tmp_path_factory):
    """Return a folder that a run has compiled into, and the draws of that run."""
    folder = tmp_path_factory.mktemp("compiled")
    return folder, draws(folder)


def test_draws_are_the_same_bits_from_a_cold_and_from_a_warm_compile_cache(filled):
    folder, cold = filled
    assert any(folder.rglob("*.nbi"))  # what the second process finds
    assert draws(folder) == cold


def test_nothing_is_compiled_for_other_data_of_the_same_model(filled):
    """The identity check included: no constant of a compiled graph holds data."""
    folder, cold = filled
    before = compiled(folder)
    assert draws(folder, seed=1, n_rows=1200) != cold
    assert compiled(folder) == before
