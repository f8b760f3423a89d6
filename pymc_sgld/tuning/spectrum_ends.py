"""The extreme directions of a posterior too large for an n_dim x n_dim matrix."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy

from pymc_sgld.model_graph import BlockFunction
from pymc_sgld.preconditioners import LowRankMetric
from pymc_sgld.tuning.mode_search import sample_rows
from pymc_sgld.types import Array

_DIRECTIONS_AT_AN_END = 30
_LEAST_ROWS, _ROWS_PER_PARAMETER = 2000, 20
# Moves along a direction, in rough posterior sds; float32 gradients need a long one.
_DIFFERENCES = {"float64": 1e-3, "float32": 0.3}
_SCORES_AT_ONCE = 500
_TOLERANCE = 1e-2  # of an eigenvalue, relative
# With the curvature, at an end of the spectrum; without extremes there the iterations go nowhere.
_MOST_PRODUCTS = 150
_SIGNS = 8
_SURE = 4.0  # standard errors
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
    rows = sample_rows(block_function, _rows_wanted(n_dim), generator)
    scale = diagonal_scales(block_function, position, generator)
    curvature = _Curvature(block_function, position, rows, lambda z: scale * z, lambda g: scale * g)
    operator = curvature.operator()
    # one more than wanted at either end, to know what would be left
    count = min((rank or _DIRECTIONS_AT_AN_END) + 1, (n_dim - 1) // 2)
    first = generator.standard_normal(n_dim)
    high, of_high = _end(operator, count, "LA", first)
    low, of_low = _end(operator, count, "SA", first)
    # flat or falling directions are no scale to go by
    kept = low > _SMALLEST_RELATIVE_EIGENVALUE * high.max(initial=1.0)
    low, of_low = low[kept], of_low[:, kept]
    vectors = np.hstack([of_low, of_high])
    return Spectrum(scale, np.r_[low, high], vectors, len(low), curvature.data_passes)


def _rows_wanted(n_dim: int) -> int:
    """Return the rows of a sample in which most parameters are seen often."""
    return max(_LEAST_ROWS, _ROWS_PER_PARAMETER * n_dim)


def stiffest_direction(
    block_function: BlockFunction, metric: LowRankMetric, generator: np.random.Generator
) -> tuple[float, Array, float]:
    """Return the largest curvature in the coordinates of a metric, where it is, and data passes.

    Parameters
    ----------
    block_function : BlockFunction
    metric : LowRankMetric
        Its centre is the mode.
    generator : numpy.random.Generator
        Chooses the sample of rows and the first vector.
    """
    n_dim, parameters = len(metric.centre), metric.parameters()
    rows = sample_rows(block_function, _rows_wanted(n_dim), generator)
    curvature = _Curvature(
        block_function,
        metric.centre,
        rows,
        lambda z: metric.to_position(z, *parameters) - metric.centre,
        lambda g: metric.pull_back(g, *parameters),
    )
    first = generator.standard_normal(n_dim)
    values, vectors = _end(curvature.operator(), 1, "LA", first)
    if len(values) == 0:  # a flat end of the spectrum: any direction of it will do
        vectors = (first / np.linalg.norm(first))[:, None]
        values = np.array([vectors[:, 0] @ curvature.along(vectors[:, 0])])
    return float(values[-1]), np.asarray(vectors[:, -1]), curvature.data_passes


class _Curvature:
    """The precision of a sample of rows, scaled up to all, in linear coordinates: its products."""

    def __init__(
        self,
        block_function: BlockFunction,
        position: Array,
        rows: list[Array],
        forward: Callable[[Array], Array],
        back: Callable[[Array], Array],
    ) -> None:
        self.function, self.position = block_function, position
        self.blocks = block_function.read(rows)  # once, for many products
        self.rows = [len(one) for one in rows]
        self.weights = block_function.weights(rows)
        self.forward, self.back = forward, back
        self.step = _DIFFERENCES[np.dtype(block_function.dtype).name]
        self.products = 0

    def along(self, direction: Array) -> Array:
        """Return the product with a vector, by a central difference of the gradient."""
        self.products += 1
        length = np.linalg.norm(direction)
        move = self.step * self.forward(np.ravel(direction) / length)
        behind, ahead = (
            self.function.on_blocks(
                moved.astype(self.position.dtype),
                self.blocks,
                prior_weight=1.0,
                weights=self.weights,
            )[1].astype(float)
            for moved in (self.position - move, self.position + move)
        )
        return np.asarray(self.back(behind - ahead) * length / (2 * self.step))

    def operator(self) -> scipy.sparse.linalg.LinearOperator:
        """Return it as scipy takes it."""
        n_dim = len(self.position)
        return scipy.sparse.linalg.LinearOperator(
            (n_dim, n_dim), matvec=self.along, dtype=np.float64
        )

    @property
    def data_passes(self) -> float:
        """What the products so far have read."""
        total = float(np.sum(self.function.total_sizes))
        return 2 * self.products * sum(self.rows) / total


def diagonal_scales(
    block_function: BlockFunction, position: Array, generator: np.random.Generator
) -> Array:
    """Return a rough posterior sd of each parameter, curvature of the prior included.

    The information of the rows is that of their scores; the curvature of the prior is estimated by
    products of its Hessian with random signs, which is exact where parameters are independent.
    Products of the whole Hessian with random signs correct it where they say the same each time.
    """
    of_rows = _information_of_rows(block_function, position, generator)
    rough = 1 / np.sqrt(of_rows + 1)
    step = _DIFFERENCES[np.dtype(block_function.dtype).name] * rough

    def prior(moved: Array) -> Array:
        return np.asarray(block_function.prior(moved.astype(position.dtype))[1], dtype=float)

    curvature = np.zeros(len(position))
    for _ in range(_SIGNS):
        signs = generator.choice([-1.0, 1.0], len(position))
        difference = prior(position - step * signs) - prior(position + step * signs)
        curvature += np.nan_to_num(difference / (2 * step * signs)) / _SIGNS
    information = of_rows + np.maximum(curvature, 0)
    scale = np.where(information > 0, information, 1.0) ** -0.5
    rows = sample_rows(block_function, _rows_wanted(len(scale)), generator)
    whole = _Curvature(block_function, position, rows, lambda z: scale * z, lambda g: scale * g)
    looked = []
    for _ in range(_SIGNS):
        signs = generator.choice([-1.0, 1.0], len(scale))
        looked.append(signs * whole.along(signs))
    mean, error = np.mean(looked, axis=0), np.std(looked, axis=0, ddof=1) / np.sqrt(_SIGNS)
    return np.asarray(scale / np.sqrt(np.where(mean > _SURE * error, mean, 1.0)))


def _information_of_rows(
    block_function: BlockFunction, position: Array, generator: np.random.Generator
) -> Array:
    """Return the sum over rows of squared scores, from a sample that sees most parameters often."""
    n_dim = len(position)
    information = np.zeros(n_dim)
    sampled = sample_rows(block_function, _rows_wanted(n_dim), generator)
    for group, rows in enumerate(sampled):
        weight = block_function.total_sizes[group] / len(rows)
        for some in np.array_split(rows, -(-len(rows) // _SCORES_AT_ONCE)):
            scores = block_function.row_gradients(position, group, some)
            information += weight * np.nan_to_num(scores**2).sum(axis=0)
    return information


def _end(
    operator: scipy.sparse.linalg.LinearOperator, count: int, end: str, first: Array
) -> tuple[Array, Array]:
    """Return the eigenvalues at one end that converged, ascending, and their vectors."""
    basis = min(len(first), max(2 * count + 1, 20))
    restarts = max(1, (_MOST_PRODUCTS - basis) // max(1, basis - count))
    try:
        values, vectors = scipy.sparse.linalg.eigsh(
            operator, count, which=end, ncv=basis, v0=first, tol=_TOLERANCE, maxiter=restarts
        )
    except scipy.sparse.linalg.ArpackNoConvergence as stopped:
        values, vectors = stopped.eigenvalues, stopped.eigenvectors
    order = np.argsort(values)
    return values[order], vectors[:, order]
