"""Linear preconditioners: changes of coordinates that make all directions alike."""

from pymc_sgld.preconditioners.adaptive import Adam, Averages, RMSprop
from pymc_sgld.preconditioners.base import (
    CurvatureProducts,
    LearnedPreconditioner,
    Preconditioner,
)
from pymc_sgld.preconditioners.choices import PRECONDITIONERS, MeasuredAtMode
from pymc_sgld.preconditioners.given import FixedCovariance
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
    "CurvatureProducts",
    "DenseMetric",
    "DiagonalMetric",
    "FixedCovariance",
    "IdentityMetric",
    "LearnedPreconditioner",
    "LowRank",
    "LowRankMetric",
    "MeasuredAtMode",
    "Metric",
    "Preconditioner",
    "RMSprop",
    "empty_metric",
    "metric_from_covariance",
]
