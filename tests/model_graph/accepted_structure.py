"""Named models that `row_model` must accept: loops over time, long format, joined rows."""

from __future__ import annotations

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt

from tests.model_graph.accepted_models import GROUP, Y2, K, N, X, Y, accepted, coefficients

rng = np.random.default_rng(20264)
SERIES = rng.normal(size=(N, K, 3))  # rows, time, features
LONG = rng.normal(size=(N * K, 3))


def loop(step, **arguments):
    return pytensor.scan(step, return_updates=False, **arguments)


@accepted()
def recurrent_network_per_row():
    w, u = pm.Normal("w", 0, 0.5, shape=(4, 4)), pm.Normal("u", shape=(3, 4))
    states = loop(
        lambda x, h, w, u: pt.tanh(h @ w + x @ u),
        sequences=[pm.Data("X", SERIES).dimshuffle(1, 0, 2)],
        outputs_info=[pt.zeros((N, 4))],
        non_sequences=[w, u],
    )
    pm.Normal("y", states[-1] @ pm.Normal("v", shape=4), 1.0, observed=Y)


@accepted()
def autoregression_per_row_two_lags():
    states = loop(
        lambda x, before, last, rho: rho[0] * last + rho[1] * before + x,
        sequences=[pt.as_tensor(SERIES[:, :, 0].T)],
        outputs_info=[{"initial": pt.as_tensor(SERIES[:, :2, 1].T), "taps": [-2, -1]}],
        non_sequences=[pm.Normal("rho", 0, 0.3, shape=2)],
    )
    pm.Normal("y", states.T, 1.0, observed=Y2)


@accepted()
def loop_with_two_states_and_an_output():
    def step(x, h, k, rho, c):
        return pt.tanh(rho * h + k + x), k * c + 1, h * 2

    h, _, out = loop(
        step,
        sequences=[pt.as_tensor(SERIES[:, :, 0].T)],
        outputs_info=[pt.zeros(N), pt.constant(1.0, dtype="float64") * 1, None],
        non_sequences=[pm.Normal("rho", 0, 0.3), pm.Normal("c")],
    )
    pm.Normal("y", (h + out).T, 1.0, observed=Y2)


@accepted()
def loop_over_rows_of_groups_with_data_inside():
    offset = pt.as_tensor(X[:, 0])
    states = loop(
        lambda h, rho, a: rho * h + offset + a[GROUP],
        outputs_info=[pt.as_tensor(Y)],
        non_sequences=[pm.Normal("rho", 0, 0.3), pm.Normal("a", shape=7)],
        n_steps=4,
    )
    pm.Normal("y", states[-1], 1.0, observed=Y)


@accepted()
def loop_backwards_from_a_predictor():
    states = loop(
        lambda x, h, mu, rho: rho * h + x * mu,
        sequences=[pt.as_tensor(SERIES[:, :, 0].T)],
        outputs_info=[pt.zeros(N)],
        non_sequences=[X @ coefficients(), pm.Normal("rho", 0, 0.3)],
        go_backwards=True,
    )
    pm.Normal("y", states[-1], 1.0, observed=Y)


def masked(cells):
    y = Y2.copy()
    y[cells] = np.nan
    return np.ma.masked_invalid(y)


@accepted()
def missing_values_in_rows_of_a_multivariate_normal():
    chol, _, _ = pm.LKJCholeskyCov(
        "L", n=K, eta=2.0, sd_dist=pm.Exponential.dist(1.0), compute_corr=True
    )
    y = masked(([3, 17, 40, 40], [0, 1, 1, 3]))
    pm.MvNormal("y", X @ pm.Normal("W", shape=(3, K)), chol=chol, observed=y)


@accepted()
def missing_rows_of_a_multivariate_normal():
    y = masked([3, 17])
    pm.MvNormal("y", X @ pm.Normal("W", shape=(3, K)), cov=np.eye(K), observed=y)


@accepted()
def long_format_by_flatten():
    mu = (X @ pm.Normal("W", shape=(3, K))).flatten()
    pm.Normal("y", mu, 1.0, observed=Y2.flatten())


@accepted()
def long_format_columns_first():
    mu = (pm.Data("X", X) @ pm.Normal("W", shape=(3, K))).T.flatten()
    sigma = pt.exp(pm.Normal("s", shape=K))[np.repeat(np.arange(K), N)]
    pm.Normal("y", mu, sigma, observed=Y2.T.flatten())


@accepted()
def long_predictor_made_wide():
    mu = (LONG @ coefficients()).reshape((N, K))
    pm.Normal("y", mu, pm.HalfNormal("s", shape=K), observed=Y2)


@accepted()
def long_predictor_made_wide_rows_last():
    mu = (LONG @ coefficients()).reshape((K, N))
    pm.Normal("y", mu, 1.0, observed=Y2.T)


@accepted()
def repeated_table():
    a, c = pm.Normal("a", shape=15), pm.Normal("c", shape=15)
    pm.Normal("y", pt.repeat(a, 4) + pt.tile(c, 4), 1.0, observed=Y)


@accepted()
def concatenated_rows():
    b = coefficients()
    parts = [X[:30] @ b, pm.Normal("m") * np.ones(1), pt.exp(pm.Data("X", X[31:]) @ b)]
    pm.Normal("y", pt.concatenate(parts), 1.0, observed=Y)


@accepted()
def concatenated_rows_of_matrices():
    w = pm.Normal("W", shape=(3, K))
    pm.Normal("y", pt.concatenate([X[:20] @ w, 2 * (X[20:] @ w)]), 1.0, observed=Y2)


@accepted()
def padded_difference():
    mu = X @ coefficients()
    pm.Normal("y", pt.concatenate([np.zeros(1), pt.diff(mu)]), 1.0, observed=Y)


@accepted()
def set_single_entries():
    design = pt.set_subtensor(pt.as_tensor(X)[[1, 5, 9], [0, 1, 2]], pm.Normal("m", shape=3))
    pm.Normal("y", design @ coefficients(), 1.0, observed=Y)


@accepted()
def set_rows_of_a_slice_to_a_scalar():
    mu = pt.set_subtensor((X @ coefficients())[5:50:3], pm.Normal("m"))
    pm.Normal("y", mu, 1.0, observed=Y)


@accepted()
def rolled_rows():
    # The last row comes first: one row of work for all N rows.
    pm.Normal("y", pt.roll(X @ coefficients(), 1), 1.0, observed=Y)


@accepted()
def ordered_logistic_of_one_column_of_data():
    eta = pm.Data("X", X[:, :1]) @ pm.Normal("b", shape=1)
    eta = pt.switch(pm.Data("z", X[:, 1]) > 0, eta, X @ pm.Normal("c", shape=3))
    y = rng.integers(0, 3, size=N)
    pm.OrderedLogistic("y", eta=eta, cutpoints=np.array([-1.0, 1.0]), observed=y)
