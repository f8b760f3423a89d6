"""From draws back to the model: their scores, whether they can be trusted, what they weigh."""

from pymc_sgld.posterior.checking import Check, check, check_others, check_run
from pymc_sgld.posterior.draws import posterior_of
from pymc_sgld.posterior.latents import latent_posterior
from pymc_sgld.posterior.log_likelihood import row_log_likelihood
from pymc_sgld.posterior.predictive import posterior_predictive
from pymc_sgld.posterior.score_estimates import ScoreSource
from pymc_sgld.posterior.scores import NoScoreError, PosteriorScores, posterior_scores
from pymc_sgld.posterior.unconstrained import (
    parameter_labels,
    position_labels,
    unconstrained_positions,
)
from pymc_sgld.posterior.weighted_draws import resample

__all__ = [
    "Check",
    "NoScoreError",
    "PosteriorScores",
    "ScoreSource",
    "check",
    "check_others",
    "check_run",
    "latent_posterior",
    "parameter_labels",
    "position_labels",
    "posterior_of",
    "posterior_predictive",
    "posterior_scores",
    "resample",
    "row_log_likelihood",
    "unconstrained_positions",
]
