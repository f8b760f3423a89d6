"""The five models on which the readout of ``psg.check`` is compared with the truth."""

from collections.abc import Callable

import numpy as np
import pymc as pm

N_ROWS = 4000


def gaussian_mean() -> pm.Model:
    """Take rows of known sd: the posterior of their mean is known in closed form."""
    y = np.random.default_rng(1).normal([1.0, -2.0], [1.0, 1.0], size=(N_ROWS, 2))
    with pm.Model() as model:
        mean = pm.Normal("mean", 0, 10, shape=2)
        pm.Normal("y", mean, 1.0, observed=y)
    return model


def logistic() -> pm.Model:
    """Logistic regression, three columns and an intercept."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=(N_ROWS, 3))
    y = rng.random(N_ROWS) < 1 / (1 + np.exp(0.5 - x @ [1.0, -0.5, 0.2]))
    with pm.Model() as model:
        intercept = pm.Normal("intercept", 0, 2)
        slope = pm.Normal("slope", 0, 1, shape=3)
        predictor = intercept + (x * slope).sum(-1)
        pm.Bernoulli("y", logit_p=predictor, observed=y.astype(int))
    return model


def hierarchical() -> pm.Model:
    """Levels of eight groups, centred, with unknown spread between groups and within them."""
    rng = np.random.default_rng(3)
    group = rng.integers(0, 8, N_ROWS)
    y = rng.normal(rng.normal(0.5, 0.7, 8)[group], 1.5)
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 2)
        tau = pm.HalfNormal("tau", 1)
        sigma = pm.HalfNormal("sigma", 2)
        level = pm.Normal("level", mu, tau, shape=8)
        pm.Normal("y", level[group], sigma, observed=y)
    return model


def mixture() -> pm.Model:
    """Two overlapping normals with unknown means, which the priors tell apart."""
    rng = np.random.default_rng(4)
    y = rng.normal(np.where(rng.random(N_ROWS) < 0.4, -1.2, 1.2), 1.0)
    with pm.Model() as model:
        mean = pm.Normal("mean", [-1.0, 1.0], 0.5, shape=2)
        weight = pm.Beta("weight", 5, 5)
        weights = pm.math.stack([weight, 1 - weight])
        pm.NormalMixture("y", w=weights, mu=mean, sigma=1.0, observed=y)
    return model


def poisson() -> pm.Model:
    """Regress counts, with a log link."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=(N_ROWS, 3))
    y = rng.poisson(np.exp(0.3 + x @ [0.4, -0.3, 0.1]))
    with pm.Model() as model:
        intercept = pm.Normal("intercept", 0, 2)
        slope = pm.Normal("slope", 0, 1, shape=3)
        pm.Poisson("y", pm.math.exp(intercept + (x * slope).sum(-1)), observed=y)
    return model


MODELS: dict[str, Callable[[], pm.Model]] = {
    "gaussian mean": gaussian_mean,
    "logistic": logistic,
    "hierarchical": hierarchical,
    "mixture": mixture,
    "poisson": poisson,
}
