"""What is worked out before sampling: mode, curvature, gradient noise, step size."""

from pymc_sgld.tuning.local_gaussian import LocalGaussian, local_gaussian
from pymc_sgld.tuning.mode_search import find_mode
from pymc_sgld.tuning.sampling_threshold import (
    LinearChain,
    threshold_step_size,
)

__all__ = [
    "LinearChain",
    "LocalGaussian",
    "find_mode",
    "local_gaussian",
    "threshold_step_size",
]
