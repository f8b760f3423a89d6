"""The rows a step needs under several estimators of the gradient of a logistic regression.

Control variates of first order, as "auto" uses them; of second order, which correct a row's
gradient by its Hessian at the mode too; with an earlier position in the place of the mode, common
to all rows and moved once a pass (SVRG), or where each row was last seen (SAGA): by then, a chain
that forgets in a few steps is anywhere. Rows that come alike, and rows drawn in proportion to what
they leave of the noise. The noise is the average over draws from the Gaussian at the mode, summed
over all rows: nothing is sampled but these draws. Run: python -m tests.benchmarks.row_noise
"""

import numpy as np

import pymc_sgld as psg

from models.evidence.problems import problems
from pymc_sgld.chain.backends import sampling_mode
from pymc_sgld.samplers import Baoa
from pymc_sgld.tuning import LinearLaw, fewest_rows, find_laplace

PROBLEMS = ("logistic-1e4x20", "logistic-1e4x100", "a9a-normal")
TO_CHOOSE, TO_MEASURE = 4, 30  # draws
UNIFORM_SHARE = 0.1
# gradients a row; the pass that moves the centre of SVRG is as dear as the batches between two
COST = {"first order": 2.0, "second order": 3.5, "SVRG": 4.0, "SAGA": 1.0}


def left_of_rows(design, mode, factor, draws):
    """What a row's score leaves, over its whitened columns: one number for each row and draw."""

    def probability(predictor):
        return 1 / (1 + np.exp(-predictor))

    here = probability(design @ mode)
    moved = (design @ factor) @ draws.T
    first = probability((design @ mode)[:, None] + moved) - here[:, None]
    earlier = first - np.roll(first, 1, axis=1)
    return {
        "first order": first,
        "second order": first - (here * (1 - here))[:, None] * moved,
        "SVRG": earlier,
        "SAGA": earlier,
    }


def table_of(name):
    model = problems()[name].build()
    function = psg.row_model(model).block_function(sampling_mode())
    rng = np.random.default_rng(0)
    found = find_laplace(function, np.zeros(len(model.initial_point()["slope"]) + 1), rng)
    columns = next(array for array in function.arrays if array.ndim == 2)
    design = np.column_stack([np.ones(len(columns)), columns])
    factor = np.linalg.cholesky(found.covariance)
    whitened, total = design @ factor, len(design)
    draws = rng.standard_normal((TO_CHOOSE + TO_MEASURE, len(factor)))
    law = LinearLaw(Baoa(friction=float("inf")))
    for order, left in left_of_rows(design, found.position, factor, draws).items():
        size = np.sqrt((left[:, :TO_CHOOSE] ** 2).mean(axis=1)) * np.linalg.norm(whitened, axis=1)
        uneven = UNIFORM_SHARE / total + (1 - UNIFORM_SHARE) * size / size.sum()
        square = (left[:, TO_CHOOSE:] ** 2).mean(axis=1)
        for rows, probability in (("alike", np.full(total, 1 / total)), ("by size", uneven)):
            noise = (whitened.T * (square / probability)) @ whitened
            largest = float(np.linalg.eigvalsh(noise)[-1])
            [needed] = fewest_rows(
                law, lambda n, largest=largest: largest / n, [total], target_bias=0.05
            )
            cost = COST[order] * needed
            print(
                f"{name:<18} {order:<13} {rows:<8} {largest:>10.1f} {needed:>8} "
                f"{min(cost, total):>9.0f} {min(cost / total, 1):>8.3f}"
            )


def main():
    print(
        f"{'problem':<18} {'correction':<13} {'rows':<8} {'noise':>10} {'batch':>8} "
        f"{'gradients':>9} {'of N':>8}"
    )
    for name in PROBLEMS:
        table_of(name)


if __name__ == "__main__":
    main()
