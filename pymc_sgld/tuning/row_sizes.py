r"""How much each row bends the log-likelihood, over the width of the posterior.

For a draw u from the Gaussian at a point c, the second difference of a row's log-likelihood,

.. math:: |\ell_i(c + u) - 2 \ell_i(c) + \ell_i(c - u)|,

has the row's leverage as its mean where the row sees the parameters through one number: that is
also the root mean square of what a control variate leaves of its score, in posterior sds. It takes
values alone, in chunks of all rows, so that a level of twenty rows among millions is not missed.
"""

from functools import lru_cache
from typing import Any

import numpy as np

from pymc_sgld.model_graph import BlockFunction
from pymc_sgld.types import Array

TO_A_KINK = 2.0  # posterior sds of a look where gradients jump
MANY_LOOKS, FEW_LOOKS, FIRST_LOOKS = 8, 4, 2  # draws; a leverage is then known to .5, .7 or 1
# With more rows than that, a uniform sample of so many stands for all: what is remembered of each
# row is in memory, eight bytes a row, whatever the number of rows on disk.
MOST_ROWS = 20_000_000
_SAMPLED_BEYOND = 4_000_000
_ROWS_AT_ONCE = 100_000
# Mean square of the rows' sizes over their squared mean, beyond which they are looked at again.
UNEVEN = 2.4


def row_sizes(
    block_function: BlockFunction,
    centre: Array,
    factor: Any,
    group: int,
    generator: np.random.Generator,
    looks: int = MANY_LOOKS,
) -> Array:
    """Return the size of each row's part, shape (n_rows,): of all, or of :func:`rows_looked_at`.

    Parameters
    ----------
    block_function : BlockFunction
    centre : array, shape (n_dim,)
    factor : array or LinearOperator, shape (n_dim, n_dim)
        Square root of the posterior's covariance, about.
    group : int
        Of rows.
    generator : numpy.random.Generator
        Draws the directions.
    looks : int
        How many. Takes ``passes(looks)`` passes through the data.
    """
    total = int(block_function.total_sizes[group])
    moves = np.asarray(generator.standard_normal((looks, len(centre))) @ factor.T)
    rows = rows_looked_at(total)
    if rows is None:
        starts = range(0, total, _ROWS_AT_ONCE)
        return np.concatenate(
            [
                _bends(
                    block_function, centre, moves, group, slice(k, min(k + _ROWS_AT_ONCE, total))
                )
                for k in starts
            ]
        )
    pieces = np.array_split(rows, -(-len(rows) // _ROWS_AT_ONCE))
    return np.concatenate([_bends(block_function, centre, moves, group, some) for some in pieces])


def rows_looked_at(total: int) -> Array | None:
    """Return the rows that stand for all of so many, sorted; None where all are looked at.

    They follow from the number of rows alone, so that what is known of each can be put beside.
    """
    if total <= MOST_ROWS:
        return None
    return _sampled(total, _SAMPLED_BEYOND)


@lru_cache(maxsize=2)
def _sampled(total: int, n_rows: int) -> Array:
    return np.unique(np.random.default_rng(total).integers(0, total, n_rows))


def passes(looks: int = MANY_LOOKS) -> int:
    """Return the values of each row that so many looks take."""
    return 2 * looks + 1


def sizes_in_two_looks(
    block_function: BlockFunction,
    centre: Array,
    factor: Any,
    group: int,
    generator: np.random.Generator,
) -> tuple[Array, float]:
    """Return sizes of rows from two looks, from four where rows are unlike; and data passes.

    Parameters as in :func:`row_sizes`.
    """
    first, more = FIRST_LOOKS, FEW_LOOKS - FIRST_LOOKS
    sizes = row_sizes(block_function, centre, factor, group, generator, first)
    share = len(sizes) / block_function.total_sizes[group]
    if unevenness(sizes, first) <= UNEVEN:
        return sizes, share * passes(first)
    again = row_sizes(block_function, centre, factor, group, generator, more)
    return (first * sizes + more * again) / (first + more), share * (passes(first) + passes(more))


def unevenness(sizes: Array, looks: int) -> float:
    """Return the mean square of the sizes over their squared mean, less what few looks add.

    A look is a square of a normal number times the leverage, so that the mean of L looks has a
    relative variance of 2 / L.
    """
    mean = float(sizes.mean())
    return float((sizes**2).mean()) / mean**2 / (1 + 2 / looks) if mean > 0 else 1.0


def _bends(
    block_function: BlockFunction, centre: Array, moves: Array, group: int, rows: Array | slice
) -> Array:
    """Return the mean second difference of some rows."""

    def values(at: Array) -> Array:
        row_values = block_function.row_values(at.astype(centre.dtype), group, rows)
        return np.asarray(row_values, dtype=float)

    with np.errstate(invalid="ignore", over="ignore"):  # a draw may be where there is no density
        here = values(centre)
        second = [values(centre + move) + values(centre - move) - 2 * here for move in moves]
        finite = np.nan_to_num(second, nan=0.0, posinf=0.0, neginf=0.0)
    return np.asarray(np.abs(finite).mean(axis=0))
