"""Named models that `row_model` must refuse, each with its exact message."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from pytensor.graph.basic import Apply
from pytensor.graph.op import Op

from tests.model_graph.accepted_models import (
    BINARY,
    COUNTS,
    GROUP,
    Y2,
    K,
    N,
    X,
    Y,
    coefficients,
)

REFUSED: dict[str, tuple[Callable[[], tuple[pm.Model, dict]], str]] = {}


def refused(message: str, **options):
    """Register a function that adds variables to the model of the context."""

    def decorate(build):
        def make():
            with pm.Model(
                coords={
                    "obs": np.arange(N),
                    "period": np.arange(5),
                    "user": np.arange(7),
                    "item": np.arange(N),
                }
            ) as model:
                build()
            return model, options

        REFUSED[build.__name__] = (make, message)
        return build

    return decorate


@refused(
    "Nothing to minibatch: the model has no observed variable. Give the likelihood "
    "observed=..., or use pm.sample() for a model without data.",
)
def no_observed_variable():
    pm.Normal("b")


@refused(
    "Nothing to sample: the model has no free variable. Add priors for the parameters.",
)
def no_free_variable():
    pm.Normal("y", 0, 1, observed=Y)


@refused(
    "Nothing to minibatch: no potential is a sum over rows of data. Write the potential as a "
    "vector, or use pm.sample().",
)
def nothing_but_a_scalar_potential():
    pm.Potential("p", -(pm.Normal("b") ** 4))


@refused(
    "Cannot take gradients with respect to 'z', 'k': discrete free variables have no "
    "gradient. Marginalise them with pymc_extras.marginalize(model, ['z', 'k']), or use "
    "pm.sample(), which combines NUTS with discrete steps.",
)
def discrete_free_variables():
    z = pm.Bernoulli("z", 0.5, shape=7)
    k = pm.Poisson("k", 3)
    pm.Normal("y", z[GROUP] + k, 1.0, observed=Y)


@refused(
    "'y' has missing values to impute, but is discrete and has no gradient. Drop the rows "
    "with missing values, or use pm.sample(), which combines NUTS with discrete steps.",
)
def discrete_missing_values():
    counts = np.ma.masked_array(COUNTS, mask=np.arange(N) < 2)
    pm.Poisson("y", pm.math.exp(X @ coefficients()), observed=counts)


@refused(
    "Cannot minibatch 'y': its log-density is one number for all rows together "
    "(AutoRegressiveRV); the rows are not conditionally independent. Use pm.sample() (NUTS), "
    "or a state-space form, or rows={'y': None} to evaluate it in full at every step.",
)
def autoregression():
    pm.AR("y", rho=pm.Normal("rho", shape=2), sigma=1.0, observed=Y)


@refused(
    "Cannot minibatch 'y': its log-density is one number for all rows together "
    "(RandomWalkRV); the rows are not conditionally independent. Use pm.sample() (NUTS), or "
    "a state-space form, or rows={'y': None} to evaluate it in full at every step.",
)
def random_walk_observed():
    pm.GaussianRandomWalk("y", 0, pm.HalfNormal("s"), init_dist=pm.Normal.dist(), observed=Y)


@refused(
    "Cannot minibatch 'y': its log-density is one number for all rows together (MvNormalRV); "
    "the rows are not conditionally independent. Use pm.sample() (NUTS), or a state-space "
    "form, or rows={'y': None} to evaluate it in full at every step.",
)
def marginal_gaussian_process():
    gp = pm.gp.Marginal(cov_func=pm.gp.cov.ExpQuad(1, ls=pm.HalfNormal("ls")))
    gp.marginal_likelihood("y", X=X[:, :1], y=Y, sigma=0.5)


@refused(
    "Cannot minibatch 'y': its log-density is one number for all rows together (MvNormalRV); "
    "the rows are not conditionally independent. Use pm.sample() (NUTS), or a state-space "
    "form, or rows={'y': None} to evaluate it in full at every step.",
)
def one_multivariate_normal_over_rows():
    pm.MvNormal("y", mu=X @ coefficients(), cov=np.eye(N), observed=Y)


@refused(
    "Cannot minibatch 'y' along axis 1: its log-density (MvNormalRV) has independent entries "
    "along 1 leading axes only. Pass rows={'y': 0} or another axis below 1.",
    rows={"y": 1},
)
def axis_of_the_support():
    pm.MvNormal("y", mu=np.zeros(K) + pm.Normal("m"), cov=np.eye(K), observed=Y2)


@refused(
    "Cannot minibatch 'y' along axis 0: rows are mixed by Softmax{axis=(0,)} of 'b'. Pass "
    "rows={'y': None} to evaluate it in full at every step, or use pm.sample() (NUTS).",
)
def softmax_over_rows():
    p = pm.math.softmax(X @ coefficients(), axis=0)
    pm.Normal("y", p, 1.0, observed=Y)


@refused(
    "Cannot minibatch 'y' along axis 0: rows are mixed by Cumsum{axis=0} of 'b'. Pass "
    "rows={'y': None} to evaluate it in full at every step, or use pm.sample() (NUTS).",
)
def cumulative_sum_over_rows():
    pm.Normal("y", pt.cumsum(X @ coefficients()), 1.0, observed=Y)


@refused(
    "Cannot minibatch 'y' along axis 0: rows are mixed by SortOp{kind='quicksort', axis=0} "
    "of 'b'. Pass rows={'y': None} to evaluate it in full at every step, or use pm.sample() "
    "(NUTS).",
)
def sort_over_rows():
    pm.Normal("y", pt.sort(X @ coefficients()), 1.0, observed=Y)


@refused(
    "Cannot minibatch 'y' along axis 0: parameter 'z' has one entry per row (local latent). "
    ""
    "Marginalise it: psg.sample does where a row has one or two, and psg.marginal_model "
    "returns the model; else write the density of a row with it integrated out. Pass "
    "rows={'y': None} to "
    "evaluate it in full at every step, or use pm.sample() (NUTS).",
)
def latent_variable_per_row():
    z = pm.Normal("z", dims="obs")
    pm.Poisson("y", pm.math.exp(z), observed=COUNTS)


@refused(
    "Cannot minibatch 'y' along axis 0: parameter 'walk' has one entry per row (local "
    "latent). "
    "Marginalise it: psg.sample does where a row has one or two, and psg.marginal_model "
    "returns the model; else write the density of a row with it integrated out. Pass "
    "rows={'y': None} to evaluate it in full at every step, or use pm.sample() (NUTS).",
)
def latent_random_walk_per_row():
    walk = pm.GaussianRandomWalk("walk", 0, 1.0, steps=N - 1, init_dist=pm.Normal.dist())
    pm.Normal("y", walk, 1.0, observed=Y)


@refused(
    "Cannot minibatch 'y' along axis 0: rows are mixed by Cholesky of 'ls_log__'. Pass "
    "rows={'y': None} to evaluate it in full at every step, or use pm.sample() (NUTS).",
)
def latent_gaussian_process_per_row():
    gp = pm.gp.Latent(cov_func=pm.gp.cov.ExpQuad(1, ls=pm.HalfNormal("ls")))
    pm.Normal("y", gp.prior("f", X=X[:, :1]), 1.0, observed=Y)


@refused(
    "Cannot minibatch 'y': constant of shape (60, 3) still enters in full through Matmul, so "
    "every step would cost O(N). If this is a mean over rows of X @ b, write X.mean(0) @ b. "
    "row_model(..., allow_full_terms=True) keeps it (exact, slow).",
)
def mean_of_the_predictor():
    mu = X @ coefficients()
    pm.Normal("y", mu - mu.mean(), 1.0, observed=Y)


@refused(
    "Cannot minibatch 'y': constant of shape (60, 3) still enters in full through Matmul, so "
    "every step would cost O(N). If this is a mean over rows of X @ b, write X.mean(0) @ b. "
    "row_model(..., allow_full_terms=True) keeps it (exact, slow).",
)
def mean_over_rows_of_other_data():
    other = (X[::-1] @ pm.Normal("c", shape=3)).mean()
    pm.Normal("y", X @ coefficients() + other, 1.0, observed=Y)


@refused(
    "Cannot minibatch 'y': 'X' still enters in full through Matmul, so "
    "every step would cost O(N). If this is a mean over rows of X @ b, write X.mean(0) @ b. "
    "row_model(..., allow_full_terms=True) keeps it (exact, slow).",
)
def mean_over_a_slice_of_the_rows():
    data, b = pm.Data("X", X), coefficients()
    pm.Normal("y", data @ b - (data[1:] @ b).mean(), 1.0, observed=Y)


@refused(
    "Cannot minibatch 'y': constant of shape (65, 3) still enters in full through Matmul, so "
    "every step would cost O(N). If this is a mean over rows of X @ b, write X.mean(0) @ b. "
    "row_model(..., allow_full_terms=True) keeps it (exact, slow).",
)
def mean_over_rows_joined_with_some_of_them():
    data, b = pt.as_tensor(X), coefficients()
    pm.Normal("y", data @ b - (pt.concatenate([data, data[:5]]) @ b).mean(), 1.0, observed=Y)


@refused(
    "Cannot minibatch 'y': constant of shape (60, 60) still enters in full through Matmul, so "
    "every step would cost O(N). If this is a mean over rows of X @ b, write X.mean(0) @ b. "
    "row_model(..., allow_full_terms=True) keeps it (exact, slow).",
)
def mean_over_as_many_features_as_rows():
    mu = np.outer(Y, Y) @ pm.Normal("b", shape=N)
    pm.Normal("y", mu - mu.mean(), 1.0, observed=Y)


@refused(
    "Cannot minibatch 'y': 'X' still enters in full through Mul, so "
    "every step would cost O(N). If this is a mean over rows of X @ b, write X.mean(0) @ b. "
    "row_model(..., allow_full_terms=True) keeps it (exact, slow).",
)
def gram_matrix_of_rows():
    data, b = pm.Data("X", X), coefficients()
    pm.Normal("y", data @ b + pt.exp(b[0] * (data @ data.T)).sum(), 1.0, observed=Y)


@refused(
    "Cannot minibatch 'y': constant of shape (60, 3) still enters in full through Matmul, so "
    "every step would cost O(N). If this is a mean over rows of X @ b, write X.mean(0) @ b. "
    "row_model(..., allow_full_terms=True) keeps it (exact, slow).",
)
def mean_over_picked_rows():
    mu = X @ coefficients()
    pm.Normal("y", mu - mu[GROUP].mean(), 1.0, observed=Y)


@refused(
    "Potential 'p' cannot be split by rows: 'X' still enters in full through Matmul, so "
    "every step would cost O(N). If this is a mean over rows of X @ b, write X.mean(0) @ b. "
    "row_model(..., allow_full_terms=True) keeps it (exact, slow).",
)
def potential_that_stays_whole():
    b = coefficients()
    pm.Normal("y", X @ b, 1.0, observed=Y)
    pm.Potential("p", -pt.sqr(pt.exp(pm.Data("X", X) @ b).sum()))


@refused(
    "Row dimension 'time' is unknown: no observed variable has it. Dimensions of observed "
    'variables are \'obs\'; pass one of these, or rows="auto", or rows={"<observed>": <axis>}.',
    rows="time",
)
def unknown_row_dimension():
    pm.Normal("y", X @ coefficients(), 1.0, observed=Y, dims="obs")


@refused("'z' in rows is no observed variable; these are 'y'. Use their names.", rows={"z": 0})
def unknown_observed_name():
    pm.Normal("y", X @ coefficients(), 1.0, observed=Y)


@refused(
    "Nothing to minibatch: 'y' is evaluated in full at every step. Pass rows={'y': 0} to "
    "split it, or use pm.sample().",
    rows={"y": None},
)
def all_kept_whole():
    pm.Normal("y", X @ coefficients(), 1.0, observed=Y)


@refused(
    "total_size=50 of 'y' differs from the 60 rows of its data. Write total_size=60, or "
    "leave it out: row_model knows the length.",
)
def wrong_total_size():
    pm.Normal("y", X @ coefficients(), 1.0, observed=Y, total_size=50)


@refused(
    "total_size=[60, 4] of 'y' scales another axis than the rows (axis 0). Give "
    "total_size=60 for the rows alone.",
)
def total_size_on_another_axis():
    pm.Normal("y", X @ pm.Normal("W", shape=(3, K)), 1.0, observed=Y2, total_size=[N, K])


@refused(
    "'y' is observed on a pm.Minibatch without total_size, so PyMC would not rescale its "
    "likelihood. Write total_size=60 in 'y', or pass the full data instead of a pm.Minibatch.",
)
def minibatch_without_total_size():
    xb, yb = pm.Minibatch(X, Y, batch_size=10)
    pm.Normal("y", xb @ coefficients(), 1.0, observed=yb)


@refused(
    "total_size=1000 of 'y' differs from the 60 rows of its data. Write total_size=60, or "
    "leave it out: row_model knows the length.",
)
def minibatch_with_wrong_total_size():
    xb, yb = pm.Minibatch(X, Y, batch_size=10)
    pm.Normal("y", xb @ coefficients(), 1.0, observed=yb, total_size=1000)


@refused(
    "Cannot minibatch 'y': its data come from 2 separate pm.Minibatch calls, which draw "
    "different rows. Write one call: X, y = pm.Minibatch(X, y, batch_size=...).",
)
def two_minibatch_calls():
    xb = pm.Minibatch(X, batch_size=10)
    yb = pm.Minibatch(Y, batch_size=10)
    pm.Normal("y", xb @ coefficients(), 1.0, observed=yb, total_size=N)


@refused(
    "Cannot minibatch 'y': the length of a pm.Minibatch enters as a number (x.shape[0], or a "
    "mean over the rows of the batch); it is not the number of rows. Compute it beforehand "
    "from the full data.",
)
def minibatch_mean():
    xb, yb = pm.Minibatch(X, Y, batch_size=10)
    pm.Normal("y", (xb - xb.mean(axis=0)) @ coefficients(), 1.0, observed=yb, total_size=N)


@refused(
    "Cannot minibatch 'y': the length of a pm.Minibatch enters as a number (x.shape[0], or a "
    "mean over the rows of the batch); it is not the number of rows. Compute it beforehand "
    "from the full data.",
)
def minibatch_length_as_a_number():
    xb, yb = pm.Minibatch(X, Y, batch_size=10)
    pm.Normal("y", xb @ coefficients() / xb.shape[0], 1.0, observed=yb, total_size=N)


@refused(
    "Cannot minibatch 'y' along axis 0: constant of shape (10,) enters with one entry per "
    "batch position while other data come from pm.Minibatch. Pass it through the same "
    "pm.Minibatch call. Pass rows={'y': None} to evaluate it in full at every step, or use "
    "pm.sample() (NUTS).",
)
def minibatch_beside_a_fixed_array():
    xb, yb = pm.Minibatch(X, Y, batch_size=10)
    mu = xb @ coefficients() + pt.as_tensor(X[:10, 0])
    pm.Normal("y", mu, 1.0, observed=yb, total_size=N)


@refused(
    "Potential 'p' is written on a pm.Minibatch, which PyMC does not rescale. Write it on "
    "the full data: row_model draws the rows by itself.",
)
def minibatch_in_a_potential():
    xb, yb = pm.Minibatch(X, Y, batch_size=10)
    pm.Potential("p", -((yb - xb @ coefficients()) ** 2).sum())


@refused(
    "'x' has 2 NaN entries of 180, the first in row 5, so that the log-density of 'y' is not "
    "finite. Drop these rows or impute the entries before building the model.",
)
def nan_in_a_predictor():
    x = X.copy()
    x[[5, 7], 1] = np.nan
    pm.Normal("y", pt.as_tensor(x, name="x") @ coefficients(), 1.0, observed=Y)


@refused(
    "'y' has 1 infinite entries of 60, the first in row 4, so that the log-density of 'y' is not "
    "finite. Drop these rows or impute the entries before building the model.",
)
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


@refused(
    "Cannot minibatch 'y' along axis 0: no row rule for BlackBox of 'b'. Evaluate it "
    "beforehand if it depends on data only, or write one with register_row_rule(BlackBox). "
    "Pass rows={'y': None} to evaluate it in full at every step, or use pm.sample() (NUTS).",
)
def black_box_operation():
    pm.Normal("y", BlackBox()(X @ coefficients()), 1.0, observed=Y)


@refused(
    "Nothing to minibatch: potential 'partial' is no sum over rows: rows are mixed by "
    "Cumsum{axis=0} of 'b'. Write the potential as a vector, or use pm.sample().",
)
def cox_partial_likelihood():
    eta = X @ coefficients()
    risk = pt.log(pt.cumsum(pt.exp(eta)[::-1])[::-1])
    pm.Potential("partial", ((eta - risk) * BINARY).sum())


@refused(
    "Cannot minibatch 'y' along axis 0: parameter 'z' has one entry per row (local latent). "
    ""
    "Marginalise it: psg.sample does where a row has one or two, and psg.marginal_model "
    "returns the model; else write the density of a row with it "
    "integrated out. Pass rows={'y': None} to "
    "evaluate it in full at every step, or use pm.sample() (NUTS).",
)
def eight_schools():
    theta = pm.Normal("mu") + pm.HalfNormal("tau") * pm.Normal("z", shape=8)
    pm.Normal("y", theta, 10.0, observed=np.arange(8.0))
