"""Discrete latents of rows: the refusal has the sum in the user's names, and sums pass by rows."""

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest

from scipy import special, stats

from pymc_sgld.model_graph import RowError, row_model

N = 30
RNG = np.random.default_rng(5)
Y = RNG.normal(size=N)
COUNTS = RNG.poisson(2, size=N) * RNG.binomial(1, 0.6, size=N)
TIME = np.linspace(0, 1, N)
WORDS = RNG.integers(0, 6, (N, 8))  # of 30 documents of eight words


def labels_written_out():
    with pm.Model(coords={"row": range(N)}) as model:
        weight, mu = pm.Dirichlet("weight", np.ones(3)), pm.Normal("mu", shape=3)
        z = pm.Categorical("z", weight, dims="row")
        pm.Normal("y", mu[z], 1.0, observed=Y, dims="row")
    return model


def zeros_written_out():
    with pm.Model() as model:
        share, rate = pm.Beta("share", 1, 1), pm.Gamma("rate", 1, 1)
        occupied = pm.Bernoulli("occupied", share, shape=N)
        pm.Poisson("counts", rate * occupied + 1e-9, observed=COUNTS)
    return model


@pytest.mark.parametrize(
    ("build", "line"),
    [
        (
            labels_written_out,
            r'pm\.Mixture\("y", w=weight, comp_dists=\[pm\.Normal\.dist\(\.\.\.\) for z '
            r"in range\(3\)\], observed=\.\.\., dims=\('row',\)\)",
        ),
        (
            zeros_written_out,
            r'pm\.Mixture\("counts", w=pm\.math\.stack\(\[1 - share, share\], axis=-1\), '
            r"comp_dists=\[pm\.Poisson\.dist\(\.\.\.\) for occupied in \(0, 1\)\], observed=",
        ),
    ],
)
def test_the_refusal_has_the_sum_in_the_users_names(build, line):
    with pytest.raises(RowError, match=rf"pymc_extras\.marginalize\(model, \['.*{line}"):
        row_model(build())


def mixture():
    with pm.Model() as model:
        weight, mu = pm.Dirichlet("weight", np.ones(3)), pm.Normal("mu", shape=3)
        pm.Mixture("y", weight, [pm.Normal.dist(mu[k], 1.0) for k in range(3)], observed=Y)
    return model, lambda at: special.logsumexp(
        np.log(at["weight"]) + stats.norm.logpdf(Y[:, None], at["mu"], 1), axis=1
    )


def zero_inflation():
    with pm.Model() as model:
        share, rate = pm.Beta("share", 1, 1), pm.Gamma("rate", 1, 1)
        pm.ZeroInflatedPoisson("y", share, rate, observed=COUNTS)

    def exact(at):
        there = at["share"] * stats.poisson.pmf(COUNTS, at["rate"])
        return np.log(there + (1 - at["share"]) * (COUNTS == 0))

    return model, exact


def change_of_class():
    """Each row is of one of two regressions, the chance of the second growing with time."""
    with pm.Model() as model:
        when, level = pm.Normal("when"), pm.Normal("level", shape=2)
        second = pm.math.sigmoid(4 * (TIME - when))
        weight = pt.stack([1 - second, second], axis=1)
        parts = [pm.Normal.dist(level[k] * np.ones(N), 0.7) for k in range(2)]
        pm.Mixture("y", weight, parts, observed=Y)

    def exact(at):
        second = special.expit(4 * (TIME - at["when"]))
        one, two = (stats.norm.pdf(Y, at["level"][k], 0.7) for k in range(2))
        return np.log((1 - second) * one + second * two)

    return model, exact


def topics():
    """Two topics over six words; the topic of each word of a document is summed out."""
    with pm.Model() as model:
        topic = pm.Dirichlet("topic", np.ones(6), shape=(2, 6))
        share = pm.Beta("share", 2, 2)
        words = share * topic[0][WORDS] + (1 - share) * topic[1][WORDS]
        pm.Potential("y", pt.log(words).sum(axis=1))

    def exact(at):
        chance = at["share"] * at["topic"][0] + (1 - at["share"]) * at["topic"][1]
        return np.log(chance)[WORDS].sum(axis=1)

    return model, exact


@pytest.mark.parametrize("build", [mixture, zero_inflation, change_of_class, topics])
def test_sums_over_discrete_latents_pass_by_rows(build, python_mode):
    """The density of each row is the sum over its values."""
    model, exact = build()
    point = model.initial_point(random_seed=3)
    by_rows = row_model(model)
    mode = {"compile_kwargs": {"mode": python_mode}}
    variables = model.replace_rvs_by_values(model.free_RVs)
    values = model.compile_fn(variables, mode=python_mode)(point)
    natural = {rv.name: value for rv, value in zip(model.free_RVs, values, strict=True)}
    [found] = by_rows.row_logp(point, **mode).values()
    np.testing.assert_allclose(found, exact(natural), rtol=1e-9)
    [some] = by_rows.row_logp(
        point, np.array([4, 2]), compile_kwargs={"mode": python_mode}
    ).values()
    np.testing.assert_allclose(some, exact(natural)[[4, 2]], rtol=1e-9)
