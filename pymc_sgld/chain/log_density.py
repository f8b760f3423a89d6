"""The log-posterior at the ends of draws, on the batch of the last step."""

import numpy as np

from pymc_sgld.chain.steps import Steps
from pymc_sgld.types import Array


def at_end_of_draw(run: Steps, position: Array, last: int) -> tuple[float, Array]:
    """Return log-posterior and gradient on the batch of the last step, scaled to all rows.

    Annealing, and where rows that a batch does not see end the support, on all rows.
    """
    if run.settings.anneals or run.settings.support.rows:
        run.state.unreported_passes += 1
        return run.block_function.full(position)
    starts = run.streams.block(last, 1).starts[0]
    sizes = run.batches.batch_sizes
    blocks = [
        leaf[starts[group] : starts[group] + sizes[group]]
        for leaf, group in zip(run.leaves(last), run.batches.leaf_groups, strict=True)
    ]
    weights = run.batches.total_sizes / sizes
    return run.block_function.on_blocks(position, blocks, prior_weight=1, weights=weights.tolist())


def minibatch_logps(
    run: Steps, positions: Array, ends: Array, starts: Array, wanted: Array
) -> Array:
    """Return the log-posterior at the ends of draws, each on the batch of its last step.

    Parameters
    ----------
    positions : array, shape (n_draws, n_dim)
    ends : array of int, shape (n_draws,)
        Last steps, of those to come.
    starts : array, shape (n_steps, n_groups)
    wanted : array of bool, shape (n_draws,)
        The others are nan.
    """
    logps, sizes, until = np.full(len(positions), np.nan), run.batches.batch_sizes.tolist(), 0
    weights = (run.batches.total_sizes / run.batches.batch_sizes).tolist()
    groups, leaves = run.batches.leaf_groups, run.leaves(run.state.step_number)
    for number in np.flatnonzero(wanted).tolist():
        end = int(ends[number])
        if end >= until:
            step = run.state.step_number + end
            leaves, until = run.leaves(step), end + run.streams.steps_until_copy(step)
        first = starts[end].tolist()
        blocks = [
            leaf[first[group] : first[group] + sizes[group]]
            for leaf, group in zip(leaves, groups, strict=True)
        ]
        logps[number] = run.block_function.on_blocks(
            positions[number], blocks, prior_weight=1, weights=weights
        )[0]
    return logps
