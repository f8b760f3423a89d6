"""What ``sample`` says of a run that tuned itself: choices, measured widths, warnings."""

import logging

from typing import Any

import numpy as np
import pymc as pm
import xarray as xr

from rich import box
from rich.table import Table
from scipy import stats

from pymc_sgld.automatic import Auto
from pymc_sgld.diagnostics import ScoreMoments, score_moments
from pymc_sgld.model_graph import parameter_labels, posterior_of, unconstrained_positions
from pymc_sgld.types import Array

_log = logging.getLogger("pymc.sgld")
SHARE_OF_WORK = 0.1  # of the gradients of the run, for the check at its end
_FEWEST_DRAWS = 100  # of a chain
_ANOTHER_MODE = 1.0
_ERROR_RATE = 0.05  # of a false alarm in any parameter
_NO_CENTRE = 1.5  # slope at the centre, in posterior sds
_NOT_MIXED = 0.7  # measured sd over the posterior's


def report(step: Auto, model: pm.Model, result: Any, *, check: bool) -> None:
    """Write the group ``tuning`` into a result, say what was chosen, and warn.

    Parameters
    ----------
    step : Auto
        As it was before the chains were started.
    model : pm.Model
    result : DataTree
    check : bool
        Whether to measure the widths of the draws.
    """
    moments = measure(step, model, result) if check else None
    record(step, model, result, moments)
    choice = step.choice
    told = f"Auto: {choice.reason}; tuning read the data {choice.data_passes:.0f} times."
    if choice.hyperparameters:
        told += f" {choice.hyperparameters}."
    if moments is not None and np.isfinite(moments.sd_ratio).all():
        ratio = moments.sd_ratio
        told += (
            f" Measured sds are {ratio.min():.2f} to {ratio.max():.2f} of the posterior's "
            f"(standard error {np.median(moments.standard_error):.2f})."
        )
    _log.info(told)
    for warning in warnings(step, model, result, moments):
        _log.warning(warning)


def tuning_table(result: Any) -> Table:
    """Return what a run with "auto" chose and measured, as a table to print with rich.

    Parameters
    ----------
    result : DataTree
        From :func:`pymc_sgld.sample`.

    Raises
    ------
    ValueError
        If the result has no group ``tuning``.
    """
    if "tuning" not in result:
        raise ValueError(
            "The result has no group 'tuning': only sample('auto') writes one, and not where it "
            "leaves a model to NUTS."
        )
    tuning = result["tuning"]
    told = tuning.attrs
    table = Table(title="How the sampler was tuned", box=box.SIMPLE_HEAD)
    for column in ("what", "value"):
        table.add_column(column)
    table.add_row("choice", told["reason"])
    table.add_row("gradient", told["gradient"])
    table.add_row("rows of a batch", f"{told['batch_size']:,}")
    if told["hyperparameters"]:
        table.add_row("hyperparameters", told["hyperparameters"])
    table.add_row("target_bias", f"{told['target_bias']:g}")
    table.add_row("slope at the centre", f"{told['score_at_centre']:.2g} posterior sds")
    table.add_row("noise of one row", f"{told['row_noise']:.3g}, most along {told['noisiest']}")
    table.add_row("data passes to tune", f"{told['data_passes']:.1f}")
    if "sd_ratio" in tuning:
        ratio, error = tuning["sd_ratio"].to_numpy(), tuning["sd_ratio_error"].to_numpy()
        spread = f"{np.nanmin(ratio):.3f} to {np.nanmax(ratio):.3f}"
        table.add_row(
            "measured sds over the posterior's",
            f"{spread} over {len(ratio)} parameters, standard error {np.median(error):.3f}",
        )
    return table


def measure(step: Auto, model: pm.Model, result: Any, seed: int = 0) -> ScoreMoments | None:
    """Measure how wide the draws are, by fresh batches at some of them.

    Parameters
    ----------
    step : Auto
        As it was before the chains were started.
    model : pm.Model
    result : DataTree
    seed : int, default 0
        Of the batches.

    Returns
    -------
    ScoreMoments or None
        None where there are too few draws.
    """
    prepared, chain = step.chain.prepared, step.chain
    posterior = posterior_of(result)
    n_draws = posterior.sizes["draw"]
    steps = chain.settings.steps_per_draw or 1
    wanted = max(_FEWEST_DRAWS, int(SHARE_OF_WORK * steps * n_draws))
    kept = posterior.isel(draw=slice(None, None, max(1, n_draws // wanted)))
    if prepared is None or prepared.covariance is None or n_draws < _FEWEST_DRAWS:
        return None
    positions = unconstrained_positions(model, kept)
    rng = np.random.default_rng(seed)
    scores = np.array(
        [[_score(step, position, rng) for position in one_chain] for one_chain in positions]
    )
    temperature = float(result["sample_stats"]["temperature"].to_numpy().mean())
    return score_moments(positions, scores, prepared.covariance, temperature)


def _score(step: Auto, position: Array, rng: np.random.Generator) -> Array:
    """Return an unbiased estimate of the gradient, from a batch that the chain has not seen."""
    chain = step.chain
    function, sizes = chain.block_function, chain.windows.batch_sizes
    position = position.astype(function.dtype)
    if not chain.settings.axes.estimator.needs_mode:
        return function.full(position)[1]
    rows = [
        rng.choice(total, size, replace=False)
        for total, size in zip(function.total_sizes, sizes, strict=True)
    ]
    assert chain.prepared is not None
    centre, at_centre = chain.prepared.estimator_parameters
    none = [0.0] * len(rows)
    of_prior = function.batch(centre, [np.zeros(1, dtype=np.int64)] * len(rows), weights=none)[1]
    there, here = function.batch(position, rows)[1], function.batch(centre, rows)[1]
    return np.asarray(there - here + at_centre + of_prior)


def record(step: Auto, model: pm.Model, result: Any, moments: ScoreMoments | None) -> None:
    """Add the group ``tuning`` to the result: choices, reasons, measured widths."""
    choice = step.choice
    labels = parameter_labels(model)
    variables = {}
    if moments is not None:
        variables = {
            "sd_ratio": ("parameter", moments.sd_ratio),
            "sd_ratio_error": ("parameter", moments.standard_error),
        }
    assert step.chain.prepared is not None
    variables["centre"] = ("parameter", step.chain.prepared.mode)
    attributes = choice._asdict() | {"noisiest": ", ".join(choice.noisiest)}
    attributes["target_bias"] = step.chain.settings.target_bias
    result["tuning"] = xr.DataTree(
        dataset=xr.Dataset(variables, coords={"parameter": labels}, attrs=attributes)
    )


def warnings(step: Auto, model: pm.Model, result: Any, moments: ScoreMoments | None) -> list[str]:
    """Return what the user must know of the run, most important first."""
    choice, target = step.choice, step.chain.settings.target_bias
    found = []
    distances = result["sample_stats"]["mode_distance"].to_numpy()[:, -1]
    others = np.flatnonzero(distances > _ANOTHER_MODE)
    if len(others):
        found.append(
            f"Chains {', '.join(map(str, others))} found other modes than the one the sampler was "
            "tuned at. Weights between modes are not estimated: the chains stay where they are."
        )
    if choice.score_at_centre > _NO_CENTRE:
        found.append(
            "The search for a mode ended where the slope is "
            f"{choice.score_at_centre:.1f} posterior sds (0 at a mode). The picture of the "
            "posterior is poor: check the priors, or compare with NUTS on a part of the rows."
        )
    total = sum(step.chain.block_function.total_sizes)
    if choice.batch_size_needed >= total and total > 1000:
        found.append(
            f"Batches do not pay here: every step reads all {total:,} rows, because the noise "
            f"along {', '.join(choice.noisiest)} would need a batch as large. Very rare levels of "
            "a feature can be the cause, or a hierarchy written non-centred: there, write the "
            "group effects centred (u ~ Normal(mu, tau)), and their hyperparameters enter through "
            "the prior alone, which is exact."
        )
    if moments is not None:
        found += _of_widths(moments, parameter_labels(model), target)
    if result["posterior"].sizes["chain"] == 1:
        found.append("One chain was run: whether there are other modes was not checked.")
    return found


def _of_widths(moments: ScoreMoments, labels: list[str], target: float) -> list[str]:
    """Return warnings of sds that are surely off by more than the target."""
    # where the draws are uncorrelated with the score there is no width: nan, as good as none
    measured = np.isfinite(moments.sd_ratio) & np.isfinite(moments.standard_error)
    ratio = np.where(measured, moments.sd_ratio, 0.0)
    error = np.where(measured, moments.standard_error, 0.0)
    sure = stats.norm.ppf(1 - _ERROR_RATE / (2 * len(ratio)))
    wide = ratio - sure * error > 1 + target
    narrow = ratio + sure * error < 1 - target
    found = []
    if (ratio < _NOT_MIXED)[narrow].any():
        found.append(
            f"The posterior sds are NOT trustworthy: the draws of {_worst(ratio, labels, narrow)} "
            "are much narrower than the posterior there. The chain has not explored it: use "
            "predictions only, draw longer, or use another sampler such as 'sghmc'."
        )
    elif narrow.any():
        found.append(
            f"The draws of {_worst(ratio, labels, narrow)} are narrower than the posterior by more "
            f"than target_bias={target:g}. Draw longer."
        )
    if wide.any():
        found.append(
            f"The draws of {_worst(-ratio, labels, wide)} are wider than the posterior by more "
            f"than target_bias={target:g}. Lower target_bias, or raise batch_size."
        )
    return found


def _worst(badness: Array, labels: list[str], which: Array, most: int = 3) -> str:
    """Name the parameters with the lowest values among some, with those values as ratios."""
    order = [j for j in np.argsort(badness) if which[j]]
    named = ", ".join(f"{labels[j]} ({abs(badness[j]):.2f})" for j in order[:most])
    return named + (f" and {len(order) - most} more" if len(order) > most else "")
