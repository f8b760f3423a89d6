"""Mistakes in draws that are handed in, and in how they are looked at."""

import numpy as np
import xarray as xr

from tests.bad_input.entries import draws, other_model, spoiled
from tests.bad_input.table import Line, lines

FLAG = "must be True or False"
WHOLE = "must be a whole number"
FRAMES = {
    "None": (None, "idata must be", "None"),
    "a text": ("trace.nc", "idata must be", "'trace.nc'"),
    "a number": (3, "idata must be", "3"),
    "an array": (np.zeros((2, 20)), "idata must be", "ndarray"),
    "no groups": (xr.DataTree(), "no group 'posterior'"),
    "a dataset": (draws()["posterior"].to_dataset(), "idata", "posterior"),
    "no draws": (draws(n_draws=0), "no draws"),
    "no chains": (draws(n_chains=0), "no draws"),
    "no variables": (draws(beta=None, sigma=None), "no draws"),
}
_WIDE = draws(beta=(("chain", "draw", "other"), np.zeros((2, 20, 3))))
BROKEN = {
    "a variable missing": (draws(sigma=None), "lack 'sigma'"),
    "of another shape": (_WIDE, "'beta'", "(3,)", "(2,)"),
    "of words": (
        draws(sigma=(("chain", "draw"), np.full((2, 20), "big"))), "'sigma'", "not numbers",
    ),
    "of objects": (
        draws(sigma=(("chain", "draw"), np.full((2, 20), None))), "'sigma'", "not numbers",
    ),
    "complex": (
        draws(sigma=(("chain", "draw"), np.ones((2, 20), complex))), "'sigma'", "not numbers",
    ),
    "without draws of one": (draws(sigma=((), 1.0)), "'sigma'", "without 'chain' or 'draw'"),
}  # fmt: skip
NOT_FINITE = {
    "NaN": (spoiled("beta", np.nan), "'beta'", "not finite"),
    "infinite": (spoiled("sigma", np.inf), "'sigma'", "not finite"),
}


def _of(entry, *tables):
    return [
        Line(entry, {"idata": given}, tuple(contains), f"{entry}: draws, {label}")
        for table in tables
        for label, (given, *contains) in table.items()
    ]


LINES = [
    *_of("check", FRAMES, BROKEN),
    *_of("posterior_scores", FRAMES, BROKEN),
    *_of("row_log_likelihood", FRAMES, BROKEN, NOT_FINITE),
    *_of("posterior_predictive", FRAMES, BROKEN, NOT_FINITE),
    *_of("resample", FRAMES),
    *(
        Line("tuning_table", {"result": given}, tuple(contains), f"tuning_table: {label}")
        for label, (given, *contains) in FRAMES.items()
    ),
    *lines("tuning_table", ({"result": draws()}, "no group 'tuning'", "sample('auto')")),
    *lines(
        "posterior_scores",
        ({"idata": spoiled("beta", np.nan)}, "not finite along beta"),
        ({"idata": spoiled("sigma", -1.0)}, "not finite along sigma", "outside the support"),
        ({"n_scored": 0}, "n_scored must be >= 1"),
        ({"n_scored": "all"}, "n_scored", WHOLE),
        ({"backend": "torch"}, "backend must be one of"),
        ({"model": other_model()}, "lack 'mu'"),
    ),
    *lines(
        "check",
        ({"n_scored": 0}, "n_scored must be >= 1"),
        ({"n_scored": 10.5}, "n_scored", WHOLE),
        ({"n_scored": True}, "n_scored", WHOLE),
        ({"target_bias": 0}, "target_bias must be in (0, 1)"),
        ({"target_bias": "x"}, "target_bias must be a number"),
        ({"target_bias": None}, "target_bias must be a number"),
        ({"extend_inferencedata": "no"}, "extend_inferencedata", FLAG),
        ({"extend_inferencedata": None}, "extend_inferencedata", FLAG),
        ({"model": "x"}, "model must be a pm.Model"),
        ({"model": other_model()}, "lack 'mu'"),
        ({"backend": "torch"}, "backend must be one of"),
        ({"compile_kwargs": 5}, "compile_kwargs must be a dictionary"),
    ),
    *lines(
        "row_log_likelihood",
        ({"var_names": ["z"]}, "'z'", "'y'"),
        ({"var_names": []}, "var_names is empty"),
        ({"var_names": 3}, "var_names must be a list"),
        ({"var_names": ["beta"]}, "'beta'", "'y'"),
        ({"chunk": "all"}, "chunk", WHOLE),
        ({"chunk": 0}, "chunk must be >= 1"),
        ({"chunk": 1.5}, "chunk", WHOLE),
        ({"extend_inferencedata": "no"}, "extend_inferencedata", FLAG),
        ({"rows": "person"}, "'person'"),
        ({"data": 5}, "data"),
        ({"data": {"nobody": np.zeros(3)}}, "data", "'nobody'"),
        ({"backend": "torch"}, "backend must be one of"),
        ({"model": other_model()}, "lack 'mu'"),
    ),
    *lines(
        "posterior_predictive",
        ({"var_names": ["z"]}, "'z'", "'y'"),
        ({"var_names": []}, "var_names is empty"),
        ({"chunk": "all"}, "chunk", WHOLE),
        ({"chunk": -1}, "chunk must be >= 1"),
        ({"random_seed": "x"}, "random_seed must be"),
        ({"random_seed": -1}, "random_seed must be >= 0"),
        ({"extend_inferencedata": 0}, "extend_inferencedata", FLAG),
        ({"rows": 4}, "rows=4"),
        ({"data": 5}, "data"),
        ({"model": other_model()}, "lack 'mu'"),
    ),
    *lines(
        "resample",
        ({"weights": np.ones(5)}, "weights have shape (5,)", "2 chains of 20"),
        ({"weights": "equal"}, "weights must be numbers", "'equal'"),
        ({"weights": np.zeros((2, 20))}, "weights of chain 0 are 0"),
        ({"weights": -np.ones((2, 20))}, "weights must be >= 0", "-1"),
        ({"weights": np.full((2, 20), np.nan)}, "weights must be >= 0 and finite", "nan"),
        ({"weights": None}, "step_size_weight", "weights="),
        ({"weights": [["a"] * 20] * 2}, "weights must be numbers"),
        ({"seed": -1}, "seed must be >= 0"),
        ({"seed": "x"}, "seed", WHOLE),
        ({"seed": None}, "seed", WHOLE),
    ),
    *lines(
        "save",
        ({"directory": "draws.nc"}, "draws.nc is a file"),
        ({"directory": "draws.nc/inner"}, "draws.nc is a file"),
        ({"directory": 5}, "directory must be a path", "5"),
        ({"directory": None}, "directory must be a path", "None"),
    ),
    *lines(
        "plot",
        ({"directory": "draws.nc"}, "draws.nc is a file"),
        ({"backend": "paper"}, "backend must be one of", "'paper'"),
        ({"backend": None}, "backend must be one of", "None"),
    ),
    *lines(
        "to_html",
        ({"path": "draws.nc/report.html"}, "draws.nc is a file"),
        ({"path": 3}, "path must be a path", "3"),
    ),
    *lines("write", ({"directory": "draws.nc"}, "draws.nc is a file")),
    *lines(
        "predict",
        ({"draws": 0}, "draws must be >= 1"),
        ({"draws": "x"}, "draws", WHOLE),
        ({"random_seed": "x"}, "random_seed must be"),
        ({"progressbar": "yes"}, "progressbar must be one of"),
    ),
    *lines(
        "compare",
        ({"samplers": 5}, "samplers must be a list of names", "5"),
        ({"samplers": []}, "samplers is empty"),
        ({"samplers": {}}, "samplers is empty"),
        ({"samplers": None}, "samplers must be a list of names", "None"),
        ({"samplers": [draws()]}, "samplers has", "label"),
        ({"samplers": {"one": 5}}, "samplers['one']", "5"),
        ({"samplers": {"one": draws(), "two": None}}, "samplers['two']", "None"),
        ({"samplers": {"one": "sglt"}}, "'one'", "Did you mean 'sgld'"),
        ({"samplers": {"one": {"sampler": "sgld", "draws": -1}}}, "samplers['one']", "draws"),
        ({"samplers": {"x": {"sampler": "sgld", "step_sise": 1}}}, "samplers['x']", "step_size"),
        ({"samplers": {"x": {"sampler": "advi", "friction": 1}}}, "samplers['x']", "friction"),
        ({"samplers": {"one": xr.DataTree()}}, "samplers['one']", "no group 'posterior'"),
        ({"samplers": {"one": draws(), "two": draws(n_draws=0)}}, "samplers['two']", "no draws"),
        ({"samplers": {"one": draws(), "two": draws(sigma=None)}}, "samplers['two']", "'sigma'"),
        ({"samplers": {"one": draws(), "two": _WIDE}}, "samplers['two']", "'beta'"),
        ({"reference": "three"}, "reference must be one of 'one', 'two'", "'three'"),
        ({"reference": None}, "reference must be one of 'one', 'two'"),
        ({"draws": 3}, "draws must be >= 4"),
        ({"draws": "many"}, "draws", WHOLE),
        ({"chains": 0}, "chains must be >= 1"),
        ({"tune": -1}, "tune must be >= 0"),
        ({"cores": "all"}, "cores", WHOLE),
        ({"random_seed": "x"}, "random_seed must be"),
        ({"var_names": ["gamma"]}, "var_names holds 'gamma'", "beta, sigma"),
        ({"var_names": []}, "var_names is empty"),
        ({"var_names": 5}, "var_names must be a list"),
        ({"var_names": ["beta", "beta"]}, "twice"),
        ({"tolerance": 0}, "tolerance must be > 0"),
        ({"tolerance": "x"}, "tolerance must be a number"),
        ({"elpd": "no"}, "elpd", FLAG),
        ({"stein": 1}, "stein", FLAG),
        ({"progressbar": "yes"}, "progressbar must be one of"),
        ({"model": 5}, "model must be a pm.Model"),
    ),
]  # fmt: skip
