r"""Constant linear preconditioners, as changes of coordinates.

The sampler moves :math:`z` with :math:`\theta = c + L z`. Its gradient there is
:math:`L^\top g`, so an SGLD step in :math:`z` is the
preconditioned step of Welling and Teh with :math:`M = L L^\top`,

.. math:: \theta' = \theta + h\, M \hat g(\theta) + N(0, 2 h T M),

and every update rule gains the preconditioner without knowing of it. With :math:`M` near the
posterior covariance all directions have unit scale, and a step size is of order 0.01 to 1.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import scipy

from pymc_sgld.types import Array, Tensor

NAMES = ("identity", "diagonal", "dense")


class Metric(ABC):
    """A centre and a scale: numbers outside the loop, tensors inside it."""

    name: ClassVar[str]

    @abstractmethod
    def parameters(self) -> tuple[Array, ...]:
        """Return the arrays that the compiled loop takes."""

    @property
    def symbolic_shapes(self) -> tuple[tuple[int | None, ...], ...]:
        """Shapes of the parameters for the compiled loop; None along an axis of any length."""
        return tuple(value.shape for value in self.parameters())

    @abstractmethod
    def to_position(self, coordinates: Any, *parameters: Any) -> Any:
        """Return the position c + L z of coordinates z (symbolic)."""

    @abstractmethod
    def pull_back(self, gradient: Tensor, *parameters: Any) -> Tensor:
        """Return the gradient L' g with respect to the coordinates (symbolic)."""

    @abstractmethod
    def to_coordinates(self, position: Array) -> Array:
        """Return the coordinates z of a position (numbers)."""

    @abstractmethod
    def matrix(self) -> Array:
        """Return L, shape (n_dim, n_dim)."""

    def rotated(self, noise: Array) -> "Metric":
        """Return the metric in whose coordinates a matrix in these is diagonal, if it can be."""
        return self


@dataclass(frozen=True)
class IdentityMetric(Metric):
    """No preconditioner: the coordinates are the position."""

    name: ClassVar[str] = "identity"
    n_dim: int

    def parameters(self) -> tuple[Array, ...]:
        """No parameters."""
        return ()

    def to_position(self, coordinates: Any, *parameters: Any) -> Any:
        """Return the coordinates."""
        return coordinates

    def pull_back(self, gradient: Tensor, *parameters: Any) -> Tensor:
        """Return the gradient."""
        return gradient

    def to_coordinates(self, position: Array) -> Array:
        """Return the position."""
        return position

    def matrix(self) -> Array:
        """Return the identity."""
        return np.eye(self.n_dim)


@dataclass(frozen=True)
class DiagonalMetric(Metric):
    """A scale for each parameter: L is diagonal."""

    name: ClassVar[str] = "diagonal"
    centre: Array  # (n_dim,)
    scale: Array  # (n_dim,), standard deviations

    def parameters(self) -> tuple[Array, ...]:
        """Centre and scale."""
        return self.centre, self.scale

    def to_position(self, coordinates: Any, *parameters: Any) -> Any:
        """Return c + scale * z."""
        centre, scale = parameters
        return centre + scale * coordinates

    def pull_back(self, gradient: Tensor, *parameters: Any) -> Tensor:
        """Return scale * g."""
        return parameters[1] * gradient

    def to_coordinates(self, position: Array) -> Array:
        """Return (theta - c) / scale."""
        return (position - self.centre) / self.scale

    def matrix(self) -> Array:
        """Return the diagonal matrix of the scales."""
        return np.diag(self.scale)


@dataclass(frozen=True)
class DenseMetric(Metric):
    """A full matrix: L is a factor of a covariance."""

    name: ClassVar[str] = "dense"
    centre: Array  # (n_dim,)
    factor: Array  # (n_dim, n_dim)
    inverse: Array  # (n_dim, n_dim), of the factor

    def parameters(self) -> tuple[Array, ...]:
        """Centre and factor."""
        return self.centre, self.factor

    def to_position(self, coordinates: Any, *parameters: Any) -> Any:
        """Return c + L z."""
        centre, factor = parameters
        return centre + factor @ coordinates

    def pull_back(self, gradient: Tensor, *parameters: Any) -> Tensor:
        """Return L' g."""
        return gradient @ parameters[1]

    def to_coordinates(self, position: Array) -> Array:
        """Return the solution z of L z = theta - c."""
        return np.asarray(self.inverse @ (position - self.centre))

    def rotated(self, noise: Array) -> "DenseMetric":
        """Return the metric whose coordinates are the eigenvectors of a matrix in these."""
        _, vectors = np.linalg.eigh(noise)
        return DenseMetric(
            self.centre,
            np.ascontiguousarray(self.factor @ vectors),
            np.ascontiguousarray(vectors.T @ self.inverse),
        )

    def matrix(self) -> Array:
        """Return the factor."""
        return self.factor


def empty_metric(name: str, n_dim: int) -> Metric:
    """Return the metric of the given name that leaves the coordinates as they are."""
    if name == "identity":  # no matrix where none is needed: there may be a million parameters
        return IdentityMetric(n_dim)
    if name == "diagonal":
        return DiagonalMetric(np.zeros(n_dim), np.ones(n_dim))
    return metric_from_covariance(name, np.zeros(n_dim), np.eye(n_dim))


def metric_from_covariance(name: str, centre: Array, covariance: Array) -> Metric:
    """Return the metric of the given name for a covariance around a centre.

    Parameters
    ----------
    name : str
        One of ``NAMES``.
    centre : array, shape (n_dim,)
        The origin of the coordinates.
    covariance : array, shape (n_dim, n_dim)
        Positive definite; M of the preconditioned step.
    """
    if name == "identity":
        return IdentityMetric(len(centre))
    if name == "diagonal":
        return DiagonalMetric(centre, np.sqrt(np.diag(covariance)))
    factor = np.linalg.cholesky(covariance)
    inverse = scipy.linalg.solve_triangular(factor, np.eye(len(centre)), lower=True)
    dtype = centre.dtype
    return DenseMetric(
        centre,
        np.ascontiguousarray(factor, dtype=dtype),
        np.ascontiguousarray(inverse, dtype=dtype),
    )
