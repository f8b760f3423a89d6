"""The suite that every registered sampler passes, unasked, on every backend."""

import importlib
import inspect
import pkgutil
import re

from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt
import pytest

import pymc_sgld as psg

from pymc_sgld.chain.backends import sampling_mode
from pymc_sgld.samplers import Rule
from pymc_sgld.step_methods.registry import REGISTRY
from tests.conftest import BACKENDS, require_backend
from tests.targets import logistic_model

SAMPLERS = sorted(REGISTRY)
RULES = {
    repr(rule): rule for rule in (one.rule_class(**one.rule_defaults) for one in REGISTRY.values())
}
N_ROWS = 400

# On JAX one sampler of each kind, since a loop takes seconds to compile there: plain, with
# momentum, a thermostat, with a test, with an estimator that remembers, with cycles, and the
# default. The others on JAX are slow tests; the updates of all are compared with NumPy's below.
ON_JAX = ("sgld", "baoa", "sgnht", "sggmc", "saga_ld", "cyclical_sgld", "auto")


def gaussian_rows():
    """A Gaussian mean: one model for all tests, so that they share the compiled loops."""
    y = np.random.default_rng(0).normal(1, 2, size=N_ROWS)
    with pm.Model() as model:
        mu = pm.Normal("mu", 0, 10)
        pm.Normal("y", mu, 2, observed=y)
    return model, y


MODEL, Y = gaussian_rows()


def batches(name, size):
    """A batch size, for the samplers that work with one."""
    return {} if REGISTRY[name].default_gradient == "full" else {"batch_size": size}


def in_cycles(step_method):
    """Cycles must divide the draws, which are few here: two cycles for those that have them."""
    return {} if step_method.cycles_class is None else {"cycles": 2}


def short(name):
    """Arguments for draws of 20 steps, two trajectories of them."""
    own = {"swap_every": 10} if name == "replica_exchange_sgld" else {}
    if REGISTRY[name].rule_class.preconditioners is Rule.preconditioners:
        own["preconditioner"] = "dense"  # as where the step size is left out: the same loop
    return {
        "step_size": 1e-3,
        "steps_per_draw": 20,
        **batches(name, 20),
        **in_cycles(REGISTRY[name]),
        **own,
    }


def on_backends():
    for backend in BACKENDS:
        for name in SAMPLERS:
            slow = backend == "jax" and name not in ON_JAX
            marks = [pytest.mark.slow] if slow else []
            yield pytest.param((name, backend), id=f"{backend}-{name}", marks=marks)


@pytest.fixture(params=on_backends())
def step(request, make_step):
    name, backend = request.param
    require_backend(backend)
    return make_step("one mean", MODEL, sampler=name, backend=backend, **short(name))


def run(step, point, n_draws):
    points = []
    for _ in range(n_draws):
        point, _ = step.step(point)
        points.append(point)
    return points


def same(first, second):
    return all(np.array_equal(first[name], second[name]) for name in first | second)


def test_saved_state_gives_the_same_next_draw(step):
    point = MODEL.initial_point()
    step.setup_chain(np.random.default_rng(0), 1, 10)
    point = run(step, point, 3)[-1]
    saved = step.sampling_state
    after = run(step, point, 2)
    assert not same(after[0], after[1])
    step.setup_chain(np.random.default_rng(9), 1, 10)
    run(step, point, 1)
    step.sampling_state = saved
    again = run(step, point, 2)
    assert same(after[0], again[0]) and same(after[1], again[1])


def test_a_run_is_a_shorter_run_resumed(make_step, step, request):
    """run(2n) equals run(n) and resume(n) in another step method, as after a crash."""
    point = MODEL.initial_point()
    step.setup_chain(np.random.default_rng(3), 2, 6)
    whole = run(step, point, 8)
    step.setup_chain(np.random.default_rng(3), 2, 6)
    half = run(step, point, 4)
    saved = step.sampling_state
    with MODEL:
        fresh = type(step)(**short(step.name), verify=False)
    if not step.chain.loop.survives_fork:
        fresh.chain.loop = step.chain.loop
        fresh.chain.block_function = step.chain.block_function
    fresh.sampling_state = saved
    resumed = run(fresh, half[-1], 4)
    assert all(same(a, b) for a, b in zip(whole, half + resumed, strict=True))


@pytest.mark.parametrize("kept", [1, 2, 5])
def test_a_run_goes_on_from_a_folder(step, kept, tmp_path):
    """Bit for bit, out of the tune phase, at its end, and after it."""

    def whole_run(step):
        point, points, statistics = MODEL.initial_point(), [], []
        for number in range(8):
            if number == 2:
                step.stop_tuning()
            point, [of_draw] = step.step(point)
            points.append(point)
            statistics.append({**of_draw, "seconds": 0.0})
        return points, statistics

    step.setup_chain(np.random.default_rng(3), 2, 6)
    whole = whole_run(step)
    with MODEL:
        stopped = psg.CheckpointedStep(step, tmp_path)
        stopped.setup_chain(np.random.default_rng(3), 2, 6)
        point = MODEL.initial_point()
        for number in range(kept):
            if number == 2:
                stopped.stop_tuning()
            point, _ = stopped.step(point)
        stopped.close()
        step.setup_chain(np.random.default_rng(9), 2, 6)  # forget all of it
        run(step, MODEL.initial_point(), 1)
        again = psg.CheckpointedStep(step, tmp_path, resume=True)
    again.setup_chain(np.random.default_rng(3), 2, 6)
    points, statistics = whole_run(again)
    assert all(same(a, b) for a, b in zip(whole[0], points, strict=True))
    for before, after in zip(whole[1], statistics, strict=True):
        assert before.keys() == after.keys()
        np.testing.assert_equal(before, after)


def handed_out(step, point, n_draws):
    """Points, what is said of each beside the time it took, and the state that belongs to it."""
    rows = []
    for _ in range(n_draws):
        point, [statistics] = step.step(point)
        statistics = {name: one for name, one in statistics.items() if name != "seconds"}
        state = step.chain_state
        rows.append((point, statistics, state.step_number, deepcopy(state.extra_state)))
    return rows


@pytest.mark.parametrize("most", [7, None])
def test_draws_do_not_depend_on_how_many_are_made_at_a_time(step, most):
    """Bit for bit, with their statistics and states; and resumed from the middle of a block."""
    tune, n_draws = 4, 18
    runs = {}
    for at_a_time in (1, most):
        step.draws.most = at_a_time
        step.setup_chain(np.random.default_rng(3), tune, n_draws)
        runs[at_a_time] = handed_out(step, MODEL.initial_point(), tune + n_draws)
    for alone, ahead in zip(runs[1], runs[most], strict=True):
        np.testing.assert_equal(ahead, alone)
    step.setup_chain(np.random.default_rng(3), tune, n_draws)
    before = handed_out(step, MODEL.initial_point(), 11)
    saved = step.sampling_state
    handed_out(step, before[-1][0], 3)
    step.setup_chain(np.random.default_rng(8), tune, n_draws)
    step.sampling_state = saved
    after = handed_out(step, {name: one.copy() for name, one in before[-1][0].items()}, 5)
    np.testing.assert_equal(after, runs[1][11:16])
    step.draws.most = None


def test_draws_do_not_depend_on_how_steps_are_grouped(make_step, step):
    """20 steps a draw for 6 draws end where 40 steps a draw for 3 draws end.

    For both, the tune phase and each of two cycles have the same number of steps.
    """
    step.setup_chain(np.random.default_rng(1), 2, 4)
    fine = run(step, MODEL.initial_point(), 6)
    step.setup_chain(np.random.default_rng(1), 1, 2)
    settings = step.chain.settings
    step.chain.settings = replace(settings, steps_per_draw=40)
    coarse = run(step, MODEL.initial_point(), 3)
    step.chain.settings = settings
    for now, then in zip(fine[1::2], coarse, strict=True):
        for name in now:
            np.testing.assert_allclose(now[name], then[name], rtol=1e-12)


def check_point(step, model):
    point = model.initial_point()
    step.setup_chain(np.random.default_rng(0), 1, 2)
    new, [stats] = step.step(point)
    assert {k: (v.shape, v.dtype) for k, v in new.items()} == {
        k: (v.shape, v.dtype) for k, v in point.items()
    }
    assert set(stats) == set(step.stats_dtypes_shapes)
    assert all(isinstance(value, np.ndarray) for value in new.values())


def test_points_are_arrays_named_and_shaped_as_pymc_has_them(step):
    check_point(step, MODEL)


def test_points_of_a_vector_and_a_scalar(make_step, backend):
    model = logistic_model()
    check_point(make_step("logistic", model, backend=backend, **short("sgld")), model)


@pytest.mark.parametrize("rule", RULES.values(), ids=RULES)
def test_the_update_on_jax_is_that_of_numpy(rule):
    """One step of the rule alone, on a quartic density."""
    require_backend("jax")
    states = {one: pt.dvector(one) for one in ("position", *rule.extra_state)}
    known = {"gradient_noise": pt.dvector()} if rule.compensates else {}
    noise, step_size, temperature = pt.dmatrix(), pt.dscalar(), pt.dscalar()
    new = rule.update(
        states,
        lambda position: 1 - position**3,
        step_size=step_size,
        temperature=temperature,
        noise=noise,
        **known,
    )
    inputs = [*states.values(), noise, step_size, temperature, *known.values()]
    rng = np.random.default_rng(0)
    values = [rng.uniform(0.5, 1.5, 3) for _ in states]
    values += [rng.normal(size=(rule.noise_vectors, 3)), 0.1, 4.0]
    values += [np.full(3, 0.7)] * len(known)
    found = [
        pytensor.function(inputs, list(new.values()), mode=mode, on_unused_input="ignore")(*values)
        for mode in (sampling_mode("jax"), "FAST_COMPILE")
    ]
    for on_jax, on_numpy in zip(*found, strict=True):
        np.testing.assert_allclose(on_jax, on_numpy, rtol=1e-12)
    assert not np.array_equal(found[0][list(new).index("position")], values[0])


@pytest.mark.parametrize("name", SAMPLERS)
def test_documented_with_update_order_gradients_and_reference(name):
    text = inspect.getdoc(REGISTRY[name].rule_class)
    assert ".. math::" in text
    assert "order" in text and re.search(r"gradients? per step", text)
    assert re.search(r"https://(doi|dl\.acm|jmlr)", text)
    assert psg.samplers()[name] == inspect.getdoc(REGISTRY[name]).splitlines()[0]


def test_the_table_of_the_guide_has_every_name_once():
    guide = (Path(__file__).parents[1] / "docs/choosing-a-sampler.md").read_text()
    table = guide.split("## All samplers")[1].split("\n## ")[0]
    named = re.findall(r"^\| `([a-z_]+)` \|", table, flags=re.MULTILINE)
    assert sorted(named) == SAMPLERS


def test_every_file_of_samplers_is_registered():
    # the public function psg.samplers hides the folder's attribute of the same name
    rules = importlib.import_module("pymc_sgld.samplers")
    modules = {module.name for module in pkgutil.iter_modules(rules.__path__)}
    modules -= {"_base", "_metropolis", "rows"}
    classes = [step_method.rule_class for step_method in REGISTRY.values()]
    classes.append(rules.RestartedLangevin)  # that "auto" may take instead of its own
    used = {rule.__module__.rsplit(".", 1)[1] for rule in classes}
    assert modules == used


@pytest.mark.parametrize("name", SAMPLERS)
def test_by_its_name_alone_the_spread_is_right(name):
    """A Gaussian mean with 400 rows, everything left out: variance within 20 % of the exact one."""
    with MODEL:
        idata = psg.sample(
            name,
            2000,
            tune=100,
            chains=2,
            cores=1,
            random_seed=1,
            progressbar=False,
            **batches(name, 100),
        )
    variance = 1 / (N_ROWS / 4 + 1 / 100)
    draws = idata.posterior["mu"].values
    assert draws.var() / variance == pytest.approx(1.05, abs=0.15)
    assert abs(draws.mean() - variance * Y.sum() / 4) < 0.15 * np.sqrt(variance)
