"""What is worked out before sampling: mode, curvature, gradient noise, batch size, step size."""

from pymc_sgld.tuning.batch_choice import smallest_batch
from pymc_sgld.tuning.conditional import (
    ConditionalCurvature,
    conditional_curvature,
    given_the_rest,
    pilot,
)
from pymc_sgld.tuning.estimator_noise import is_better_centre, with_noise_left
from pymc_sgld.tuning.extreme_directions import diagonal_scales, extreme_directions
from pymc_sgld.tuning.improper import improper_direction
from pymc_sgld.tuning.laplace import Laplace, find_laplace
from pymc_sgld.tuning.linear_law import LinearLaw
from pymc_sgld.tuning.local_gaussian import (
    LocalGaussian,
    local_gaussian,
    typical_precision,
)
from pymc_sgld.tuning.mode_search import ModeSearch, climb, find_mode, sample_rows
from pymc_sgld.tuning.remaining_noise import UnevenRows, control_variate_noise
from pymc_sgld.tuning.sampling_threshold import TARGET_BIAS, LinearChain

__all__ = [
    "TARGET_BIAS",
    "ConditionalCurvature",
    "Laplace",
    "LinearChain",
    "LinearLaw",
    "LocalGaussian",
    "ModeSearch",
    "UnevenRows",
    "climb",
    "conditional_curvature",
    "control_variate_noise",
    "diagonal_scales",
    "extreme_directions",
    "find_laplace",
    "find_mode",
    "given_the_rest",
    "improper_direction",
    "is_better_centre",
    "local_gaussian",
    "pilot",
    "sample_rows",
    "smallest_batch",
    "typical_precision",
    "with_noise_left",
]
