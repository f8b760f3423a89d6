"""Runs of small models, and their comparison to the last bit."""

import numpy as np
import pymc as pm

import pymc_sgld as psg

from pymc_sgld import records

SESSION = {
    "progressbar": False, "check": False, "compute_convergence_checks": False, "quiet": True,
    "cores": 1,
}  # fmt: skip
DRAWS, TUNE, CHAINS = 30, 12, 2
N_ROWS = 400


class Stopped(Exception):
    """Whatever ends a run."""


def gaussian(shift=0.0, scale=10.0, n_rows=N_ROWS):
    """A Gaussian mean and a positive scale, which PyMC writes as a log."""
    y = np.random.default_rng(0).normal(1, 2, size=n_rows)
    y[0] += shift
    with pm.Model(coords={"side": ["left", "right"]}) as model:
        mu = pm.Normal("mu", 0, scale, dims="side")
        sigma = pm.HalfNormal("sigma", 3)
        pm.Deterministic("sum", mu.sum())
        pm.Normal("y", mu[np.arange(n_rows) % 2], sigma, observed=y)
    return model


def stop_after(n_draws):
    """Return a callback that ends a run after so many draws of all chains."""
    count = [0]

    def callback(trace, draw):
        count[0] += 1
        if count[0] == n_draws:
            raise Stopped

    return callback


def sample(sampler="sgld", draws=DRAWS, **more):
    settings = {
        "tune": TUNE, "chains": CHAINS, "random_seed": 3, "verify": False, "step_size": 1e-3,
        "steps_per_draw": 5,
    }  # fmt: skip
    settings |= SESSION | more
    return psg.sample(sampler, draws, **settings)


def assert_same(first, second, groups=("posterior", "sample_stats")):
    """Compare draws and statistics, but for the seconds they took."""
    for group in groups:
        one, other = first[group].to_dataset(), second[group].to_dataset()
        assert set(one) == set(other) and one.sizes == other.sizes
        for name in set(one) - {records.SECONDS}:
            np.testing.assert_array_equal(one[name], other[name], err_msg=f"{group} {name}")
