"""A model as two blocks, hyperparameters and what rows depend on, and what is known of both."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from pymc_sgld.hierarchical_gibbs.arrowhead_metric import ConditionalMetric, ConditionalNoise
from pymc_sgld.hierarchical_gibbs.conditional_curvature import ConditionalCurvature
from pymc_sgld.hierarchical_gibbs.hyperparameter_step import HyperparameterStep
from pymc_sgld.hierarchical_gibbs.quadratic_rows import QuadraticRows, quadratic_rows
from pymc_sgld.tuning import GAUSSIAN, Laplace, PredictedLaw, SteepSlopes, Tuned
from pymc_sgld.types import Array


@dataclass(frozen=True)
class Hierarchy:
    """A model as two blocks: hyperparameters, and what rows depend on.

    Parameters
    ----------
    prior : callable
        See :func:`pymc_sgld.hierarchical_gibbs.prior_model.compile_prior`.
    hyperparameters : HyperparameterStep
    sizes : tuple of int
        Lengths of the variables of the position.
    """

    prior: Any
    hyperparameters: HyperparameterStep
    sizes: tuple[int, ...]

    def density(self, position: Array) -> float:
        """Return the log-density of the prior part."""
        return float(self.prior(position, np.zeros_like(position))[2])

    @property
    def moving(self) -> Array:
        """Entries of the position that are no hyperparameters."""
        return np.setdiff1d(np.arange(sum(self.sizes)), self.hyperparameters.entries)


@dataclass(frozen=True)
class TunedHierarchy:
    """What is worked out before the first step of a Gibbs split."""

    mode: Array  # (n_dim,), the mean of the draws
    covariance: Array | None  # (n_dim, n_dim); none where too large
    metric: ConditionalMetric
    predicted_law: PredictedLaw
    score: float
    data_passes: float
    curvature: ConditionalCurvature
    laplace: Laplace | None  # of what moves, at typical hyperparameters; none where too large
    draws: Array  # (n_draws, n_dim), of the run without data
    slope: Array  # (n_dim,), of the rows' log-likelihood at the curvature's reference
    estimator_parameters: tuple[Array, ...] = ()
    noise: ConditionalNoise | None = None  # where it is compensated
    steep: SteepSlopes = GAUSSIAN  # variables that move and are near an end

    @property
    def joint(self) -> Tuned:
        """What a chain is to know at its start."""
        return Tuned(
            mode=self.mode,
            covariance=self.covariance,
            metric=self.metric,
            predicted_law=self.predicted_law,
            estimator_parameters=self.estimator_parameters,
            score=self.score,
            data_passes=self.data_passes,
            steep=self.steep,
        )

    @property
    def sds(self) -> Array:
        """Posterior sds of all parameters, as far as they are known."""
        if self.covariance is None:
            return np.asarray(self.draws.std(axis=0))
        return np.sqrt(np.diag(self.covariance))

    @property
    def log_scale_sd(self) -> float:
        """Predicted posterior sd of the log of a scale that effects have in the prior; largest.

        The scale is one over the root of the prior's own curvature, which does not depend on the
        data: its spread is that of the hyperparameters.
        """
        row, column = self.curvature.entries.row, self.curvature.entries.column
        diagonal = row == column
        values = np.array([self.curvature.of_prior(draw)[diagonal] for draw in self.draws])
        usable = (values > 0).all(axis=0)
        spread = np.log(values[:, usable]).std(axis=0) / 2
        return float(spread.max(initial=0.0))

    @property
    def quadratic(self) -> QuadraticRows:
        """The rows' log-likelihood near the mode."""
        return quadratic_rows(self.curvature, self.slope[self.curvature.moving])
