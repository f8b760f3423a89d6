r"""How far draws are from a law that is known by its score alone: kernel Stein discrepancy.

With the inverse multiquadric kernel :math:`k(x, y) = (c^2 + |x - y|^2)^\beta` and the score
:math:`s = \nabla\log p`, the Stein kernel

.. math:: k_p(x, y) = s(x)^\top s(y)\, k + s(x)^\top \nabla_y k + s(y)^\top \nabla_x k
          + \nabla_x\cdot\nabla_y k

has mean zero under p in each argument. The discrepancy is the root of its mean over pairs of draws.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from pymc_sgld.diagnostics.whitening import check_scored, whiten
from pymc_sgld.types import Array
from pymc_sgld.validate import check_positive

_BLOCK_NUMBERS = 4_000_000  # of the matrix of pairs that is in memory at once


class KernelStein(NamedTuple):
    """A kernel Stein discrepancy, and what independent draws from the posterior would have."""

    value: float
    of_exact_draws: float  # root of its expected square for as many independent exact draws
    unbiased_square: float  # without the pairs of a draw with itself; may be below zero


def kernel_stein_discrepancy(
    draws: Array,
    scores: Array,
    covariance: Array | None = None,
    *,
    weights: Array | None = None,
    power: float = -0.5,
    length_scale: float = 1.0,
) -> KernelStein:
    r"""Return the kernel Stein discrepancy between draws and the law that the scores belong to.

    Parameters
    ----------
    draws : array, shape (n_draws, n_dim)
        In unconstrained space. The work grows with the square of n_draws: thin to a few thousand.
    scores : array, shape (n_draws, n_dim)
        Gradient of the log-posterior at the draws, of all rows: the noise of batches would count
        as a discrepancy.
    covariance : array, shape (n_dim, n_dim), optional
        In whose units distances are taken. Default: the covariance of the draws. To compare
        samplers give all of them the same, such as that of NUTS draws.
    weights : array, shape (n_draws,), optional
        Of the draws, not negative; default equal.
    power : float, default -0.5
        :math:`\beta`, in (-1, 0).
    length_scale : float, default 1
        c, in units of posterior sds.

    Returns
    -------
    KernelStein
        ``value``; and ``of_exact_draws``, near which the value lies if the draws are independent
        and exact. Correlated exact draws have a larger one.

    Raises
    ------
    ValueError
        For shapes that do not fit, numbers that are not finite, or a covariance that is not
        positive definite.

    Notes
    -----
    It converges to zero if and only if the draws converge to p, for p with tails like a Gaussian
    [1]_. In practice it is blind to the weights of modes that lie far apart: the score says nothing
    of them. The square is the biased one, a mean over all pairs.

    References
    ----------
    .. [1] Gorham, J. and Mackey, L. (2017). Measuring sample quality with kernels. ICML.
       https://proceedings.mlr.press/v70/gorham17a.html
    """
    draws, scores = check_scored(draws, scores)
    check_positive("length_scale", length_scale)
    if not -1 < power < 0:
        raise ValueError(f"power must be in (-1, 0), got {power!r}: only there is it a metric.")
    shares = _shares(weights, len(draws))
    positions, scores, _ = whiten(draws, scores, covariance)
    own = float(shares**2 @ own_stein_kernel(positions, scores, power, length_scale))
    square = 0.0
    for rows, block in stein_kernel_blocks(positions, scores, power, length_scale):
        square += float(shares[rows] @ block @ shares)
    apart = 1 - float(shares @ shares)
    return KernelStein(max(square, 0.0) ** 0.5, own**0.5, (square - own) / apart)


def stein_kernel_blocks(
    positions: Array, scores: Array, power: float, length_scale: float
) -> Iterator[tuple[slice, Array]]:
    """Yield the Stein kernel of all pairs, some rows at a time.

    Parameters
    ----------
    positions, scores : array, shape (n_draws, n_dim)
        Whitened.
    power, length_scale : float

    Yields
    ------
    rows : slice
    block : array, shape (n_rows, n_draws)
    """
    n_rows = max(1, _BLOCK_NUMBERS // len(positions))
    for start in range(0, len(positions), n_rows):
        rows = slice(start, start + n_rows)
        yield rows, stein_kernel(positions[rows], scores[rows], positions, scores, power,
                                 length_scale)  # fmt: skip


def stein_kernel(
    left: Array,
    left_scores: Array,
    right: Array,
    right_scores: Array,
    power: float = -0.5,
    length_scale: float = 1.0,
) -> Array:
    """Return the Stein kernel of every pair, shape (n_left, n_right).

    Parameters
    ----------
    left, left_scores : array, shape (n_left, n_dim)
    right, right_scores : array, shape (n_right, n_dim)
    power, length_scale : float
    """
    n_dim = left.shape[1]
    squares = (left**2).sum(axis=1)[:, None] + (right**2).sum(axis=1) - 2 * left @ right.T
    squares = np.maximum(squares, 0.0)
    base = length_scale**2 + squares
    kernel = base**power
    slope = kernel / base
    # (s(y) - s(x)) . (x - y), from products of matrices
    along = (
        left @ right_scores.T
        - (right * right_scores).sum(axis=1)
        - (left * left_scores).sum(axis=1)[:, None]
        + left_scores @ right.T
    )
    curved = n_dim + 2 * (power - 1) * squares / base
    return np.asarray(
        kernel * (left_scores @ right_scores.T) + 2 * power * slope * (along - curved)
    )


def own_stein_kernel(
    positions: Array, scores: Array, power: float = -0.5, length_scale: float = 1.0
) -> Array:
    """Return the Stein kernel of every draw with itself, shape (n_draws,)."""
    n_dim = positions.shape[1]
    level = length_scale ** (2 * power)
    return np.asarray(level * (scores**2).sum(axis=1) - 2 * power * n_dim * level / length_scale**2)


def _shares(weights: Array | None, n_draws: int) -> Array:
    if weights is None:
        return np.full(n_draws, 1 / n_draws)
    weights = np.asarray(weights, dtype=float)
    if weights.shape != (n_draws,) or not (weights >= 0).all() or not weights.sum() > 0:
        raise ValueError(
            f"weights must be {n_draws} numbers >= 0 with a sum > 0, one for each draw; got shape "
            f"{weights.shape}."
        )
    return np.asarray(weights / weights.sum())
