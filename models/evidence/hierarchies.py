"""Hierarchies written non-centred, as users of NUTS write them; nothing in them speaks of batches.

Their covariates have few values, so that rows with the same values may be counted together: the
same posterior from some hundred binomial or Poisson counts, which NUTS samples to any accuracy.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pymc as pm

from models._datasets import Array, load
from models.evidence.problems import Problem

_N_ROWS = 100_000
_GRID = np.linspace(-1, 1, 200)


class Rows(NamedTuple):
    """Columns of whole numbers, 0/1 outcomes or counts, and the exposure of each row."""

    columns: dict[str, Array]
    y: Array
    exposure: Array


def counted(rows: Rows) -> Rows:
    """Count rows with the same columns together."""
    table = np.column_stack(list(rows.columns.values()))
    kinds, which = np.unique(table, axis=0, return_inverse=True)
    columns = dict(zip(rows.columns, kinds.T, strict=True))
    sums = np.bincount(which.ravel(), rows.y).astype(int)
    return Rows(columns, sums, np.bincount(which.ravel(), rows.exposure))


def observe(predictor: Callable[[Any], Any], rows: Rows, family: str, by_cell: bool) -> None:
    """Declare the outcomes, one a row or counted together."""
    seen = counted(rows) if by_cell else rows
    columns = {name: pm.Data(name, column, dims="row") for name, column in seen.columns.items()}
    eta = predictor(columns)
    if family == "poisson":
        exposure = pm.Data("exposure", seen.exposure, dims="row")
        pm.Poisson("y", exposure * pm.math.exp(eta), observed=seen.y, dims="row")
    elif by_cell:
        trials = seen.exposure.astype(int)
        pm.Binomial("y", trials, logit_p=eta, observed=seen.y, dims="row")
    else:
        pm.Bernoulli("y", logit_p=eta, observed=seen.y, dims="row")


def _outcomes(eta: Array, rng: np.random.Generator) -> Array:
    return (rng.random(len(eta)) < 1 / (1 + np.exp(-eta))).astype(int)


def _indicators(rng: np.random.Generator, n_rows: int = _N_ROWS) -> dict[str, Array]:
    return {name: rng.integers(0, 2, n_rows) for name in ("x1", "x2")}


def _covariates(columns: Any) -> Any:
    slope = pm.Normal("slope", 0, 1, shape=2)
    return slope[0] * columns["x1"] + slope[1] * columns["x2"]


def groups(sizes: Array, tau: float, *, by_cell: bool = False, centred: bool = False) -> pm.Model:
    """Logistic regression with a level for each group, and two indicators."""
    rng = np.random.default_rng([len(sizes), int(1000 * tau)])
    group = np.repeat(np.arange(len(sizes)), sizes)
    rng.shuffle(group)
    columns = {"group_of_row": group, **_indicators(rng, len(group))}
    level = 0.3 + tau * rng.standard_normal(len(sizes))
    eta = level[group] + 0.4 * columns["x1"] - 0.3 * columns["x2"]
    rows = Rows(columns, _outcomes(eta, rng), np.ones(len(group)))
    with pm.Model(coords={"group": range(len(sizes))}) as model:
        mu, scale = pm.Normal("mu", 0, 1.5), pm.HalfNormal("tau", 1)
        if centred:
            levels = pm.Normal("level", mu, scale, dims="group")
            pm.Deterministic("z", (levels - mu) / scale, dims="group")
        else:
            z = pm.Normal("z", 0, 1, dims="group")
            levels = pm.Deterministic("level", mu + scale * z, dims="group")
        observe(lambda c: levels[c["group_of_row"]] + _covariates(c), rows, "logistic", by_cell)
    return model


def crossed(*, by_cell: bool = False, centred: bool = False) -> pm.Model:
    """Poisson counts with two factors that cross, 50 and 12 levels."""
    rng = np.random.default_rng(12)
    columns = {"first": rng.integers(0, 50, _N_ROWS), "second": rng.integers(0, 12, _N_ROWS)}
    effects = 0.5 * rng.standard_normal(50), 0.3 * rng.standard_normal(12)
    eta = -0.5 + effects[0][columns["first"]] + effects[1][columns["second"]]
    rows = Rows(columns, rng.poisson(np.exp(eta)), np.ones(_N_ROWS))
    with pm.Model() as model:
        mu, t1, t2 = pm.Normal("mu", 0, 1), pm.HalfNormal("t1", 1), pm.HalfNormal("t2", 1)
        if centred:
            u1, u2 = pm.Normal("u1", 0, t1, shape=50), pm.Normal("u2", mu, t2, shape=12)
            pm.Deterministic("z1", u1 / t1)
            pm.Deterministic("z2", (u2 - mu) / t2)
            observe(lambda c: u1[c["first"]] + u2[c["second"]], rows, "poisson", by_cell)
            return model
        z1, z2 = pm.Normal("z1", 0, 1, shape=50), pm.Normal("z2", 0, 1, shape=12)
        observe(lambda c: mu + t1 * z1[c["first"]] + t2 * z2[c["second"]], rows, "poisson", by_cell)
    return model


def nested(*, by_cell: bool = False) -> pm.Model:
    """Schools in districts: 100 in 15, the districts' levels above those of the schools."""
    rng = np.random.default_rng(15)
    district = rng.integers(0, 15, 100)
    above = 0.2 + 0.5 * rng.standard_normal(15)
    level = above[district] + 0.4 * rng.standard_normal(100)
    columns = {"school_of_row": rng.integers(0, 100, _N_ROWS), **_indicators(rng)}
    eta = level[columns["school_of_row"]] + 0.4 * columns["x1"] - 0.3 * columns["x2"]
    rows = Rows(columns, _outcomes(eta, rng), np.ones(_N_ROWS))
    with pm.Model() as model:
        mu, td, ts = pm.Normal("mu", 0, 1), pm.HalfNormal("td", 1), pm.HalfNormal("ts", 1)
        zd, zs = pm.Normal("zd", 0, 1, shape=15), pm.Normal("zs", 0, 1, shape=100)
        districts = pm.Deterministic("district", mu + td * zd)
        schools = pm.Deterministic("school", districts[district] + ts * zs)
        observe(lambda c: schools[c["school_of_row"]] + _covariates(c), rows, "logistic", by_cell)
    return model


def slopes(*, by_cell: bool = False) -> pm.Model:
    """Correlate intercepts and slopes of 50 groups, under an LKJ prior."""
    rng = np.random.default_rng(50)
    effects = np.array([0.2, 0.5]) + rng.standard_normal((50, 2)) @ np.array([[0.6, 0.2], [0, 0.3]])
    columns = {"group_of_row": rng.integers(0, 50, _N_ROWS), "x": rng.integers(-2, 3, _N_ROWS)}
    own = effects[columns["group_of_row"]]
    rows = Rows(columns, _outcomes(own[:, 0] + own[:, 1] * columns["x"], rng), np.ones(_N_ROWS))
    with pm.Model() as model:
        sds = pm.HalfNormal.dist(1, shape=2)
        chol, _, _ = pm.LKJCholeskyCov("chol", n=2, eta=2, sd_dist=sds)
        mean, z = pm.Normal("mean", 0, 1, shape=2), pm.Normal("z", 0, 1, shape=(50, 2))
        effect = pm.Deterministic("effect", mean + z @ chol.T)
        observe(
            lambda c: effect[c["group_of_row"], 0] + effect[c["group_of_row"], 1] * c["x"],
            rows,
            "logistic",
            by_cell,
        )
    return model


def smooth(*, by_cell: bool = False) -> pm.Model:
    """Draw a smooth curve: a Hilbert-space Gaussian process with 12 basis functions."""
    rng = np.random.default_rng(200)
    columns = {"place": rng.integers(0, len(_GRID), _N_ROWS)}
    eta = np.sin(3 * _GRID[columns["place"]]) - 0.3
    rows = Rows(columns, _outcomes(eta, rng), np.ones(_N_ROWS))
    with pm.Model() as model:
        mu, eta_scale = pm.Normal("mu", 0, 1), pm.HalfNormal("eta", 1)
        ell = pm.LogNormal("ell", np.log(0.7), 0.3)
        kernel = eta_scale**2 * pm.gp.cov.ExpQuad(1, ls=ell)
        process = pm.gp.HSGP(m=[12], c=1.5, cov_func=kernel)
        phi, root = process.prior_linearized(_GRID[:, None])
        beta = pm.Normal("beta", 0, 1, shape=12)
        curve = mu + phi @ (beta * root)
        observe(lambda c: curve[c["place"]], rows, "logistic", by_cell)
    return model


def claims(*, by_cell: bool = False) -> pm.Model:
    """Motor claims of 1997 with a level for each of 583 postcodes, and four indicators."""
    data = load("motor_claims")
    _, postcode = np.unique(data["postcode"], return_inverse=True)
    codes = {"cover": data["coverage"], "sex": data["sex"], "fuel": data["fuel"]}
    columns = {"postcode_of_row": postcode, **{k: v.astype(int) for k, v in codes.items()}}
    rows = Rows(columns, data["nclaims"].astype(int), data["expo"].astype(float))
    with pm.Model() as model:
        mu, tau = pm.Normal("mu", -2, 1), pm.HalfNormal("tau", 0.5)
        z = pm.Normal("z", 0, 1, shape=int(postcode.max()) + 1)
        level = pm.Deterministic("level", mu + tau * z)
        cover, of_sex, of_fuel = (pm.Normal(name, 0, 1) for name in ("b1", "b2", "b3"))

        def predictor(c: Any) -> Any:
            indicators = cover * (c["cover"] > 0) + of_sex * c["sex"] + of_fuel * c["fuel"]
            return level[c["postcode_of_row"]] + indicators

        observe(predictor, rows, "poisson", by_cell)
    return model


_EQUAL = np.full(50, 2000)
_UNEQUAL = np.round(np.geomspace(1, 1420, 500)).astype(int)
_FEW = np.full(8, 12_500)


def _groups(name: str, sizes: Array, tau: float, *, centred: bool) -> Problem:
    return Problem(
        name,
        partial(groups, sizes, tau),
        reference="nutpie",
        var_names=("mu", "tau", "z", "level", "slope"),
        rewritten=partial(groups, sizes, tau, by_cell=True, centred=centred),
    )


def _other(name: str, build: Callable[..., pm.Model], **options: Any) -> Problem:
    cells = {"rewritten": partial(build, by_cell=True)}
    return Problem(name, build, reference="nutpie", **(cells | options))


PROBLEMS = [
    _groups("groups-50-equal", _EQUAL, 0.7, centred=True),
    _groups("groups-500-unequal", _UNEQUAL, 0.7, centred=True),
    _groups("groups-8-small-scale", _FEW, 0.02, centred=False),
    _groups("groups-50-small-scale", _EQUAL, 0.05, centred=False),
    _other(
        "crossed-50x12",
        crossed,
        rewritten=partial(crossed, by_cell=True, centred=True),
        var_names=("mu", "t1", "t2", "z1", "z2"),
    ),
    _other("nested-100-in-15", nested),
    _other("lkj-slopes-50", slopes, var_names=("mean", "chol", "z", "effect")),
    _other("hsgp-12", smooth),
    _other("claims-583-postcodes", claims),
]
