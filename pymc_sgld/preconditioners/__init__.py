"""Linear preconditioners: changes of coordinates that make all directions alike."""

from pymc_sgld.preconditioners.linear import (
    NAMES,
    DenseMetric,
    DiagonalMetric,
    IdentityMetric,
    Metric,
    empty_metric,
    metric_from_covariance,
)

__all__ = [
    "NAMES",
    "DenseMetric",
    "DiagonalMetric",
    "IdentityMetric",
    "Metric",
    "empty_metric",
    "metric_from_covariance",
]
