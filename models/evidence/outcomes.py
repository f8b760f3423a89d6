"""Whether a run met what is promised, and if not, whether it said so.

Every bound has an allowance for Monte Carlo error, of the run and of the reference together:
``norm.ppf(1 - 0.05 / (2 D))`` standard errors for D parameters, so that a run without any bias
exceeds its allowance for one of its parameters in one of twenty cases. A run with fewer than 100
effective draws a chain has no claim to be right within it.
"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from scipy import stats

from models.evidence.moments import Moments

MEAN_BOUND, SD_BOUND = 0.1, 0.05
_ERROR_RATE = 0.05
_LEAST_ESS_A_CHAIN = 100
MET, WARNED, SILENT, UNKNOWN = "met", "warned", "SILENT FAILURE", "no reference"


@dataclass(frozen=True)
class Errors:
    """How far a run is from the reference, at its worst parameter; sds are the reference's."""

    mean_error: float
    mean_error_at: str
    sd_ratio_min: float
    sd_ratio_min_at: str
    sd_ratio_max: float
    sd_ratio_max_at: str
    mean_excess: float  # above the bound and the allowance; at most 0 if met
    sd_excess: float
    mean_allowance: float  # largest
    sd_allowance: float

    @property
    def met(self) -> bool:
        """Whether means and sds are within their bounds."""
        return max(self.mean_excess, self.sd_excess) <= 0

    def as_row(self) -> dict[str, Any]:
        """Return the figures by name."""
        return asdict(self)


def errors_of(run: Moments, reference: Moments) -> Errors:
    """Hold a run against a reference."""
    where = [run.labels.index(label) for label in reference.labels]
    varies = reference.sd > 0
    gap = np.abs(run.mean[where] - reference.mean)[varies] / reference.sd[varies]
    ratio = run.sd[where][varies] / reference.sd[varies]
    labels = [label for label, keep in zip(reference.labels, varies, strict=True) if keep]
    sure = stats.norm.ppf(1 - _ERROR_RATE / (2 * len(labels)))
    of_mean = sure * np.hypot(run.mean_error[where], reference.mean_error)[varies]
    of_sd = sure * np.hypot(run.sd_error[where], reference.sd_error)[varies]
    of_mean, of_sd = of_mean / reference.sd[varies], of_sd / reference.sd[varies]
    off = np.abs(ratio - 1)
    return Errors(
        mean_error=float(gap.max()),
        mean_error_at=labels[int(gap.argmax())],
        sd_ratio_min=float(ratio.min()),
        sd_ratio_min_at=labels[int(ratio.argmin())],
        sd_ratio_max=float(ratio.max()),
        sd_ratio_max_at=labels[int(ratio.argmax())],
        mean_excess=float((gap - MEAN_BOUND - of_mean).max()),
        sd_excess=float((off - SD_BOUND - of_sd).max()),
        mean_allowance=float(of_mean.max()),
        sd_allowance=float(of_sd.max()),
    )


def verdict(errors: Errors | None, *, ess: float, chains: int, warnings: list[str]) -> str:
    """Return what a run comes to: met, warned, a silent failure, or not to be said.

    Parameters
    ----------
    errors : Errors or None
        None where there is no reference.
    ess : float
        Least effective number of draws of any parameter, over all chains.
    chains : int
    warnings : list of str
        What the user was told.
    """
    enough = np.isfinite(ess) and ess >= _LEAST_ESS_A_CHAIN * chains
    if errors is not None and errors.met and enough:
        return MET
    if warnings:
        return WARNED
    return UNKNOWN if errors is None else SILENT
