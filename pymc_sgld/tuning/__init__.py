"""What is worked out before sampling: mode, curvature, gradient noise, step size."""

from pymc_sgld.tuning.estimator_noise import with_noise_left
from pymc_sgld.tuning.linear_law import LinearLaw
from pymc_sgld.tuning.local_gaussian import (
    LocalGaussian,
    control_variate_noise,
    local_gaussian,
)
from pymc_sgld.tuning.mean_of_draws import MeanOfDraws
from pymc_sgld.tuning.mode_search import find_mode
from pymc_sgld.tuning.sampling_threshold import LinearChain

__all__ = [
    "LinearChain",
    "LinearLaw",
    "LocalGaussian",
    "MeanOfDraws",
    "control_variate_noise",
    "find_mode",
    "local_gaussian",
    "with_noise_left",
]
