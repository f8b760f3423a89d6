"""Models in numbers of four bytes: what numba widens inside a step does not leave it."""

import numpy as np
import pymc as pm
import pytensor
import pytest

import pymc_sgld as psg


@pytest.mark.parametrize(
    "sampler",
    ["baoa", *(pytest.param(name, marks=pytest.mark.slow) for name in ("auto", "saga_ld"))],
)
def test_draws_of_floats(sampler):
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 3, (2000, 2)).astype("uint8")
    y = (codes @ [0.5, -1.0] + rng.normal(size=2000)).astype("float32")
    with pytensor.config.change_flags(floatX="float32"):
        with pm.Model() as model:
            b = pm.Normal("b", shape=2)
            pm.Normal("y", pm.Data("codes", codes) @ b, 1.0, observed=y)
        idata = psg.sample(
            sampler, 300, tune=20, chains=2, cores=1, model=model, random_seed=1, quiet=True,
            progressbar=False, check=False, compute_convergence_checks=False, verify=False,
        )  # fmt: skip
    draws = idata.posterior["b"]
    assert draws.dtype == "float32"
    exact = codes.astype(float)
    covariance = np.linalg.inv(exact.T @ exact + np.eye(2))
    sd = np.sqrt(np.diag(covariance))
    off = (draws.mean(("chain", "draw")) - covariance @ exact.T @ y) / sd
    assert np.abs(off).max() < 0.4  # five standard errors of 160 independent draws
    assert np.abs(draws.std(("chain", "draw")) / sd - 1).max() < 0.35
