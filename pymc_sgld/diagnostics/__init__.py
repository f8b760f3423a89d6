"""Arrays in, arrays out: what draws say of themselves."""

from pymc_sgld.diagnostics.batch_noise import BatchNoise, batch_noise
from pymc_sgld.diagnostics.finite_set_stein import FiniteSetStein, finite_set_stein_discrepancy
from pymc_sgld.diagnostics.function_space import FunctionSpace, function_space_mixing
from pymc_sgld.diagnostics.kernel_stein import KernelStein, kernel_stein_discrepancy
from pymc_sgld.diagnostics.metropolis_rejection import langevin_rejection
from pymc_sgld.diagnostics.sampling_threshold import SamplingThreshold, sampling_threshold
from pymc_sgld.diagnostics.score_moments import (
    LARGEST_REGRESSED,
    MeanScore,
    ScoreMoments,
    mean_score,
    score_moments,
    width_and_slope,
)
from pymc_sgld.diagnostics.score_regression import score_covariance
from pymc_sgld.diagnostics.stein_thinning import stein_thinning
from pymc_sgld.diagnostics.temperatures import (
    Temperature,
    configurational_temperature,
    kinetic_temperature,
)
from pymc_sgld.diagnostics.weighted_expectations import (
    resampled_draws,
    weighted_ess,
    weighted_mean,
    weighted_quantile,
    weighted_sd,
)

__all__ = [
    "LARGEST_REGRESSED",
    "BatchNoise",
    "FiniteSetStein",
    "FunctionSpace",
    "KernelStein",
    "MeanScore",
    "SamplingThreshold",
    "ScoreMoments",
    "Temperature",
    "batch_noise",
    "configurational_temperature",
    "finite_set_stein_discrepancy",
    "function_space_mixing",
    "kernel_stein_discrepancy",
    "kinetic_temperature",
    "langevin_rejection",
    "mean_score",
    "resampled_draws",
    "sampling_threshold",
    "score_covariance",
    "score_moments",
    "stein_thinning",
    "weighted_ess",
    "weighted_mean",
    "weighted_quantile",
    "weighted_sd",
    "width_and_slope",
]
