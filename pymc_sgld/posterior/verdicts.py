"""From what was measured of draws to a verdict a user can act on."""

from typing import NamedTuple

import numpy as np

from scipy import stats

from pymc_sgld.types import Array
from pymc_sgld.validate import and_more

FINE, INFLATED, NARROW = "fine", "inflated", "too narrow"
NOT_MIXED, CANNOT_TELL = "not mixed", "cannot tell"
# the worst first
VERDICTS = (NOT_MIXED, NARROW, INFLATED, CANNOT_TELL, FINE)
NOT_SEEN = (
    "No check of this kind sees a biased mean, a mode that no chain found, or a region never "
    "visited: compare with another sampler where that matters."
)
_ERROR_RATE = 0.05  # of a false alarm in any parameter
_R_HAT = 1.05
_FEWEST_EFFECTIVE = 100  # draws, for standard errors that can be believed
_SLOPE = 0.25  # posterior sds
_ELSEWHERE = 3.0  # posterior sds: the draws are not where the posterior is
_NOT_EXPLORED = 0.7  # measured sd over the posterior's


class Measured(NamedTuple):
    """What is known of each parameter; nan where it could not be measured."""

    labels: list[str]
    r_hat: Array
    ess: Array
    sd_ratio: Array
    sd_ratio_error: Array
    mean_score: Array  # in posterior sds
    mean_score_error: Array
    not_finite: Array  # number of draws
    constant: Array  # whether all draws are equal


class Verdict(NamedTuple):
    """What to think of the draws of one variable."""

    variable: str
    verdict: str  # one of VERDICTS
    told: str  # with figures
    at: str  # the worst parameter, and how many share the verdict
    advice: str


def critical_value(n_parameters: int) -> float:
    """Return how many standard errors are sure, with that many parameters looked at."""
    return float(stats.norm.ppf(1 - _ERROR_RATE / (2 * max(1, n_parameters))))


def parameter_verdicts(measured: Measured, target_bias: float) -> list[str]:
    """Return a verdict for each parameter.

    Parameters
    ----------
    measured : Measured
    target_bias : float
        Relative excess of an sd that is tolerated.

    Notes
    -----
    "inflated" is a parameter whose sd is surely above the posterior's, and measured beyond
    ``target_bias``; "cannot tell" one that is neither, with a standard error above it.
    """
    sure = critical_value(len(measured.labels))
    ratio, error = measured.sd_ratio, measured.sd_ratio_error
    slope = np.abs(measured.mean_score) - sure * measured.mean_score_error
    with np.errstate(invalid="ignore"):
        rules = (
            (CANNOT_TELL, measured.not_finite > 0),
            (NOT_MIXED, measured.constant | (measured.r_hat > _R_HAT) | (slope > _SLOPE)),
            (CANNOT_TELL, measured.ess < _FEWEST_EFFECTIVE),
            (INFLATED, (ratio > 1 + target_bias) & (ratio - sure * error > 1)),
            (NARROW, (ratio < 1 - target_bias) & (ratio + sure * error < 1)),
            (FINE, error <= target_bias),
        )
    found = np.full(len(ratio), CANNOT_TELL, dtype=object)
    for name, holds in reversed(rules):
        found[holds] = name
    return [str(one) for one in found]


def variable_verdicts(
    measured: Measured, target_bias: float, why: str = "", batches: bool = True
) -> list[Verdict]:
    """Return a verdict for each variable: that of its worst parameter.

    Parameters
    ----------
    measured : Measured
    target_bias : float
    why : str, default ""
        Why nothing was measured, where that is so.
    batches : bool, default True
        Whether the sampler reads batches of rows.
    """
    kinds = parameter_verdicts(measured, target_bias)
    names = [label.split("[")[0] for label in measured.labels]
    found = []
    for variable in dict.fromkeys(names):
        own = [j for j, name in enumerate(names) if name == variable]
        kind = min((kinds[j] for j in own), key=VERDICTS.index)
        same = [j for j in own if kinds[j] == kind]
        worst = max(same, key=lambda j: _badness(measured, j, kind))
        at = measured.labels[worst] if len(own) > 1 else ""
        at += f" ({len(same)} of {len(own)})" if len(own) > 1 else ""
        told, advice = _words(measured, worst, kind, why, batches)
        found.append(Verdict(variable, kind, told, at, advice))
    return found


def warnings_of(measured: Measured, target_bias: float) -> list[str]:
    """Return warnings of sds that are surely off by more than the target, and of drift."""
    ratio, error = measured.sd_ratio, measured.sd_ratio_error
    sure = critical_value(len(ratio))
    wide = ratio - sure * error > 1 + target_bias  # not where there is no measurement: nan
    narrow = ratio + sure * error < 1 - target_bias
    slope = np.abs(measured.mean_score) - sure * measured.mean_score_error > _SLOPE
    labels, found = measured.labels, []
    if (ratio < _NOT_EXPLORED)[narrow].any():
        found.append(
            f"The posterior sds are NOT trustworthy: the draws of {_worst(ratio, labels, narrow)} "
            "are much narrower than the posterior there. The chain has not explored it: use "
            "predictions only, draw longer, or use another sampler such as 'sghmc'."
        )
    elif narrow.any():
        found.append(
            f"The draws of {_worst(ratio, labels, narrow)} are narrower than the posterior by more "
            f"than target_bias={target_bias:g}. Draw longer."
        )
    if wide.any():
        found.append(
            f"The draws of {_worst(-ratio, labels, wide)} are wider than the posterior by more "
            f"than target_bias={target_bias:g}. Lower it (or a step_size that was given), or raise "
            "batch_size."
        )
    if slope.any():
        away = -np.abs(measured.mean_score)
        found.append(
            "The slope of the log-posterior does not average to zero over the draws of "
            f"{_worst(away, labels, slope)} (in posterior sds): the chains have not settled. "
            "Raise tune, and draw longer."
        )
    return found


def _badness(measured: Measured, j: int, kind: str) -> float:
    """Return a number that is larger for the worse of two parameters of one verdict."""
    off = abs(measured.sd_ratio[j] - 1)
    if kind == NOT_MIXED:
        off = measured.r_hat[j] + abs(np.nan_to_num(measured.mean_score[j]))
    elif kind == CANNOT_TELL:
        off = measured.sd_ratio_error[j] - min(measured.ess[j] / _FEWEST_EFFECTIVE, 1.0)
    return float(np.nan_to_num(off, nan=np.inf))


def _words(measured: Measured, j: int, kind: str, why: str, batches: bool) -> tuple[str, str]:
    """Return what is said of the worst parameter of a variable, and what to change."""
    excess = f"{100 * abs(measured.sd_ratio[j] - 1):.0f} ± {100 * measured.sd_ratio_error[j]:.0f} %"
    if kind == INFLATED:
        return f"inflated by {excess}", _of_wide(batches)
    if kind == NARROW:
        return f"too narrow by {excess}", (
            "Draw longer. If it stays, this is no sample of the posterior: another sampler, such "
            "as 'sghmc' or NUTS; predictions only until then."
        )
    if kind == NOT_MIXED:
        return _of_mixing(measured, j)
    if kind == CANNOT_TELL:
        return _of_ignorance(measured, j, why)
    return "fine", ""


def _of_wide(batches: bool) -> str:
    if batches:
        return (
            "Lower step_size (or target_bias, where it is chosen), raise batch_size, or take "
            "gradient='control_variate'."
        )
    return "These are not draws from this posterior: is the model, and are the data, the same?"


def _of_mixing(measured: Measured, j: int) -> tuple[str, str]:
    slope = abs(measured.mean_score[j])
    if measured.constant[j]:
        return "not mixed: all draws are equal", (
            "The chain does not move: a larger step_size, or a preconditioner, such as 'dense'."
        )
    if slope > _ELSEWHERE:
        return f"not mixed: {slope:.1f} posterior sds away", (
            "The posterior slopes where the draws are: they are of another model or of other data, "
            "or the chain has not arrived. Check the model; raise tune."
        )
    if measured.r_hat[j] > _R_HAT:
        return f"not mixed: R-hat {measured.r_hat[j]:.2f}", (
            "Draw longer; look whether chains are at different modes."
        )
    return f"not mixed: still moving, mean off by about {slope:.1f} sds", (
        "The chain has not settled: raise tune, and draw longer."
    )


def _of_ignorance(measured: Measured, j: int, why: str) -> tuple[str, str]:
    if measured.not_finite[j]:
        return f"cannot tell: {measured.not_finite[j]} draws are not finite", (
            "The chain diverged, or the draws lie outside the support of this model: look at them "
            "first."
        )
    if np.isfinite(measured.sd_ratio_error[j]) and measured.ess[j] < _FEWEST_EFFECTIVE:
        return f"cannot tell: {measured.ess[j]:.0f} effective draws", "Draw longer."
    if np.isfinite(measured.sd_ratio_error[j]):
        error = 100 * measured.sd_ratio_error[j]
        ratio = 100 * (measured.sd_ratio[j] - 1)
        return f"cannot tell: sd off by {ratio:+.0f} ± {error:.0f} %", "Draw longer."
    return "cannot tell", why


def _worst(badness: Array, labels: list[str], which: Array) -> str:
    """Name the parameters with the lowest values among some, with those values as ratios."""
    order = [j for j in np.argsort(badness) if which[j]]
    return and_more(f"{labels[j]} ({abs(badness[j]):.2f})" for j in order)
