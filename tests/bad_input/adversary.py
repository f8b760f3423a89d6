"""Mistakes of the same few kinds in every argument: wrong types, huge values, other objects."""

import datetime

import numpy as np
import pandas as pd
import pymc as pm
import xarray as xr

import pymc_sgld as psg

from tests.bad_input.entries import draws, latent_draws, latent_model, model, other_model
from tests.bad_input.table import Line, lines

WHOLE = "must be a whole number"
FLAG = "must be True or False"
HUGE = 10**30
TEXT_OF_A_NUMBER = "5"
NO_DIMENSIONS = np.array(3)


class Mine:
    """What a user may hand in by mistake."""

    def __repr__(self):
        return "<Mine>"


def _each(entry, arguments, *values, said="{}"):
    """Lines of one entry: every value in every argument, which the message must name."""
    return [
        Line(entry, {name: value}, (said.format(name), *contains), f"{entry}: {name}={label}")
        for name in arguments
        for label, value, *contains in values
    ]


OF_ANY_TYPE = (
    ("complex", 1j, "1j"),
    ("bytes", b"5", "b'5'"),
    ("a date", datetime.date(2026, 1, 1), "2026"),
    ("an object", Mine(), "<Mine>"),
)
NO_NUMBERS = (*OF_ANY_TYPE, ("text of a number", TEXT_OF_A_NUMBER, "'5'"))
NO_FLAGS = (("numpy int", np.int64(1), "1"), ("text", "True", "'True'"), ("an array", np.ones(2)))

OF_SAMPLE = [
    *_each("sample", ("draws", "tune", "chains", "cores"), *NO_NUMBERS, said="{} must be a whole"),
    *_each("sample", ("steps_per_draw", "batch_size"), *NO_NUMBERS, said="{} must be"),
    *_each("sample", ("step_size", "temperature", "target_bias"), *NO_NUMBERS[:4], said="{}"),
    *_each(
        "sample",
        ("draws", "tune", "chains", "cores", "steps_per_draw"),
        ("huge", HUGE, "at most"),
        said="{} must be at most",
    ),
    *_each("sample", ("verify", "check", "noise_compensation"), *NO_FLAGS, said="{} must be True"),
    *lines(
        "sample",
        ({"scratch": ""}, "scratch must be", "empty"),
        ({"scratch": 5}, "scratch must be", "5"),
        ({"scratch": None}, "scratch must be", "None"),
        ({"scratch": 1.5}, "scratch must be", "1.5"),
        ({"scratch": ["folder"]}, "scratch must be", "['folder']"),
        ({"checkpoint": ""}, "checkpoint must be the path of a folder", "empty"),
        ({"checkpoint": b"run"}, "checkpoint must be the path of a folder", "b'run'"),
        ({"latents": "laplace"}, "latents must be one of", "'laplace'"),
        ({"latents": True}, "latents must be one of", "True"),
        ({"latents": None}, "latents must be one of", "None"),
        ({"progressbar_theme": "dark"}, "progressbar_theme must be a rich", "'dark'"),
        ({"progressbar_theme": 3}, "progressbar_theme must be a rich", "3"),
        ({"initvals": NO_DIMENSIONS}, "initvals must be a dictionary", "array(3)"),
        ({"initvals": b"x"}, "initvals must be a dictionary", "b'x'"),
        ({"initvals": draws()}, "initvals name 'posterior'", "beta, sigma_log__"),
        ({"var_names": NO_DIMENSIONS}, "var_names must be a list", "array(3)"),
        ({"var_names": b"beta"}, "var_names must be a list", "b'beta'"),
        ({"var_names": ["beta", None]}, "var_names must be a list", "None"),
        ({"blas_cores": np.ones(2)}, "blas_cores", WHOLE),
        ({"blas_cores": pd.DataFrame({"a": [1]})}, "blas_cores", WHOLE),
        (
            {"nuts_sampler_kwargs": {"target_accept": 0.9}},
            "nuts_sampler_kwargs",
            "'sgld' was named",
        ),
        ({"nuts_sampler": "nutpie"}, "nuts_sampler='nutpie'", "'sgld' was named"),
        ({"callback": []}, "callback must be a function", "[]"),
        ({"idata_kwargs": [("log_likelihood", True)]}, "idata_kwargs must be a dictionary"),
        ({"model": Mine}, "model must be a pm.Model", "the class Mine"),
        ({"model": draws()}, "model must be a pm.Model", "DataTree"),
        ({"model": [model()]}, "model must be a pm.Model", "[<pymc"),
        ({"sampler": ""}, "sampler must be one of", "''"),
        ({"sampler": "SGLD"}, "sampler must be one of", "Did you mean 'sgld'"),
        ({"sampler": psg.step_methods.SGLD}, "sampler must be one of", "SGLD"),
        ({"sampler": b"sgld"}, "sampler must be one of", "b'sgld'"),
        ({"sampler": np.int64(3)}, "sampler must be one of", "3"),
        ({"data": 5}, "data", "5"),
        ({"data": "no_such.parquet"}, "no_such.parquet"),
        ({"data": {"nobody": np.zeros((3, 2))}}, "data", "'nobody'"),
        ({"rows": np.zeros(3)}, "rows"),
        ({"rows": ["row", "row"]}, "row"),
        ({"recentre": ["beta"]}, "recentre=['beta']"),
        ({"preconditioner": "low rank"}, "preconditioner", "Did you mean 'low_rank'"),
        ({"preconditioner": np.ones(3) * np.inf}, "preconditioner must be finite"),
        ({"preconditioner": np.zeros(3)}, "preconditioner must be positive"),
        ({"preconditioner": {"beta": 1.0}}, "preconditioner must be"),
        ({"random_seed": {}}, "random_seed must be", "{}"),
        ({"random_seed": [1, -2]}, "every entry of random_seed", "-2"),
        ({"random_seed": np.nan}, "random_seed must be", "nan"),
        ({"random_seed": {1, 2}}, "random_seed must be", "{1, 2}"),
        ({"tolerance": 0.1}, "'tolerance' is not an argument"),
        ({"n_draws": 5}, "'n_draws' is not an argument of sampler 'sgld'"),
        ({"seed": 1}, "'seed' is not an argument"),
        ({"target_accept": 0.9}, "'target_accept' is not an argument"),
        ({"nuts": {}}, "'nuts' is not an argument"),
    ),
]

OF_STEP = [
    *_each("step", ("rng",), *NO_NUMBERS, ("nan", np.nan, "nan"), ("negative", -1, "-1"),
           said="{} must be"),
    *_each("step", ("blocked",), *NO_FLAGS, said="{} must be True or False"),
    *_each("step", ("vars",), *OF_ANY_TYPE, ("a number", 3, "3"), said="{} must be variables"),
    *lines(
        "step",
        ({"vars": []}, "vars is empty"),
        ({"vars": [1, 2]}, "vars must be variables", "1"),
        ({"vars": {"beta"}}, "vars must be variables", "{'beta'}"),
        ({"vars": "beta"}, "'beta'"),
        ({"initial_point": 5}, "initial_point must be a dictionary", "5"),
        ({"initial_point": [0.0]}, "initial_point must be a dictionary", "[0.0]"),
        ({"initial_point": "zero"}, "initial_point must be a dictionary", "'zero'"),
        ({"steps_per_draw": HUGE}, "steps_per_draw must be at most"),
        ({"model": pm.Model}, "model must be a pm.Model", "the class Model"),
        ({"preconditioner": "dens"}, "Did you mean 'dense'"),
        ({"sampler": "sghmc", "friction": -1}, "friction must be > 0", "-1"),
        ({"sampler": "sghmc", "friction": np.nan}, "friction must be > 0", "nan"),
        ({"sampler": "sgnht", "friction": "x"}, "friction must be a number", "'x'"),
        ({"sampler": "baoa", "friction": None}, "friction must be a number", "None"),
        ({"sampler": "mala", "batches": "epochs"}, "batches"),
        ({"sampler": "amagold", "trajectory": True}, "trajectory", WHOLE, "True"),
        ({"sampler": "auto", "tuning_passes": 0}, "tuning_passes must be > 0"),
        ({"sampler": "auto", "tuning_passes": "few"}, "tuning_passes must be a number"),
    ),
]  # fmt: skip

OF_OTHERS = [
    *_each("anneal", ("draws", "chains", "cores"), *NO_NUMBERS, said="{} must be a whole number"),
    *_each("anneal", ("draws", "chains", "cores"), ("huge", HUGE), said="{} must be at most"),
    *_each("anneal", ("polish",), *NO_FLAGS, said="{} must be True or False"),
    *_each("compare", ("draws", "chains", "cores"), *NO_NUMBERS, said="{} must be a whole number"),
    *_each("compare", ("elpd", "stein"), *NO_FLAGS, said="{} must be True or False"),
    *_each("check", ("n_scored",), *NO_NUMBERS, said="{} must be a whole number"),
    *_each("check", ("target_bias",), *NO_NUMBERS, said="{} must be a number"),
    *_each("posterior_scores", ("n_scored",), *NO_NUMBERS, said="{} must be a whole number"),
    *_each("row_log_likelihood", ("chunk",), *NO_NUMBERS, said="{} must be a whole number"),
    *_each("posterior_predictive", ("chunk",), *NO_NUMBERS, said="{} must be a whole number"),
    *_each("resample", ("seed",), *NO_NUMBERS, said="{} must be a whole number"),
    *_each("row_model", ("max_full",), *NO_NUMBERS, said="{} must be a whole number"),
    *_each("row_model", ("allow_full_terms", "jacobian"), *NO_FLAGS, said="{} must be True"),
    *_each("describe", ("batch_size",), *NO_NUMBERS, said="{} must be a whole number"),
    *_each("latent_posterior", ("draws",), *NO_NUMBERS, ("zero", 0), said="{} must be"),
    *_each("resume", ("path",), *OF_ANY_TYPE[:2], ("None", None), said="{} must be the path"),
    *_each("open_run", ("path",), *OF_ANY_TYPE, ("a number", 5), said="{} must be the path"),
    *lines(
        "row_model",
        ({"scratch": 5}, "scratch must be", "5"),
        ({"progressbar": "yes"}, "progressbar must be one of"),
        ({"model": draws()}, "model must be a pm.Model"),
        ({"data": []}, "data"),
    ),
    *lines(
        "latent_posterior",
        ({"idata": "draws.nc"}, "idata must be", "'draws.nc'"),
        ({"idata": None}, "idata must be", "None"),
        ({"idata": draws()}, "lack 'mu'"),
        ({"idata": latent_draws(n_draws=0)}, "no draws"),
        ({"idata": latent_draws(np.nan)}, "'mu' is not finite"),
        ({"model": 5}, "model must be a pm.Model"),
        ({"model": model(), "idata": draws()}, "No free variable has one entry per row"),
        ({"rows": "all"}, "rows"),
        ({"rows": [0.5]}, "whole numbers"),
        ({"rows": []}, "at least one"),
        ({"rows": [40]}, "40"),
        ({"rows": [-1]}, "-1"),
        ({"random_seed": "x"}, "random_seed must be"),
        ({"random_seed": -1}, "random_seed must be >= 0"),
    ),
    *lines(
        "marginal_model",
        ({"model": 5}, "model must be a pm.Model"),
        ({"model": model()}, "No free variable has one entry per row"),
        ({"random_seed": "x"}, "random_seed must be"),
        ({"random_seed": -1}, "random_seed must be >= 0"),
        ({"model": latent_model(), "rows": "person"}, "'person'"),
        ({"model": latent_model(), "rows": 5}, "rows=5"),
    ),
    *lines(
        "resample",
        ({"weights": xr.DataArray(np.ones((2, 20)), dims=("a", "b"))}, "dimensions a, b", "'draw'"),
        ({"weights": xr.DataArray(1.0)}, "dimensions (none)", "'chain'"),
        ({"weights": pd.DataFrame({"a": ["x"]})}, "weights must be numbers"),
        ({"weights": 5}, "weights have shape ()", "2 chains of 20"),
    ),
    *lines(
        "resume",
        ({}, "nowhere holds no run", "checkpoint='nowhere'"),
        ({"path": ""}, "path must be the path of a folder", "empty"),
        ({"draws": "x"}, "draws", WHOLE),
        ({"draws": 0}, "draws must be >= 1"),
        ({"draws": HUGE}, "draws must be at most"),
        ({"chains": 0}, "chains must be >= 1"),
        ({"chains": 1.5}, "chains", WHOLE),
    ),
    *lines("open_run", ({"path": ""}, "empty"), ({"path": "nowhere"}, "nowhere holds no run")),
    *lines(
        "columns",
        ({"source": 5}, "source of columns must be", "5"),
        ({"source": None}, "source of columns must be", "None"),
        ({"source": ""}, "source of columns must be", "''"),
        ({"source": True}, "source of columns must be", "True"),
        ({"names": []}, "names of columns are empty"),
        ({"names": None}, "names of columns must be", "None"),
        ({"names": 1.5}, "names of columns must be", "1.5"),
        ({"names": True}, "names of columns must be", "True"),
        ({"names": -1}, "names of columns must be", "-1"),
        ({"names": ""}, "names of columns must be", "''"),
        ({"names": ["a", None]}, "names of columns must be", "None"),
        ({"names": b"a"}, "names of columns must be", "b'a'"),
    ),
    *lines(
        "compare",
        ({"samplers": ""}, "''"),
        ({"samplers": 5.0}, "samplers must be a list of names"),
        ({"samplers": ["sgld", "sgld"]}, "sgld"),
        ({"samplers": {"": draws()}}, "samplers"),
        ({"samplers": {1: draws()}}, "samplers", "1"),
        ({"samplers": {"one": model()}}, "samplers['one']"),
        ({"samplers": {"one": draws(), "two": draws(beta=None)}}, "samplers['two']", "'beta'"),
        ({"reference": 5}, "reference must be one of", "5"),
        ({"reference": ["one"]}, "reference must be one of", "['one']"),
        ({"tolerance": np.nan}, "tolerance must be > 0", "nan"),
        ({"tolerance": True}, "tolerance must be a number", "True"),
        ({"tolerance": -1}, "tolerance must be > 0", "-1"),
        ({"var_names": NO_DIMENSIONS}, "var_names must be a list", "array(3)"),
        ({"model": other_model()}, "'mu'"),
        ({"progressbar": None}, "progressbar must be one of", "None"),
    ),
]

LINES = [*OF_SAMPLE, *OF_STEP, *OF_OTHERS]
