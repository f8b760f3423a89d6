"""Estimators that compare with the past: unbiased whatever they remember, and with known laws."""

import logging

from dataclasses import replace

import numpy as np
import pymc as pm
import pytest

import pymc_sgld as psg

from pymc_sgld.chain.step_graph import loop_constants
from pymc_sgld.gradient_estimators import ControlVariate, Saga, Svrg
from pymc_sgld.row_sources import BlockLayout, FixedBlocks
from pymc_sgld.tuning import centre_parameters
from pymc_sgld.types import Randomness
from tests.affine_law import AffineStep
from tests.conftest import require_backend
from tests.targets import linear_regression, logistic_model

N_ROWS = 11


def small_step(make_step, sampler, batch_size, backend="numba"):
    return make_step(
        "logistic-small",
        logistic_model(n_rows=N_ROWS),
        sampler=sampler,
        step_size=0.1,
        batch_size=batch_size,
        backend=backend,
    )


def run_loop(chain, position, start, remembered=None, leaves=None):
    """The estimate the compiled loop uses: a step of 1 without noise moves by it; and the fresh."""
    batches = chain.batches
    constants = loop_constants(
        batch_sizes=batches.batch_sizes,
        scales=batches.total_sizes / batches.batch_sizes,
        gradient_noise=None,
        estimator_parameters=chain.state.estimator_parameters,
        metric_parameters=(),
        leaves=leaves,
    )
    quiet = Randomness(np.array([[start]]), np.zeros((1, 1, chain.n_dim)))
    one, state = np.ones(1), {"position": position}
    if remembered is None:
        return chain.loop.run(state, quiet, one, one, constants)["position"] - position, None
    moved, fresh = chain.loop.run_remembering(state, quiet, one, one, constants, remembered[None])
    return moved["position"] - position, fresh[0]


def leaves_of(chain):
    return chain.batches.arrays("law", lambda group: np.random.default_rng(3).permutation(N_ROWS))


@pytest.mark.parametrize(
    ("batch_size", "backend"),
    [(1, "numba"), (3, "numba"), (7, "numba"), (11, "numba"), (3, "jax")],
)
def test_saga_is_unbiased_for_any_table(make_step, backend, batch_size):
    """Over all blocks with their probabilities; n divides N at 1 and 11, and not at 3 and 7."""
    require_backend(backend)
    step = small_step(make_step, "saga_ld", batch_size, backend)
    chain, rng = step.chain, np.random.default_rng(0)
    chain.restart((1, 2), 1, 1)
    layout = BlockLayout(N_ROWS, batch_size)
    starts = np.unique(layout.block_start(np.arange(N_ROWS)))
    assert (layout.number(starts) == np.arange(layout.count)).all()
    leaves = leaves_of(chain)
    chain.state.gradient_table = rng.normal(size=(layout.count, chain.n_dim)) * 30
    for _ in range(2):
        position = rng.normal(size=chain.n_dim)
        table = chain.state.gradient_table
        chain.state.estimator_parameters = (layout.probabilities @ table,)
        found = [
            run_loop(chain, position, start, table[number], leaves)
            for number, start in enumerate(starts)
        ]
        estimates, fresh = map(np.array, zip(*found, strict=True))
        full = chain.block_function.full(position)[1]
        np.testing.assert_allclose(layout.probabilities @ estimates, full, rtol=1e-10, atol=1e-10)
        if layout.count > 1:
            assert (estimates.std(axis=0) > 0.1).all()
        # after an update of some entries: again any table
        chain.state.gradient_table = np.where(np.arange(layout.count)[:, None] % 2, table, fresh)


@pytest.mark.parametrize("batch_size", [3, 7])
def test_svrg_is_unbiased_for_any_anchor_and_exact_there(make_step, batch_size):
    chain = small_step(make_step, "svrg_ld", batch_size).chain
    chain.restart((1, 2), 0, 1)
    anchor, position = np.random.default_rng(0).normal(size=(2, chain.n_dim))
    chain.steps.renew_anchors(0, anchor)
    np.testing.assert_array_equal(chain.state.estimator_parameters[0], anchor)
    leaves = leaves_of(chain)
    for at, spread in ((position, True), (anchor, False)):
        estimates = np.array([run_loop(chain, at, s, None, leaves)[0] for s in range(N_ROWS)])
        full = chain.block_function.full(at)[1]
        np.testing.assert_allclose(estimates.mean(axis=0), full, rtol=1e-10, atol=1e-10)
        assert (estimates.std(axis=0) > 1e-3).all() == spread


def test_svrg_with_a_frozen_anchor_has_the_law_of_the_control_variate(make_step, regression):
    """Gaussian with another curvature in each batch: mean and covariance over all batches."""
    anchor = regression.mean + 0.1
    laws = []
    for sampler in ("svrg_ld", "sgld_cv"):
        step = make_step(
            "regression", regression.model(), sampler=sampler, step_size=0.1, batch_size=100
        )
        step.chain.restart((1, 2), 1, 1)
        rows = regression.design.T @ (regression.outcome - regression.design @ anchor)
        step.chain.state.estimator_parameters = (anchor, rows)
        step.chain.batches.scheme = FixedBlocks()  # without a ring: windows of both as likely
        laws.append(AffineStep(step, 0.3 / np.linalg.eigvalsh(regression.precision)[-1], 4.0))
    (mean, covariance), (mean_cv, covariance_cv) = (law.stationary() for law in laws)
    np.testing.assert_allclose(mean, regression.mean, rtol=1e-8)
    np.testing.assert_allclose(mean, mean_cv, rtol=1e-10)
    np.testing.assert_allclose(covariance, covariance_cv, rtol=1e-10)


def draws_of(step, n_draws, steps_per_draw, gradient=None, key=(1, 2)):
    """Draws by the chain alone, from the origin, without tuning and measuring."""
    chain = step.chain
    settings = chain.settings
    kernel = settings.kernel._replace(estimator=gradient or settings.kernel.estimator)
    chain.settings = replace(settings, steps_per_draw=steps_per_draw, kernel=kernel)
    chain.restart(key, 0, n_draws)
    position, draws = chain.start(np.zeros(chain.n_dim)), []
    for _ in range(n_draws):
        draws.append(chain.draw(position))
        position = draws[-1].position
    chain.settings = settings
    return draws


def test_svrg_on_shared_curvature_is_the_full_batch_chain(make_step, gaussian):
    """Whatever the anchors, no noise is left: the same draws from the same random numbers."""
    ends = {}
    for sampler, batch_size in (("svrg_ld", 3), ("sgld", 12)):
        step = make_step(
            "gaussian", gaussian.model(), sampler=sampler, step_size=0.1, batch_size=batch_size
        )
        draws = draws_of(step, 6, 25)
        ends[sampler] = np.array([draw.position for draw in draws])
    np.testing.assert_allclose(ends["svrg_ld"], ends["sgld"], rtol=1e-10)


def test_passes_count_anchors_and_tables(make_step, gaussian):
    """20 steps of 3 of 12 rows: 5 passes for each gradient of a row, and one for each anchor."""

    def step(sampler):
        return make_step("gaussian", gaussian.model(), sampler=sampler, step_size=0.1, batch_size=3)

    clocks = [draws_of(step("svrg_ld"), 3, 20, Svrg(anchor_steps=m)) for m in (5, 8, 40)]
    assert [[draw.data_passes for draw in draws] for draws in clocks] == [
        [10 + 4, 10 + 4, 10 + 4],
        [10 + 3, 10 + 2, 10 + 3],
        [10 + 1, 10 + 0, 10 + 1],
    ]
    # a table is built when the chain starts and where the rows are shuffled, after 400 steps
    passes = [draw.data_passes for draw in draws_of(step("saga_ld"), 21, 20)]
    assert passes == [5 + 1] + [5] * 19 + [5 + 1]


@pytest.mark.parametrize("batch_size", [3, 7])
def test_a_saga_chain_is_the_one_written_by_hand(make_step, batch_size):
    """Table, mean, renewals every 16 steps and the update, in numpy: equal draws."""
    step = small_step(make_step, "saga_ld", batch_size)
    chain = step.chain
    found = [draw.position for draw in draws_of(step, 6, 11)]
    streams, h = chain.streams(), 0.1
    order = streams.order(0, 0)
    layout = BlockLayout(N_ROWS, batch_size)
    ring = layout.n_apart * batch_size
    rows = [order[j * batch_size : (j + 1) * batch_size] for j in range(layout.n_apart)]
    rows += [
        order[ring:][(j * layout.stride + np.arange(batch_size)) % (N_ROWS - ring)]
        for j in range(layout.n_on_ring)
    ]

    def of_block(position, number):
        weights = [N_ROWS / batch_size]
        return chain.block_function.batch(
            position, [rows[number]], prior_weight=0.0, weights=weights
        )[1]

    x = np.zeros(chain.n_dim)
    one_row = [np.zeros(1, int)]
    table = np.array([of_block(x, number) for number in range(layout.count)])
    fresh = table.copy()
    expected = []
    for t in range(66):
        if t % 16 == 0:
            table = fresh.copy()
        [start], [noise] = (one[0] for one in streams.block(t, 1))
        number = int(layout.number(np.array(start)))
        fresh[number] = of_block(x, number)
        prior = chain.block_function.batch(x, one_row, weights=[0.0])[1]
        estimate = prior + layout.probabilities @ table + fresh[number] - table[number]
        x = x + h * estimate + np.sqrt(2 * h) * noise
        expected.append(x)
    np.testing.assert_allclose(found, expected[10::11], rtol=1e-9, atol=1e-9)


def live_saga_variance(h, curvature, of_rows, n_blocks, between, per_table, at):
    """Exact variance at step ``at`` of the cycle of a table, for rows that share a curvature.

    With x_j where block j was last seen: x' = (1 - h A) x + h A_rows (x_b - mean x_j) + noise.
    """
    n = 1 + 2 * n_blocks  # position, table, fresh gradients
    moment = np.zeros((n, n))
    switch = []
    for block in range(n_blocks):
        F = np.eye(n)
        F[0, 0] = 1 - h * curvature
        F[0, 1 : 1 + n_blocks] = -h * of_rows / n_blocks
        F[0, 1 + block] += h * of_rows
        F[1 + n_blocks + block] = np.eye(n)[0]
        switch.append(F)
    renew = np.eye(n)
    renew[1 : 1 + n_blocks] = np.eye(n)[1 + n_blocks :]
    rebuild = np.outer(np.ones(n), np.eye(n)[0])
    for _ in range(4):
        variances = []
        for t in range(per_table):
            first = rebuild if t == 0 else renew if t % between == 0 else np.eye(n)
            moment = first @ moment @ first.T
            variances.append(moment[0, 0])
            moment = np.mean([F @ moment @ F.T for F in switch], axis=0)
            moment[0, 0] += 2 * h
    return np.mean(np.array(variances)[at])


def test_law_of_a_live_saga_chain(make_step, gaussian):
    """The spread of where blocks were last seen widens the law, by as much as theory says."""
    step = make_step("gaussian", gaussian.model(), sampler="saga_ld", step_size=0.2, batch_size=3)
    h, of_rows = 0.2, gaussian.n_rows / gaussian.noise_sd**2
    n_draws, thin = 6000, 20
    draws = np.array([d.position for d in draws_of(step, n_draws, thin)]) - gaussian.mean
    at = np.arange(0, 400, thin)
    theory = live_saga_variance(h, gaussian.precision, of_rows, 4, 16, 400, at)
    exact_gradients = 1 / gaussian.precision / (1 - h * gaussian.precision / 2)
    assert theory > 1.3 * exact_gradients
    squares = (draws**2).mean(axis=1) / theory
    error = squares.reshape(60, -1).mean(axis=1).std() / np.sqrt(60)
    assert error < 0.02
    assert abs(squares.mean() - 1) < 4 * error
    means = draws.reshape(60, -1, 2).mean(axis=1)
    assert (np.abs(means.mean(axis=0)) < 4 * means.std(axis=0) / np.sqrt(60)).all()


def test_a_refused_draw_is_forgotten(make_step, gaussian):
    """Anchors and tables of a draw that is not finite do not outlive it."""
    for sampler in ("svrg_ld", "saga_ld"):
        step = make_step("gaussian", gaussian.model(), sampler=sampler, step_size=0.1, batch_size=3)
        draws_of(step, 1, 25)
        chain = step.chain
        anchors = chain.state.estimator_parameters
        usual = chain.plan
        chain.state.plan = replace(usual, step_size=psg.schedules.constant(1e200))
        assert chain.draw(np.zeros(2)).diverging
        chain.state.plan = usual
        if sampler == "svrg_ld":
            assert chain.state.estimator_parameters is anchors
        assert not chain.draw(np.zeros(2)).diverging
        assert np.isfinite(chain.state.estimator_parameters[0]).all()


def test_tables_say_what_they_take_and_are_refused_above_it(caplog):
    target = linear_regression(n_rows=300)
    with target.model(), caplog.at_level(logging.INFO, logger="pymc.sgld"):
        psg.step_methods.REGISTRY["saga_ld"](step_size=0.1, batch_size=100, verify=False)
        said = [record.message for record in caplog.records]
        assert any("table of 3 gradients of 3 numbers takes 0.0 MB" in one for one in said)
        with pytest.raises(
            ValueError,
            match=r"3 gradients of 3 numbers.*N=300.*n=100.*D=3.*larger batch_size.*'svrg'",
        ):
            psg.sample("saga_ld", batch_size=100, gradient=Saga(largest_table=71))


def two_groups():
    with pm.Model() as model:
        theta = pm.Normal("theta", 0, 1)
        pm.Normal("y", theta, 1, observed=np.zeros(30))
        pm.Normal("z", theta, 1, observed=np.zeros(12))
    return model


@pytest.mark.parametrize(
    ("sampler", "arguments", "message"),
    [
        ("sgld", {"batches": "epoch"}, r"batches must be one of .* Did you mean 'epochs'\?"),
        (
            "sgld",
            {"batches": "epochs", "noise_compensation": True},
            r"adds up to none.*batches='independent'",
        ),
        ("saga_ld", {"batches": "epochs"}, r"fixed blocks of rows.*batches='independent'"),
        ("svrg_ld", {"noise_compensation": True}, r"no one variance.*'control_variate'"),
        ("saga_ld", {"noise_compensation": True}, r"no one variance"),
        ("saga_ld", {}, r"one group of rows, but the model has 2.*'svrg'"),
    ],
)
def test_what_does_not_go_together(sampler, arguments, message):
    with two_groups(), pytest.raises(ValueError, match=message):
        psg.sample(sampler, batch_size=5, **arguments)


@pytest.mark.parametrize(
    ("anchor_steps", "error"), [(0, ValueError), (-3, ValueError), (2.5, TypeError)]
)
def test_anchor_steps(anchor_steps, error):
    with pytest.raises(
        error, match=r"anchor_steps must be .*>= 1, got .*steps between two anchors"
    ):
        Svrg(anchor_steps=anchor_steps)


def skewed_model():
    """A log-rate with 3 events in 40 periods; its mode log(3 / 40) is 0.17 right of its mean.

    Periods of two lengths, since rows of one curvature leave a control variate no noise at all.
    """
    lengths = np.tile([0.5, 1.5], 20)
    with pm.Model() as model:
        log_rate = pm.Flat("log_rate")
        pm.Poisson("y", lengths * pm.math.exp(log_rate), observed=np.array([1] * 3 + [0] * 37))
    return model


@pytest.mark.parametrize(
    ("move_centre", "wrong", "moves"),
    [(True, 0.0, False), (True, -1.5, True), (False, -1.5, False)],
)
def test_the_centre_moves_only_to_where_there_is_less_noise(make_step, move_centre, wrong, moves):
    """Gradients y - length * exp(x), and exp(x) has mean 3 / 40, that at the mode."""
    step = make_step(
        "skewed",
        skewed_model(),
        sampler="baoa",
        gradient=ControlVariate(move_centre=move_centre),
        noise_compensation=True,
        batch_size=10,
    )
    step.setup_chain(np.random.default_rng(0), 100, 10)
    point, chain = {"log_rate": np.array(-2.0)}, step.chain
    for number in range(100):
        point, _ = step.step(point)
        if number == 0 and wrong:
            centre = chain.state.estimator_parameters[0] + wrong
            chain.state.estimator_parameters = centre_parameters(chain.block_function, centre)
    step.stop_tuning()
    before, known = chain.state.estimator_parameters[0], chain.state.gradient_noise
    assert before == pytest.approx(np.log(3 / 40) + wrong, abs=0.05)
    step.step(point)
    after = chain.state.estimator_parameters[0]
    assert (after != before) == moves == (chain.state.gradient_noise != known)
    if moves:
        assert after == pytest.approx(0.9227843 - np.log(40), abs=0.25)  # mean, to 3 errors
        np.testing.assert_allclose(
            chain.state.gradient_noise, np.diag(chain.state.predicted_law.noise)
        )
        np.testing.assert_allclose(
            chain.state.predicted_law.known_noise, chain.state.gradient_noise
        )
