"""Estimators of the gradient of the log-posterior from a batch of rows."""

from pymc_sgld.gradient_estimators.base import BatchGradients, GradientEstimator
from pymc_sgld.gradient_estimators.control_variate import ControlVariate, TabledControlVariate
from pymc_sgld.gradient_estimators.full import Full
from pymc_sgld.gradient_estimators.minibatch import Minibatch
from pymc_sgld.gradient_estimators.saga import Saga
from pymc_sgld.gradient_estimators.svrg import Svrg

ESTIMATORS: dict[str, GradientEstimator] = {
    "minibatch": Minibatch(),
    "full": Full(),
    "control_variate": ControlVariate(),
    "svrg": Svrg(),
    "saga": Saga(),
}

__all__ = [
    "ESTIMATORS",
    "BatchGradients",
    "ControlVariate",
    "Full",
    "GradientEstimator",
    "Minibatch",
    "Saga",
    "Svrg",
    "TabledControlVariate",
]
