"""Generalised linear models: made-up data of several sizes, and four real data sets."""

from functools import partial

import numpy as np
import pymc as pm

from models import adult_income, health_visits, motor_claims
from models._datasets import Array, held_out, load, standardised
from models.evidence.problems import Problem


def made_up_columns(n_rows: int, n_columns: int) -> tuple[Array, np.random.Generator]:
    """Return correlated columns with scales from 0.01 to 100, and a generator for the rest."""
    rng = np.random.default_rng([n_rows, n_columns])
    x = rng.standard_normal((n_rows, n_columns))
    for column in range(1, n_columns):  # neighbours correlate with 0.7
        x[:, column] = 0.7 * x[:, column - 1] + np.sqrt(1 - 0.7**2) * x[:, column]
    x *= 10 ** rng.uniform(-2, 2, n_columns)
    return x, rng


def true_slopes(x: Array, rng: np.random.Generator) -> Array:
    """Return slopes with which the linear predictor has an sd of about 1.5."""
    slopes = rng.standard_normal(x.shape[1]) / x.std(axis=0)
    return np.asarray(1.5 * slopes / np.std(x @ slopes))


def logistic(n_rows: int, n_parameters: int) -> pm.Model:
    """Logistic regression; the prior's scale follows the column's, as is usual."""
    x, rng = made_up_columns(n_rows, n_parameters - 1)
    y = rng.random(n_rows) < 1 / (1 + np.exp(0.5 - x @ true_slopes(x, rng)))
    with pm.Model() as model:
        columns = pm.Data("x", x, dims=("row", "column"))
        intercept = pm.Normal("intercept", 0, 2.5)
        slope = pm.Normal("slope", 0, 2.5 / x.std(axis=0), dims="column")
        predictor = intercept + columns @ slope
        pm.Bernoulli("y", logit_p=predictor, observed=y.astype(int), dims="row")
    return model


def linear(n_rows: int, n_columns: int) -> pm.Model:
    """Linear regression with an unknown scale of the errors."""
    x, rng = made_up_columns(n_rows, n_columns)
    y = x @ true_slopes(x, rng) + 2 * rng.standard_normal(n_rows)
    with pm.Model() as model:
        columns = pm.Data("x", x, dims=("row", "column"))
        slope = pm.Normal("slope", 0, 5 / x.std(axis=0), dims="column")
        sigma = pm.HalfNormal("sigma", 5)
        pm.Normal("y", columns @ slope, sigma, observed=y, dims="row")
    return model


def robust(n_rows: int, n_columns: int) -> pm.Model:
    """Student's t errors: scale and degrees of freedom unknown."""
    x, rng = made_up_columns(n_rows, n_columns)
    x = standardised(x)
    y = x @ true_slopes(x, rng) + 0.7 * rng.standard_t(5, n_rows)
    with pm.Model() as model:
        columns = pm.Data("x", x, dims=("row", "column"))
        slope = pm.Normal("slope", 0, 2, dims="column")
        sigma = pm.HalfNormal("sigma", 2)
        nu = pm.Gamma("nu", 2, 0.1)
        pm.StudentT("y", nu=nu, mu=columns @ slope, sigma=sigma, observed=y, dims="row")
    return model


def claims() -> pm.Model:
    """Motor claims of 1997: Poisson regression with the exposure as an offset."""
    data = load("motor_claims")
    train = ~held_out(len(data["expo"]))
    columns = motor_claims.covariates(data)[1]
    places = [standardised(data[name]) for name in ("long", "lat")]
    x = np.column_stack([columns, *places])[train]
    with pm.Model() as model:
        columns = pm.Data("x", x, dims=("row", "column"))
        log_exposure = pm.Data("log_exposure", np.log(data["expo"][train]), dims="row")
        intercept = pm.Normal("intercept", -2, 2)
        slope = pm.Normal("slope", 0, 1, dims="column")
        rate = pm.math.exp(log_exposure + intercept + columns @ slope)
        pm.Poisson("claims", rate, observed=data["nclaims"][train].astype(int), dims="row")
    return model


def visits() -> pm.Model:
    """Visits to a doctor: the negative binomial model of this folder."""
    return health_visits.build_model(health_visits.load_data())


def adult(prior: type) -> pm.Model:
    """Incomes above 50,000 (a9a): the model of this folder, on all of its rows."""
    data = load("adult_income")
    x, y = data["X_train"].astype(float), data["y_train"].astype(int)
    return adult_income.build_model(adult_income.Split(x, y, x[:0], y[:0]), prior)


SIZES = {"1e3": 1000, "1e4": 10_000, "1e5": 100_000, "1e6": 1_000_000}
PROBLEMS = [
    *(
        Problem(f"logistic-{n}x{d}", partial(logistic, SIZES[n], d), log_concave=True)
        for d in (20, 100)
        for n in SIZES
    ),
    Problem("linear-1e5x21", partial(linear, 100_000, 20), log_concave=True),
    Problem("poisson-claims", claims, log_concave=True),
    Problem("negative-binomial-visits", visits, log_concave=True),
    Problem("a9a-normal", partial(adult, pm.Normal), reference="nuts", log_concave=True),
    Problem("a9a-laplace", partial(adult, pm.Laplace), reference="nuts", log_concave=True),
    Problem("robust-3e4x10", partial(robust, 30_000, 8)),
]
