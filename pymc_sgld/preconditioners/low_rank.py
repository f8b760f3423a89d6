r"""A diagonal preconditioner with a correction of low rank.

.. math:: L = D\,\bigl(I + U (\operatorname{diag}(s) - I)\, U^\top\bigr), \qquad
    L^{-1} = \bigl(I + U (\operatorname{diag}(1/s) - I)\, U^\top\bigr) D^{-1}

with D diagonal and the columns of U orthonormal: :math:`M = L L^\top` is a diagonal covariance
except in r directions, where it is what it is told. Every product costs n_dim times r.

With D the scales of the parameters one by one, U holds the directions in which the precision of the
scaled parameters is most extreme, at either end of its spectrum. What is left is its condition
number without them, and that is what a rank buys: the number of steps a chain needs to forget grows
with it.
"""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import scipy

from pymc_sgld.preconditioners.base import CurvatureProducts, Preconditioner
from pymc_sgld.preconditioners.linear import Metric
from pymc_sgld.types import Array, Tensor
from pymc_sgld.validate import check_integer

# The condition number that a rank left out is chosen to leave, and the largest such rank.
_GOOD_CONDITION = 10.0
_LARGEST_RANK = 100


@dataclass(frozen=True)
class LowRankMetric(Metric):
    """A scale for each parameter, and another for each of a few directions."""

    name: ClassVar[str] = "low_rank"
    centre: Array  # (n_dim,)
    scale: Array  # (n_dim,), the diagonal of D
    directions: Array  # (n_dim, rank), orthonormal columns
    stretch: Array  # (rank,), s

    @property
    def symbolic_shapes(self) -> tuple[tuple[int | None, ...], ...]:
        """Shapes for the compiled loop, which takes any rank."""
        n_dim = len(self.centre)
        return (n_dim,), (n_dim,), (n_dim, None), (None,)

    def parameters(self) -> tuple[Array, ...]:
        """Centre, scale, directions and stretch."""
        return self.centre, self.scale, self.directions, self.stretch

    def to_position(self, coordinates: Any, *parameters: Any) -> Any:
        """Return c + L z."""
        centre, scale, directions, stretch = parameters
        return centre + scale * _stretched(coordinates, directions, stretch)

    def pull_back(self, gradient: Tensor, *parameters: Any) -> Tensor:
        """Return L' g."""
        _, scale, directions, stretch = parameters
        return _stretched(scale * gradient, directions, stretch)

    def to_coordinates(self, position: Array) -> Array:
        """Return the solution z of L z = theta - c."""
        scaled = (position - self.centre) / self.scale
        return np.asarray(_stretched(scaled, self.directions, 1 / self.stretch))

    def operator(self) -> Any:
        """Return L for its products, without a matrix."""
        _, *rest = parameters = self.parameters()
        nothing = np.zeros_like(parameters[0])
        return scipy.sparse.linalg.LinearOperator(
            (len(nothing), len(nothing)),
            matvec=lambda z: self.to_position(np.ravel(z), nothing, *rest),
            rmatvec=lambda g: self.pull_back(np.ravel(g), *parameters),
            dtype=float,
        )

    def corrected(self, ways: Array, stretch: Array) -> "LowRankMetric":
        """Return the metric whose coordinates are stretched along some ways more than these are.

        Parameters
        ----------
        ways : array, shape (n_dim, n_ways)
            Orthonormal columns, in coordinates.
        stretch : array, shape (n_ways,)
            Posterior sds along them, in coordinates.
        """
        basis, _ = np.linalg.qr(np.hstack([self.directions, ways]).astype(float))
        of_old, of_new = basis.T @ self.directions, basis.T @ ways
        old = np.eye(basis.shape[1]) + (of_old * (self.stretch - 1)) @ of_old.T
        new = np.eye(basis.shape[1]) + (of_new * (stretch**2 - 1)) @ of_new.T
        squares, vectors = np.linalg.eigh(old @ new @ old)
        dtype = self.centre.dtype
        return replace(
            self,
            directions=np.ascontiguousarray(basis @ vectors, dtype=dtype),
            stretch=np.sqrt(squares).astype(dtype),
        )

    def matrix(self) -> Array:
        """Return L."""
        inner = (self.directions * (self.stretch - 1)) @ self.directions.T
        return np.asarray(self.scale[:, None] * (np.eye(len(self.centre)) + inner))


def _closed(values: Array, vectors: Array, gap: int) -> tuple[Array, Array, int]:
    """Put a curvature of 1, which diagonal scales aim at, at an end of which nothing is known."""
    unknown = np.zeros((len(vectors), 1))
    if gap == len(values):
        values, vectors = np.append(values, max([1.0, *values])), np.hstack([vectors, unknown])
    if gap == 0:
        values, vectors = np.append(min([1.0, *values]), values), np.hstack([unknown, vectors])
        gap = 1
    return values, vectors, gap


def _stretched(vector: Any, directions: Any, stretch: Any) -> Any:
    """Return (I + U (s - 1) U') v."""
    return vector + directions @ ((stretch - 1) * (vector @ directions))


@dataclass(frozen=True)
class LowRank(Preconditioner, extends=True):
    """Preconditioner: a diagonal, corrected in the directions of extreme curvature.

    Parameters
    ----------
    rank : int, optional
        Number of directions. Left out, it is the smallest that leaves a condition number of 10, at
        most 100, and at most 30 beyond 2000 parameters, where the directions are found by Lanczos
        iterations. More buys little where the spectrum beyond has no more extremes: the gain is
        the ratio of the condition numbers, not of the ranks.

    Examples
    --------
    >>> from pymc_sgld.preconditioners import LowRank
    >>> with model:
    ...     idata = psg.sample("sgld", preconditioner=LowRank(rank=20))
    """

    name: ClassVar[str] = "low_rank"
    needs_mode: ClassVar[bool] = True
    knows_ends: ClassVar[bool] = True
    rank: int | None = None

    def __post_init__(self) -> None:
        """Check the rank."""
        if self.rank is not None:
            hint = "Leave it out to have it chosen from the spectrum."
            check_integer("rank of LowRank", self.rank, at_least=1, hint=hint)

    def empty(self, n_dim: int) -> Metric:
        """Return the metric that leaves the coordinates as they are."""
        if self.rank is not None:
            hint = (
                f"The model has {n_dim} parameters; for all directions take preconditioner='dense'."
            )
            most = max(1, n_dim - 1)
            check_integer("rank of LowRank", self.rank, at_least=1, at_most=most, hint=hint)
        return LowRankMetric(np.zeros(n_dim), np.ones(n_dim), np.eye(n_dim, 1), np.ones(1))

    def at_mode(self, centre: Array, precision: Array) -> Metric:
        """Return the metric for a precision, shape (n_dim, n_dim), around a centre."""
        scale = 1 / np.sqrt(np.diag(precision))
        values, vectors = np.linalg.eigh(precision * np.outer(scale, scale))
        return self.from_spectrum(centre, scale, values, vectors)

    def by_products(self, centre: Array, curvature: CurvatureProducts) -> Metric:
        """Return the metric for the ends of the spectrum, found by products with the Hessian."""
        scale, values, vectors, gap = curvature.extremes(self.rank)
        return self.from_spectrum(centre, scale, values, vectors, gap)

    def from_spectrum(
        self, centre: Array, scale: Array, values: Array, vectors: Array, gap: int | None = None
    ) -> Metric:
        """Return the metric for what is known of the spectrum of the scaled precision.

        Parameters
        ----------
        centre, scale : array, shape (n_dim,)
        values : array, shape (n_known,)
            Positive, from the smallest on.
        vectors : array, shape (n_dim, n_known)
            Their eigenvectors.
        gap : int, optional
            How many of ``values`` are at the lower end of the spectrum, if those between them and
            the others are not known.
        """
        if gap is not None:
            values, vectors, gap = _closed(values, vectors, gap)
        low, high = self._window(values, gap)
        # The bulk is scaled to a curvature of about 1, so that it agrees with the directions
        level = np.sqrt(values[low] * values[high - 1])
        chosen = np.r_[0:low, high : len(values)] if len(values) > 1 else np.arange(1)
        dtype = centre.dtype
        return LowRankMetric(
            centre,
            (scale / np.sqrt(level)).astype(dtype),
            np.ascontiguousarray(vectors[:, chosen], dtype=dtype),
            np.sqrt(level / values[chosen]).astype(dtype),
        )

    def _window(self, values: Array, gap: int | None) -> tuple[int, int]:
        """Return which part ``values[low:high]`` of the spectrum is left to the diagonal."""
        count = len(values)
        most_low, most_high = (count, count) if gap is None else (gap - 1, count - gap - 1)
        wanted = min(self.rank or min(_LARGEST_RANK, max(1, count // 2)), count - 1)
        best = (0, count)
        for rank in range(wanted if self.rank else 1, wanted + 1):
            lows = np.arange(max(0, rank - most_high), min(rank, most_low) + 1)
            if len(lows) == 0:
                break
            conditions = values[count - 1 - (rank - lows)] / values[lows]
            low = int(lows[np.argmin(conditions)])
            best = (low, count - (rank - low))
            if conditions.min() < _GOOD_CONDITION:
                break
        return best
