"""What is worked out before sampling: mode, curvature, gradient noise, batch size, step size."""

from pymc_sgld.tuning.batch_choice import fewest_rows, smallest_batch
from pymc_sgld.tuning.conditional import (
    ConditionalCurvature,
    conditional_curvature,
    given_the_rest,
    information_of_all_rows,
    pilot,
)
from pymc_sgld.tuning.estimator_noise import is_better_centre, with_noise_left
from pymc_sgld.tuning.extreme_directions import (
    diagonal_scales,
    extreme_directions,
    stiffest_direction,
)
from pymc_sgld.tuning.extremes_chain import ExtremesChain, batch_noise
from pymc_sgld.tuning.improper import improper_direction
from pymc_sgld.tuning.laplace import Laplace, find_laplace, on_all_rows
from pymc_sgld.tuning.large_matrices import MANY, is_nearly_positive, largest_eigenvector
from pymc_sgld.tuning.linear_law import LinearLaw
from pymc_sgld.tuning.local_gaussian import (
    LocalGaussian,
    Scores,
    local_gaussian,
    look_at_scores,
    typical_precision,
)
from pymc_sgld.tuning.mode_search import ModeSearch, climb, find_mode, sample_rows
from pymc_sgld.tuning.remaining_noise import UnevenRows, control_variate_noise
from pymc_sgld.tuning.sampling_threshold import TARGET_BIAS, LinearChain, SamplerPicture

__all__ = [
    "MANY",
    "TARGET_BIAS",
    "ConditionalCurvature",
    "ExtremesChain",
    "Laplace",
    "LinearChain",
    "LinearLaw",
    "LocalGaussian",
    "ModeSearch",
    "SamplerPicture",
    "Scores",
    "UnevenRows",
    "batch_noise",
    "climb",
    "conditional_curvature",
    "control_variate_noise",
    "diagonal_scales",
    "extreme_directions",
    "fewest_rows",
    "find_laplace",
    "find_mode",
    "given_the_rest",
    "improper_direction",
    "information_of_all_rows",
    "is_better_centre",
    "is_nearly_positive",
    "largest_eigenvector",
    "local_gaussian",
    "look_at_scores",
    "on_all_rows",
    "pilot",
    "sample_rows",
    "smallest_batch",
    "stiffest_direction",
    "typical_precision",
    "with_noise_left",
]
