"""A model as two blocks, hyperparameters and what rows depend on, and what is known of both."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from pymc_sgld.hierarchical_gibbs.arrowhead_metric import ConditionalMetric
from pymc_sgld.hierarchical_gibbs.conditional_curvature import ConditionalCurvature
from pymc_sgld.hierarchical_gibbs.hyperparameter_step import HyperparameterStep
from pymc_sgld.hierarchical_gibbs.standardised import QuadraticRows
from pymc_sgld.tuning import Laplace, PredictedLaw, Tuned
from pymc_sgld.types import Array

_NO_SPREAD = 1e-9


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


class ConditionalNoise(NamedTuple):
    """The variance of the gradient, whatever the hyperparameters."""

    by_parameter: Array  # (n_dim,)
    of_border: Array  # (n_dim,), of the coordinates of the border, at typical hyperparameters


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
        return float(self._spread[1].max(initial=0.0))

    @property
    def acted_on(self) -> Array:
        """Entries of the position whose scale in the prior the hyperparameters change."""
        entries, spread = self._spread
        return np.asarray(entries[spread > _NO_SPREAD])

    @property
    def quadratic(self) -> QuadraticRows:
        """The rows' log-likelihood near the mode."""
        curvature = self.curvature
        score = np.zeros(len(self.mode))
        score[curvature.moving] = self.slope[curvature.moving]
        single, border = curvature.moving[curvature.single], curvature.moving[curvature.border]
        return QuadraticRows(
            curvature.reference.astype(float), score, single, border, *curvature.all_of_rows
        )

    @cached_property
    def _spread(self) -> tuple[Array, Array]:
        """Entries that have a curvature of their own in the prior, and sds of its log scale."""
        row, column = self.curvature.entries.row, self.curvature.entries.column
        diagonal = row == column
        values = np.array([self.curvature.of_prior(draw)[diagonal] for draw in self.draws])
        usable = (values > 0).all(axis=0)
        spread = np.log(values[:, usable]).std(axis=0) / 2
        return self.curvature.moving[row[diagonal][usable]], spread
