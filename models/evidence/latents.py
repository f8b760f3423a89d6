"""Rows with a latent variable of their own, as users write them.

Their covariates have few values. So the reference is the same posterior from rows that are counted
together, with the latents summed out over a fine grid that is the same for all rows: the
trapezoidal rule, whose error falls faster than any power of the spacing once that is below a row's
own standard deviation.
"""

from functools import partial
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from scipy import special

from models import errors_in_covariate, health_visits, item_response, overdispersed_visits
from models._datasets import Array
from models.evidence.problems import Problem

_REACH = 8.0  # of the grid, in standard deviations of the latents


def _grid(points: int) -> tuple[Array, Array]:
    """Return places and log weights of a sum over a standard normal variable."""
    places = np.linspace(-_REACH, _REACH, points)
    logs = -(places**2) / 2
    return places, logs - special.logsumexp(logs)


def _summed_out(joint: Any, log_weights: Array, rows: Array) -> None:
    """Declare rows by their log-density at each place, of shape (places, kinds of rows)."""
    total = pt.logsumexp(joint + log_weights[:, None], axis=0)
    pm.Potential("marginal", total * rows)


def _kinds(*columns: Array) -> tuple[list[Array], Array]:
    """Return the columns of rows that differ, and how often each comes."""
    found, rows = np.unique(np.column_stack(columns), axis=0, return_counts=True)
    return list(found.T), rows


def counts(mean: float, spread: float, *, by_kind: bool = False, rows: int = 10_000) -> pm.Model:
    """Poisson counts whose log means have a normal error of their own."""
    rng = np.random.default_rng([rows, int(1000 * mean), int(1000 * spread)])
    x = rng.integers(-5, 6, rows) / 3.2  # of variance near one
    y = rng.poisson(mean * np.exp(0.3 * x + spread * rng.standard_normal(rows)))
    with pm.Model() as model:
        base, slope = pm.Normal("base", 0, 2), pm.Normal("slope", 0, 2)
        scale = pm.HalfNormal("scale", 1)
        if by_kind:
            (x, y), often = _kinds(x, y)
            places, logs = _grid(401)
            log_mean = base + slope * x + scale * places[:, None]
            _summed_out(y * log_mean - pt.exp(log_mean), logs, often)
        else:
            z = pm.Normal("z", 0, scale, shape=rows)
            pm.Poisson("y", pt.exp(base + slope * x + z), observed=y)
    return model


def intercepts(groups: int, *, by_kind: bool = False) -> pm.Model:
    """Three yes-or-no answers of each group, with an intercept of the group's own."""
    rng = np.random.default_rng(groups)
    x = rng.integers(-2, 3, (groups, 3)) / 1.4
    logit = 0.3 + 0.5 * x + rng.standard_normal((groups, 1))
    y = (rng.random(x.shape) < special.expit(logit)).astype(int)
    with pm.Model() as model:
        base, slope = pm.Normal("base", 0, 2), pm.Normal("slope", 0, 2)
        scale = pm.HalfNormal("scale", 1)
        if by_kind:
            # the order of the answers of a group does not matter
            codes = np.sort(2 * np.round(1.4 * x).astype(int) + y, axis=1)
            columns, often = _kinds(*codes.T)
            codes = np.stack(columns, axis=1)
            x, y = (codes // 2) / 1.4, codes % 2
            places, logs = _grid(101)
            eta = base + slope * x + scale * places[:, None, None]
            _summed_out((y * eta - pt.softplus(eta)).sum(axis=2), logs, often)
        else:
            z = pm.Normal("z", 0, scale, shape=groups)
            eta = base + slope * x + z[:, None]
            pm.Bernoulli("y", logit_p=eta, observed=y)
    return model


def heavy_tails(*, closed: bool = False, rows: int = 10_000) -> pm.Model:
    """Regression with Student's errors of four degrees of freedom, by a precision of each row."""
    rng = np.random.default_rng(4)
    x = rng.standard_normal(rows)
    y = 1 + 0.5 * x + 0.8 * rng.standard_t(4, rows)
    with pm.Model() as model:
        base, slope = pm.Normal("base", 0, 2), pm.Normal("slope", 0, 2)
        sigma = pm.HalfNormal("sigma", 2)
        if closed:
            pm.StudentT("y", nu=4, mu=base + slope * x, sigma=sigma, observed=y)
        else:
            precision = pm.Gamma("precision", 2, 2, shape=rows)
            pm.Normal("y", base + slope * x, sigma / pt.sqrt(precision), observed=y)
    return model


def answers(persons: int, questions: int, *, by_kind: bool = False) -> pm.Model:
    """Two-parameter logistic model; no persons: the answers to LSAT-6."""
    made_up = item_response.made_up
    data = made_up(persons, questions) if persons else item_response.load_data()
    if not by_kind:
        return item_response.build_model(data)
    columns, often = _kinds(*data.T)
    patterns = np.stack(columns, axis=1)
    places, logs = _grid(45)
    with pm.Model() as model:
        spread = item_response.DISCRIMINATION_LOG_SD
        discrimination = pm.LogNormal("discrimination", 0, spread, shape=data.shape[1])
        easiness = pm.Normal("easiness", 0, item_response.EASINESS_SD, shape=data.shape[1])
        eta = easiness + discrimination * places[:, None]
        joint = eta @ patterns.T.astype(float) - pt.softplus(eta).sum(axis=1)[:, None]
        _summed_out(joint, logs, often)
    return model


def visits(*, by_kind: bool = False) -> pm.Model:
    """Doctor visits, Poisson-lognormal."""
    data = overdispersed_visits.load_data()
    if not by_kind:
        return overdispersed_visits.build_model(data)
    x = health_visits.covariates(data).to_numpy(dtype=float)
    (*columns, y), often = _kinds(x, data["mdvis"])
    x = np.stack(columns, axis=1)
    places, logs = _grid(161)
    with pm.Model() as model:
        intercept, slope = pm.Normal("intercept", 0, 2), pm.Normal("slope", 0, 1, shape=x.shape[1])
        spread = pm.HalfNormal("spread", 1)
        log_mean = intercept + (x * slope).sum(axis=1) + spread * places[:, None]
        _summed_out(y * log_mean - pt.exp(log_mean), logs, often)
    return model


def measured(*, by_kind: bool = False) -> pm.Model:
    """Logistic regression on a covariate that was measured twice with error.

    For the reference the true value is given by the measurements alone first, which is a normal
    distribution, and is summed out over that.
    """
    data = errors_in_covariate.load_data()
    if not by_kind:
        return errors_in_covariate.build_model(data)
    average, n = data.measured.mean(axis=1), errors_in_covariate.OCCASIONS
    difference = float(((data.measured - average[:, None]) ** 2).sum())
    places, logs = _grid(41)
    with pm.Model() as model:
        intercept, slope = pm.Normal("intercept", 0, 2), pm.Normal("slope", 0, 2)
        centre = pm.Normal("centre", 0, 2)
        between, within = pm.HalfNormal("between", 2), pm.HalfNormal("within", 2)
        pm.Normal("average", centre, pt.sqrt(between**2 + within**2 / n), observed=average)
        freedom = len(average) * (n - 1)
        pm.Potential("differences", -freedom * pt.log(within) - difference / (2 * within**2))
        precision = 1 / between**2 + n / within**2
        given = (centre / between**2 + n * average / within**2) / precision
        eta = intercept + slope * (given + places[:, None] / pt.sqrt(precision))
        sign = 2 * data.outcome - 1
        _summed_out(-pt.softplus(-sign * eta), logs, np.ones(len(average)))
    return model


_COUNTS = ("base", "slope", "scale")
_ITEMS = ("discrimination", "easiness")
PROBLEMS = [
    *(
        Problem(
            f"counts-{mean:g}-{spread:g}",
            partial(counts, mean, spread),
            var_names=_COUNTS,
            rewritten=partial(counts, mean, spread, by_kind=True),
        )
        for mean, spread in ((0.5, 0.7), (3.5, 1.5))
    ),
    Problem(
        "counts-kept",
        partial(counts, 0.5, 0.7),
        var_names=_COUNTS,
        rewritten=partial(counts, 0.5, 0.7, by_kind=True),
        sampling={"latents": "joint"},
    ),
    *(
        Problem(
            f"answers-{persons}x{questions}" if persons else "answers-lsat6",
            partial(answers, persons, questions),
            var_names=_ITEMS,
            rewritten=partial(answers, persons, questions, by_kind=True),
        )
        for persons, questions in ((10_000, 10), (1000, 20), (0, 5))
    ),
    Problem(
        "intercepts-1e5",
        partial(intercepts, 100_000),
        var_names=_COUNTS,
        rewritten=partial(intercepts, 100_000, by_kind=True),
    ),
    Problem(
        "heavy-tails",
        heavy_tails,
        var_names=("base", "slope", "sigma"),
        rewritten=partial(heavy_tails, closed=True),
    ),
    Problem(
        "visits-lognormal",
        visits,
        var_names=overdispersed_visits.VARIABLES,
        rewritten=partial(visits, by_kind=True),
    ),
    Problem(
        "errors-in-covariate",
        measured,
        var_names=errors_in_covariate.VARIABLES,
        rewritten=partial(measured, by_kind=True),
    ),
]
