"""What ``sample`` says of a run that tuned itself: choices, measured widths, warnings."""

import logging

from typing import Any

import numpy as np
import pymc as pm
import xarray as xr

from rich import box

from pymc_sgld import records
from pymc_sgld.posterior import Check, posterior_of
from pymc_sgld.posterior.verdicts import CANNOT_TELL, NOT_MIXED, parameter_verdicts
from pymc_sgld.printing import PrintedTable
from pymc_sgld.step_methods.auto import PROMISE, Auto
from pymc_sgld.step_methods.auto_gibbs import LARGEST_SPLIT
from pymc_sgld.validate import and_more

_log = logging.getLogger("pymc.sgld")
_ANOTHER_MODE = 1.0
_NO_CENTRE = 1.5  # slope at the centre, in posterior sds


def report(step: Auto, model: pm.Model, result: Any, checked: Check | None) -> None:
    """Write the group ``tuning`` into a result, say what was chosen, and warn.

    Parameters
    ----------
    step : Auto
        As it was before the chains were started.
    model : pm.Model
    result : DataTree
    checked : Check or None
        What the check of the draws has found, if there was one.
    """
    record(step, model, result, checked)
    doubts = warnings(step, result, checked)
    _log.info(" ".join([summary(step, doubts), *widths(checked)]))
    _log.info(seconds(result))
    for warning in doubts:
        _log.warning(warning)


def summary(step: Auto, doubts: list[str]) -> str:
    """Return what was chosen, and that it keeps its promise only where nothing is in doubt."""
    choice = step.choice
    reason = choice.reason
    if doubts:
        reason = reason.replace(PROMISE, f"were chosen to {PROMISE}")
        doubt = "whether they do is in doubt, see below" if reason != choice.reason else "see below"
        reason = f"{reason} ({doubt})"
    line = f"Auto: {reason}; tuning read the data {choice.data_passes:.0f} times."
    return f"{line} {choice.hyperparameters}." if choice.hyperparameters else line


def seconds(result: Any) -> str:
    """Return how long the parts of a run took."""
    compiling, tuning, drawing = (result["posterior"].attrs[name] for name in records.PHASES)
    return (
        f"Tuning {compiling + tuning:.1f} s (compiling and looking for a mode {compiling:.1f} s), "
        f"drawing {drawing:.1f} s."
    )


def report_check(checked: Check | None) -> None:
    """Say how wide the draws of a sampler that was named are, and warn."""
    for line in widths(checked):
        _log.info(line)
    for warning in () if checked is None else checked.warnings:
        _log.warning(warning)


def widths(checked: Check | None) -> list[str]:
    """Return what is to be said of the measured widths, and of what could not be measured."""
    if checked is None or not checked.attributes[records.DRAWS_SCORED]:
        return []
    measured = checked.measured
    kinds = np.array(parameter_verdicts(measured, checked.attributes[records.TARGET_BIAS]))
    unknown = np.isin(kinds, (CANNOT_TELL, NOT_MIXED)) | ~np.isfinite(measured.sd_ratio)
    sentences = []
    if not unknown.all():
        ratio, error = measured.sd_ratio[~unknown], measured.sd_ratio_error[~unknown]
        sentences.append(
            f"Measured sds are {ratio.min():.2f} to {ratio.max():.2f} of the posterior's "
            f"(standard error {np.median(error):.2f})."
        )
    if unknown.any():
        names = and_more([measured.labels[j] for j in np.flatnonzero(unknown)])
        sentences.append(f"The width of {names} could not be measured: see the group 'check'.")
    return sentences


def tuning_table(result: Any) -> PrintedTable:
    """Return what a run with "auto" chose and measured, as a table, which prints itself.

    Parameters
    ----------
    result : DataTree
        From :func:`pymc_sgld.sample`.

    Raises
    ------
    ValueError
        If the result has no group ``tuning``.
    """
    posterior_of(result)
    if records.TUNING not in result:
        raise ValueError(
            "The result has no group 'tuning': only sample('auto') writes one, and not where it "
            "leaves a model to NUTS."
        )
    tuning = result[records.TUNING]
    attributes = tuning.attrs
    table = PrintedTable(title="How the sampler was tuned", box=box.SIMPLE_HEAD)
    for column in ("what", "value"):
        table.add_column(column)
    table.add_row("choice", attributes[records.REASON])
    table.add_row("gradient", attributes[records.GRADIENT])
    table.add_row("rows of a batch", f"{attributes[records.BATCH_SIZE]:,}")
    if attributes[records.HYPERPARAMETERS]:
        table.add_row("hyperparameters", attributes[records.HYPERPARAMETERS])
    table.add_row("target_bias", f"{attributes[records.TARGET_BIAS]:g}")
    table.add_row("slope at the centre", f"{attributes[records.SCORE_AT_CENTRE]:.2g} posterior sds")
    noise, along = attributes[records.ROW_NOISE], attributes[records.NOISIEST]
    table.add_row("noise of one row", f"{noise:.3g}, most along {along}")
    table.add_row("data passes to tune", f"{attributes[records.DATA_PASSES]:.1f}")
    if records.SD_RATIO in tuning:
        ratio, error = (
            tuning[records.SD_RATIO].to_numpy(),
            tuning[records.SD_RATIO_ERROR].to_numpy(),
        )
        spread = f"{np.nanmin(ratio):.3f} to {np.nanmax(ratio):.3f}"
        table.add_row(
            "measured sds over the posterior's",
            f"{spread} over {len(ratio)} parameters, standard error {np.median(error):.3f}",
        )
    return table


def record(step: Auto, model: pm.Model, result: Any, checked: Check | None) -> None:
    """Add the group ``tuning`` to the result: choices, reasons, measured widths."""
    choice = step.choice
    labels = list(step.labels)
    variables = {}
    if checked is not None:
        variables = {
            records.SD_RATIO: ("parameter", checked.measured.sd_ratio),
            records.SD_RATIO_ERROR: ("parameter", checked.measured.sd_ratio_error),
        }
    assert step.chain.prepared is not None
    variables[records.CENTRE] = ("parameter", step.chain.prepared.mode)
    attributes = choice._asdict() | {records.NOISIEST: ", ".join(choice.noisiest)}
    attributes[records.TARGET_BIAS] = step.chain.settings.target_bias
    result[records.TUNING] = xr.DataTree(
        dataset=xr.Dataset(variables, coords={"parameter": labels}, attrs=attributes)
    )


def warnings(step: Auto, result: Any, checked: Check | None) -> list[str]:
    """Return what the user must know of the run, most important first."""
    choice = step.choice
    found = []
    distances = result["sample_stats"][records.MODE_DISTANCE].to_numpy()[:, -1]
    others = np.flatnonzero(distances > _ANOTHER_MODE)
    if len(others):
        found.append(
            f"Chains {', '.join(map(str, others))} found other modes than the one the sampler was "
            "tuned at. Weights between modes are not estimated: the chains stay where they are."
        )
    elif choice.other_mode:
        found.append(
            f"There is another mode, {choice.other_mode:.0f} posterior sds from the one that all "
            "chains are at. Weights between modes are not estimated: the draws are of one of them."
        )
    if choice.score_at_centre > _NO_CENTRE:
        found.append(
            "The search for a mode ended where the slope is "
            f"{choice.score_at_centre:.1f} posterior sds (0 at a mode). The picture of the "
            "posterior is poor: check the priors, or compare with NUTS on a part of the rows."
        )
    if step.doubtful:
        found.append(
            f"The draws of {and_more(list(step.doubtful))} are not to be trusted: scales and means "
            f"of groups are drawn apart from the effects up to {LARGEST_SPLIT:,} parameters, "
            "beyond only where rows take effects by index and the prior ties neighbours alone, and "
            f"this model has {len(step.labels):,}. Moved with so many effects at once a scale "
            "stays near where the search for a mode ended. Give a part of the groups, whose scale "
            "is the same, or fix the scale at what such a part gives."
        )
    total = sum(step.chain.block_function.total_sizes)
    if choice.batch_size_needed >= total and total > 1000:
        found.append(
            f"Batches do not pay here: every step reads all {total:,} rows, because the noise "
            f"along {', '.join(choice.noisiest)} would need a batch as large. Very rare levels of "
            "a feature can be the cause, or group effects in a form that was not recognised: see "
            "psg.row_model(model).describe(), and name them with recentre={...}, or write them "
            "centred (u ~ Normal(mu, tau))."
        )
    if checked is not None:
        found += checked.warnings
    if result["posterior"].sizes["chain"] == 1:
        found.append("One chain was run: whether there are other modes was not checked.")
    return found
