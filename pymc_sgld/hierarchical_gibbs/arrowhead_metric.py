r"""Coordinates of the effects of a hierarchy given its hyperparameters.

The precision of effects and coefficients given the hyperparameters is an arrowhead: diagonal but
for the border of some parameters that go with all others,

.. math:: A = \begin{pmatrix} D & C \\ C^\top & B \end{pmatrix}, \qquad
    L = \begin{pmatrix} D^{-1/2} & -D^{-1} C\, W \\ 0 & W \end{pmatrix}, \quad
    W W^\top = (B - C^\top D^{-1} C)^{-1},

so that :math:`L L^\top = A^{-1}` costs no more than its entries. Hyperparameters have rows of zeros
in L: they stay where the centre is.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pytensor.tensor as pt
import scipy

from pymc_sgld.preconditioners.linear import Metric
from pymc_sgld.types import Array, Tensor

_SMALLEST_EIGENVALUE = 1e-9  # relative


class ConditionalNoise(NamedTuple):
    """The variance of the gradient, whatever the hyperparameters."""

    by_parameter: Array  # (n_dim,)
    of_border: Array  # (n_dim,), of the coordinates of the border, at typical hyperparameters
    within: Array | None = None  # (n_blocks, size, size), covariances within blocks of effects


@dataclass(frozen=True)
class ConditionalMetric(Metric):
    """A scale for each parameter, columns for those of the border, zero for what does not move."""

    name: ClassVar[str] = "conditional"
    centre: Array  # (n_dim,)
    scale: Array  # (n_dim,), zero on the border and for the hyperparameters
    columns: Array  # (n_dim, n_border)
    border: Array  # (n_border,), numbers of the parameters
    upper: Array  # (n_border, n_border), inverse of the columns' part on the border

    def parameters(self) -> tuple[Array, ...]:
        """Centre, scale and columns."""
        return self.centre, self.scale, self.columns

    def to_position(self, coordinates: Any, *parameters: Any) -> Any:
        """Return c + L z."""
        centre, scale, columns = parameters
        return centre + scale * coordinates + columns @ coordinates[self.border]

    def pull_back(self, gradient: Tensor, *parameters: Any) -> Tensor:
        """Return L' g."""
        _, scale, columns = parameters
        return pt.inc_subtensor((scale * gradient)[self.border], gradient @ columns)

    def whitened(self, gradient: Array) -> Array:
        """Return L' g, of numbers."""
        found = self.scale * gradient
        found[self.border] += gradient @ self.columns
        return np.asarray(found)

    def to_coordinates(self, position: Array) -> Array:
        """Return z with L z = theta - c; zero for what does not move."""
        apart = position - self.centre
        coordinates = np.zeros_like(apart)
        of_border = self.upper @ apart[self.border]
        own = self.scale > 0
        left = apart[own] - self.columns[own] @ of_border
        coordinates[own] = left / self.scale[own]
        coordinates[self.border] = of_border
        return coordinates

    @property
    def log_determinant(self) -> float:
        """Of the precision of what moves."""
        alone = np.log(self.scale[self.scale > 0]).sum()
        return float(2 * (np.log(np.diag(self.upper)).sum() - alone))

    def noise_by_coordinate(self, noise: ConditionalNoise) -> Array:
        """Return the diagonal of L' N L, but for what coordinates of the border take in."""
        own = self.scale > 0
        return np.where(own, self.scale**2 * noise.by_parameter, noise.of_border)

    def matrix(self) -> Array:
        """Return L, shape (n_dim, n_dim)."""
        factor = np.diag(self.scale)
        factor[:, self.border] += self.columns
        return factor


def conditional_metric(
    centre: Array, single: Array, border: Array, own: Array, cross: Array, inner: Array
) -> ConditionalMetric:
    """Return the metric of an arrowhead precision.

    Parameters
    ----------
    centre : array, shape (n_dim,)
    single, border : array of int, shape (n_single,) and (n_border,)
        Numbers of the parameters that move.
    own : array, shape (n_single,)
        Diagonal of the precision.
    cross : array, shape (n_single, n_border)
    inner : array, shape (n_border, n_border)
    """
    variance = 1 / own
    schur = inner - cross.T @ (variance[:, None] * cross)
    lower = nearest_cholesky(schur)
    inverse = scipy.linalg.solve_triangular(lower, np.eye(len(border)), lower=True).T
    columns = np.zeros((len(centre), len(border)))
    columns[border] = inverse
    columns[single] = -variance[:, None] * (cross @ inverse)
    scale = np.zeros(len(centre))
    scale[single] = np.sqrt(variance)
    dtype = centre.dtype
    return ConditionalMetric(
        centre, scale.astype(dtype), np.ascontiguousarray(columns, dtype=dtype), border, lower.T
    )


def nearest_cholesky(matrix: Array) -> Array:
    """Return the lower factor; of the nearest positive matrix where it is not positive."""
    if not np.isfinite(matrix).all():
        raise np.linalg.LinAlgError("The precision of effects is not finite.")
    try:
        return np.asarray(np.linalg.cholesky(matrix))
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(matrix)
        values = np.maximum(np.abs(values), _SMALLEST_EIGENVALUE * np.abs(values).max())
        return np.asarray(np.linalg.cholesky((vectors * values) @ vectors.T))
