"""Draws depend on the seed alone, not on what was compiled before on this machine."""

import os
import subprocess
import sys

from pathlib import Path

# Six chains, each of which looks for a mode: with fast-math four of them end elsewhere.
RUN = """
import hashlib
import numpy as np
import pymc as pm
import pymc_sgld as psg

rows = np.random.default_rng(0).normal(1, 2, size=1000)
with pm.Model():
    mu = pm.Normal("mu", 0, 10)
    sigma = pm.Exponential("sigma", 1)
    pm.Normal("y", mu, sigma, observed=rows)
    posterior = psg.sample(
        "sgld", 20, tune=100, chains=6, cores=1, batch_size=100, random_seed=1,
        progressbar=False, verify=False, check=False,
    ).posterior
print(hashlib.sha256(posterior.mu.values.tobytes() + posterior.sigma.values.tobytes()).hexdigest())
"""


def draws(folder):
    """Return a hash of the draws of a new process that compiles into a folder."""
    flags = [part for part in os.environ.get("PYTENSOR_FLAGS", "").split(",") if part]
    flags = [part for part in flags if not part.startswith("base_compiledir=")]
    environment = os.environ | {"PYTENSOR_FLAGS": ",".join([*flags, f"base_compiledir={folder}"])}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", RUN],
        cwd=Path(__file__).parents[1],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()[-1]


def test_draws_are_the_same_bits_from_a_cold_and_from_a_warm_compile_cache(tmp_path):
    cold = draws(tmp_path)
    assert any(tmp_path.rglob("*.nbi"))  # what the second process finds
    assert draws(tmp_path) == cold
