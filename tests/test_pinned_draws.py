"""Draws for a fixed seed, pinned: what is meant to leave them alone is held to it.

``python -m tests.test_pinned_draws`` writes ``pinned_draws.json`` anew, for a change that is meant
to change draws; say so under "Draws changed" in CHANGELOG.md. On the kind of machine and with the
versions that the file was written with, draws are compared bit for bit; elsewhere, where compilers
order sums differently, to a millionth.
"""

import hashlib
import json
import warnings

from importlib.metadata import version
from pathlib import Path

import numpy as np
import pymc as pm
import pytest

from llvmlite import binding

import pymc_sgld as psg

from tests.conftest import require_backend
from tests.gaussian_hierarchy import GaussianHierarchy
from tests.targets import logistic_model

PINNED = Path(__file__).with_name("pinned_draws.json")
PACKAGES = ("numpy", "scipy", "numba", "pytensor", "pymc", "jax")
REGISTERED = sorted(psg.samplers())
QUIET = {"progressbar": False, "cores": 1, "compute_convergence_checks": False}
ON_JAX = ("sgld", "saga_ld", "cyclical_sghmc", "sggmc")


def hierarchy(n_groups=12, n_rows=900):
    rng = np.random.default_rng(5)
    group = rng.integers(0, n_groups, n_rows)
    column = rng.normal(size=n_rows)
    outcome = rng.normal(0, 0.3, n_groups)[group] + 0.5 * column + rng.normal(size=n_rows)
    return GaussianHierarchy(group, column, outcome).model()


def hierarchy_of_many():
    """Return one whose scale is known well enough for all parameters to move together."""
    return hierarchy(80, 4000)


def written_noncentred():
    rng = np.random.default_rng(6)
    group = rng.integers(0, 5, 600)
    outcome = rng.normal(0, 1, 5)[group] + rng.normal(size=600)
    with pm.Model() as model:
        mu, tau = pm.Normal("mu"), pm.HalfNormal("tau")
        z = pm.Normal("z", shape=5)
        pm.Normal("y", (mu + tau * z)[group], 1, observed=outcome)
    return model


CASES = {
    **{name: (name, logistic_model, {}) for name in REGISTERED},
    "auto on a hierarchy, gibbs": ("auto", hierarchy, {"hyperparameters": "gibbs"}),
    "auto on a hierarchy, joint": ("auto", hierarchy_of_many, {"hyperparameters": "joint"}),
    "auto on a hierarchy, non-centred": ("auto", written_noncentred, {}),
    **{
        f"{name} on jax": (name, logistic_model, {"backend": "jax", "compile_kwargs": {}})
        for name in ON_JAX
    },
}


def draws_of(case):
    """Draws of two chains, one column for each parameter."""
    name, make, arguments = CASES[case]
    cycles = {"cycles": 2} if "cyclical" in name else {}
    if name == "auto":
        arguments = {**arguments, "target_bias": 0.05}  # else models so small are left to NUTS
    with make(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        idata = psg.sample(
            name, draws=40, tune=20, chains=2, random_seed=1, check=False,
            **QUIET, **cycles, **arguments,
        )  # fmt: skip
    posterior = idata["posterior"]
    return np.concatenate(
        [
            posterior[var].values.reshape(posterior.sizes["chain"], posterior.sizes["draw"], -1)
            for var in sorted(posterior.data_vars)
        ],
        axis=-1,
    )


def machine():
    """What the last bits depend on."""
    versions = {name: version(name) for name in PACKAGES}
    return {**versions, "processor": binding.get_host_cpu_name()}


def pin(draws):
    bits = hashlib.sha256(np.ascontiguousarray(draws, dtype=np.float64).tobytes()).hexdigest()
    return {"shape": list(draws.shape), "sha256": bits, "last": draws[:, -1].tolist()}


def marked(case):
    return pytest.param(case, marks=[pytest.mark.slow] if case.endswith("jax") else [])


@pytest.mark.parametrize("case", list(map(marked, CASES)))
def test_draws_are_as_pinned(case):
    if case.endswith("jax"):
        require_backend("jax")
    pinned = json.loads(PINNED.read_text())
    now, then = pin(draws_of(case)), pinned["draws"][case]
    if machine() == pinned["machine"]:
        assert now == then
    assert now["shape"] == then["shape"]
    np.testing.assert_allclose(now["last"], then["last"], rtol=1e-6, atol=1e-6)


def test_every_sampler_is_pinned():
    assert set(json.loads(PINNED.read_text())["draws"]) == set(CASES)


if __name__ == "__main__":
    pinned = {"machine": machine(), "draws": {case: pin(draws_of(case)) for case in CASES}}
    PINNED.write_text(json.dumps(pinned, indent=1) + "\n")
