"""A preconditioner that the user gives as numbers."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from pymc_sgld.preconditioners.base import Preconditioner
from pymc_sgld.preconditioners.linear import DiagonalMetric, Metric, metric_from_covariance
from pymc_sgld.types import Array
from pymc_sgld.validate import shown


@dataclass(frozen=True, eq=False)
class FixedCovariance(Preconditioner):
    """Variances or a covariance near those of the posterior, in unconstrained space.

    Parameters
    ----------
    covariance : array, shape (n_dim,) or (n_dim, n_dim)
        Positive; M of the preconditioned step. In the order of the model's value variables,
        ravelled.
    """

    covariance: Array

    def __post_init__(self) -> None:
        """Check what can be checked without a model."""
        given = self.covariance
        try:
            matrix = np.asarray(given, dtype=float)
        except (TypeError, ValueError):
            matrix = np.full(0, np.nan)
        object.__setattr__(self, "covariance", matrix)
        square = matrix.ndim == 1 or (matrix.ndim == 2 and matrix.shape[0] == matrix.shape[1])
        if not square or not matrix.size or not np.isfinite(matrix).all():
            raise ValueError(
                "preconditioner must be finite variances of shape (n_dim,) or a covariance of "
                f"shape (n_dim, n_dim), or a name such as 'dense', got {shown(given)}."
            )
        smallest = matrix.min() if matrix.ndim == 1 else np.linalg.eigvalsh(matrix)[0]
        if not smallest > 0 or (matrix.ndim == 2 and not np.allclose(matrix, matrix.T)):
            raise ValueError(
                "preconditioner must be positive variances or a symmetric positive definite "
                f"covariance; the smallest variance in any direction is {smallest:.3g}."
            )

    @property
    def name(self) -> str:
        """The kind of metric it makes."""
        return "diagonal" if self.covariance.ndim == 1 else "dense"

    @property
    def needs_square_matrix(self) -> bool:
        """Whether a covariance was given."""
        return self.covariance.ndim == 2

    def empty(self, n_dim: int) -> Metric:
        """Return the metric around zero."""
        return self.at_mode(np.zeros(n_dim), self.covariance)

    def at_mode(self, centre: Array, precision: Any) -> Metric:
        """Return the metric around a centre, whatever the precision there."""
        n_dim = len(centre)
        if len(self.covariance) != n_dim:
            raise ValueError(
                f"preconditioner has shape {self.covariance.shape}, but the model has {n_dim} "
                f"parameters in unconstrained space. Give shape ({n_dim},) or ({n_dim}, {n_dim}), "
                "or a name such as 'dense'."
            )
        if self.covariance.ndim == 1:
            return DiagonalMetric(centre, np.sqrt(self.covariance).astype(centre.dtype))
        return metric_from_covariance("dense", centre, self.covariance)
