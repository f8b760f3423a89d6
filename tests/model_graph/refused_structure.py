"""Named models that `row_model` must refuse: loops, joined and reshaped rows, two row axes."""

from __future__ import annotations

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt

from pytensor.scan.utils import until

from tests.model_graph.accepted_models import N, X, Y, coefficients
from tests.model_graph.refused_models import refused

rng = np.random.default_rng(20265)

OR_KEEP = "Pass rows={'y': None} to evaluate it in full at every step, or use pm.sample() (NUTS)."
OR_OTHER_AXIS = OR_KEEP.replace("Pass ", "Pass rows={'y': <axis>} if rows are on another axis, ")
OTHER_ROWS = (
    "Cannot minibatch 'y' along axis 0: a loop (Scan) of %s mixes rows: a step reads other rows "
    "of the state than its own. " + OR_KEEP
)


def loop(step, initial, *constants, **arguments):
    return pytensor.scan(
        step,
        outputs_info=[initial],
        non_sequences=[pm.Normal("rho", 0, 0.3), *constants],
        return_updates=False,
        **arguments,
    )


@refused(
    "Cannot minibatch 'y' along axis 0: a loop (Scan) of 'b', 'rho' runs over the rows, each "
    "step from the one before. Write it as one series per row with the time on another axis, or "
    "in state-space form. " + OR_KEEP,
)
def loop_over_rows():
    states = loop(
        lambda x, state, rho, b: rho * state + x @ b,
        pt.zeros(()),
        coefficients(),
        sequences=[pt.as_tensor(X)],
    )
    pm.Normal("y", states, 1.0, observed=Y)


@refused(
    OTHER_ROWS % "'b', 'rho'",
)
def loop_that_reads_the_row_across():
    mu = X @ coefficients()
    states = loop(lambda h, rho, mu: rho * h[::-1] + mu, pt.zeros(N), mu, n_steps=3)
    pm.Normal("y", states[-1], 1.0, observed=Y)


@refused(
    OTHER_ROWS % "'b', 'rho'",
)
def loop_that_reads_the_mean_of_the_state():
    mu = X @ coefficients()
    states = loop(lambda h, rho, mu: rho * h.mean() + mu, pt.zeros(N), mu, n_steps=3)
    pm.Normal("y", states[-1], 1.0, observed=Y)


@refused(
    "Cannot minibatch 'y' along axis 0: rows are mixed by Softmax{axis=(0,)} of 'rho'. " + OR_KEEP,
)
def loop_that_normalises_over_rows():
    mu = X @ coefficients()
    states = loop(lambda h, rho, mu: pt.special.softmax(rho * h) + mu, pt.zeros(N), mu, n_steps=3)
    pm.Normal("y", states[-1], 1.0, observed=Y)


@refused(
    "Cannot minibatch 'y' along axis 0: a loop (Scan) of 'b', 'rho' has random draws or a "
    "stopping condition, so its rows cannot be taken apart. Write it with a fixed number of "
    "steps. " + OR_KEEP,
)
def loop_with_a_stopping_condition():
    def step(h, rho, mu):
        return rho * h + mu, until(rho > 5)

    states = loop(step, pt.zeros(N), X @ coefficients(), n_steps=3)
    pm.Normal("y", states[-1], 1.0, observed=Y)


@refused(
    "Cannot minibatch 'y' along axis 0: rows are mixed by IncSubtensor{:stop} of 'm', 'b'. "
    + OR_KEEP,
)
def increment_of_some_rows():
    mu = pt.inc_subtensor((X @ coefficients())[:5], pm.Normal("m"))
    pm.Normal("y", mu, 1.0, observed=Y)


@refused(
    "Cannot minibatch 'y' along axis 0: rows are mixed by Join{axis=0} of 'b'. " + OR_KEEP,
)
def many_parts_concatenated():
    b = coefficients()
    pm.Normal("y", pt.concatenate([X[i : i + 3] @ b for i in range(0, N, 3)]), 1.0, observed=Y)


@refused(
    "Cannot minibatch 'y' along axis 0: rows are mixed by Reshape{2} of 'b'. " + OR_OTHER_AXIS,
)
def long_format_with_many_entries_a_row():
    mu = (rng.normal(size=(N * 20, 3)) @ coefficients()).reshape((N, 20))
    pm.Normal("y", mu, 1.0, observed=rng.normal(size=(N, 20)))


@refused(
    "Cannot minibatch 'y' along axis 0: rows are mixed by Cumsum{axis=0} of 'b'. " + OR_KEEP,
)
def cumulative_sum_in_an_ordered_logistic():
    eta = pt.cumsum(X @ coefficients())
    y = rng.integers(0, 3, size=N)
    pm.OrderedLogistic("y", eta=eta, cutpoints=np.array([-1.0, 1.0]), observed=y)


@refused(
    "Cannot minibatch 'y' along axis 0: rows are mixed by Cumsum{axis=0} of 'b'. " + OR_OTHER_AXIS,
)
def cumulative_sum_beside_a_short_axis():
    # Two columns are no rows: taking them would save nothing.
    mu = pt.cumsum(X @ coefficients())
    y = rng.normal(size=(N, 2))
    pm.Normal("y", mu[:, None] * pm.Normal("w", shape=2), 1.0, observed=y)


TWO_AXES = (
    "'y' cannot have rows along two axes at once (%s): a batch holds whole rows of one axis, each "
    "drawn independently. Pass one of them, or observe the entries as one long vector with an "
    "index for each axis (u[user] * v[item]), whose rows are the entries."
)


def users_by_items(**options):
    mu = pm.Normal("u", shape=(7, 1)) + pm.Normal("v", shape=N)
    y = rng.normal(size=(7, N))
    pm.Normal("y", mu, 1.0, observed=y, dims=("user", "item"), **options)


@refused(TWO_AXES % "0, 1", rows={"y": (0, 1)})
def two_row_axes_by_number():
    users_by_items()


@refused(TWO_AXES % "'user', 'item'", rows=("user", "item"))
def two_row_axes_by_name():
    users_by_items()


@refused(
    "total_size=[None, 60] of 'y' scales another axis than the rows (axis 0). Give "
    "total_size=7 for the rows alone.",
    rows={"y": 0},
)
def total_size_on_the_second_axis_only():
    users_by_items(total_size=[None, N])


@refused(
    "'y' has rows along 'item', which is no axis. Pass its number, such as rows={'y': 0}, or "
    "None to evaluate 'y' in full, or rows= with the name of one dimension.",
    rows={"y": "item"},
)
def row_axis_given_by_name_in_a_mapping():
    users_by_items()


@refused(
    "rows=1 is no way to name the rows of 'y'. Pass the name of one dimension, or "
    'rows="auto", or rows={"<observed>": <axis>}.',
    rows=1,
)
def rows_given_as_a_number():
    users_by_items()
