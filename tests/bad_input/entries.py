"""The entry points, each with arguments that are right but for what a line replaces."""

from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pymc as pm
import xarray as xr

import pymc_sgld as psg

from pymc_sgld import schedules
from tests.bad_input import command_line
from tests.bad_input.table import Line

QUICK = {"mode": "FAST_COMPILE"}  # PyTensor's Python linker: nothing is compiled
N_ROWS = 40


@cache
def model() -> pm.Model:
    """Return a regression of 40 rows that all lines share."""
    rng = np.random.default_rng(0)
    design = rng.normal(size=(N_ROWS, 2))
    with pm.Model(coords={"row": range(N_ROWS), "feature": ["a", "b"]}) as shared:
        beta = pm.Normal("beta", 0, 1, dims="feature")
        sigma = pm.HalfNormal("sigma", 1)
        pm.Normal("y", design @ beta, sigma, observed=design @ [1.0, -1.0], dims="row")
    return shared


@cache
def other_model() -> pm.Model:
    with pm.Model() as another:
        pm.Normal("y", pm.Normal("mu"), 1, observed=np.zeros(N_ROWS))
    return another


@cache
def latent_model() -> pm.Model:
    """Return a model of which every row has a variable of its own."""
    with pm.Model() as shared:
        mu = pm.Normal("mu", 0, 1)
        z = pm.Normal("z", 0, 1, shape=N_ROWS)
        pm.Poisson("y", pm.math.exp(mu + z), observed=np.arange(N_ROWS) % 4)
    return shared


def latent_draws(value: float = 0.5, n_draws: int = 20) -> xr.DataTree:
    dataset = xr.Dataset(
        {"mu": (("chain", "draw"), np.full((2, n_draws), value))},
        coords={"chain": range(2), "draw": range(n_draws)},
    )
    return xr.DataTree.from_dict({"posterior": dataset})


def draws(n_chains: int = 2, n_draws: int = 20, **changed: Any) -> xr.DataTree:
    """Return made-up draws of the model, with variables replaced or left out (None)."""
    rng = np.random.default_rng(1)
    variables = {
        "beta": (("chain", "draw", "feature"), rng.normal(size=(n_chains, n_draws, 2))),
        "sigma": (("chain", "draw"), rng.uniform(0.5, 1.5, size=(n_chains, n_draws))),
    } | changed
    dataset = xr.Dataset(
        {name: value for name, value in variables.items() if value is not None},
        coords={"chain": range(n_chains), "draw": range(n_draws), "feature": ["a", "b"]},
    )
    return xr.DataTree.from_dict({"posterior": dataset})


def spoiled(name: str, value: float, **others: Any) -> xr.DataTree:
    """Return draws of which one entry of a variable is a bad value."""
    idata = draws(**others)
    idata["posterior"][name].to_numpy().reshape(-1)[3] = value  # a view
    return idata


def _sample(**given: Any) -> Any:
    usual = {
        "sampler": "sgld", "draws": 4, "tune": 1, "chains": 1, "cores": 1, "step_size": 1e-3,
        "verify": False, "check": False, "progressbar": False, "compile_kwargs": QUICK,
        "model": model(), "random_seed": 1, "compute_convergence_checks": False,
    }  # fmt: skip
    return psg.sample(**{**usual, **given})


def _anneal(**given: Any) -> Any:
    usual = {
        "model": model(), "draws": 4, "chains": 1, "cores": 1, "step_size": 1e-4,
        "progressbar": False, "compile_kwargs": QUICK, "polish": False, "verify": False,
    }  # fmt: skip
    return psg.anneal(**{**usual, **given})


def _step(sampler: str = "sgld", **given: Any) -> Any:
    usual = {"model": model(), "step_size": 1e-3, "verify": False, "compile_kwargs": QUICK}
    return psg.step_methods.REGISTRY[sampler](**{**usual, **given})


def _compare(**given: Any) -> Any:
    usual = {
        "samplers": {"one": draws(), "two": draws(n_draws=30)}, "model": model(),
        "reference": "one", "elpd": False, "stein": False, "progressbar": False,
    }  # fmt: skip
    return psg.compare(**{**usual, **given})


def _of_draws(function: Any, **usual: Any) -> Any:
    def call(**given: Any) -> Any:
        arguments = {"idata": draws(), "model": model()} | usual | given
        return function(arguments.pop("idata"), **arguments)

    return call


def _resample(**given: Any) -> Any:
    arguments = {"idata": draws(), "weights": np.ones((2, 20))} | given
    return psg.resample(**arguments)


def _schedule(**given: Any) -> Any:
    given = dict(given)
    return getattr(schedules, given.pop("kind"))(**given)


def _build(build: Any, **given: Any) -> Any:
    """Read a model that a function builds, or sample it where arguments are given."""
    with pm.Model() as built:
        build()
    return _sample(model=built, **given)


ENTRIES = {
    "sample": _sample,
    "anneal": _anneal,
    "step": _step,
    "compare": _compare,
    "check": _of_draws(psg.check, compile_kwargs=QUICK),
    "posterior_scores": _of_draws(psg.posterior_scores, compile_kwargs=QUICK),
    "row_log_likelihood": _of_draws(psg.row_log_likelihood, compile_kwargs=QUICK),
    "posterior_predictive": _of_draws(
        psg.posterior_predictive, compile_kwargs=QUICK, random_seed=1
    ),
    "resample": _resample,
    "tuning_table": lambda **given: psg.tuning_table(**given),
    "row_model": lambda **given: psg.row_model(**{"model": model(), **given}),
    "latent_posterior": lambda **given: psg.latent_posterior(
        **{"idata": latent_draws(), "model": latent_model(), **given}
    ),
    "marginal_model": lambda **given: psg.marginal_model(**{"model": latent_model(), **given}),
    "resume": lambda **given: psg.resume(**{"path": "nowhere", **given}),
    "open_run": lambda **given: psg.open_run(**given),
    "columns": lambda **given: psg.columns(
        **{"source": pd.DataFrame({"a": [1.0]}), "names": ["a"], **given}
    ),
    "describe": lambda **given: psg.row_model(model()).describe(**given),
    "schedule": _schedule,
    "model": _build,
    "save": lambda **given: _compare().save(**given),
    "plot": lambda **given: _compare().plot(**{"directory": "new", **given}),
    "to_html": lambda **given: _compare().to_html(**{"path": "new.html", **given}),
    "write": lambda **given: _compare().write(**{"directory": "new", **given}),
    "predict": lambda **given: _compare().predict(**given),
}


def call(line: Line) -> Any:
    """Make the mistake of a line."""
    if line.entry == "models":
        return command_line.call(line)
    return ENTRIES[line.entry](**dict(line.given))
