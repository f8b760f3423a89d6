"""The extreme directions of a posterior too large for an n_dim x n_dim matrix."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy

from pymc_sgld.model_graph import BlockFunction
from pymc_sgld.preconditioners import LowRankMetric
from pymc_sgld.tuning.errors import TuningError
from pymc_sgld.tuning.rough_coordinates import bends_otherwise, coordinates_of_some
from pymc_sgld.tuning.row_sample import ROWS_OF_A_SAMPLE, RowSample
from pymc_sgld.tuning.row_scores import pieces
from pymc_sgld.tuning.row_sizes import TO_A_KINK, sizes_in_two_looks
from pymc_sgld.types import Array

_DIRECTIONS_AT_AN_END = 30
_LEAST_ROWS, _ROWS_PER_PARAMETER = 2000, 20
# Moves along a direction, in rough posterior sds; float32 gradients need a long one.
_DIFFERENCES = {"float64": 1e-3, "float32": 0.3}
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
    looked: RowLook | None = None,
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
    looked : RowLook, optional
        Which rows matter most: those are in the sample.
    """
    n_dim, looked = len(position), looked or RowLook()
    sample = rows_for_products(block_function, n_dim, generator, looked)
    scale = diagonal_scales(block_function, position, generator, looked)
    curvature = _Curvature(
        sample, position, lambda z: scale * z, lambda g: scale * g, kinked=looked.kinked
    )
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


class RowLook(NamedTuple):
    """What a look at all rows said of them."""

    sizes: tuple[Array | None, ...] = ()  # how much each row of a group matters, where looked at
    kinked: bool = False  # whether gradients of rows jump
    data_passes: float = 0.0


def look_at_rows(
    block_function: BlockFunction, position: Array, generator: np.random.Generator
) -> RowLook:
    """Look at all rows of groups of more than 20,000 for how much each matters, and for jumps.

    Parameters
    ----------
    block_function : BlockFunction
    position : array, shape (n_dim,)
    generator : numpy.random.Generator
    """
    totals = block_function.total_sizes
    factor, looked = coordinates_of_some(block_function, position, generator)
    kinked = bends_otherwise(block_function, position, factor)
    sizes: list[Array | None] = [None] * len(totals)
    for group, total in enumerate(totals):
        if total > ROWS_OF_A_SAMPLE:
            wide = TO_A_KINK * factor if kinked else factor
            size, used = sizes_in_two_looks(block_function, position, wide, group, generator)
            sizes[group] = np.sqrt(size) if kinked else size
            looked += used * total / sum(totals)
    return RowLook(tuple(sizes), kinked, looked)


def rows_for_products(
    block_function: BlockFunction, n_dim: int, generator: np.random.Generator, looked: RowLook
) -> RowSample:
    """Return rows in which most parameters are seen often, with those that matter most."""
    most = max(_LEAST_ROWS, _ROWS_PER_PARAMETER * n_dim)
    return RowSample(block_function, most, generator, looked.sizes or None)


def stiffest_direction(
    block_function: BlockFunction,
    metric: LowRankMetric,
    generator: np.random.Generator,
    looked: RowLook | None = None,
) -> tuple[float, Array, float]:
    """Return the largest curvature in the coordinates of a metric, where it is, and data passes.

    Parameters
    ----------
    block_function : BlockFunction
    metric : LowRankMetric
        Its centre is the mode.
    generator : numpy.random.Generator
        Chooses the sample of rows and the first vector.
    looked : RowLook, optional
        Which rows matter most: those are in the sample.
    """
    n_dim, parameters, looked = len(metric.centre), metric.parameters(), looked or RowLook()
    curvature = _Curvature(
        rows_for_products(block_function, n_dim, generator, looked),
        metric.centre,
        lambda z: metric.to_position(z, *parameters) - metric.centre,
        lambda g: metric.pull_back(g, *parameters),
        kinked=looked.kinked,
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
        sample: RowSample,
        position: Array,
        forward: Callable[[Array], Array],
        back: Callable[[Array], Array],
        *,
        kinked: bool = False,
    ) -> None:
        self.sample, self.position = sample, position
        self.forward, self.back = forward, back
        self.step = _DIFFERENCES[np.dtype(sample.function.dtype).name]
        if kinked:  # what a chain feels is the curvature over the width of the posterior
            self.step = 1.0
        self.products = 0

    def along(self, direction: Array) -> Array:
        """Return the product with a vector, by a central difference of the gradient."""
        self.products += 1
        length = np.linalg.norm(direction)
        move = self.step * self.forward(np.ravel(direction) / length)
        behind, ahead = (
            self.sample.slope(moved.astype(self.position.dtype))
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
        return 2 * self.products * self.sample.share


def diagonal_scales(
    block_function: BlockFunction,
    position: Array,
    generator: np.random.Generator,
    looked: RowLook | None = None,
) -> Array:
    """Return a rough posterior sd of each parameter, curvature of the prior included.

    The information of the rows is that of their scores; the curvature of the prior is estimated by
    products of its Hessian with random signs, which is exact where parameters are independent.
    Products of the whole Hessian with random signs correct it where they say the same each time.
    """
    looked = looked or RowLook()
    sample = rows_for_products(block_function, len(position), generator, looked)
    of_rows = _information_of_rows(sample, position)
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
    whole = _Curvature(
        sample, position, lambda z: scale * z, lambda g: scale * g, kinked=looked.kinked
    )
    seen = []
    for _ in range(_SIGNS):
        signs = generator.choice([-1.0, 1.0], len(scale))
        seen.append(signs * whole.along(signs))
    mean, error = np.mean(seen, axis=0), np.std(seen, axis=0, ddof=1) / np.sqrt(_SIGNS)
    return np.asarray(scale / np.sqrt(np.where(mean > _SURE * error, mean, 1.0)))


def _information_of_rows(sample: RowSample, position: Array) -> Array:
    """Return the sum over rows of squared scores, from a sample that sees most parameters often."""
    information = np.zeros(len(position))
    for group, strata in enumerate(sample.by_group):
        for rows, weight in strata:
            for some in pieces(rows, len(position)):
                scores = sample.function.row_gradients(position, group, some)
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
    except scipy.sparse.linalg.ArpackError as error:  # of products that are not finite
        raise TuningError(
            "No mode was found to measure at: the curvature is not finite where the search ended, "
            "as where the scale of effects goes to zero. Give initvals where the model is finite, "
            "priors that keep scales away from zero, or preconditioner='identity' with "
            "gradient='minibatch'.",
            unbounded=True,
        ) from error
    order = np.argsort(values)
    return values[order], vectors[:, order]
