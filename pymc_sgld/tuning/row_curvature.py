r"""The Hessian of the rows from two directional differences a row, where rows have low rank.

Most likelihoods see the parameters through one or two numbers a row, such as a linear predictor
and a dispersion, so minus the Hessian of row i has rank one or two. For such a matrix two products
:math:`Y_i = H_i U_i` give it back whole,

.. math:: H_i = Y_i\, (U_i^\top Y_i)^{-1}\, Y_i^\top,

and the Hessian of all rows costs five gradients a row instead of two for each parameter. Whether
the rows of a model are of this kind is not assumed but tested, on a random direction.
"""

from typing import Any

import numpy as np
import scipy

from pymc_sgld.model_graph import BlockFunction
from pymc_sgld.tuning.large_matrices import MANY
from pymc_sgld.tuning.row_scores import lean
from pymc_sgld.types import Array

_DIFFERENCE = 1e-4  # of a rough posterior sd
_DIRECTIONS = 2
_SINGULAR = 1e-4  # relative: below it a row has no second direction
_TOLERANCE = 0.02  # of the product with a random direction, in posterior sds
EVALUATIONS = 2 * _DIRECTIONS + 1  # gradients a row


def low_rank_hessian(
    block_function: BlockFunction,
    position: Array,
    rows: list[Array],
    scales: Array,
    generator: np.random.Generator,
) -> Array:
    """Return minus the Hessian of the scaled log-likelihood, if its rows have rank one or two.

    Parameters
    ----------
    block_function : BlockFunction
    position : array, shape (n_dim,)
    rows : list of int arrays
        Rows of each group to take the sum over; it is scaled up to all rows.
    scales : array, shape (n_dim,)
        Rough posterior sds, the units of the differences.
    generator : numpy.random.Generator

    Returns
    -------
    array, shape (n_dim, n_dim)
    """
    n_dim = len(position)
    hessian: Any = np.zeros((n_dim, n_dim)) if n_dim <= MANY else 0.0
    for group, chosen in enumerate(rows):
        total = block_function.total_sizes[group] / len(chosen)
        for first in range(0, len(chosen), 1000):
            some = chosen[first : first + 1000]
            of_some = _sum_of_rows(block_function, position, group, some, scales, generator)
            hessian = total * of_some + hessian if np.ndim(hessian) else total * of_some
    return np.asarray(hessian if isinstance(hessian, np.ndarray) else hessian.toarray())


def is_hessian(
    hessian: Array,
    block_function: BlockFunction,
    position: Array,
    rows: list[Array],
    factor: Array,
    generator: np.random.Generator,
) -> bool:
    """Whether the curvature of rows agrees with differences of gradients along a random direction.

    Parameters
    ----------
    hessian : array, shape (n_dim, n_dim)
        Minus the Hessian of the log-likelihood to be tested.
    block_function, position, rows, generator
        As in :func:`low_rank_hessian`.
    factor : array, shape (n_dim, n_dim)
        Square root of the covariance of the posterior: the direction is of unit scale, and so is
        what is compared.
    """
    normal = generator.standard_normal(len(position))
    direction = factor @ normal
    step = _DIFFERENCE / np.sqrt(len(position)) * 10
    ahead = block_function.batch(position + step * direction, rows, prior_weight=0.0)[1]
    behind = block_function.batch(position - step * direction, rows, prior_weight=0.0)[1]
    product = (np.asarray(behind, float) - np.asarray(ahead, float)) / (2 * step)
    error = factor.T @ (product - hessian @ direction)
    return bool(np.linalg.norm(error) < _TOLERANCE * np.linalg.norm(normal))


def _sum_of_rows(
    block_function: BlockFunction,
    position: Array,
    group: int,
    rows: Array,
    scales: Array,
    generator: np.random.Generator,
) -> Any:
    """Return the sum over rows of the Hessians that two directions a row determine.

    As a sparse array where parameters are many and rows see few of them.
    """
    n_dim = len(position)
    weights = [float(number == group) for number in range(len(block_function.total_sizes))]
    pieces: list[Array] = [np.zeros(1, dtype=np.int64)] * len(weights)
    pieces[group] = rows
    blocks = block_function.read(pieces)
    own = np.array([owner == group for owner in block_function.array_groups])
    directions = np.empty((len(rows), _DIRECTIONS, n_dim))
    products = np.empty((len(rows), _DIRECTIONS, n_dim))
    signs = generator.choice([-1.0, 1.0], size=(len(rows), n_dim))
    for i in range(len(rows)):
        block = [b[i : i + 1] if mine else b for b, mine in zip(blocks, own, strict=True)]

        def score(at: Array, block: list[Array] = block) -> Array:
            gradient = block_function.on_blocks(at, block, prior_weight=0.0, weights=weights)[1]
            return np.asarray(gradient, dtype=float)

        # along the row's own score, which is where a row of rank one has its curvature
        slope = scales * score(position)
        size = np.linalg.norm(slope)
        for number, way in enumerate((slope / size if size > 0 else signs[i], signs[i])):
            step = _DIFFERENCE * scales * way
            ahead, behind = position + step, position - step
            directions[i, number] = (ahead - behind) / scales
            products[i, number] = scales * (score(behind) - score(ahead))
    inner = np.einsum("iad,ibd->iab", directions, products)
    inner = (inner + inner.transpose(0, 2, 1)) / 2
    middle = np.linalg.pinv(inner, rcond=_SINGULAR, hermitian=True)
    flat = lean(products.reshape(-1, n_dim)) if n_dim > MANY else products
    if not isinstance(flat, np.ndarray):
        return _sparse_sum(flat, middle, scales)
    left = np.einsum("iab,ibd->iad", middle, products).reshape(-1, n_dim)
    hessian = left.T @ products.reshape(-1, n_dim)
    hessian = (hessian + hessian.T) / 2
    return np.asarray(hessian / np.outer(scales, scales))


def _sparse_sum(products: Any, middle: Array, scales: Array) -> Any:
    """Return the same sum from products of which most entries are zero."""
    count = len(middle)
    each = np.arange(count + 1)
    between = scipy.sparse.bsr_array((middle, each[:-1], each), shape=(count * _DIRECTIONS,) * 2)
    hessian = products.T @ (between @ products)
    units = scipy.sparse.diags_array(1 / scales)
    return units @ ((hessian + hessian.T) / 2) @ units
