"""What is worked out before sampling: mode, curvature, gradient noise, batch size, step size."""

from pymc_sgld.tuning.batch_size import fewest_rows, smallest_batch, upper_end
from pymc_sgld.tuning.by_products import tune_by_products
from pymc_sgld.tuning.centre import FEWEST_DRAWS, better_centre, centre_parameters
from pymc_sgld.tuning.errors import TuningError
from pymc_sgld.tuning.estimator_noise import is_better_centre, with_noise_left
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
from pymc_sgld.tuning.mode_search import (
    ModeSearch,
    climb,
    find_mode,
    sample_rows,
)
from pymc_sgld.tuning.pass_budget import most_passes, within_passes
from pymc_sgld.tuning.predicted_law import TARGET_BIAS, GaussianLaw, PredictedLaw
from pymc_sgld.tuning.predicted_law_by_ends import LawByEnds, batch_noise
from pymc_sgld.tuning.problem import TuningProblem, batch_gradients
from pymc_sgld.tuning.propriety import check_mode, improper_direction
from pymc_sgld.tuning.remaining_noise import UnevenRows, control_variate_noise
from pymc_sgld.tuning.spectrum_ends import (
    diagonal_scales,
    extreme_directions,
    stiffest_direction,
)
from pymc_sgld.tuning.starts import jittered, other_mode
from pymc_sgld.tuning.steep_slopes import GAUSSIAN, SteepSlopes
from pymc_sgld.tuning.tuned import LARGEST_MEASURED, Centre, Start, Tuned
from pymc_sgld.tuning.warmup import WITHOUT_TUNING, Warmup

__all__ = [
    "FEWEST_DRAWS",
    "GAUSSIAN",
    "LARGEST_MEASURED",
    "MANY",
    "TARGET_BIAS",
    "WITHOUT_TUNING",
    "Centre",
    "GaussianLaw",
    "Laplace",
    "LawByEnds",
    "LinearLaw",
    "LocalGaussian",
    "ModeSearch",
    "PredictedLaw",
    "Scores",
    "Start",
    "SteepSlopes",
    "Tuned",
    "TuningError",
    "TuningProblem",
    "UnevenRows",
    "Warmup",
    "batch_gradients",
    "batch_noise",
    "better_centre",
    "centre_parameters",
    "check_mode",
    "climb",
    "control_variate_noise",
    "diagonal_scales",
    "extreme_directions",
    "fewest_rows",
    "find_laplace",
    "find_mode",
    "improper_direction",
    "is_better_centre",
    "is_nearly_positive",
    "jittered",
    "largest_eigenvector",
    "local_gaussian",
    "look_at_scores",
    "most_passes",
    "on_all_rows",
    "other_mode",
    "sample_rows",
    "smallest_batch",
    "stiffest_direction",
    "tune_by_products",
    "typical_precision",
    "upper_end",
    "with_noise_left",
    "within_passes",
]
