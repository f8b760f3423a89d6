"""From what was measured of draws to a verdict a user can act on."""

from typing import Any, NamedTuple

import numpy as np
import scipy

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
_OF_A_LOGARITHM = 0.25  # largest relative error of a ratio that is judged by its logarithm
_SUSPECT = 2.0  # standard errors: of one parameter alone, as good as sure
_OF_SCORES = 0.2  # share of an error's square, below which more scores are of no use

# what kind of sampler drew, which decides on what can be the cause of a wrong width
BATCHES, EXACT, OTHER = "batches", "exact", "other"
TUNED, WHOLE = "tuned", "whole"  # batches that "auto" chose; all rows at every step
_OF_WIDE = {
    BATCHES: "Lower step_size (or target_bias, where it is chosen), raise batch_size, or take "
    "gradient='control_variate'.",
    TUNED: "Lower target_bias, or raise batch_size.",
    WHOLE: "Every step reads all rows, so that its length is the cause: lower step_size (or "
    "target_bias, where it is chosen).",
    EXACT: "The sampler is exact once it has arrived: raise tune, and draw longer. If it stays, "
    "the model or the data are not those that were sampled.",
    OTHER: "These are not draws from this posterior: is the model, and are the data, the same?",
}


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
    freedom: Array  # degrees of freedom of sd_ratio_error
    of_scores: Array  # share of its square that more scores would lower


class Verdict(NamedTuple):
    """What to think of the draws of one variable."""

    variable: str
    verdict: str  # one of VERDICTS
    in_words: str  # with figures
    at: str  # the worst parameter, and how many share the verdict
    advice: str


def critical_value(n_parameters: int, freedom: Array | float = np.inf) -> Any:
    """Return how many standard errors are sure, with that many parameters looked at.

    Parameters
    ----------
    n_parameters : int
    freedom : array or float, optional
        Degrees of freedom of the errors. Default: they are known.
    """
    return scipy.stats.t.isf(_ERROR_RATE / (2 * max(1, n_parameters)), freedom)


def sure_range(measured: Measured, n_parameters: int | None = None) -> tuple[Array, Array]:
    """Return between which values the ratio of sds surely lies, by parameter.

    Of as many parameters as there are, or are given. The range is one of the logarithm, whose error
    does not grow with the ratio, unless the ratio is hardly above its error.
    """
    n_parameters = len(measured.labels) if n_parameters is None else n_parameters
    ratio, error = measured.sd_ratio, measured.sd_ratio_error
    half = critical_value(n_parameters, measured.freedom) * error
    relative = np.where(error < _OF_A_LOGARITHM * ratio, half, 0.0)
    times = np.exp(relative / np.maximum(ratio, np.finfo(float).tiny))
    plain = np.where(error < _OF_A_LOGARITHM * ratio, 0.0, half)
    return ratio / times - plain, ratio * times + plain


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
    lower, upper = sure_range(measured)
    slope = np.abs(measured.mean_score) - sure * measured.mean_score_error
    with np.errstate(invalid="ignore"):
        rules = (
            (CANNOT_TELL, measured.not_finite > 0),
            (NOT_MIXED, measured.constant | (measured.r_hat > _R_HAT) | (slope > _SLOPE)),
            (CANNOT_TELL, ~(measured.ess >= _FEWEST_EFFECTIVE)),  # nan: too few to say
            (INFLATED, (ratio > 1 + target_bias) & (lower > 1)),
            (NARROW, (ratio < 1 - target_bias) & (upper < 1)),
            (FINE, error <= target_bias),
        )
    found = np.full(len(ratio), CANNOT_TELL, dtype=object)
    for name, holds in reversed(rules):
        found[holds] = name
    return [str(one) for one in found]


def variable_verdicts(
    measured: Measured, target_bias: float, why: str = "", sampler: str = BATCHES
) -> list[Verdict]:
    """Return a verdict for each variable: that of its worst parameter.

    Parameters
    ----------
    measured : Measured
    target_bias : float
    why : str, default ""
        Why nothing was measured, where that is so.
    sampler : {"batches", "tuned", "whole", "exact", "other"}, default "batches"
        What drew: batches of rows without a test, those that "auto" chose, steps on all rows, an
        exact sampler, or one that is not known.
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
        words, advice = _words(measured, worst, kind, why, sampler)
        found.append(Verdict(variable, kind, words, at, advice))
    return found


def undecided(measured: Measured, target_bias: float) -> bool:
    """Return whether more scores could settle what is measured of a width.

    That is where a parameter is measured beyond the target, alone would be believed, but is not
    surely beyond it with all of them looked at, and the scores have a part in the error; and where
    a few scores decide, such as those of the batches that hold a row of a rare level.
    """
    lower, upper = sure_range(measured)
    ratio, error = measured.sd_ratio, measured.sd_ratio_error
    suspect = np.abs(ratio - 1) > np.maximum(target_bias, _SUSPECT * error)
    open_ = (lower < 1 + target_bias) & (upper > 1 - target_bias)
    open_ = suspect & open_ & (measured.of_scores > _OF_SCORES)
    return bool((open_ | np.isposinf(error)).any())


def warnings_of(measured: Measured, target_bias: float, sampler: str = BATCHES) -> list[str]:
    """Return warnings of what the verdicts call inflated or too narrow, and of drift.

    Parameters
    ----------
    measured : Measured
    target_bias : float
    sampler : {"batches", "tuned", "whole", "exact", "other"}, default "batches"
    """
    ratio = measured.sd_ratio
    sure = critical_value(len(ratio))
    lower, upper = sure_range(measured)
    kinds = np.array(parameter_verdicts(measured, target_bias))
    # what is sure of draws that have not mixed is said too
    wide = (kinds == INFLATED) | (lower > 1 + target_bias)  # nan: there is no measurement
    narrow = (kinds == NARROW) | (upper < 1 - target_bias)
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
            f"than target_bias={target_bias:g}. {_OF_WIDE[sampler]}"
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


def _words(measured: Measured, j: int, kind: str, why: str, sampler: str) -> tuple[str, str]:
    """Return what is said of the worst parameter of a variable, and what to change."""
    excess = f"{100 * abs(measured.sd_ratio[j] - 1):.0f} ± {100 * measured.sd_ratio_error[j]:.0f} %"
    if kind == INFLATED:
        return f"inflated by {excess}", _OF_WIDE[sampler]
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
    if np.isposinf(measured.sd_ratio_error[j]):
        return "cannot tell: a few scores decide", (
            "Few batches hold rows that say something of it, or its tails are long: call check() "
            "with more n_scored, which reads all rows."
        )
    if measured.not_finite[j]:
        return f"cannot tell: {measured.not_finite[j]} draws are not finite", (
            "The chain diverged, or the draws lie outside the support of this model: look at them "
            "first."
        )
    if np.isfinite(measured.sd_ratio_error[j]) and not measured.ess[j] >= 1:
        return "cannot tell: too few draws", "Draw longer."
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
