r"""Rough coordinates of unit posterior sds, for any number of parameters.

Up to 500 parameters a square root of a matrix. Beyond, a scale for each parameter and another for
the few directions that rows bend most,

.. math:: F = D\,\bigl(I + U (\Lambda^{-1/2} - I)\, U^\top\bigr),

found by Lanczos iterations on the scaled scores of some rows: no matrix of parameters squared.
"""

from typing import Any

import numpy as np
import scipy

from pymc_sgld.model_graph import BlockFunction
from pymc_sgld.tuning.row_sample import ROWS_OF_A_SAMPLE, WIDE_DIFFERENCES, RowSample
from pymc_sgld.tuning.row_scores import lean, pieces
from pymc_sgld.tuning.trust_region import information_scales, rough_factor, rows_of_a_group
from pymc_sgld.types import Array

LARGEST_MATRIX = 500  # parameters, beyond which coordinates are scales and a few directions
_FEWEST_SCORES, _SCORES_PER_PARAMETER = 500, 5
_NUMBERS_KEPT = 20_000_000  # of scores: 160 megabytes
_MOST_DIRECTIONS = 15
_STIFF = 4.0  # of a scaled information, beyond which a direction has a scale of its own
_SEEN_BY_A_CHAIN = 0.2  # curvature over a posterior sd, below which the prior rules
_TOLERANCE = 0.1  # of its eigenvalue, relative


def rough_coordinates(block_function: BlockFunction, position: Array, information: Array) -> Any:
    """Return a square root of a covariance, from the information of all rows and the prior.

    Parameters
    ----------
    block_function : BlockFunction
    position : array, shape (n_dim,)
    information : array, shape (n_dim, n_dim)

    Returns
    -------
    array or LinearOperator, shape (n_dim, n_dim)
        The latter beyond 500 parameters.
    """
    if len(position) <= LARGEST_MATRIX:
        return rough_factor(block_function, position, information)
    scales = information_scales(block_function, position, np.diag(information))
    return _of_scales(scales, np.diag(information), lambda v: information @ v)


def coordinates_of_some(
    block_function: BlockFunction, position: Array, generator: np.random.Generator
) -> tuple[Any, float]:
    """Return the same from the scores of some rows that it draws, and data passes.

    Parameters
    ----------
    block_function : BlockFunction
    position : array, shape (n_dim,)
    generator : numpy.random.Generator
    """
    n_dim, seen = len(position), 0
    most = max(_FEWEST_SCORES, _SCORES_PER_PARAMETER * n_dim)
    many = n_dim > LARGEST_MATRIX
    if many:
        most = min(most, max(_FEWEST_SCORES, _NUMBERS_KEPT // n_dim))
    most = rows_of_a_group(most, len(block_function.total_sizes))
    information = np.zeros(n_dim if many else (n_dim, n_dim))
    kept = []
    sizes = [None if total <= most else most for total in block_function.total_sizes]
    for group, rows in enumerate(block_function.random_rows(sizes, generator)):
        seen += len(rows)
        weight = block_function.total_sizes[group] / len(rows)
        for some in pieces(rows, n_dim) if many else (rows,):
            of_some = block_function.row_gradients(position, group, some).astype(float)
            scores = np.nan_to_num(of_some)
            if many:
                information += weight * (scores**2).sum(axis=0)
                kept.append(lean(np.sqrt(weight) * scores))
            else:
                information += weight * (scores.T @ scores)
    passes = seen / max(sum(block_function.total_sizes), 1)
    if not many:
        return rough_factor(block_function, position, information), passes

    def product(vector: Array) -> Array:
        return sum((one.T @ (one @ vector) for one in kept), start=np.zeros(n_dim))

    scales = information_scales(block_function, position, information)
    return _of_scales(scales, information, product), passes


def bends_otherwise(block_function: BlockFunction, position: Array, factor: Any) -> bool:
    """Whether the rows bend otherwise over a posterior sd than at the point.

    The gradient of an absolute error jumps, so that its curvature at a point is zero, or where a
    difference meets a jump, very large. What a chain feels is that over the posterior's width.

    Parameters
    ----------
    block_function : BlockFunction
    position : array, shape (n_dim,)
    factor : array or LinearOperator, shape (n_dim, n_dim)
        Rough coordinates there.
    """
    if not block_function.total_sizes:
        return False
    rng = np.random.default_rng(0)
    sample = RowSample(block_function, ROWS_OF_A_SAMPLE, rng)
    way = rng.standard_normal(len(position))
    way = factor @ (way / np.linalg.norm(way))

    def curvature(width: float) -> float:
        ahead, behind = (
            np.asarray(sample.gradient((position + s * width * way).astype(position.dtype)), float)
            for s in (1, -1)
        )
        return float(way @ (behind - ahead)) / (2 * width)

    at_point, wide = curvature(WIDE_DIFFERENCES[sample.function.dtype] / 10), curvature(1.0)
    return wide > _SEEN_BY_A_CHAIN and not 0.5 * wide < at_point < 2 * wide


def _of_scales(scales: Array, own: Array, product: Any) -> Any:
    """Return the coordinates for scales, and the products of an information of this diagonal."""
    n_dim = len(scales)
    of_prior = np.maximum(1 - own * scales**2, 0)
    shape, first = (n_dim, n_dim), np.random.default_rng(0).standard_normal(n_dim)

    def scaled(vector: Array) -> Array:
        flat = np.ravel(vector)
        return np.asarray(scales * product(scales * flat) + of_prior * flat)

    operator: Any = scipy.sparse.linalg.LinearOperator(shape, matvec=scaled, dtype=float)
    count = min(_MOST_DIRECTIONS, n_dim - 2)
    try:
        values, ways = scipy.sparse.linalg.eigsh(
            operator, count, which="LA", v0=first, tol=_TOLERANCE, maxiter=2
        )
    except scipy.sparse.linalg.ArpackNoConvergence as stopped:
        values, ways = stopped.eigenvalues, stopped.eigenvectors
    stiff = values > _STIFF
    ways, stretch = ways[:, stiff], 1 / np.sqrt(values[stiff])

    def stretched(vector: Array) -> Array:
        flat = np.ravel(vector)
        return np.asarray(flat + ways @ ((stretch - 1) * (flat @ ways)))

    factor: Any = scipy.sparse.linalg.LinearOperator(
        shape,
        matvec=lambda v: scales * stretched(v),
        rmatvec=lambda g: stretched(scales * np.ravel(g)),
        dtype=float,
    )
    return factor
