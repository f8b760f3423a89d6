"""The table of a comparison: a row of figures for each method, and notes to read it by."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from xarray import DataTree

from pymc_sgld import records
from pymc_sgld.comparison.agreement import of_r_hat, verdicts, worst
from pymc_sgld.comparison.parameters import is_chain
from pymc_sgld.posterior.weighted_draws import weights_of

REFERENCE = "reference"


def figures_of(
    results: Mapping[str, DataTree],
    parameters: pd.DataFrame,
    elpd: pd.DataFrame | None,
    reference: str,
    tolerance: float,
) -> pd.DataFrame:
    """Return the table of :class:`pymc_sgld.comparison.result.Comparison`."""
    rows = {}
    for label, result in results.items():
        own = parameters.loc[label]
        row = _agreement(own, tolerance) | _mixing_and_cost(result, own)
        if label == reference:
            row |= {name: "" for name in row if str(name).endswith("_verdict")}
            row |= {"verdict": REFERENCE, "r_hat_verdict": of_r_hat(row["r_hat"])}
        rows[label] = row | (_elpd_of(elpd.loc[label]) if elpd is not None else {})
    return pd.DataFrame.from_dict(rows, orient="index")


def _agreement(own: pd.DataFrame, tolerance: float) -> dict[str, Any]:
    judged = verdicts(own, tolerance)
    entries: dict[str, Any] = {"verdict": worst([*judged["mean"], *judged["sd"]])}
    pairs = (
        ("mean_error", own["mean_error"].abs(), "mean", True),
        ("sd_ratio_min", own["sd_ratio"], "sd", False),
        ("sd_ratio_max", own["sd_ratio"], "sd", True),
        ("wasserstein", own["wasserstein"], "", True),
    )
    for name, values, judgement, largest in pairs:
        known = values.notna().all()
        at = (values.idxmax() if largest else values.idxmin()) if known else ""
        entries[name] = values[at] if known else np.nan
        entries[f"{name}_at"] = at
        if judgement:
            entries[f"{name}_verdict"] = judged.loc[at, judgement] if known else ""
    at = entries["wasserstein_at"]
    entries["wasserstein_noise"] = own.loc[at, "wasserstein_noise"] if at else np.nan
    return entries


def _mixing_and_cost(result: DataTree, own: pd.DataFrame) -> dict[str, Any]:
    posterior = result["posterior"]
    times = {phase: _attribute(posterior, phase) for phase in records.PHASES}
    total = sum(times.values())
    if np.isnan(total):
        total = _attribute(posterior, "sampling_time")
    ess, r_hat = own["ess_bulk"].min(skipna=False), own["r_hat"].max(skipna=False)
    return {
        **times,
        "total_seconds": total,
        "draws": posterior.sizes["chain"] * posterior.sizes["draw"],
        records.DATA_PASSES: data_passes(result),
        "ess_bulk": ess,
        "ess_per_second": ess / (times[records.TUNE_SECONDS] + times[records.DRAW_SECONDS]),
        "r_hat": r_hat,
        "r_hat_verdict": of_r_hat(r_hat),
    }


def data_passes(result: DataTree) -> float:
    """Return how often all chains together read the data, tuning included; nan if not known.

    Samplers of this library record it with every draw; `auto` also what it took before the chains.
    A gradient of NUTS is a pass.
    """
    attributes = result["posterior"].attrs
    if records.TUNE_PASSES in attributes:
        return float(attributes[records.TUNE_PASSES]) + float(attributes[records.DRAW_PASSES])
    if "sample_stats" not in result or "warmup_sample_stats" not in result:
        return float("nan")
    groups = [result[name] for name in ("sample_stats", "warmup_sample_stats")]
    before = 0.0
    if records.TUNING in result:
        before = float(result[records.TUNING].attrs[records.DATA_PASSES])
    for name in (records.DATA_PASSES, "n_steps"):
        if all(name in group for group in groups):
            return before + sum(float(group[name].sum()) for group in groups)
    return float("nan")


def _attribute(posterior: Any, name: str) -> float:
    return float(posterior.attrs.get(name, np.nan))


def _elpd_of(own: pd.DataFrame) -> dict[str, float]:
    """Add up the observed variables, which are left out one row at a time, independently."""
    return {
        "elpd": own["elpd"].sum(),
        "elpd_se": float(np.sqrt((own["se"] ** 2).sum())),
        "elpd_difference": own["difference"].sum(),
        "elpd_difference_se": float(np.sqrt((own["difference_se"] ** 2).sum())),
    }


# -- notes ------------------------------------------------------------------------------------


def notes_on(
    results: Mapping[str, DataTree], table: pd.DataFrame, parameters: pd.DataFrame, reference: str
) -> list[str]:
    """Return what has to be known to read the table."""
    other = parameters.loc[reference]
    error = (other["mcse_mean"] / other["sd"]).max()
    notes = [
        f"{reference} has a Monte Carlo error of its own: its means are uncertain by up to "
        f"{2 * error:.2f} of its sds (two standard errors)."
    ]
    if table.loc[reference, "r_hat_verdict"] not in ("", "close"):
        notes.append(
            f"{reference} is a POOR REFERENCE: its chains do not agree with each other (R-hat "
            f"{table.loc[reference, 'r_hat']:.3f}, at most 1.01 if they do). Draw longer."
        )
    for label, figures in table.iterrows():
        if label != reference and figures["mean_error_at"]:
            notes.append(
                f"{label}: the largest error of a mean is at {figures['mean_error_at']}, the "
                f"smallest sd ratio at {figures['sd_ratio_min_at']}, the largest at "
                f"{figures['sd_ratio_max_at']}, the largest Wasserstein distance at "
                f"{figures['wasserstein_at']}."
            )
    for label, result in results.items():
        notes += _notes_on_one(label, result)
    return notes


def _notes_on_one(label: str, result: DataTree) -> list[str]:
    posterior = result["posterior"]
    attrs = posterior.attrs
    entries = []
    if weights_of(result) is not None:
        entries.append(
            f"{label}: the step size changes, so its draws are weighted by it (Welling and Teh "
            "2011, equation 11); for plots and elpd they are resampled."
        )
    if attrs.get(records.SAMPLER) == "nuts" and records.REASON in attrs:
        entries.append(f"{label} took NUTS: {attrs[records.REASON]}")
    elif attrs.get(records.SAMPLER) == "nuts":
        library = attrs.get("inference_library", "pymc")
        entries.append(
            f"{label} ({library}) times tuning and drawing together; split here by the number of "
            "gradient evaluations."
        )
    if records.STOPPED_EARLY in attrs:
        entries.append(f"{label} was {attrs[records.STOPPED_EARLY]}.")
    if records.CONVERGED in attrs:
        entries.append(f"{label} {_of_fit(attrs)}")
    if not is_chain(posterior):
        entries.append(
            f"{label}: draws are independent by construction; effective sample size and R-hat "
            "would say nothing."
        )
    if records.COMPILE_SECONDS not in attrs and records.SAMPLER not in attrs:
        entries.append(f"{label}: the draws were made elsewhere, without times of its phases.")
    return entries


def _of_fit(attrs: Mapping[Any, Any]) -> str:
    state = "converged" if attrs[records.CONVERGED] else "has NOT CONVERGED"
    words = f"{state}, after {attrs[records.ITERATIONS]:,} iterations"
    if records.MEAN_OFF in attrs:
        words += (
            f": its means are up to {attrs[records.MEAN_OFF]:.2g} of its sds from those of the "
            f"best fit of its kind, its sds {attrs[records.SD_RATIO_MIN]:.2f} to "
            f"{attrs[records.SD_RATIO_MAX]:.2f} "
            "times as wide (converged is below 0.1, and within 10%)"
        )
    if not attrs[records.CONVERGED]:
        words += ". Raise max_iterations or batch_size, or lower learning_rates"
    return f"{words}."
