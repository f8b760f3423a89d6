"""The extreme directions of a posterior too large for an n_dim x n_dim matrix."""

from typing import NamedTuple

import numpy as np

from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

from pymc_sgld.model_graph import BlockFunction
from pymc_sgld.tuning.mode_search import ROWS_OF_A_SAMPLE, sample_rows, unit_information_scales
from pymc_sgld.types import Array

_DIRECTIONS_AT_AN_END = 30
_ROWS_PER_PARAMETER = 4
# Moves along a direction, in rough posterior sds; float32 gradients need a long one.
_DIFFERENCES = {"float64": 1e-3, "float32": 0.3}
_TOLERANCE = 1e-2  # of an eigenvalue, relative
_MOST_RESTARTS = 10
_SIGNS = 8
_SMALLEST_RELATIVE_EIGENVALUE = 1e-6


class Spectrum(NamedTuple):
    """Both ends of the spectrum of the precision of the scaled parameters."""

    scale: Array  # (n_dim,), rough posterior sds
    values: Array  # (n_known,), ascending
    vectors: Array  # (n_dim, n_known)
    gap: int  # how many of them are at the lower end
    data_passes: float


def extreme_directions(
    block_function: BlockFunction,
    position: Array,
    generator: np.random.Generator,
    rank: int | None = None,
) -> Spectrum:
    """Find directions of largest and of smallest curvature by Lanczos iterations.

    The products of the precision with vectors are central differences of the gradient on a sample
    of rows. Only directions that have converged are returned, so that an end of the spectrum
    without extremes, where the iterations go nowhere, adds none.

    Parameters
    ----------
    block_function : BlockFunction
    position : array, shape (n_dim,)
        The mode.
    generator : numpy.random.Generator
        Chooses the sample and the first vector.
    rank : int, optional
        How many directions are wanted in all; 30 if not given.
    """
    n_dim = len(position)
    most = min(ROWS_OF_A_SAMPLE, max(2000, _ROWS_PER_PARAMETER * n_dim))
    rows = sample_rows(block_function, most, generator)
    scale = diagonal_scales(block_function, position, generator)
    step = _DIFFERENCES[np.dtype(block_function.dtype).name]
    products = 0

    def curve(direction: Array) -> Array:
        nonlocal products
        products += 1
        unit = np.ravel(direction) / np.linalg.norm(direction)
        ahead = (position + step * scale * unit).astype(position.dtype)
        behind = (position - step * scale * unit).astype(position.dtype)
        difference = block_function.batch(behind, rows)[1] - block_function.batch(ahead, rows)[1]
        curved = scale * np.asarray(difference, dtype=float) / (2 * step)
        return np.asarray(curved * np.linalg.norm(direction))

    operator = LinearOperator((n_dim, n_dim), matvec=curve, dtype=np.float64)
    # one more than wanted at either end, to know what would be left
    count = min((rank or _DIRECTIONS_AT_AN_END) + 1, (n_dim - 1) // 2)
    first = generator.standard_normal(n_dim)
    high, of_high = _end(operator, count, "LA", first)
    low, of_low = _end(operator, count, "SA", first)
    # flat or falling directions are no scale to go by
    kept = low > _SMALLEST_RELATIVE_EIGENVALUE * high.max(initial=1.0)
    low, of_low = low[kept], of_low[:, kept]
    passes = 2 * products * sum(map(len, rows)) / float(np.sum(block_function.total_sizes))
    return Spectrum(scale, np.r_[low, high], np.hstack([of_low, of_high]), len(low), passes)


def diagonal_scales(
    block_function: BlockFunction, position: Array, generator: np.random.Generator
) -> Array:
    """Return a rough posterior sd of each parameter, curvature of the prior included.

    The information of the rows is that of their scores; the curvature of the prior is estimated by
    products of its Hessian with random signs, which is exact where parameters are independent.
    """
    rough = unit_information_scales(block_function, position, generator)
    one_row = [np.zeros(1, dtype=np.int64)] * len(block_function.total_sizes)
    none = [0.0] * len(one_row)
    step = _DIFFERENCES[np.dtype(block_function.dtype).name] * rough

    def prior(moved: Array) -> Array:
        gradient = block_function.batch(moved.astype(position.dtype), one_row, weights=none)[1]
        return np.asarray(gradient, dtype=float)

    curvature = np.zeros(len(position))
    for _ in range(_SIGNS):
        signs = generator.choice([-1.0, 1.0], len(position))
        difference = prior(position - step * signs) - prior(position + step * signs)
        curvature += np.nan_to_num(difference / (2 * step * signs)) / _SIGNS
    of_rows = 1 / rough**2 - 1  # without the standard normal prior assumed there
    information = of_rows + np.maximum(curvature, 0)
    return np.asarray(np.where(information > 0, information, 1.0) ** -0.5)


def _end(operator: LinearOperator, count: int, end: str, first: Array) -> tuple[Array, Array]:
    """Return the eigenvalues at one end that converged, ascending, and their vectors."""
    try:
        values, vectors = eigsh(
            operator, count, which=end, v0=first, tol=_TOLERANCE, maxiter=_MOST_RESTARTS
        )
    except ArpackNoConvergence as stopped:
        values, vectors = stopped.eigenvalues, stopped.eigenvectors
    order = np.argsort(values)
    return values[order], vectors[:, order]
