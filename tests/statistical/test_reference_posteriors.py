"""SGLD left to itself, against posteriors whose moments are known.

The shared reference draws are looked for in the folder that PYMC_SGLD_DATA names, else beside the
checkout; without them these tests are skipped.
"""

import importlib.util
import os
import sys

from pathlib import Path

import arviz as az
import numpy as np
import pymc as pm
import pytest

import pymc_sgld as psg

ROOT = Path(__file__).parents[2]
FOLDER = Path(os.environ.get("PYMC_SGLD_DATA", ROOT.parent / "shared" / "data")) / "posteriordb"

pytestmark = pytest.mark.statistical


@pytest.fixture(scope="module")
def posteriordb():
    if not (FOLDER / "models.py").exists():
        pytest.skip(f"no reference posteriors in {FOLDER}: set PYMC_SGLD_DATA")
    spec = importlib.util.spec_from_file_location("posteriordb_models", FOLDER / "models.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["posteriordb_models"] = module
    spec.loader.exec_module(module)
    return module


CENTRED = {"gradient": "control_variate", "noise_compensation": True}


@pytest.mark.parametrize(
    ("sampler", "arguments"),
    [("sgld", {}), ("sgld_cv", {}), ("leimkuhler_matthews", CENTRED), ("baoa", CENTRED)],
)
@pytest.mark.parametrize("name", ["sblri-blr", "kidiq-kidscore_momhsiq", "nes1976-nes"])
def test_posteriordb(posteriordb, name, sampler, arguments):
    """Means within 4 Monte Carlo errors; sds from 0.95 to 1.12 of the reference, and 4 errors."""
    model = posteriordb.build(name, rows="data")
    reference = posteriordb.load_reference(name)
    means = posteriordb.by_variable(reference["names"], reference["mean"])
    sds = posteriordb.by_variable(reference["names"], reference["sd"])
    with model:
        idata = psg.sample(
            sampler, 4000, chains=4, cores=2, random_seed=1, progressbar=False, **arguments
        )
    ess = az.ess(idata, var_names=list(means), method="mean")
    ess_sd = az.ess(idata, var_names=list(means), method="sd")
    for variable, mean in means.items():
        draws = idata.posterior[variable].values
        flat = draws.reshape(-1, *draws.shape[2:])
        gap = np.abs(flat.mean(axis=0) - mean) / sds[variable]
        assert (gap < 4 / np.sqrt(ess[variable].values) + 0.03).all(), (variable, gap)
        ratio = flat.std(axis=0) / sds[variable]
        error = 4 / np.sqrt(2 * ess_sd[variable].values)
        assert (ratio > 0.95 - error).all() and (ratio < 1.12 + error).all(), (variable, ratio)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_long_chain_has_the_variance_of_its_law(temperature):
    """A Gaussian mean at a large step: sampled variance within 4 errors of the exact law's."""
    rng = np.random.default_rng(0)
    y = rng.normal(size=1000)
    h, n = 2e-4, 50
    with pm.Model():
        mu = pm.Normal("mu", 0, 10)
        pm.Normal("y", mu, 1, observed=y)
        idata = psg.sample(
            "sgld", 20_000, tune=200, chains=2, cores=2, random_seed=1, progressbar=False,
            step_size=h, batch_size=n, steps_per_draw=10, temperature=temperature,
        )  # fmt: skip
    precision = 1000 + 1 / 100
    noise = 1000**2 / n * (1000 - n) / 999 * y.var()
    alpha = h * noise / (2 * temperature)
    law = temperature / precision * (1 + alpha) / (1 - h * precision / 2)
    draws = idata.posterior["mu"]
    ess = float(az.ess(idata, method="sd")["mu"])
    assert ess > 1000
    assert draws.values.var() / law == pytest.approx(1, abs=4 * np.sqrt(2 / ess))
    ratio = float(idata.sample_stats["gradient_noise_ratio"][0, -1])
    assert ratio == pytest.approx(alpha, rel=0.05)
