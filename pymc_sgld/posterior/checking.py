"""``check``: whether draws can be trusted, and what to change."""

import logging

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pymc as pm
import xarray as xr

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from pymc_sgld import records
from pymc_sgld.diagnostics import (
    LARGEST_REGRESSED,
    kernel_stein_discrepancy,
    score_covariance,
    width_and_slope,
)
from pymc_sgld.diagnostics.convergence import effective_draws, r_hat
from pymc_sgld.model_graph import RowError, read_rows
from pymc_sgld.model_graph.context import chosen_model
from pymc_sgld.model_graph.density.support import support_of
from pymc_sgld.posterior.draws import check_draws_of, posterior_of
from pymc_sgld.posterior.integrated import ForScores, IntegratedPosterior
from pymc_sgld.posterior.more_scores import until_decided
from pymc_sgld.posterior.run_statistics import kind_of_sampler, statistics_of, temperature_of
from pymc_sgld.posterior.score_estimates import FEWEST_SCORED, ScoreSource, affordable_scores
from pymc_sgld.posterior.scores import (
    NoScoreError,
    PosteriorScores,
    posterior_scores,
)
from pymc_sgld.posterior.unconstrained import parameter_labels, unconstrained_positions
from pymc_sgld.posterior.verdicts import (
    NOT_SEEN,
    VERDICTS,
    Measured,
    Verdict,
    parameter_verdicts,
    variable_verdicts,
    warnings_of,
)
from pymc_sgld.posterior.weighted_draws import plain_draws
from pymc_sgld.printing import Printed
from pymc_sgld.tuning import TARGET_BIAS
from pymc_sgld.types import Array
from pymc_sgld.validate import check_arguments, check_share

_log = logging.getLogger("pymc.sgld")
SHARE_OF_WORK = 0.1  # of the gradients of a run, for the check at its end
LARGEST_CHECKED = 20_000  # parameters; beyond, effective numbers of all take minutes
_FEWEST_DRAWS = 100  # of a chain
_LARGEST = 1e75  # draws beyond have fourth powers that overflow
_OFTEN = 0.01  # share of draws that were refused
_AT_AN_END = (
    "The chains were stopped at an end of the support. Where the density is positive up to there, "
    "slopes say nothing of widths: compare with another sampler."
)
_STYLES = dict(zip(VERDICTS, ("red", "red", "yellow", "cyan", "green"), strict=True))


@dataclass(frozen=True, repr=False)
class Check(Printed):
    """What :func:`check` found; prints as a table.

    Parameters
    ----------
    verdicts : tuple of Verdict
        One for each variable: its name, ``verdict`` ("fine", "inflated", "too narrow", "not mixed"
        or "cannot tell"), the same with figures, the worst parameter, and what to change.
    measured : Measured
        The figures by parameter.
    warnings : tuple of str
        Of what is surely wrong.
    notes : tuple of str
        What has to be known to read the table.
    attributes : dict
        ``target_bias``, ``draws_scored``, ``data_passes`` (spent on the check), and where scores of
        all rows were taken ``kernel_stein_discrepancy`` and ``kernel_stein_of_exact_draws``.
    """

    verdicts: tuple[Verdict, ...]
    measured: Measured
    warnings: tuple[str, ...]
    notes: tuple[str, ...]
    attributes: dict[str, Any]

    @property
    def dataset(self) -> xr.Dataset:
        """The group ``check``: figures by parameter, verdicts by variable."""
        measured = self.measured
        own = parameter_verdicts(measured, self.attributes[records.TARGET_BIAS])
        by_parameter = measured._asdict() | {records.PARAMETER_VERDICT: own}
        words = {
            name: ("variable", [getattr(one, name) for one in self.verdicts])
            for name in records.CHECK_BY_VARIABLE
        }
        figures = {name: ("parameter", by_parameter[name]) for name in records.CHECK_BY_PARAMETER}
        return xr.Dataset(
            {**figures, **words},
            coords={
                "parameter": measured.labels,
                "variable": [one.variable for one in self.verdicts],
            },
            attrs=self.attributes | {records.NOTES: "\n".join(self.notes)},
        )

    def __rich__(self) -> Group:
        """Return table and notes, as ``rich.print`` shows them."""
        table = Table(title="Can these draws be trusted?", box=box.SIMPLE_HEAD)
        for column in ("variable", "verdict", "sd / posterior's", "R-hat", "ESS", "what to change"):
            right = column in ("sd / posterior's", "R-hat", "ESS")
            table.add_column(column, justify="right" if right else "left", no_wrap=right)
        for one in self.verdicts:
            where = [
                j
                for j, label in enumerate(self.measured.labels)
                if label.split("[")[0] == one.variable
            ]
            words = one.in_words + (f", {one.at}" if one.at else "")
            table.add_row(
                Text(one.variable),
                Text(words, style=_STYLES[one.verdict]),
                self._ratios(where),
                _extreme(self.measured.r_hat[where], np.max, "{:.3f}"),
                _extreme(self.measured.ess[where], np.min, "{:,.0f}"),
                Text(one.advice),
            )
        return Group(table, *(Text(f"- {note}") for note in self.notes))

    def _ratios(self, where: list[int]) -> str:
        ratio, error = self.measured.sd_ratio[where], self.measured.sd_ratio_error[where]
        if not np.isfinite(ratio).any():
            return "-"
        if len(where) == 1:
            return f"{ratio[0]:.2f} ± {error[0]:.2f}"
        return f"{ratio.min():.2f} to {ratio.max():.2f} ± {np.median(error):.2f}"


def check(
    idata: Any,
    model: pm.Model | None = None,
    *,
    n_scored: int = 400,
    target_bias: float = TARGET_BIAS,
    data: Any = None,
    backend: str | None = None,
    compile_kwargs: dict[str, Any] | None = None,
    extend_inferencedata: bool = True,
) -> Check:
    r"""Say of each variable whether its draws can be trusted, and what to change.

    R-hat and ESS see whether chains agree; both are blind to the failure that is characteristic of
    stochastic gradients, draws that are too wide. The score :math:`\nabla\log p` sees it: over the
    posterior :math:`E[\nabla\log p] = 0` and
    :math:`E[(\theta - m) \nabla\log p^\top] = -I`, and how far the second is off is how much too
    wide or too narrow the draws are, in unconstrained space
    (:func:`pymc_sgld.diagnostics.score_moments`).

    Parameters
    ----------
    idata : DataTree
        Draws of any sampler, of this package or another.
    model : pm.Model, optional
        That was sampled; also with latents of rows that the draws lack, which are integrated out
        anew, with more nodes. Default: the model on the context stack.
    n_scored : int, default 400
        At how many draws, of all chains together, the gradient of all rows is evaluated: passes
        through the data. At four times as many, and at sixteen times, where these leave a width
        undecided.
    target_bias : float, default 0.05
        Relative excess of an sd that is tolerated, in (0, 1).
    data : dict of str to source, or a table, optional
        Rows that are not in the model, as of the run: see :func:`pymc_sgld.sample`. They are read
        in their own order, block by block, and written nowhere.
    backend, compile_kwargs
        Of the gradient; see :func:`pymc_sgld.posterior_scores`.
    extend_inferencedata : bool, default True
        Write the group ``check`` into ``idata``.

    Returns
    -------
    Check

    Raises
    ------
    RowError
        If the draws are not of this model: a variable is missing or has another shape.

    Notes
    -----
    A model without gradients, draws that are not finite, and one chain are no errors: the verdict
    says what could not be told. The standard errors hold for chains that mix.
    """
    check_share("target_bias", target_bias)
    check_arguments(
        n_scored=n_scored, backend=backend, compile_kwargs=compile_kwargs,
        extend_inferencedata=extend_inferencedata,
    )  # fmt: skip
    model, posterior = chosen_model(model), posterior_of(idata)
    latents = IntegratedPosterior.of(model, posterior)
    by_more = None if latents is None else latents.for_scores(posterior)
    if by_more is not None:
        model = by_more.model
    check_draws_of(model, posterior)
    scored, why = None, ""

    def scores(number: int) -> PosteriorScores:
        return posterior_scores(
            plain_draws(idata),
            model,
            n_scored=number,
            data=data,
            backend=backend,
            compile_kwargs=compile_kwargs,
        )

    try:
        _check_number_of(model)
        scored = scores(n_scored)
    except NoScoreError as error:
        why = str(error)
    found = until_decided(
        scored,
        lambda taken: _judged(idata, model, taken, why, target_bias),
        lambda times: scores(times * n_scored),
        target_bias,
    )
    if by_more is not None:
        found = _with_shift(found, by_more)
    if extend_inferencedata:
        idata[records.CHECK] = xr.DataTree(dataset=found.dataset)
    return found


def check_run(source: ScoreSource, model: pm.Model, result: Any, seed: int = 0) -> Check | None:
    """Check a run of this package, for a tenth of its gradients; write the group ``check``.

    Where that leaves a width undecided, for four times as many, and for sixteen times.

    Parameters
    ----------
    source : ScoreSource
        From the step method: its compiled gradient is used again.
    model : pm.Model
    result : DataTree
    seed : int, default 0
        Of the batches, which are read where all rows would cost more.

    Returns
    -------
    Check or None
        None where there are fewer than 100 draws of a chain or more than 20,000 parameters, or
        where not all variables are in the result.
    """
    posterior = posterior_of(result)
    if posterior.sizes["draw"] < _FEWEST_DRAWS or len(source.labels) > LARGEST_CHECKED:
        return None
    scored, why = None, ""
    budget = SHARE_OF_WORK * float(result["sample_stats"][records.DATA_PASSES].sum())
    try:
        check_draws_of(model, posterior)
        values = unconstrained_positions(model, posterior_of(plain_draws(result)))
        draws = source.positions(values)
        scored = affordable_scores(source, draws, budget, seed=seed)
    except RowError as error:
        _log.info(f"The draws were not checked: {error}")
        return None
    except NoScoreError as error:
        why = str(error)
    if scored is None and not why:
        why = "A tenth of the run's gradients is too few to tell: call check() yourself."
    found = until_decided(
        scored,
        lambda taken: _judged(result, model, taken, why, source.target_bias, values),
        lambda times: affordable_scores(source, draws, times * budget, seed=seed + 1, times=times),
        source.target_bias,
    )
    result[records.CHECK] = xr.DataTree(dataset=found.dataset)
    return found


def check_others(model: pm.Model, result: Any, target_bias: float = TARGET_BIAS) -> Check | None:
    """Check a run of NUTS, for a tenth of its gradients; write the group ``check``.

    Where that leaves a width undecided, for four times as many, and for sixteen times.
    """
    posterior = posterior_of(result)
    steps = result["sample_stats"].to_dataset().get("n_steps")
    budget = 0 if steps is None else int(SHARE_OF_WORK * float(steps.sum()))
    if posterior.sizes["draw"] < _FEWEST_DRAWS or budget < FEWEST_SCORED:
        return None
    try:
        return check(result, model, n_scored=min(400, budget), target_bias=target_bias)
    except RowError as error:
        _log.info(f"The draws were not checked: {error}")
        return None


def _with_shift(checked: Check, by_more: ForScores) -> Check:
    """Add how far means are off by the integration of latents of rows."""
    return replace(
        checked,
        warnings=(*checked.warnings, *filter(None, [by_more.warning])),
        notes=(*checked.notes, by_more.note),
        attributes=checked.attributes | {records.INTEGRATION_SHIFT: by_more.shift.largest},
    )


def _check_number_of(model: pm.Model) -> None:
    """Refuse more parameters than are looked at one by one."""
    n_dim = len(parameter_labels(model))
    if n_dim > LARGEST_CHECKED:
        raise NoScoreError(
            f"The model has {n_dim:,} parameters, and widths are measured for {LARGEST_CHECKED:,} "
            "at most: look at the R-hat and ESS of predictions "
            "(pymc_sgld.diagnostics.function_space_mixing)."
        )


def _judged(
    idata: Any,
    model: pm.Model,
    scored: PosteriorScores | None,
    why: str,
    target_bias: float,
    values: Array | None = None,
) -> Check:
    """Put together what the draws and their scores say.

    `values` are all draws in the variables as the user wrote them, where the scores are those of
    other coordinates.
    """
    labels = parameter_labels(model)
    if values is None and scored is None:
        values = unconstrained_positions(model, posterior_of(idata))
    draws = scored.draws if values is None and scored is not None else values
    assert draws is not None
    temperature = temperature_of(idata)
    if temperature is None:
        scored, why = None, "The temperature changes from draw to draw: no one law is sampled."
    far = np.abs(draws) > _LARGEST
    if scored is not None and far.any():
        at = labels[int(np.flatnonzero(far.any(axis=(0, 1)))[0])]
        scored, why = (
            None,
            (
                f"Draws of {at} are beyond 1e{np.log10(_LARGEST):.0f}, in unconstrained space: the "
                "chain diverged there. Look at them first."
            ),
        )
    outside = "" if scored is None else _outside(scored.log_density)
    if outside or (scored is not None and _stops_at_an_end(idata, model)):
        scored, why = None, outside or _AT_AN_END
    measured = _of_draws(draws, labels)
    attributes: dict[str, Any] = {
        records.TARGET_BIAS: target_bias,
        records.DRAWS_SCORED: 0,
        records.DATA_PASSES: 0.0,
    }
    if scored is not None:
        measured, more = _of_scores(scored, measured, temperature or 1.0)
        attributes |= more
    notes = [NOT_SEEN]
    moved = [] if scored is None else _named_otherwise(labels, scored.labels)
    if moved:
        notes.append(
            f"The width of {', '.join(moved)} was measured by that of the group effects made of "
            "it, in which the sampler moves."
        )
    if len(draws) == 1:
        notes.append("One chain was run: whether there are other modes was not checked.")
    if records.KERNEL_STEIN in attributes:
        notes.append(
            f"Kernel Stein discrepancy {attributes[records.KERNEL_STEIN]:.3g}; of as many "
            f"independent exact draws {attributes[records.KERNEL_STEIN_OF_EXACT_DRAWS]:.3g}."
        )
    sampler = kind_of_sampler(idata)
    return Check(
        tuple(variable_verdicts(measured, target_bias, why, sampler)),
        measured,
        (*((outside,) if outside else ()), *warnings_of(measured, target_bias, sampler)),
        tuple(notes),
        attributes,
    )


def _of_draws(draws: Array, labels: list[str]) -> Measured:
    """Return what ArviZ says of the draws, and blanks for what the scores say."""
    finite = np.isfinite(draws)
    halves = draws
    if len(draws) == 1:  # one chain can at least agree with itself
        half = draws.shape[1] // 2
        halves = np.concatenate([draws[:, :half], draws[:, half : 2 * half]])
    with np.errstate(all="ignore"):
        r_hat_of_halves = r_hat(halves)
        ess = effective_draws(draws)
    constant = np.ptp(np.nan_to_num(draws), axis=(0, 1)) == 0
    blank = np.full(len(labels), np.nan)
    return Measured(
        labels,
        r_hat_of_halves,
        np.where(constant, np.nan, ess),
        blank,
        blank,
        blank,
        blank,
        (~finite).sum(axis=(0, 1)),
        constant,
        blank,
        blank,
    )


def _of_scores(
    scored: PosteriorScores, measured: Measured, temperature: float
) -> tuple[Measured, dict[str, Any]]:
    """Add what the scores say, and the figures of the whole sample."""
    moments, mean = width_and_slope(
        scored.positions, scored.scores, temperature=temperature, draws=scored.draws
    )
    n_dim = scored.positions.shape[-1]
    figures = {
        records.DRAWS_SCORED: int(np.prod(scored.scores.shape[:2])),
        records.DATA_PASSES: scored.data_passes,
    }
    whole = scored.log_density.size > 1 and np.isfinite(scored.log_density).all()
    if whole and n_dim <= LARGEST_REGRESSED:
        covariance = score_covariance(scored.positions, scored.scores, scored.draws)
        flat = scored.positions.reshape(-1, n_dim), scored.scores.reshape(-1, n_dim) / temperature
        stein = kernel_stein_discrepancy(*flat, temperature * covariance)
        figures[records.KERNEL_STEIN] = stein.value
        figures[records.KERNEL_STEIN_OF_EXACT_DRAWS] = stein.of_exact_draws
    found = measured._replace(
        sd_ratio=moments.sd_ratio,
        sd_ratio_error=moments.standard_error,
        mean_score=np.where(measured.constant, np.nan, mean.value),
        mean_score_error=mean.standard_error,
        freedom=moments.degrees_of_freedom,
        of_scores=moments.of_scores,
    )
    return found, figures


def _outside(log_density: Array) -> str:
    """Say how many draws lie where a model has no density; empty if none does."""
    share = float(np.mean(np.isneginf(log_density)))
    if not share:
        return ""
    return (
        f"{share:.0%} of the draws looked at lie where the log-density of the model is minus "
        "infinity: outside of its support."
    )


def _stops_at_an_end(idata: Any, model: pm.Model) -> bool:
    """Whether the chains were stopped by an end of the support, where a density may be positive."""
    refused = statistics_of(idata).get(records.DIVERGING)
    if refused is None or not float(refused.mean()) > _OFTEN:
        return False
    try:
        return support_of(read_rows(model, allow_no_rows=True)).is_bounded
    except RowError:
        return False


def _named_otherwise(labels: list[str], of_scores: list[str]) -> list[str]:
    """Return the variables that the scores know by another name."""
    pairs = zip(labels, of_scores, strict=True)
    return list(dict.fromkeys(one.split("[")[0] for one, other in pairs if one != other))


def _extreme(values: Array, of: Any, form: str) -> str:
    known = values[np.isfinite(values)]
    return form.format(of(known)) if len(known) else "-"
