"""The sampler that tunes itself."""

from dataclasses import replace
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pymc as pm

from pymc_sgld import schedules
from pymc_sgld.chain import Beginning, ChainState, Draw
from pymc_sgld.gradient_estimators import ESTIMATORS
from pymc_sgld.model_graph import parameter_labels, with_row_weights
from pymc_sgld.row_sources import Weighted
from pymc_sgld.samplers import Baoa
from pymc_sgld.step_methods import Parts, StochasticGradientStep
from pymc_sgld.tuning import (
    Laplace,
    LinearLaw,
    LocalGaussian,
    find_laplace,
    smallest_batch,
    with_noise_left,
)
from pymc_sgld.types import Array

_STEPS_PER_DRAW = 3
_NAMED = 3  # parameters that a message names
_FEWER = 2  # times as many uniform rows as weighted ones, for these to be taken


class Choice(NamedTuple):
    """What was chosen, and why."""

    gradient: str
    batches: str
    batch_size: int
    batch_size_needed: int  # with a control variate
    score_at_centre: float  # root mean square, in posterior sds
    row_noise: float  # largest eigenvalue of one row's noise, in posterior sds
    noisiest: tuple[str, ...]  # the parameters along which it is largest
    data_passes: float
    reason: str


class _Need(NamedTuple):
    """What a batch needs for ``target_bias``."""

    batch_sizes: list[int]
    row_noise: float  # of one row, in posterior sds
    direction: Array  # (n_dim,), where it is largest


class Auto(StochasticGradientStep):
    """Tunes itself: Leimkuhler-Matthews steps, control variates, noise compensation.

    Before it is compiled, a mode is found. The posterior's covariance there whitens the
    coordinates. The gradient is corrected by a control variate centred at the mode; the noise that
    it leaves is measured, sets the batch size for ``target_bias``
    (:func:`pymc_sgld.tuning.smallest_batch`) and is taken out of the injected noise. Rows that have
    much of the noise are drawn more often, where that saves half of the rows. Where batches
    would cost as much as all rows, all rows are taken. In the tune phase each chain climbs from its
    own start on a small sample of the rows, and takes over what was found if it ends at the same
    mode; else it finds its own.

    See :class:`StochasticGradientStep` for the parameters; none needs to be given. What was chosen
    is in the attribute ``choice``.
    """

    name = "auto"
    rule_class = Baoa
    rule_defaults: ClassVar[dict[str, float]] = {"friction": float("inf")}
    default_gradient = "control_variate"
    default_compensation = True
    statistics = ("mode_distance",)
    choice: Choice

    def _choose(self, parts: Parts, chooses_batch_size: bool, model: pm.Model) -> Parts:
        """Find a mode, and choose gradient and batch size there."""
        function, settings = parts.block_function, parts.settings
        generator = self.rng
        point = model.initial_point()
        start = np.concatenate([np.ravel(point[name]) for name in self._names])
        labels = tuple(parameter_labels(model))
        beginning = Beginning(
            settings, function, parts.windows, _no_chain(parts), generator, labels
        )
        start = beginning.jittered(start.astype(function.dtype))
        found = find_laplace(function, start, generator)
        beginning.check(found)
        first = schedules.evaluate(
            "temperature", schedules.bind(settings.temperature, 1), np.zeros(1)
        )
        temperature = float(first[0])
        gaussian = with_noise_left(
            function,
            settings.axes.estimator,
            found.position,
            found.gaussian,
            temperature,
            generator,
        )
        parts, gaussian, need = self._chosen_rows(parts, found, gaussian, temperature)
        if chooses_batch_size:
            parts = parts._replace(batch_sizes=need.batch_sizes)
        function = parts.block_function
        whole = list(function.total_sizes) == parts.batch_sizes
        if whole:
            axes = settings.axes._replace(estimator=ESTIMATORS["full"])
            parts = parts._replace(settings=replace(settings, axes=axes))
        if settings.steps_per_draw is None:
            # steps on all rows are dear, and the next draw has forgotten half of the last
            steps = replace(parts.settings, steps_per_draw=1 if whole else _STEPS_PER_DRAW)
            parts = parts._replace(settings=steps)
        beginning = Beginning(parts.settings, function, parts.windows, _no_chain(parts), generator)
        tuned = beginning.at(found, gaussian, temperature)
        self.choice = Choice(
            gradient=parts.settings.axes.estimator.name,
            batches=parts.scheme.name,
            batch_size=sum(parts.batch_sizes),
            batch_size_needed=sum(need.batch_sizes),
            score_at_centre=found.score,
            row_noise=need.row_noise,
            noisiest=tuple(labels[j] for j in np.argsort(-need.direction)[:_NAMED]),
            data_passes=tuned.data_passes,
            reason=_reason(parts, whole),
        )
        return parts._replace(prepared=tuned)

    def _chosen_rows(
        self, parts: Parts, found: Laplace, gaussian: LocalGaussian, temperature: float
    ) -> tuple[Parts, LocalGaussian, _Need]:
        """Let rows with much of the noise come more often, where that saves half of the rows."""
        need = self._need(parts, found, gaussian, temperature)
        if gaussian.uneven is None or parts.scheme.name != "independent":
            return parts, gaussian, need
        left = gaussian._replace(row_noise=gaussian.uneven.row_noise)
        fewer = self._need(parts, found, left, temperature, with_replacement=True)
        if _FEWER * sum(fewer.batch_sizes) > sum(need.batch_sizes):
            return parts, gaussian, need
        weighted = parts._replace(
            rows_model=with_row_weights(parts.rows_model),
            scheme=Weighted(gaussian.uneven.probabilities),
        )
        return weighted, left, fewer

    def _need(
        self,
        parts: Parts,
        found: Laplace,
        gaussian: LocalGaussian,
        temperature: float,
        with_replacement: bool = False,
    ) -> _Need:
        """Return the rows a batch needs, the noise of one row, and where it is largest."""
        settings, function = parts.settings, parts.block_function
        beginning = Beginning(settings, function, parts.windows, _no_chain(parts), self.rng)
        metric, _ = beginning.metric_at(found.position, gaussian, temperature)
        factor, totals = metric.matrix(), np.asarray(function.total_sizes, float)
        batch_sizes = smallest_batch(
            LinearLaw(settings.axes.rule),
            gaussian,
            factor,
            function.total_sizes,
            target_bias=settings.target_bias,
            temperature=temperature,
            cost=settings.axes.estimator.gradients_per_batch,
            with_replacement=with_replacement or parts.scheme.with_replacement,
        )
        one_row = factor.T @ np.einsum("k,kij->ij", totals**2, gaussian.row_noise) @ factor
        eigenvalues, vectors = np.linalg.eigh(one_row)
        scale = np.sqrt(np.diag(found.covariance))
        direction = np.abs(factor @ vectors[:, -1]) / scale
        return _Need(batch_sizes, float(eigenvalues[-1]), direction)

    def _stats(self, draw: Draw, seconds: float) -> dict[str, Any]:
        draw.statistics["mode_distance"] = self.chain.state.mode_distance
        return super()._stats(draw, seconds)


def _no_chain(parts: Parts) -> ChainState:
    return ChainState((0, 0), 1, 1, parts.settings.axes.metric)


def _reason(parts: Parts, whole: bool) -> str:
    total = sum(parts.block_function.total_sizes)
    if whole:
        return (
            f"all {total:,} rows at every step, because a batch with a control variate would cost "
            "as much"
        )
    often = ""
    if isinstance(parts.scheme, Weighted):
        often = ", those with much of the noise more often,"
    return (
        f"batches of {sum(parts.batch_sizes):,} of {total:,} rows{often} keep every sd within "
        f"{parts.settings.target_bias:.0%}"
    )
