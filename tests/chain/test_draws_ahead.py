"""Draws made ahead of being asked for: what else happens between draws happens where it did."""

import pickle

import numpy as np
import pytest

from tests.targets import logistic_model


def run(step, point, n_draws):
    """Points, step sizes and whether the draw was refused."""
    rows = []
    for _ in range(n_draws):
        point, [statistics] = step.step(point)
        rows.append((point["mu"] if "mu" in point else point["beta"], *statistics.values()))
    return [row[:-1] for row in rows], point  # the last of the statistics is the time


@pytest.fixture
def step(make_step):
    step = make_step("logistic", logistic_model(), step_size=1e-3, batch_size=20)
    step.draws.most = None
    return step


def start(step, model, *, tune=10, draws=30, most=None):
    step.draws.most = most
    step.setup_chain(np.random.default_rng(1), tune, draws)
    return model.initial_point()


@pytest.fixture
def long_draws(make_step):
    """400 steps a draw: the rows are shuffled after 2500 steps, in the middle of a draw."""
    return make_step(
        "logistic", logistic_model(), step_size=1e-3, batch_size=20, steps_per_draw=400
    )


def test_a_new_order_of_the_rows_ends_no_draw(long_draws):
    runs = []
    for most in (1, 4, None):
        point = start(long_draws, logistic_model(), tune=4, draws=20, most=most)
        runs.append(run(long_draws, point, 24)[0])
    assert runs[0][-1][1:] and long_draws.chain_state.step_number == 24 * 400
    for other in runs[1:]:
        np.testing.assert_equal(other, runs[0])


def test_a_draw_that_is_refused_halves_the_step_of_those_that_follow(make_step):
    """While tuning only; afterwards the chain goes on from where it was, with the same step."""
    step = make_step(
        "logistic", logistic_model(), step_size=30.0, batch_size=20, steps_per_draw=400
    )
    for tune, all_refused in ((5, False), (0, True)):
        runs = []
        for most in (1, None):
            point = start(step, logistic_model(), tune=tune, draws=12, most=most)
            runs.append(run(step, point, tune + 12)[0])
        np.testing.assert_equal(runs[1], runs[0])
        names = list(step.stats_dtypes_shapes)
        sizes = np.array([row[1 + names.index("step_size")] for row in runs[1]])
        refused = np.array([row[1 + names.index("diverging")] for row in runs[1]])
        assert refused.any() and refused.all() == all_refused
        halved = np.cumsum([0, *refused[:tune], *np.zeros(11, dtype=bool)])
        np.testing.assert_array_equal(sizes, 30.0 / 2.0**halved)


def test_a_point_that_another_method_has_moved_is_where_the_next_draw_begins(step):
    model = logistic_model()
    point = start(step, model)
    _, point = run(step, point, 13)
    moved = {**point, "beta": point["beta"] + 0.5}
    after, _ = run(step, moved, 1)
    state = step.chain_state
    alone = start(step, model, most=1)
    _, alone = run(step, alone, 13)
    np.testing.assert_array_equal(alone["beta"], point["beta"])
    expected, _ = run(step, moved, 1)
    np.testing.assert_equal(after, expected)
    assert state.step_number == step.chain_state.step_number


def test_the_same_point_in_other_arrays_is_the_same_point(step):
    model = logistic_model()
    point = start(step, model)
    _, point = run(step, point, 13)
    after, _ = run(step, {name: one.copy() for name, one in point.items()}, 3)
    again = start(step, model)
    rows, _ = run(step, again, 16)
    np.testing.assert_equal(after, rows[13:])


def test_draws_that_wait_are_left_out_of_a_pickle(step):
    point = start(step, logistic_model(), tune=0)
    _, point = run(step, point, 12)  # eight, then as many as there are
    sizes = [len(pickle.dumps(step.draws))]
    step.draws.forget()
    sizes.append(len(pickle.dumps(step.draws)))
    assert sizes[0] == sizes[1]


def test_the_compiled_loop_is_called_once_for_many_draws(step, monkeypatch):
    calls = []
    loop = type(step.chain.loop).run_draws
    monkeypatch.setattr(
        type(step.chain.loop),
        "run_draws",
        lambda self, *args, **named: calls.append(len(args[3])) or loop(self, *args, **named),
    )
    point = start(step, logistic_model(), tune=0, draws=2000)
    run(step, point, 2000)
    assert sum(calls) == step.chain_state.step_number
    assert len(calls) < 200
