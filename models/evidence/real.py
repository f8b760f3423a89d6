"""Data that nobody designed, and their relatives: raw columns, rare levels, thousands of effects.

Flights from New York as they are, and made-up data with the faults of real ones. What can be
counted together is, for the reference; where nothing can, and no weights are good, there is none.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from models._datasets import Array
from models.evidence.crossed import Crossed
from models.evidence.moments import Moments
from models.evidence.problems import Problem


def _flip(eta: Array, rng: np.random.Generator) -> Array:
    return (rng.random(len(eta)) < 1 / (1 + np.exp(-eta))).astype(int)


def flights(*effects: str) -> pm.Model:
    """Was a flight late: airlines of 29 to 57,782 flights; effects such as "dest" non-centred."""
    import pandas as pd

    from models import _flights

    rows = _flights.flights()
    carrier, carriers = pd.factorize(rows["carrier"], sort=True)
    origin, origins = pd.factorize(rows["origin"])
    month = rows["month"].to_numpy() - 1
    coords = {"carrier": carriers, "origin": origins, "month": np.arange(12)}
    with pm.Model(coords=coords) as model:
        eta = pm.Normal("a", -1, 2) + _flights.covariates(rows) @ pm.Normal("b", 0, 1, shape=8)
        eta += pm.ZeroSumNormal("carrier_effect", 1, dims="carrier")[carrier]
        eta += pm.ZeroSumNormal("month_effect", 1, dims="month")[month]
        eta += pm.ZeroSumNormal("origin_effect", 1, dims="origin")[origin]
        for name in effects:
            code, levels = pd.factorize(rows[name].fillna("?"), sort=True)
            z = pm.Normal(f"z_{name}", 0, 1, shape=len(levels))
            eta += (pm.HalfNormal(f"sd_{name}", 1) * z)[code]
        pm.Bernoulli("late", logit_p=eta, observed=_flights.late(rows))
    return model


def flights_walk(*, by_cell: bool = False) -> pm.Model:
    """Let the log-odds of being late walk over the half hours; nights are empty or nearly so."""
    from models import _flights

    rows = _flights.flights()
    return _walk(
        _flights.half_hours(rows), _flights.late(rows), 48, scale=1.0, start=2.0, by_cell=by_cell
    )


def walk(levels: int, n_rows: int, *, by_cell: bool = False) -> pm.Model:
    """Let the log-odds walk over levels of very uneven size, one of them without rows."""
    rng = np.random.default_rng([levels, n_rows])
    height = np.cumsum(np.r_[-1.3, 0.3 * rng.standard_normal(levels - 1)])
    shares = np.roll(np.r_[rng.dirichlet(np.ones(levels - 1)), 0.0], levels // 2)
    level = rng.choice(levels, n_rows, p=shares)
    return _walk(level, _flip(height[level], rng), levels, scale=1.0, start=1.0, by_cell=by_cell)


def _walk(
    level: Array, y: Array, levels: int, *, scale: float, start: float, by_cell: bool
) -> pm.Model:
    with pm.Model() as model:
        step = pm.HalfNormal("step", scale)
        first = pm.Normal.dist(-1, start)
        x = pm.GaussianRandomWalk("x", mu=0, sigma=step, init_dist=first, shape=levels)
        if by_cell:
            trials, sums = np.bincount(level, minlength=levels), np.bincount(level, y, levels)
            pm.Binomial("y", trials, logit_p=x, observed=sums.astype(int))
        else:
            pm.Bernoulli("y", logit_p=x[level], observed=y)
    return model


def rare_levels(n_rows: int = 400_000) -> pm.Model:
    """Rows sorted by time, and a factor with levels of 20 to 286,000 rows."""
    rng = np.random.default_rng(33)
    sizes = np.array([20, 60, 300, 700, 3000, 20_000, 90_000])
    sizes = np.r_[sizes, n_rows - sizes.sum()]
    level = rng.permutation(np.repeat(np.arange(8), sizes))
    month = np.sort(rng.integers(0, 12, n_rows))
    x = rng.standard_normal((n_rows, 5))
    effects = rng.normal(0, 0.4, 8)[level] + rng.normal(0, 0.2, 12)[month]
    y = _flip(-1.3 + x @ [0.5, -0.3, 0.2, 0, 0.1] + effects, rng)
    with pm.Model() as model:
        eta = pm.Normal("a", 0, 2) + x @ pm.Normal("b", 0, 1, shape=5)
        eta += pm.ZeroSumNormal("level", 1, shape=8)[level]
        eta += pm.ZeroSumNormal("month", 1, shape=12)[month]
        pm.Bernoulli("y", logit_p=eta, observed=y)
    return model


def raw_student(n_rows: int = 18_000) -> pm.Model:
    """Student's t errors on degrees, dollars and counts as they come."""
    rng = np.random.default_rng(34)
    longitude = -119 + 2 * rng.standard_normal(n_rows)
    latitude = 35.6 - 0.9 * (longitude + 119) + 0.8 * rng.standard_normal(n_rows)
    rooms = rng.lognormal(7.5, 0.8, n_rows)
    columns = [longitude, latitude, rng.gamma(4, 1, n_rows), rooms]
    x = np.column_stack([*columns, rooms * rng.uniform(0.15, 0.25, n_rows)])
    mean = -3.5e6 + x @ [-42e3, -42e3, 40e3, -8, 110]
    with pm.Model() as model:
        a, b = pm.Normal("a", 0, 1e7), pm.Normal("b", 0, 1e6, shape=5)
        s, nu = pm.HalfNormal("s", 1e6), pm.Gamma("nu", 2, 0.1)
        y = mean + 5e4 * rng.standard_t(3, n_rows)
        pm.StudentT("y", nu=nu, mu=a + x @ b, sigma=s, observed=y)
    return model


def raw_products(n_rows: int = 50_000) -> pm.Model:
    """Logistic regression on raw columns of 0 to 255, their squares and products."""
    rng = np.random.default_rng(35)
    channels = np.clip(rng.normal(120, 60, (n_rows, 1)) + rng.normal(0, 30, (n_rows, 3)), 0, 255)
    first, second = np.triu_indices(3)
    x = np.column_stack([channels, channels[:, first] * channels[:, second]])
    scaled = (x - x.mean(axis=0)) / x.std(axis=0)
    y = _flip(-1 + scaled @ rng.normal(0, 1, x.shape[1]), rng)
    with pm.Model() as model:
        a = pm.Normal("a", 0, 10)
        b = pm.Normal("b", 0, 10 / x.std(axis=0), shape=x.shape[1])
        pm.Bernoulli("y", logit_p=a + x @ b, observed=y)
    return model


def raw_groups(n_rows: int = 40_000, groups: int = 60) -> pm.Model:
    """Calendar years and incomes as they come, flat priors, one random intercept."""
    rng = np.random.default_rng(36)
    year = rng.integers(1990, 2016, n_rows).astype(float)
    x = np.column_stack([year, rng.lognormal(10.8, 0.7, n_rows), rng.beta(1, 30, n_rows)])
    group = rng.integers(0, groups, n_rows)
    y = -8000 + x @ [4.2, 0.002, 900] + rng.normal(0, 30, groups)[group]
    y += rng.normal(0, 120, n_rows)
    with pm.Model() as model:
        a0, b = pm.Flat("a0"), pm.Flat("b", shape=3)
        tau, s = pm.HalfStudentT("tau", 3, 100), pm.HalfStudentT("s", 3, 100)
        a = pm.Normal("a", 0, tau, shape=groups)
        pm.Normal("y", a0 + x @ b + a[group], s, observed=y)
    return model


def _laplace(value: Any, mean: Any) -> Any:
    return -pt.abs(value - mean) - np.log(2.0)


def absolute_error(n_rows: int = 20_000) -> pm.Model:
    """Laplace errors as a CustomDist: a density with a kink in every row."""
    rng = np.random.default_rng(37)
    x = rng.standard_normal(n_rows)
    y = 1 + 2 * x + rng.laplace(0, 1, n_rows)
    with pm.Model() as model:
        a, b = pm.Normal("a", 0, 5), pm.Normal("b", 0, 5)
        pm.CustomDist("y", a + b * x, logp=_laplace, observed=y)
    return model


def many_groups(groups: int = 2100, rows: int = 8, *, by_cell: bool = False) -> pm.Model:
    """Random intercepts of 2,100 groups of 8 rows, non-centred; by cell: by sums and squares."""
    rng = np.random.default_rng(38)
    group = np.repeat(np.arange(groups), rows)
    y = 3 + rng.normal(0, 0.3, groups)[group] + rng.normal(0, 1.2, len(group))
    with pm.Model() as model:
        mu, tau = pm.Normal("mu", 3, 1), pm.HalfNormal("tau", 1)
        s = pm.HalfNormal("s", 2)
        if by_cell:  # the effects integrated out; those of the data by what is sufficient
            means = y.reshape(groups, rows).mean(axis=1)
            within = float(((y - means[group]) ** 2).sum())
            pm.Normal("means", mu, pt.sqrt(tau**2 + s**2 / rows), observed=means)
            degrees = groups * (rows - 1)
            pm.Potential("within", -degrees * pt.log(s) - within / (2 * s**2))
        else:
            z = pm.Normal("z", 0, 1, shape=groups)
            pm.Normal("y", mu + (tau * z)[group], s, observed=y)
    return model


def _ratings(first: int, second: int, n_rows: int) -> tuple[Array, Array, Array]:
    rng = np.random.default_rng(39)
    a, b = rng.integers(0, first, n_rows), rng.zipf(1.6, n_rows) % second
    y = 3.3 + rng.normal(0, 0.33, first)[a] + rng.normal(0, 0.5, second)[b]
    return y + rng.normal(0, 1.2, n_rows), a, b


def crossed(first: int = 3000, second: int = 1100, n_rows: int = 60_000) -> pm.Model:
    """Ratings by many raters of many things, unbalanced, both effects non-centred."""
    y, a, b = _ratings(first, second, n_rows)
    with pm.Model() as model:
        mu, s = pm.Normal("mu", 3, 1), pm.HalfNormal("s", 2)
        tau_a, tau_b = pm.HalfNormal("tau_a", 1), pm.HalfNormal("tau_b", 1)
        z_a, z_b = pm.Normal("z_a", 0, 1, shape=first), pm.Normal("z_b", 0, 1, shape=second)
        pm.Normal("y", mu + (tau_a * z_a)[a] + (tau_b * z_b)[b], s, observed=y)
    return model


def crossed_moments(first: int = 3000, second: int = 1100, n_rows: int = 60_000) -> Moments:
    """Return the moments of the posterior of :func:`crossed`, effects integrated out."""
    rows = _ratings(first, second, n_rows)
    return Crossed(*rows, (first, second), mean=3.0, scales=(1.0, 1.0, 2.0)).moments()


def lkj_slopes(groups: int = 150, rows: int = 40) -> pm.Model:
    """Correlated intercepts and slopes of 150 groups under an LKJ prior, non-centred."""
    rng = np.random.default_rng(40)
    covariance = np.array([[0.0144, 0.00144], [0.00144, 0.0016]])
    effects = rng.multivariate_normal([0.65, 0.06], covariance, groups)
    group = np.repeat(np.arange(groups), rows)
    x = np.tile(np.r_[-0.5 * np.ones(rows // 2), 0.5 * np.ones(rows - rows // 2)], groups)
    y = rng.normal(effects[group, 0] + effects[group, 1] * x, 0.18)
    with pm.Model() as model:
        mu, s = pm.Normal("mu", 0, 1, shape=2), pm.HalfNormal("s", 0.5)
        sds = pm.HalfNormal.dist(0.5)
        chol, _, _ = pm.LKJCholeskyCov("L", n=2, eta=1, sd_dist=sds)
        b = mu + pm.Normal("z", 0, 1, shape=(groups, 2)) @ chol.T
        pm.Normal("y", b[group, 0] + b[group, 1] * x, s, observed=y)
    return model


def loop_of_groups(groups: int = 30) -> pm.Model:
    """Declare one variable and one likelihood for each group, in a loop."""
    rng = np.random.default_rng(41)
    with pm.Model() as model:
        mu, tau = pm.Normal("mu", 0, 1, shape=2), pm.HalfNormal("tau", 1, shape=2)
        s = pm.HalfNormal("s", 1)
        for group in range(groups):
            x = rng.standard_normal((int(rng.integers(120, 400)), 2))
            y = x @ (np.array([0.2, -0.3]) + 0.5 * rng.standard_normal(2)) + 1
            b = pm.Normal(f"b_{group}", mu, tau)
            pm.Normal(f"y_{group}", x @ b + 1, s, observed=y + rng.standard_normal(len(x)))
    return model


def _by_cell(name: str, build: Callable[..., pm.Model], **options: object) -> Problem:
    rewritten = partial(build, by_cell=True)
    return Problem(name, build, reference="nutpie", rewritten=rewritten, **options)  # type: ignore[arg-type]


PROBLEMS = [
    Problem("flights", flights),
    Problem("flights-dest", partial(flights, "dest"), reference="none"),
    Problem("flights-dest-tailnum", partial(flights, "dest", "tailnum"), reference="none"),
    _by_cell("flights-walk", flights_walk),
    _by_cell("walk-48", partial(walk, 48, 120_000)),
    _by_cell("walk-20", partial(walk, 20, 4000)),
    Problem("rare-levels", rare_levels),
    Problem("raw-student", raw_student),
    Problem("raw-products", raw_products, log_concave=True),
    Problem("raw-groups", raw_groups, reference="nutpie"),
    Problem("absolute-error", absolute_error),
    _by_cell("groups-2100-of-8", many_groups, var_names=("mu", "tau", "s")),
    Problem("crossed-3000x1100", crossed, "exact", details={"moments": crossed_moments}),
    Problem("lkj-slopes-150", lkj_slopes, reference="nutpie"),
    Problem("loop-of-30", loop_of_groups, reference="nutpie"),
]
