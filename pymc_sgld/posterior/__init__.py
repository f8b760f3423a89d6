"""From draws back to the model: their scores, whether they can be trusted, what they weigh."""

from pymc_sgld.posterior.checking import Check, check, check_others, check_run
from pymc_sgld.posterior.score_estimates import ScoreSource
from pymc_sgld.posterior.scores import NoScoreError, PosteriorScores, posterior_scores
from pymc_sgld.posterior.weighted_draws import resample

__all__ = [
    "Check",
    "NoScoreError",
    "PosteriorScores",
    "ScoreSource",
    "check",
    "check_others",
    "check_run",
    "posterior_scores",
    "resample",
]
