"""Whether a method agrees with the reference, as far as the draws of both can tell."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from scipy import stats

CLOSE, UNSURE, OFF = "close", "cannot tell", "off"
TOLERANCE = 0.1  # of a mean in reference sds, and of the relative error of an sd
_ERROR_RATE = 0.05  # of calling any parameter of a method off that is not
R_HATS = (1.01, 1.05)


def verdicts(parameters: pd.DataFrame, tolerance: float) -> pd.DataFrame:
    """Judge every parameter of a method, its mean and its sd.

    Parameters
    ----------
    parameters : DataFrame
        As from :func:`pymc_sgld.comparison.parameters.errors`.
    tolerance : float

    Returns
    -------
    DataFrame
        Columns ``mean`` and ``sd``: "close" where the error is within the tolerance, "off" where it
        surely is not, allowing for the Monte Carlo errors of both methods (5 % for a false alarm
        anywhere), and "cannot tell" between.
    """
    sure = stats.norm.ppf(1 - _ERROR_RATE / (4 * len(parameters)))
    errors = {"mean": parameters["mean_error"].abs(), "sd": (parameters["sd_ratio"] - 1).abs()}
    allowed = {"mean": parameters["mean_error_se"], "sd": parameters["sd_ratio_se"]}
    return pd.DataFrame(
        {
            name: np.select(
                [error <= tolerance, error - sure * allowed[name] > tolerance],
                [CLOSE, OFF],
                UNSURE,
            )
            for name, error in errors.items()
        },
        index=parameters.index,
    )


def worst(found: Sequence[str]) -> str:
    """Return the worst of some verdicts."""
    return max(found, key=[CLOSE, UNSURE, OFF].index, default=CLOSE)


def of_r_hat(value: float) -> str:
    """Judge the largest R-hat: up to 1.01 is close, above 1.05 is off."""
    if not np.isfinite(value):
        return ""
    return CLOSE if value <= R_HATS[0] else UNSURE if value <= R_HATS[1] else OFF
