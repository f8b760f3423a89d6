"""Linear preconditioners: changes of coordinates that make all directions alike."""

from pymc_sgld.preconditioners.adaptive import Adam, Averages, RMSprop
from pymc_sgld.preconditioners.choices import PRECONDITIONERS, Preconditioner
from pymc_sgld.preconditioners.given import Given
from pymc_sgld.preconditioners.linear import (
    DenseMetric,
    DiagonalMetric,
    IdentityMetric,
    Metric,
    empty_metric,
    metric_from_covariance,
)
from pymc_sgld.preconditioners.low_rank import LowRank, LowRankMetric

__all__ = [
    "PRECONDITIONERS",
    "Adam",
    "Averages",
    "DenseMetric",
    "DiagonalMetric",
    "Given",
    "IdentityMetric",
    "LowRank",
    "LowRankMetric",
    "Metric",
    "Preconditioner",
    "RMSprop",
    "empty_metric",
    "metric_from_covariance",
]
