"""What "auto" says a chain of NUTS costs, beside what it costs: CPU seconds without compiling.

``python -m tests.benchmarks.nuts_cost``: 1000 draws after 1000 of tuning, by PyMC's own NUTS.
"""

import time

import numpy as np
import pymc as pm

from pymc_sgld.step_methods.nuts_cost import measured_cost, probe_of
from tests.targets import linear_regression, logistic_model

DRAWS = 1000


def hierarchy():
    """Fifty groups of ten rows, whose effects are written non-centred."""
    rng = np.random.default_rng(0)
    group = np.repeat(np.arange(50), 10)
    with pm.Model() as model:
        mu, tau = pm.Normal("mu", 0, 5), pm.HalfNormal("tau")
        z = pm.Normal("z", shape=50)
        outcome = rng.normal(size=50)[group] + rng.normal(size=500)
        pm.Normal("y", (mu + tau * z)[group], 1, observed=outcome)
    return model


def correlated():
    """A regression on powers of one column, 500 rows."""
    rng = np.random.default_rng(1)
    x = rng.uniform(1, 2, 500)
    X = np.stack([x**power for power in range(4)], axis=1)
    with pm.Model() as model:
        beta = pm.Normal("beta", 0, 10, shape=4)
        pm.Normal("y", X @ beta, 0.3, observed=X.sum(axis=1) + rng.normal(0, 0.3, 500))
    return model


def network():
    """A network of 2 x 16 x 1 on 300 rows."""
    rng = np.random.default_rng(2)
    X = rng.normal(size=(300, 2))
    with pm.Model() as model:
        first = pm.Normal("first", shape=(2, 16))
        second = pm.Normal("second", shape=16)
        hidden = pm.math.tanh(X @ first)
        pm.Bernoulli("y", logit_p=hidden @ second, observed=(X[:, 0] * X[:, 1] > 0).astype(int))
    return model


MODELS = {
    "linear, 300 rows": lambda: linear_regression().model(),
    "linear, 20,000 rows": lambda: linear_regression(n_rows=20_000).model(),
    "logistic, 1,000 rows": lambda: logistic_model(n_rows=1000),
    "powers of a column, 500 rows": correlated,
    "50 groups of 10 rows": hierarchy,
    "network, 300 rows": network,
}


def main():
    """Print the table."""
    print("model | said | gradients a draw | measured | gradients a draw | seconds of measuring")
    for name, make in MODELS.items():
        model, started = make(), time.thread_time()
        cost = measured_cost(probe_of(model), 2 * DRAWS, bound=0.0)
        measuring = time.thread_time() - started
        with model:
            step = pm.init_nuts(
                init="jitter+adapt_diag", random_seed=[1], progressbar=False, quiet=True
            )[1]
        step.setup_chain(np.random.default_rng(1), DRAWS, DRAWS)
        point, trees = model.initial_point(), []
        step.step(point)  # compiles
        started = time.thread_time()
        for draw in range(2 * DRAWS):
            if draw == DRAWS:
                step.stop_tuning()
            point, stats = step.step(point)
            trees.append(stats[0]["tree_size"])
        measured = time.thread_time() - started
        print(
            f"{name} | {cost.seconds:.1f} | {cost.gradients_per_draw:.0f} | {measured:.1f} | "
            f"{np.mean(trees):.0f} | {measuring:.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
