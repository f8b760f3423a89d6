"""Models that are no regressions: hierarchies, mixtures, networks, constrained parameters."""

from functools import partial
from typing import Any

import numpy as np
import pymc as pm

from models import tied_mixture
from models._datasets import Array, load, standardised
from models.evidence.problems import Problem

_GROUPS = 50


def _grouped_data(n_rows: int) -> tuple[Array, Array, Array]:
    rng = np.random.default_rng(n_rows)
    share = rng.dirichlet(np.full(_GROUPS, 3.0))  # groups of unequal size
    group = rng.choice(_GROUPS, n_rows, p=share)
    x = rng.standard_normal((n_rows, 5))
    predictor = (0.3 + 0.7 * rng.standard_normal(_GROUPS))[group] + 0.4 * x @ rng.normal(size=5)
    return x, group, (rng.random(n_rows) < 1 / (1 + np.exp(-predictor))).astype(int)


def hierarchical(n_rows: int, *, centred: bool) -> pm.Model:
    """Logistic regression with a level for each of 50 groups."""
    x, group, y = _grouped_data(n_rows)
    with pm.Model(coords={"group": range(_GROUPS)}) as model:
        columns = pm.Data("x", x, dims=("row", "column"))
        of_row = pm.Data("group_of_row", group, dims="row")
        mu = pm.Normal("mu", 0, 1.5)
        tau = pm.HalfNormal("tau", 1)
        if centred:
            level = pm.Normal("level", mu, tau, dims="group")
        else:
            raw = pm.Normal("raw", 0, 1, dims="group")
            level = pm.Deterministic("level", mu + tau * raw, dims="group")
        slope = pm.Normal("slope", 0, 1, dims="column")
        predictor = level[of_row] + columns @ slope
        pm.Bernoulli("y", logit_p=predictor, observed=y, dims="row")
    return model


def tied_means(n_rows: int) -> pm.Model:
    """Two normals with tied means, two modes: the model of this folder."""
    return tied_mixture.build_model(tied_mixture.load_data(n_rows))


def network(name: str, n_hidden: int = 10) -> pm.Model:
    """Regress by a network with a hidden layer; its predictions are compared, not its weights."""
    data = load(name)
    x, y = standardised(data["X"]), standardised(data["y"])
    test = data["test_idx"][0]
    train = np.setdiff1d(np.arange(len(y)), test)
    with pm.Model() as model:
        inputs = pm.Data("x", x[train], dims=("row", "column"))
        inward = pm.Normal("inward", 0, 1, shape=(x.shape[1], n_hidden))
        bias = pm.Normal("bias", 0, 1, shape=n_hidden)
        outward = pm.Normal("outward", 0, 1 / np.sqrt(n_hidden), shape=n_hidden)
        level = pm.Normal("level", 0, 1)
        sigma = pm.HalfNormal("sigma", 1)

        def predicted(at: Any) -> Any:
            return level + pm.math.tanh(at @ inward + bias) @ outward

        pm.Deterministic("prediction", predicted(x[test[:20]]))
        pm.Normal("y", predicted(inputs), sigma, observed=y[train], dims="row")
    return model


def categories(n_rows: int, n_classes: int = 4, n_columns: int = 4) -> pm.Model:
    """Categorical regression whose base rates are a simplex."""
    rng = np.random.default_rng([n_rows, n_classes])
    x = rng.standard_normal((n_rows, n_columns))
    predictor = np.log([0.6, 0.25, 0.1, 0.05]) + x @ rng.normal(0, 0.6, (n_columns, n_classes))
    y = (predictor + rng.gumbel(size=predictor.shape)).argmax(axis=1)
    with pm.Model() as model:
        columns = pm.Data("x", x, dims=("row", "column"))
        base = pm.Dirichlet("base", np.ones(n_classes))
        slope = pm.Normal("slope", 0, 1, shape=(n_columns, n_classes - 1))
        slopes = pm.math.concatenate([np.zeros((n_columns, 1)), slope], axis=1)
        pm.Categorical("y", logit_p=pm.math.log(base) + columns @ slopes, observed=y, dims="row")
    return model


def correlated(n_rows: int, n_outcomes: int = 3) -> pm.Model:
    """Declare normal outcomes with an unknown covariance, under an LKJ prior."""
    rng = np.random.default_rng([n_rows, n_outcomes])
    factor = np.array([[1.0, 0, 0], [0.8, 0.6, 0], [-0.5, 0.3, 1.2]])
    y = np.array([0.5, -1.0, 2.0]) + rng.standard_normal((n_rows, n_outcomes)) @ factor.T
    with pm.Model(coords={"row": range(n_rows), "outcome": range(n_outcomes)}) as model:
        mu = pm.Normal("mu", 0, 3, shape=n_outcomes)
        scale = pm.HalfNormal.dist(2, shape=n_outcomes)
        chol, _, _ = pm.LKJCholeskyCov("chol", n=n_outcomes, eta=2, sd_dist=scale)
        pm.MvNormal("y", mu, chol=chol, observed=y, dims=("row", "outcome"))
    return model


_HIERARCHY: dict[str, Any] = {
    "reference": "nuts",
    "var_names": ("mu", "tau", "level", "slope"),
    "rewritten": partial(hierarchical, 100_000, centred=True),
}
_NETWORK: dict[str, Any] = {"var_names": ("prediction", "sigma")}
PROBLEMS = [
    Problem("hierarchical-centred", partial(hierarchical, 100_000, centred=True), **_HIERARCHY),
    Problem("hierarchical-noncentred", partial(hierarchical, 100_000, centred=False), **_HIERARCHY),
    Problem(
        "tied-means-100",
        partial(tied_means, 100),
        reference="grid",
        details={"frames": [([0.5, 0.0], [0.5, 0.6])]},
    ),
    Problem(
        "tied-means-1e5",
        partial(tied_means, 100_000),
        reference="grid",
        details={"starts": [[0.0, 1.0], [1.0, -1.0]]},
    ),
    Problem("network-concrete", partial(network, "concrete"), reference="nutpie", **_NETWORK),
    Problem("network-protein", partial(network, "protein"), reference="none", **_NETWORK),
    Problem("categories-3e4", partial(categories, 30_000)),
    Problem("lkj-3e4", partial(correlated, 30_000)),
]
