"""Models whose log-density is finite nowhere, by name and by "auto", which would ask NUTS."""

import numpy as np
import pandas as pd
import pymc as pm
import pytensor.tensor as pt

from pytensor import sparse
from scipy.sparse import csr_matrix

from tests.bad_input.table import Line

N = 40
X = np.random.default_rng(3).normal(size=(N, 2))
ZEROS = np.zeros(N)


def _with(array, row, value):
    changed = np.array(array, dtype=float)
    changed[row] = value
    return changed


def _regression(design, outcome=ZEROS, as_data=False):
    def build():
        beta = pm.Normal("beta", 0, 1, shape=2)
        x = pm.Data("X", design) if as_data else design
        pm.Normal("y", pt.dot(x, beta), 1, observed=outcome)

    return build


def _observed(distribution, values, **parameters):
    """A variable of one parameter, mapped to where the distribution has it."""

    def build():
        a = pm.Normal("a", 0, 1)
        given = {name: make(a) for name, make in parameters.items()}
        distribution("y", **given, observed=values)

    return build


def _prior(distribution, *arguments, **named):
    def build():
        b = distribution("b", *arguments, **named)
        pm.Normal("y", b, 1, observed=ZEROS)

    return build


def _potential(make):
    def build():
        a = pm.Normal("a", 0, 1)
        pm.Potential("limit", make(a))
        pm.Normal("y", a, 1, observed=ZEROS)

    return build


def _outside():
    a = pm.Normal("a", 0, 1)
    pm.Uniform("y", 0, pt.exp(a), observed=_with(ZEROS + 0.5, 9, -3.0))


def _negative_scale():
    a = pm.HalfNormal("a", 1)
    pm.Normal("y", 0, -a, observed=ZEROS)


def _scale_of_a_column():
    beta = pm.Normal("beta", 0, 1)
    scale = np.ones(N)
    scale[7] = -1.0
    pm.Normal("y", beta, scale, observed=ZEROS)


def _one(a):
    return 1.0


IMPOSSIBLE = {
    "Bernoulli 2": (
        _observed(pm.Bernoulli, _with(ZEROS, 7, 2).astype(int), logit_p=lambda a: a),
        "'y'", "1 of 40 rows", "row 7", "it is 2", "0 or 1",
    ),
    "Bernoulli -1": (
        _observed(pm.Bernoulli, _with(ZEROS, 3, -1).astype(int), logit_p=lambda a: a),
        "'y'", "row 3", "-1", "0 or 1",
    ),
    "Poisson -1": (
        _observed(pm.Poisson, _with(ZEROS, 5, -1).astype(int), mu=pt.exp),
        "'y'", "row 5", "-1", "whole numbers >= 0",
    ),
    "Binomial above n": (
        _observed(pm.Binomial, _with(ZEROS, 2, 9).astype(int), n=lambda a: 5, logit_p=lambda a: a),
        "'y'", "row 2", "9", "whole numbers from 0 to n",
    ),
    "a category too many": (
        _observed(
            pm.Categorical, _with(ZEROS, 6, 3).astype(int),
            logit_p=lambda a: pt.stack([a, 0.0, 1.0]),
        ),
        "'y'", "row 6", "3", "categories",
    ),
    "Gamma 0": (
        _observed(pm.Gamma, _with(ZEROS + 1, 4, -2), alpha=pt.exp, beta=_one),
        "'y'", "row 4", "-2", "numbers > 0",
    ),
    "Exponential -1": (
        _observed(pm.Exponential, _with(ZEROS + 1, 4, -1), lam=pt.exp),
        "'y'", "row 4", "-1", "numbers >= 0",
    ),
    "LogNormal -1": (
        _observed(pm.LogNormal, _with(ZEROS + 1, 8, -1), mu=lambda a: a, sigma=_one),
        "'y'", "row 8", "-1", "numbers > 0",
    ),
    "Beta 1.5": (
        _observed(pm.Beta, _with(ZEROS + 0.5, 1, 1.5), alpha=pt.exp, beta=_one),
        "'y'", "row 1", "1.5", "(0, 1)",
    ),
    "HalfNormal -1": (
        _observed(pm.HalfNormal, _with(ZEROS + 1, 2, -1), sigma=pt.exp),
        "'y'", "row 2", "-1", "numbers >= 0",
    ),
    "NegativeBinomial -1": (
        _observed(pm.NegativeBinomial, _with(ZEROS, 2, -1).astype(int), mu=pt.exp, alpha=_one),
        "'y'", "row 2", "-1", "whole numbers >= 0",
    ),
    "Geometric 0": (
        _observed(pm.Geometric, _with(ZEROS + 1, 2, 0).astype(int), p=pm.math.sigmoid),
        "'y'", "row 2", "0", "whole numbers >= 1",
    ),
    "Weibull -1": (
        _observed(pm.Weibull, _with(ZEROS + 1, 2, -1), alpha=_one, beta=pt.exp),
        "'y'", "row 2", "-1", "numbers > 0",
    ),
    "Uniform outside": (_outside, "'y'", "row 9", "-3", "within its bounds"),
    "infinite outcome": (
        _regression(X, _with(ZEROS, 11, np.inf)), "'y'", "infinite", "row 11",
    ),
    "NaN in a constant": (
        _regression(_with(X, (7, 1), np.nan)), "shape (40, 2)", "1 NaN", "row 7", "Drop these rows",
    ),
    "infinite covariate": (
        _regression(_with(X, (9, 0), np.inf), as_data=True), "'X'", "infinite", "row 9",
    ),
    "covariates too large": (
        _regression(X * 1e200, as_data=True), "'X'", "overflows", "e+200", "standard deviations",
    ),
    "dates as outcome": (
        _regression(X, pd.date_range("2021-03-04", periods=40)),
        "'y' holds dates", "2021-03-04", "days since the first",
    ),
    "dates as covariate": (
        _regression(X + np.datetime64("2021-03-04", "ns").astype(float), as_data=True),
        "'X' holds dates", "2021-03-04", "nanoseconds", "days since the first",
    ),
    "outcome too large": (_regression(X, ZEROS + 1e200), "'y'", "overflows", "1e+200"),
    "prior sd NaN": (_prior(pm.Normal, 0, np.nan), "'b' (Normal)", "0 and nan", "sigma > 0"),
    "prior sd negative": (_prior(pm.Normal, 0, -1), "'b' (Normal)", "0 and -1", "sigma > 0"),
    "prior sd zero": (_prior(pm.Normal, 0, 0), "'b' (Normal)", "sigma > 0"),
    "prior mean NaN": (_prior(pm.Normal, np.nan, 1), "'b' (Normal)", "nan and 1"),
    "prior mean infinite": (_prior(pm.Normal, np.inf, 1), "'b' (Normal)", "inf"),
    "prior Gamma negative": (_prior(pm.Gamma, -1, 1), "'b' (Gamma)", "alpha > 0"),
    "prior Beta zero": (_prior(pm.Beta, 0, 1), "'b' (Beta)", "alpha > 0"),
    "prior HalfNormal negative": (_prior(pm.HalfNormal, -1), "'b' (HalfNormal)", "sigma > 0"),
    "prior Uniform upside down": (_prior(pm.Uniform, 2, 1), "'b' (Uniform)", "2 and 1"),
    "prior StudentT": (_prior(pm.StudentT, nu=-1, mu=0, sigma=1), "'b' (StudentT)", "nu > 0"),
    "negative scale": (_negative_scale, "'y' (Normal)", "sigma > 0"),
    "a negative scale in a row": (_scale_of_a_column, "'y' (Normal)", "sigma > 0"),
    "potential -inf": (_potential(lambda a: -np.inf + 0 * a), "'limit'", "-inf", "initval"),
    "potential NaN": (_potential(lambda a: pt.log(-1.0 - a**2)), "'limit'", "nan", "initval"),
    "potential far away": (
        _potential(lambda a: pt.switch(a > 50, 0.0, -np.inf)), "'limit'", "-inf", "initval",
    ),
}  # fmt: skip


def _columns(design, **coordinates):
    """A regression on columns that are named, as users name them."""

    def build():
        for name, values in coordinates.items():
            pm.modelcontext(None).add_coord(name, values)
        beta = pm.Normal("beta", 0, 1, **({"dims": "column"} if coordinates else {"shape": 2}))
        pm.Normal("y", design(beta), 1, observed=ZEROS)

    return build


def _no_variables():
    pm.Normal("y", 0, 1, observed=ZEROS)


def _no_rows():
    pm.Normal("y", pm.Normal("a", 0, 1), 1, observed=ZEROS[:0])


# Kinds of data and models that nothing can be made of. NUTS is asked for none of them.
UNUSABLE = {
    "sparse columns": (
        _columns(lambda beta: sparse.structured_dot(csr_matrix(X), beta[:, None])[:, 0]),
        "sparse matrix of shape (40, 2)", ".toarray()",
    ),
    "numbers of 16 bits": (
        _columns(lambda beta: pt.dot(X.astype("float16"), beta)), "float16", ".astype('float32')",
    ),
    "no rows": (_no_rows, "'y' has no rows", "sample_prior_predictive"),
    "no variables": (_no_variables, "no free variables", "observed="),
    "tuples as coordinates": (
        _columns(lambda beta: pt.dot(X, beta), column=[("a", 1), ("b", 2)]),
        "coordinate 'column'", "('a', 1)", "'a, 1'",
    ),
    "pairs as coordinates": (
        _columns(lambda beta: pt.dot(X, beta), column=[["a", "b"], ["c", "d"]]),
        "coordinate 'column'", "'a, b'",
    ),
}  # fmt: skip

LINES = [
    *(
        Line("model", {"build": build, "compile_kwargs": None}, tuple(contains), f"sgld: {name}")
        for name, (build, *contains) in UNUSABLE.items()
    ),
    *(
        Line(
            "model",
            {"build": build, "sampler": sampler, **own},
            tuple(contains),
            f"{sampler}: {name}",
        )
        for sampler, own in (("sgld", {}), ("auto", {"step_size": None, "verify": True}))
        for name, (build, *contains) in IMPOSSIBLE.items()
    ),
]
