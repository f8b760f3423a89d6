"""The preconditioners by name, and how each is made from what is measured at a mode."""

from dataclasses import dataclass

import numpy as np

from pymc_sgld.preconditioners.adaptive import Adam, RMSprop
from pymc_sgld.preconditioners.base import CurvatureProducts, Preconditioner
from pymc_sgld.preconditioners.linear import (
    DiagonalMetric,
    Metric,
    empty_metric,
    metric_from_covariance,
)
from pymc_sgld.preconditioners.low_rank import LowRank
from pymc_sgld.types import Array


@dataclass(frozen=True)
class MeasuredAtMode(Preconditioner):
    """Identity, diagonal or dense: all of it measured at a mode, without options."""

    kind: str

    @property
    def name(self) -> str:
        """The kind of metric it makes."""
        return self.kind

    @property
    def needs_mode(self) -> bool:
        """Whether there is something to measure."""
        return self.kind != "identity"

    @property
    def needs_square_matrix(self) -> bool:
        """Whether the metric is a matrix."""
        return self.kind == "dense"

    def empty(self, n_dim: int) -> Metric:
        """Return the metric that leaves the coordinates as they are."""
        return empty_metric(self.kind, n_dim)

    def at_mode(self, centre: Array, precision: Array) -> Metric:
        """Return the metric for a precision, shape (n_dim, n_dim), around a centre."""
        return metric_from_covariance(self.kind, centre, np.linalg.inv(precision))

    def by_products(self, centre: Array, curvature: CurvatureProducts) -> Metric | None:
        """Return the scales of the parameters one by one."""
        if self.kind != "diagonal":
            return None
        return DiagonalMetric(centre, curvature.scales().astype(centre.dtype))


PRECONDITIONERS: dict[str, Preconditioner] = {
    "identity": MeasuredAtMode("identity"),
    "diagonal": MeasuredAtMode("diagonal"),
    "dense": MeasuredAtMode("dense"),
    "low_rank": LowRank(),
    "rmsprop": RMSprop(),
    "adam": Adam(),
}
