"""Estimators of the gradient of the log-posterior from a batch of rows."""

from pymc_sgld.gradient_estimators.minibatch import minibatch_gradient

__all__ = ["minibatch_gradient"]
