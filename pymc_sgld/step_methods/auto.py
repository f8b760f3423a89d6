"""The sampler that tunes itself."""

from typing import Any, ClassVar, NamedTuple

import numpy as np
import pymc as pm

from threadpoolctl import threadpool_limits

from pymc_sgld import records
from pymc_sgld.chain import (
    Draw,
    Parts,
)
from pymc_sgld.posterior import position_labels
from pymc_sgld.row_sources import Weighted
from pymc_sgld.samplers import Baoa
from pymc_sgld.step_methods.auto_choices import STANDARD_CHOICES, Choose, Choosing, chosen_in_turn
from pymc_sgld.step_methods.auto_gibbs import (
    CHOICES,
    LARGEST_SPLIT,
)
from pymc_sgld.step_methods.base import StochasticGradientStep
from pymc_sgld.tuning import most_passes, within_passes
from pymc_sgld.validate import check_one_of, check_positive

PROMISE = "keep every sd within"  # in the reason of a run on batches
_SEED = 0  # of what is chosen where no seed is given
_NAMED = 3  # parameters that a message names
_TUNE_PASSES = 8.0  # of a chain, where a draw is dear
_FEWEST_TUNE_DRAWS = 40  # half of which a better centre is made of


class AutoRecord(NamedTuple):
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
    other_mode: float = 0.0  # how far from the mode another was found, in posterior sds; 0: none
    hyperparameters: str = ""  # how they are drawn, and why; empty where with all others


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

    Hyperparameters that enter through the prior alone, such as mean and scale of group effects
    written centred, may be drawn apart from all else: see :mod:`pymc_sgld.step_methods.auto_gibbs`.

    See :class:`StochasticGradientStep` for the other parameters; none needs to be given. What was
    chosen is in the attribute ``choice``.

    Parameters
    ----------
    hyperparameters : {"auto", "gibbs", "joint"}, default "auto"
        "gibbs": after each draw of group effects and coefficients, given the hyperparameters, these
        are drawn given the effects, by PyMC's slice sampler (more than ten of them: by NUTS), which
        reads no rows. "joint": all parameters move together. "auto": "gibbs" where a scale is known
        so weakly that its log has a predicted sd above 0.15, or where effects owe less than half of
        their precision to the rows, on average.
    tuning_passes : float, optional
        How often the data may be read before the chains are started; beyond, tuning stops and says
        what to do. Default: 100 times of 100,000 rows or more, 200 times of fewer, and more of
        fewer than 20,000, where a pass costs next to nothing; in proportion more beyond 50
        parameters, up to ten times that.
    """

    name = "auto"
    rule_class = Baoa
    rule_defaults: ClassVar[dict[str, float]] = {"friction": float("inf")}
    default_gradient = "control_variate"
    default_compensation = True
    statistics = (records.MODE_DISTANCE,)
    choices: ClassVar[tuple[Choose, ...]] = STANDARD_CHOICES
    choice: AutoRecord
    doubtful: tuple[str, ...] = ()  # hyperparameters whose draws are not to be trusted

    def __init__(
        self,
        *args: Any,
        hyperparameters: str = "auto",
        tuning_passes: float | None = None,
        **arguments: Any,
    ) -> None:
        self._hyperparameters = check_one_of("hyperparameters", hyperparameters, CHOICES)
        self._tuning_passes = tuning_passes
        if tuning_passes is not None:
            self._tuning_passes = check_positive("tuning_passes", tuning_passes)
        if arguments.get("rng") is None:
            # PyMC seeds the chains after this; what is chosen before is to be the same in every run
            arguments["rng"] = np.random.default_rng(_SEED)
        super().__init__(*args, **arguments)
        if self.chain.settings.kernel.metric.name == "dense":
            # the chains begin with draws from the Gaussian at the mode: there is little to forget
            enough = int(_TUNE_PASSES / self.chain.steps.passes_per_draw)
            self.default_tune_steps = max(_FEWEST_TUNE_DRAWS, min(self.default_tune_steps, enough))

    @classmethod
    def own_arguments(cls) -> set[str]:
        """Return the names of the arguments that only this sampler has."""
        return {"hyperparameters", "tuning_passes", *super().own_arguments()}

    def _choose(self, parts: Parts, chooses_batch_size: bool, model: pm.Model) -> Parts:
        """Make the choices, one after the other, each on what those before it have come to."""
        known = Choosing(
            parts, model, self.labels, self.rng, self._hyperparameters, chooses_batch_size
        )
        total = sum(parts.block_function.total_sizes)
        most = self._tuning_passes or most_passes(total, parts.row_model.n_dim)
        # Thousands of products and factorisations of matrices of some hundred rows: threads that
        # wait for each other take several times as long, beside other work.
        with threadpool_limits(1, user_api="blas"), within_passes(most, total) as counter:
            known = chosen_in_turn(self.choices, known)
        self.doubtful = known.doubtful
        self.choice = _record(known, counter.passes)
        return known.parts

    def _stats(self, draw: Draw, seconds: float) -> dict[str, Any]:
        draw.statistics[records.MODE_DISTANCE] = self.chain.state.mode_distance
        return super()._stats(draw, seconds)


def generator_before(random_seed: Any) -> np.random.Generator:
    """Return what draws before the chains, from the seed that PyMC takes for them."""
    if isinstance(random_seed, np.random.Generator):
        return random_seed.spawn(1)[0]
    return np.random.default_rng(random_seed)


def _record(known: Choosing, data_passes: float) -> AutoRecord:
    """Return the record of what was chosen."""
    parts, requirement = known.parts, known.requirement
    assert parts.prepared is not None and requirement is not None
    labels = position_labels(parts.row_model)
    return AutoRecord(
        gradient=parts.settings.kernel.estimator.name,
        batches=parts.scheme.name,
        batch_size=sum(parts.batch_sizes),
        batch_size_needed=sum(requirement.batch_sizes),
        score_at_centre=parts.prepared.score,
        row_noise=requirement.row_noise,
        noisiest=tuple(labels[j] for j in np.argsort(-requirement.direction)[:_NAMED]),
        data_passes=data_passes,
        reason="; ".join([_reason(parts, known.doubtful), *known.also]),
        other_mode=known.other_mode,
        hyperparameters=known.in_words,
    )


def _reason(parts: Parts, doubtful: tuple[str, ...]) -> str:
    """Return in words why a step reads these rows, and whose widths that does not make right."""
    also, promise = "", PROMISE
    if doubtful:
        names = ", ".join(doubtful)
        promise = "keep the sds of parameters with a Gaussian posterior within"
        also = (
            f"; {names} and the widths of the effects that they act on are not to be trusted, for "
            f"beyond {LARGEST_SPLIT:,} parameters they are drawn apart only where rows take their "
            "effects by an index"
        )
    total = sum(parts.block_function.total_sizes)
    if parts.settings.kernel.estimator.whole:
        return (
            f"all {total:,} rows at every step, because a batch with a control variate would cost "
            f"as much{also}"
        )
    often = ""
    if isinstance(parts.scheme, Weighted):
        often = ", those with much of the noise more often,"
    return (
        f"batches of {sum(parts.batch_sizes):,} of {total:,} rows{often} {promise} "
        f"{parts.settings.target_bias:.0%}{also}"
    )
