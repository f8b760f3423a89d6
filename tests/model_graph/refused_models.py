"""Named models that `row_model` must refuse, each with its exact message."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt

from pytensor.graph.basic import Apply
from pytensor.graph.op import Op

from tests.model_graph.accepted_models import (
    BINARY,
    COUNTS,
    GROUP,
    N,
    X,
    Y,
    Y2,
    K,
    coefficients,
)

REFUSED: dict[str, tuple[Callable[[], tuple[pm.Model, dict]], str]] = {}


def refused(message: str, **options):
    """Register a function that adds variables to the model of the context."""

    def decorate(build):
        def make():
            with pm.Model(coords={"obs": np.arange(N), "period": np.arange(5)}) as model:
                build()
            return model, options

        REFUSED[build.__name__] = (make, message)
        return build

    return decorate


@refused("")
def no_observed_variable():
    pm.Normal("b")


@refused("")
def no_free_variable():
    pm.Normal("y", 0, 1, observed=Y)


@refused("")
def nothing_but_a_scalar_potential():
    pm.Potential("p", -pm.Normal("b") ** 4)


@refused("")
def discrete_free_variables():
    z = pm.Bernoulli("z", 0.5, shape=7)
    k = pm.Poisson("k", 3)
    pm.Normal("y", z[GROUP] + k, 1.0, observed=Y)


@refused("")
def discrete_missing_values():
    counts = np.ma.masked_array(COUNTS, mask=np.arange(N) < 2)
    pm.Poisson("y", pm.math.exp(X @ coefficients()), observed=counts)


@refused("")
def autoregression():
    pm.AR("y", rho=pm.Normal("rho", shape=2), sigma=1.0, observed=Y)


@refused("")
def random_walk_observed():
    pm.GaussianRandomWalk("y", 0, pm.HalfNormal("s"), init_dist=pm.Normal.dist(), observed=Y)


@refused("")
def marginal_gaussian_process():
    gp = pm.gp.Marginal(cov_func=pm.gp.cov.ExpQuad(1, ls=pm.HalfNormal("ls")))
    gp.marginal_likelihood("y", X=X[:, :1], y=Y, sigma=0.5)


@refused("")
def one_multivariate_normal_over_rows():
    pm.MvNormal("y", mu=X @ coefficients(), cov=np.eye(N), observed=Y)


@refused("", rows={"y": 1})
def axis_of_the_support():
    pm.MvNormal("y", mu=np.zeros(K) + pm.Normal("m"), cov=np.eye(K), observed=Y2)


@refused("")
def softmax_over_rows():
    p = pm.math.softmax(X @ coefficients(), axis=0)
    pm.Normal("y", p, 1.0, observed=Y)


@refused("")
def cumulative_sum_over_rows():
    pm.Normal("y", pt.cumsum(X @ coefficients()), 1.0, observed=Y)


@refused("")
def sort_over_rows():
    pm.Normal("y", pt.sort(X @ coefficients()), 1.0, observed=Y)


@refused("")
def concatenate_over_rows():
    b = coefficients()
    pm.Normal("y", pt.concatenate([X[:30] @ b, X[30:] @ b]), 1.0, observed=Y)


@refused("")
def long_format_by_flatten():
    mu = (X @ pm.Normal("W", shape=(3, K))).flatten()
    pm.Normal("y", mu, 1.0, observed=Y2.flatten())


@refused("")
def latent_variable_per_row():
    z = pm.Normal("z", dims="obs")
    pm.Poisson("y", pm.math.exp(z), observed=COUNTS)


@refused("")
def latent_random_walk_per_row():
    walk = pm.GaussianRandomWalk("walk", 0, 1.0, steps=N - 1, init_dist=pm.Normal.dist())
    pm.Normal("y", walk, 1.0, observed=Y)


@refused("")
def latent_gaussian_process_per_row():
    gp = pm.gp.Latent(cov_func=pm.gp.cov.ExpQuad(1, ls=pm.HalfNormal("ls")))
    pm.Normal("y", gp.prior("f", X=X[:, :1]), 1.0, observed=Y)


@refused("")
def mean_of_the_predictor():
    mu = X @ coefficients()
    pm.Normal("y", mu - mu.mean(), 1.0, observed=Y)


@refused("")
def potential_that_stays_whole():
    b = coefficients()
    pm.Normal("y", X @ b, 1.0, observed=Y)
    pm.Potential("p", -pt.sqr(pt.exp(pm.Data("X", X) @ b).sum()))


@refused("", rows="time")
def unknown_row_dimension():
    pm.Normal("y", X @ coefficients(), 1.0, observed=Y, dims="obs")


@refused("", rows={"z": 0})
def unknown_observed_name():
    pm.Normal("y", X @ coefficients(), 1.0, observed=Y)


@refused("", rows={"y": None})
def all_kept_whole():
    pm.Normal("y", X @ coefficients(), 1.0, observed=Y)


@refused("")
def wrong_total_size():
    pm.Normal("y", X @ coefficients(), 1.0, observed=Y, total_size=50)


@refused("")
def total_size_on_another_axis():
    pm.Normal("y", X @ pm.Normal("W", shape=(3, K)), 1.0, observed=Y2, total_size=[N, K])


@refused("")
def minibatch_without_total_size():
    xb, yb = pm.Minibatch(X, Y, batch_size=10)
    pm.Normal("y", xb @ coefficients(), 1.0, observed=yb)


@refused("")
def minibatch_with_wrong_total_size():
    xb, yb = pm.Minibatch(X, Y, batch_size=10)
    pm.Normal("y", xb @ coefficients(), 1.0, observed=yb, total_size=1000)


@refused("")
def two_minibatch_calls():
    xb = pm.Minibatch(X, batch_size=10)
    yb = pm.Minibatch(Y, batch_size=10)
    pm.Normal("y", xb @ coefficients(), 1.0, observed=yb, total_size=N)


@refused("")
def minibatch_mean():
    xb, yb = pm.Minibatch(X, Y, batch_size=10)
    pm.Normal("y", (xb - xb.mean(axis=0)) @ coefficients(), 1.0, observed=yb, total_size=N)


@refused("")
def minibatch_length_as_a_number():
    xb, yb = pm.Minibatch(X, Y, batch_size=10)
    pm.Normal("y", xb @ coefficients() / xb.shape[0], 1.0, observed=yb, total_size=N)


@refused("")
def minibatch_beside_a_fixed_array():
    xb, yb = pm.Minibatch(X, Y, batch_size=10)
    mu = xb @ coefficients() + pt.as_tensor(X[:10, 0])
    pm.Normal("y", mu, 1.0, observed=yb, total_size=N)


@refused("")
def minibatch_in_a_potential():
    xb, yb = pm.Minibatch(X, Y, batch_size=10)
    pm.Potential("p", -((yb - xb @ coefficients()) ** 2).sum())


@refused("")
def nan_in_a_predictor():
    x = X.copy()
    x[[5, 7], 1] = np.nan
    pm.Normal("y", pt.as_tensor(x, name="x") @ coefficients(), 1.0, observed=Y)


@refused("")
def infinite_response():
    pm.Normal("y", X @ coefficients(), 1.0, observed=np.where(np.arange(N) == 4, np.inf, Y))


class BlackBox(Op):
    """Doubles its input, unknown to the row rules."""

    __props__ = ()

    def make_node(self, x):
        return Apply(self, [x], [x.type()])

    def perform(self, node, inputs, outputs):
        outputs[0][0] = 2 * inputs[0]

    def pullback(self, inputs, outputs, gradients):
        return [2 * gradients[0]]


@refused("")
def black_box_operation():
    pm.Normal("y", BlackBox()(X @ coefficients()), 1.0, observed=Y)


@refused("")
def scan_over_rows():
    def step(x, state, b):
        return 0.5 * state + x @ b

    states = pytensor.scan(step, sequences=[pt.as_tensor(X)], outputs_info=[pt.zeros(())],
                           non_sequences=[coefficients()], return_updates=False)
    pm.Normal("y", states, 1.0, observed=Y)


@refused("")
def cox_partial_likelihood():
    eta = X @ coefficients()
    risk = pt.log(pt.cumsum(pt.exp(eta)[::-1])[::-1])
    pm.Potential("partial", ((eta - risk) * BINARY).sum())


@refused("")
def eight_schools():
    theta = pm.Normal("mu") + pm.HalfNormal("tau") * pm.Normal("z", shape=8)
    pm.Normal("y", theta, 10.0, observed=np.arange(8.0))
