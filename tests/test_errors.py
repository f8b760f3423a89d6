"""The likely mistakes: what came, what is allowed, what to write instead."""

import inspect

import numpy as np
import pymc as pm
import pytest

import pymc_sgld as psg

from tests.targets import linear_regression, logistic_model


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            {"batch_size": 0},
            ValueError,
            r"batch_size must be from 1 to 500, got 0\. The data have 500",
        ),
        ({"batch_size": 501}, ValueError, r"batch_size must be from 1 to 500, got 501\. The data"),
        (
            {"batch_size": 10.5},
            TypeError,
            r"batch_size must be a whole number from 1 to 500, got 10.5",
        ),
        (
            {"step_size": 0},
            ValueError,
            r"step_size must be > 0 and finite, got 0\. Give a number, or",
        ),
        ({"step_size": -1.0}, ValueError, r"step_size must be > 0 and finite, got -1\.0"),
        ({"step_size": "big"}, TypeError, r"step_size must be a number > 0, got 'big'"),
        ({"step_size": np.nan}, ValueError, r"step_size must be > 0 and finite, got nan"),
        ({"temperature": -2}, ValueError, r"temperature must be > 0 and finite, got -2"),
        ({"steps_per_draw": 0}, ValueError, r"steps_per_draw must be >= 1, got 0"),
        (
            {"preconditioner": "dens"},
            ValueError,
            r"must be one of .*, got 'dens'\. Did you mean 'dense'",
        ),
        (
            {"step_sise": 1},
            TypeError,
            r"'step_sise' is not an argument of .* Did you mean 'step_size'\?",
        ),
        ({"step": 1}, TypeError, r"makes its own step method; to pass one, use pm\.sample\(step="),
        ({"draws": 0}, ValueError, r"draws must be >= 1, got 0"),
        ({"rows": "person"}, psg.RowError, r"'person'"),
    ],
)
def test_arguments(arguments, error, message):
    with logistic_model(n_rows=500), pytest.raises(error, match=message):
        psg.sample("sgld", **arguments)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (
            {"draws": 100, "cycles": 7},
            ValueError,
            r"cycles=7 do not divide 100 draws, .*Give cycles=5 or cycles=10, or draws=98 or "
            r"draws=105",
        ),
        ({"draws": 3}, ValueError, r"cycles=10 do not divide 3 .* Give cycles=3, or draws=10\."),
        ({"cycles": 0}, ValueError, r"cycles must be >= 1, got 0"),
        ({"cycles": 2.5}, TypeError, r"cycles must be a whole number >= 1, got 2\.5"),
        ({"exploration": 1.0}, ValueError, r"exploration must be at least 0 and below 1, got 1"),
        ({"exploration": "half"}, TypeError, r"exploration must be a number, at least 0 and below"),
        (
            {"step_size": psg.schedules.cosine_cycles(0.1, 4)},
            ValueError,
            r"makes cycles of its own.*Give step_size=0\.1 and cycles=4",
        ),
        ({"cycle": 3}, TypeError, r"'cycle' is not an argument .* Did you mean 'cycles'\?"),
    ],
)
def test_arguments_of_cycles(arguments, error, message):
    with logistic_model(n_rows=50), pytest.raises(error, match=message):
        psg.sample("cyclical_sgld", verify=False, **arguments)


def test_cycles_are_for_samplers_with_cycles():
    with logistic_model(), pytest.raises(TypeError, match=r"'cycles' is not an argument of sample"):
        psg.sample("sgld", cycles=10)


@pytest.mark.parametrize("name", ["sglt", "SGLD", "sgld_"])
def test_unknown_sampler_lists_the_names_and_suggests(name):
    with (
        logistic_model(),
        pytest.raises(ValueError, match=r"sampler must be one of 'auto'.*Did you mean 'sgld'"),
    ):
        psg.sample(name)


def test_draws_in_the_place_of_the_name_as_in_pymc():
    with logistic_model(), pytest.raises(TypeError, match=r"Write sample\(draws=500\)"):
        psg.sample(500)


def test_sample_names_what_every_step_method_takes_with_the_same_defaults():
    sampler = inspect.signature(psg.sample).parameters
    shared = inspect.signature(psg.SGLD.__init__).parameters
    left = {"self", "vars", "rng", "initial_point", "blocked", "rule_arguments"}
    left |= {"purpose"}  # psg.anneal's
    for name in set(shared) - left:
        assert sampler[name].default == shared[name].default, name
    missing = set(inspect.signature(pm.sample).parameters) - set(sampler)
    assert missing == {"step", "kwargs"}  # those of PyMC are all there, too


def test_no_draw_to_tune_in():
    with (
        logistic_model(),
        pytest.raises(ValueError, match=r"step_size was left out.*tune=0.*Give tune >= 1"),
    ):
        psg.sample("sgld", 5, tune=0, chains=1, progressbar=False)


def test_a_part_of_the_variables():
    with (
        logistic_model() as model,
        pytest.raises(ValueError, match=r"but alpha were left out\. Leave vars"),
    ):
        psg.SGLD(vars=[model["beta"]])


def test_initvals_of_the_wrong_shape():
    wrong = {"beta": np.zeros(3)}
    for initvals in (wrong, [None, wrong]):
        with (
            logistic_model(),
            pytest.raises(
                ValueError,
                match=r"initvals of 'beta' have shape \(3,\), but .* shape \(4,\)\. Pass",
            ),
        ):
            psg.sample("sgld", 5, tune=1, chains=2, initvals=initvals, progressbar=False)


def test_initvals_of_an_unknown_variable():
    with (
        logistic_model(),
        pytest.raises(ValueError, match=r"initvals name 'bta'.*Did you mean 'beta'"),
    ):
        psg.sample("sgld", 5, tune=1, initvals={"bta": np.zeros(4)}, progressbar=False)


def test_discrete_free_variables():
    with pm.Model():
        z = pm.Bernoulli("z", 0.5)
        pm.Normal("y", z, 1, observed=np.zeros(5))
        with pytest.raises(psg.RowError, match=r"'z'.*discrete"):
            psg.sample("sgld")


def test_no_observed_variable():
    with pm.Model():
        pm.Normal("x")
        with pytest.raises(psg.RowError, match=r"observed"):
            psg.sample("sgld")


def test_total_size_that_contradicts_the_data():
    target = linear_regression(n_rows=300)
    with pm.Model():
        X, y = pm.Minibatch(target.design, target.outcome, batch_size=50)
        theta = pm.Normal("theta", 0, 1, shape=3)
        pm.Normal("y", X @ theta, 1, observed=y, total_size=1000)
        with pytest.raises(psg.RowError, match=r"1000.*300"):
            psg.sample("sgld")


def test_rows_that_are_not_a_product():
    with pm.Model():
        rho = pm.Uniform("rho", -1, 1)
        pm.AR("y", rho, init_dist=pm.Normal.dist(), observed=np.zeros(30))
        with pytest.raises(psg.RowError, match=r"'y'.*(NUTS|pm\.sample)"):
            psg.sample("sgld")


def test_missing_numbers_in_the_data():
    X = np.random.default_rng(0).normal(size=(20, 2))
    X[7, 1] = np.nan
    with pm.Model():
        beta = pm.Normal("beta", 0, 1, shape=2)
        pm.Normal("y", pm.math.dot(X, beta), 1, observed=np.zeros(20))
        with pytest.raises(
            psg.RowError, match=r"shape \(20, 2\).* 1 NaN .* row 7.* Drop these rows"
        ):
            psg.sample("sgld")
