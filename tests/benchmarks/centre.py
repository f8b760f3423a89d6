"""The noise that a control variate leaves, by where its centre is: the mode, or means of draws.

Is there anything to gain by moving the centre again in a long run? The noise of a row's gradient in
posterior sds, largest eigenvalue, at draws of another chain than those of the means; over that at
the mode. Run: python -m tests.benchmarks.centre
"""

import logging

import numpy as np

import pymc_sgld as psg

from models.evidence.problems import problems
from pymc_sgld.chain.backends import sampling_mode
from pymc_sgld.posterior import unconstrained_positions

PROBLEMS = ("logistic-1e4x20", "negative-binomial-visits", "robust-3e4x10", "hierarchical-centred")
DRAWS, MEASURED_AT, ROWS = (25, 100, 1000), 40, 1000


def noise(function, draws, centre, factor, rows):
    """The largest eigenvalue of what the centre leaves of a row's score, averaged over draws."""
    at_centre = function.row_gradients(centre, 0, rows)
    total = np.zeros_like(factor)
    for draw in draws:
        left = (function.row_gradients(draw, 0, rows) - at_centre) @ factor
        total += left.T @ left
    scale = function.total_sizes[0] ** 2 / len(rows) / len(draws)
    return scale * np.linalg.eigvalsh(total)[-1]


def main():
    logging.getLogger("pymc").setLevel(logging.ERROR)
    print(f"{'centre':<26} {'mode':>6}", *(f"{n:>6}" for n in DRAWS))
    for name in PROBLEMS:
        model = problems()[name].build()
        row_model = psg.row_model(model)
        function = row_model.block_function(sampling_mode())
        step = psg.Auto(model=model, rng=0, verify=False, hyperparameters="joint")
        mode, factor = step.chain.prepared.mode, np.linalg.cholesky(step.chain.prepared.covariance)
        idata = psg.sample(
            draws=max(DRAWS), chains=2, cores=1, random_seed=1, progressbar=False, model=model,
            check=False, hyperparameters="joint",
        )  # fmt: skip
        first, second = unconstrained_positions(model, idata["posterior"].to_dataset())
        rng = np.random.default_rng(0)
        rows = rng.choice(function.total_sizes[0], ROWS, replace=False)
        at = second[rng.choice(len(second), MEASURED_AT, replace=False)]
        means = [first[:: max(DRAWS) // n].mean(axis=0) for n in DRAWS]
        found = [noise(function, at, centre, factor, rows) for centre in (mode, *means)]
        print(f"{name:<26}", *(f"{one / found[0]:>6.3f}" for one in found))


if __name__ == "__main__":
    main()
