"""No draw outside of the support, and the exact law within it: for every sampler."""

import arviz as az
import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest

from scipy import stats

import pymc_sgld as psg

from pymc_sgld.model_graph import read_rows
from pymc_sgld.model_graph.density.support import support_of
from pymc_sgld.step_methods.registry import REGISTRY

# n rows of sd sqrt(n) weigh as much as the prior, a standard normal: a posterior sd of sqrt(1/2)
ROWS = np.random.default_rng(0).normal(size=40)
MEAN, SD = ROWS.mean() / 2, 0.5**0.5

# Steps in units of the posterior's own variance, small enough that the rule's own error is below
# the tolerance, and as many a draw as it takes to forget.
STEPS = {
    "sgld": (0.04, 10), "ula": (0.04, 10), "sghmc": (0.05, 20), "baoa": (0.4, 5),
    "leimkuhler_matthews": (0.4, 5), "baoab": (0.4, 5), "obabo": (0.4, 5), "sgnht": (0.04, 20),
    "badodab": (0.2, 10), "mala": (0.5, 4), "sggmc": (0.4, 10), "amagold": (0.4, 10),
    "svrg_ld": (0.04, 10), "saga_ld": (0.04, 10), "psgld": (0.04, 10),
    "cyclical_sgld": (0.04, 40), "cyclical_sghmc": (0.05, 60),
    "replica_exchange_sgld": (0.04, 10),
}  # fmt: skip
# With rows of one variance these estimates are the gradient of all of them, from batches of 20.
FROM_BATCHES = {"svrg_ld", "saga_ld"}
IN_DEFAULT_RUN = ("sgld", "leimkuhler_matthews", "badodab")
BIAS = 0.03  # of a mean and an sd, that steps of these sizes have


def truncated():
    """A normal posterior of which a potential leaves the positive half."""
    with pm.Model() as model:
        a = pm.Normal("a", 0, 1)
        pm.Potential("positive", pt.switch(a > 0, 0.0, -np.inf))
        pm.Normal("y", a, len(ROWS) ** 0.5, observed=ROWS)
    return model


def ordered():
    """Two normal parameters, the first of which is the smaller."""
    with pm.Model() as model:
        a = pm.Normal("a", 0, 1, shape=2)
        pm.Potential("order", pt.switch(a[0] < a[1], 0.0, -np.inf))
        pm.Normal("y", a, len(ROWS) ** 0.5, observed=np.column_stack([ROWS, ROWS]))
    return model


def _exact(model):
    """Return mean and sd of what is looked at: a, or the difference of the two."""
    if model is truncated:
        law = stats.truncnorm(-MEAN / SD, np.inf, MEAN, SD)
        return law.mean(), law.std()
    half = stats.halfnorm(scale=2**0.5 * SD)
    return half.mean(), half.std()


def _own(sampler, model):
    variances = np.full(1 + (model is ordered), SD**2)
    own = {"preconditioner": variances}
    if sampler == "replica_exchange_sgld":
        own["swap_every"] = 10
    return own | ({"batch_size": 20} if sampler in FROM_BATCHES else {"gradient": "full"})


def _draws(model, sampler, n_draws, seed):
    step_size, steps_per_draw = STEPS[sampler]
    built = model()
    with built:
        step = REGISTRY[sampler](
            step_size=step_size, steps_per_draw=steps_per_draw, verify=False, **_own(sampler, model)
        )
    step.rng = np.random.default_rng(seed)
    step.setup_chain(np.random.default_rng(seed), 0, n_draws)
    point, values = {"a": np.array(0.5) if model is truncated else np.array([-0.5, 0.5])}, []
    for _ in range(n_draws):
        point, _ = step.step(point)
        values.append(point["a"] if model is truncated else point["a"][1] - point["a"][0])
    return np.array(values, dtype=float)


@pytest.mark.parametrize(
    ("model", "sampler"),
    [
        pytest.param(model, name, marks=() if name in IN_DEFAULT_RUN else pytest.mark.statistical)
        for model in (truncated, ordered)
        for name in STEPS
    ],
)
def test_the_law_within_the_support(model, sampler):
    values = _draws(model, sampler, 3000, seed=3)
    assert (values > 0).all()
    mean, sd = _exact(model)
    ess = float(az.ess(values[None]))
    assert ess > 150
    assert abs(values.mean() - mean) < 4 * sd / ess**0.5 + BIAS * mean
    assert abs(values.std() - sd) < 4 * sd / (2 * ess) ** 0.5 + BIAS * sd


# What measures at a mode takes it from the tune phase. A mode at the end has no width to measure.
REJECTING = ("amagold", "mala", "sggmc")
OF_THE_REGISTRY = sorted(set(REGISTRY) - {"auto"})


def _one_of_each_rule():
    """Samplers by name; those whose rule one before them has are slow."""
    seen = set()
    for name in OF_THE_REGISTRY:
        rule = REGISTRY[name].rule_class
        yield pytest.param(name, marks=(pytest.mark.slow,) if rule in seen else ())
        seen.add(rule)


@pytest.mark.parametrize("sampler", list(_one_of_each_rule()))
def test_no_draw_outside_and_each_refusal_is_counted(sampler):
    """From batches, by every sampler; a refused draw is the one before, and is `diverging`."""
    model = shifted()
    own = {"swap_every": 5} if sampler == "replica_exchange_sgld" else {}
    own |= {"step_size": 1.0} if sampler not in ("sgfs", "constant_sgd") else {}
    own |= {"trajectory": 5} if sampler in ("sggmc", "amagold") else {}
    own |= {"batch_size": 10} if sampler == "constant_sgd" else {}
    result = psg.sample(
        sampler, 60, tune=2, chains=1, cores=1, random_seed=2, steps_per_draw=5, verify=False,
        progressbar=False, model=model, compute_convergence_checks=False, check=False,
        compile_kwargs={"mode": "FAST_COMPILE"}, initvals={"a": 0.2}, **own,
    )  # fmt: skip
    values = result["posterior"]["a"].to_numpy()[0]
    refused = result["sample_stats"]["diverging"].to_numpy()[0]
    assert (values > 0).all()
    if sampler in REJECTING:  # their own test has done that
        refused[1:] = np.diff(values) == 0
    assert refused.any()
    assert (np.diff(values)[refused[1:]] == 0).all()


def shifted():
    """A posterior most of which a potential cuts off."""
    with pm.Model() as model:
        a = pm.Normal("a", 0, 1)
        pm.Potential("positive", pt.switch(a > 0, 0.0, -np.inf))
        pm.Normal("y", a, len(ROWS) ** 0.5, observed=ROWS - 1)
    return model


@pytest.mark.parametrize("sampler", ["sgld", "auto"])
def test_no_draw_outside_whatever_is_chosen(sampler, caplog):
    """With nothing given but batches: half of the draws used to lie outside, without a word."""
    caplog.set_level("WARNING", logger="pymc.sgld")
    result = psg.sample(
        sampler, 400, batch_size=40, chains=2, cores=1, random_seed=1, progressbar=False,
        model=truncated(), compute_convergence_checks=False,
    )  # fmt: skip
    values = result["posterior"]["a"].to_numpy()
    assert (values > 0).all()
    assert np.isfinite(result["sample_stats"]["minibatch_logp"].to_numpy()).mean() > 0.3
    mean, sd = _exact(truncated)
    ess = float(az.ess(values))
    assert abs(values.mean() - mean) < 4 * sd / ess**0.5 + 0.06 * mean
    told = " ".join(record.getMessage() for record in caplog.records)
    assert "draws were refused" in told and "'positive'" in told
    assert set(result["check"]["verdict"].to_numpy()) <= {"cannot tell", "not mixed"}


def test_bounds_by_rows_that_a_batch_does_not_see():
    """The upper end of a uniform is above all rows, not only those of a batch."""
    with pm.Model() as model:
        top = pm.LogNormal("top", 0.5, 1, initval=2.0)
        pm.Uniform("y", 0, top, observed=np.linspace(0.01, 1.0, 200))
    result = psg.sample(
        "sgld", 200, tune=0, batch_size=20, step_size=1e-5, preconditioner="identity",
        gradient="minibatch", chains=1, cores=1, random_seed=1, progressbar=False, model=model,
        compute_convergence_checks=False, initvals={"top": 1.01}, check=False,
    )  # fmt: skip
    assert (result["posterior"]["top"].to_numpy() >= 1.0).all()


@pytest.mark.parametrize(
    ("build", "anywhere", "rows"),
    [
        (truncated, True, False),
        (ordered, True, False),
        (lambda: _with(lambda a: pm.Potential("p", pt.log(2 - a))), True, False),
        (lambda: _with(lambda a: pm.Potential("p", -(a**2))), False, False),
        (lambda: _with(lambda a: pm.Potential("p", pt.log(1 + pt.exp(a)))), False, False),
        (lambda: _with(lambda a: pm.Gamma("b", 2, 1)), False, False),
        (lambda: _with(lambda a: pm.Uniform("z", -9, pt.exp(a) + 9, observed=ROWS)), False, True),
    ],
)
def test_supports_are_known_at_build(build, anywhere, rows):
    assert support_of(read_rows(build())) == (anywhere, rows)


def _with(more):
    with pm.Model() as model:
        a = pm.Normal("a", 0, 1)
        more(a)
        pm.Normal("y", a, 1, observed=ROWS)
    return model


def test_the_check_says_how_many_draws_lie_outside():
    rng = np.random.default_rng(0)
    idata = az.from_dict({"posterior": {"a": rng.normal(MEAN, SD, size=(2, 300))}})
    found = psg.check(idata, truncated())
    assert "outside of its support" in found.warnings[0]
    share = float(found.warnings[0].split("%")[0])
    assert abs(share - 100 * stats.norm.cdf(-MEAN / SD)) < 12
