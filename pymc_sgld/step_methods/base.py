"""The PyMC step method around a chain: all but the names of the samplers."""

import os
import time

from dataclasses import fields, replace
from typing import Any, ClassVar, Literal

import pymc as pm

from pymc.step_methods.compound import BlockedStep, StepMethodState
from pymc.step_methods.state import dataclass_state
from pymc.util import get_random_generator

from pymc_sgld import records
from pymc_sgld.chain import (
    Chain,
    ChainState,
    Cycles,
    Draw,
    DrawsAhead,
)
from pymc_sgld.chain.backends import sampling_mode
from pymc_sgld.chain.end_of_support import within_support
from pymc_sgld.chain.parts import Parts, build_chain
from pymc_sgld.chain.random_streams import draw_key
from pymc_sgld.gradient_estimators import ESTIMATORS, GradientEstimator
from pymc_sgld.model_graph import count_rows_from, rows_asked
from pymc_sgld.model_graph.context import chosen_model
from pymc_sgld.model_graph.density.nonfinite_data import refuse_uncompilable
from pymc_sgld.posterior import ScoreSource, position_labels
from pymc_sgld.preconditioners import Preconditioner
from pymc_sgld.row_sources import SamplingScheme
from pymc_sgld.samplers import Rule
from pymc_sgld.step_methods.arguments import (
    check_all_variables,
    check_noise_left,
    check_step,
    check_table,
    check_tune_phase,
    choose_batch_sizes,
    choose_estimator,
    choose_row_model,
    choose_scheme,
    choose_settings,
    make_rule,
    split_cycles,
)
from pymc_sgld.step_methods.data_as_read import DataAsRead
from pymc_sgld.step_methods.errors import as_sampling_errors
from pymc_sgld.step_methods.joint_latents import (
    scheme_beside_latents,
    score_function_of,
    verify_model,
)
from pymc_sgld.step_methods.model_argument import ChecksModel
from pymc_sgld.step_methods.points import PointMap
from pymc_sgld.step_methods.processes import CrossesProcesses
from pymc_sgld.step_methods.progress import ProgressColumns
from pymc_sgld.step_methods.refusals import count_refusal
from pymc_sgld.step_methods.rows_on_disk import scheme_of_rows
from pymc_sgld.types import Point

_ANY_RUN = (0, 0)  # where no seed is given: with any order of the rows the batches are right


@dataclass_state
class StochasticGradientState(StepMethodState):
    """The state that PyMC saves and restores."""

    tune: bool
    chain_state: ChainState


class StochasticGradientStep(ChecksModel, CrossesProcesses, ProgressColumns, BlockedStep):
    """Base of the step methods: all but the update rule.

    Parameters
    ----------
    vars : list of variables, optional
        All continuous variables of the model; the default.
    recentre : bool or dict, default True
        Whether to move in the group effects ``mu + tau * z`` instead of a vector z that they are
        written with. It is the same posterior, with far less noise of minibatches, and the draws
        are those of the variables as written. See :func:`pymc_sgld.row_model` for a mapping. At a
        temperature other than 1, and with variances of your own as ``preconditioner``, all is left
        as written: another target, or other coordinates, would be meant.
    batch_size : int, optional
        Rows a step reads, of each group of rows. Default 256, or all rows if there are fewer.
    rows : "auto", str, mapping or RowModel, default "auto"
        Where the rows are: see :func:`pymc_sgld.row_model`, or what that returned.
    step_size : float or schedule, optional
        Time increment h of the SDE, in units of position squared over log-density (with a
        preconditioner: pure number of order 0.01 to 1). Left out, it is set at the sampling
        threshold at a mode found in the tune phase.
    temperature : float or schedule, default 1
        The target is the posterior to the power 1 / temperature.
    gradient : {"minibatch", "full", "control_variate", "svrg", "saga"}, default "minibatch"
        How the gradient is estimated: see :mod:`pymc_sgld.gradient_estimators`. A control variate
        is centred at a mode found in the tune phase. An estimator with options of its own may be
        given instead of a name, such as ``Svrg(anchor_steps=500)``. With "full" the model may have
        no rows at all, such as one of a `pm.Potential` alone.
    batches : {"epochs", "independent", "symmetric_epochs", "replacement"}, optional
        Which rows a step reads. "epochs": no row comes twice in a sweep of floor(N / n) steps, at
        whose end the noise of the gradients has added up to almost none and a draw is taken.
        "symmetric_epochs": each sweep followed by its reverse. "independent": a window at a random
        place. "replacement": each row drawn from all. Default "epochs" where the gradient is plain,
        and "independent" where its noise is compensated, measured or tested, or steps come in
        cycles. "auto" draws rows that have much of the noise more often, and weighs them less.
    noise_compensation : bool, optional
        Take the variance of the gradient, measured at the mode, out of the injected noise. For the
        rules that can. Default False, except for "auto".
    preconditioner : str, Preconditioner or array, optional
        The coordinates in which the chain moves: "identity"; "diagonal", "dense" or "low_rank" (a
        diagonal and some directions), measured at a mode found in the tune phase; "rmsprop" or
        "adam", diagonals learned from the gradients of the tune phase, without a mode. With options
        as an object, such as ``LowRank(rank=20)``: see :mod:`pymc_sgld.preconditioners`; or your
        own variances, shape (n_dim,), or covariance, shape (n_dim, n_dim). Default "dense" where
        the step size is left out, "identity" where it is given, unless the sampler has its own.
    target_bias : float, default 0.05
        Largest relative excess of a posterior sd that is tolerated, in (0, 1): what a step size
        that is left out is chosen for (with "auto" also the batch size).
    steps_per_draw : int, optional
        Compiled steps between two draws. Default: five passes through the data, or fewer where
        the chain forgets sooner; whole sweeps where batches come in epochs.
    purpose : {"sample", "anneal"}, default "sample"
        "anneal" is set by :func:`pymc_sgld.anneal`: the chains start away from the mode.
    verify : bool, default True
        Check at build time that the batches of a partition of the rows add up to the model's own
        log-density and gradient.
    backend : {"numba", "jax"}, default "numba"
    compile_kwargs : dict, optional
        ``mode``: a PyTensor mode instead of a backend.
    model : pm.Model, optional
        Default: the model on the context stack.
    rng : optional
        Seed or generator; PyMC sets one for each chain.

    Raises
    ------
    RowError
        Where the model cannot be evaluated on a batch of rows; the message names the variable.
    ValueError, TypeError
        For an argument that is not allowed.
    """

    name: ClassVar[str]
    rule_class: ClassVar[type[Rule]]
    rule_defaults: ClassVar[dict[str, float]] = {}
    cycles_class: ClassVar[type[Cycles] | None] = None  # of a sampler with cycles
    gradients: ClassVar[tuple[str, ...]] = tuple(ESTIMATORS)  # those the sampler works with
    default_gradient: ClassVar[str] = "minibatch"
    why_all_rows: ClassVar[str] = ""  # what to say to batches, where the sampler takes none
    default_compensation: ClassVar[bool] = False
    _state_class = StochasticGradientState
    default_blocked = True
    default_tune_steps = 200
    statistics: ClassVar[tuple[str, ...]] = ()  # of the rule: see ``TestedRule.accept``
    stats_dtypes_shapes: ClassVar[dict[str, Any]] = records.types_of(records.OF_EVERY_SAMPLER)

    def __init_subclass__(cls) -> None:
        """Add the statistics of the rule to those that PyMC records."""
        own = [*records.OF_EVERY_SAMPLER, *cls.statistics]
        if cls.cycles_class is not None:
            own.append(records.CYCLE)
        if cls.has_momentum():
            own.append(records.KINETIC_TEMPERATURE)
        cls.stats_dtypes_shapes = records.types_of(own)

    @classmethod
    def has_momentum(cls) -> bool:
        """Whether the rule moves a momentum, with unit masses in its coordinates."""
        return "momentum" in cls.rule_class.extra_state

    @classmethod
    def own_arguments(cls) -> set[str]:
        """Return the names of the arguments of the rule and of the cycles."""
        of_rule = {one.name for one in fields(cls.rule_class)} - set(cls.rule_defaults)
        of_cycles = {one.name for one in fields(cls.cycles_class)} if cls.cycles_class else set()
        return of_rule | of_cycles

    def __init__(
        self,
        vars: Any = None,
        *,
        batch_size: int | None = None,
        rows: Any = "auto",
        recentre: Any = True,
        step_size: Any = None,
        temperature: Any = 1.0,
        gradient: str | GradientEstimator | None = None,
        batches: str | SamplingScheme | None = None,
        preconditioner: str | Preconditioner | None = None,
        noise_compensation: bool | None = None,
        target_bias: float | None = None,
        steps_per_draw: int | None = None,
        purpose: Literal["sample", "anneal"] = "sample",
        verify: bool = True,
        backend: str | None = None,
        compile_kwargs: dict[str, Any] | None = None,
        model: pm.Model | None = None,
        rng: Any = None,
        initial_point: Point | None = None,
        blocked: bool = True,
        **rule_arguments: float,
    ) -> None:
        started = time.perf_counter()
        asked_mode = check_step(
            noise_compensation=noise_compensation, target_bias=target_bias, verify=verify,
            steps_per_draw=steps_per_draw, purpose=purpose, compile_kwargs=compile_kwargs,
            backend=backend,
        )  # fmt: skip
        cycles, of_rule = split_cycles(self.cycles_class, rule_arguments)
        rule = make_rule(self.name, self.rule_class, self.rule_defaults, of_rule)
        wanted = self.default_gradient if gradient is None else gradient
        estimator = choose_estimator(self.name, wanted, self.gradients, self.why_all_rows)
        compensated = bool(
            self.default_compensation if noise_compensation is None else noise_compensation
        )
        settings = choose_settings(
            self.name,
            rule,
            estimator,
            step_size=step_size,
            temperature=temperature,
            preconditioner=preconditioner,
            noise_compensation=compensated,
            steps_per_draw=steps_per_draw,
            cycles=cycles,
            target_bias=target_bias,
        )
        settles = cycles is None and purpose == "sample"
        scheme = choose_scheme(self.name, batches, rule, estimator, compensated, settles)
        model = chosen_model(model)
        check_all_variables(self.name, vars, model)
        row_model = choose_row_model(
            self.name, model, rows, recentre=recentre, allow_no_rows=estimator.whole,
            temperature=temperature, preconditioner=preconditioner,
        )  # fmt: skip
        scheme = scheme_of_rows(self.name, scheme, row_model, rule)
        batch_sizes = choose_batch_sizes(
            self.name, batch_size, row_model, estimator, self.why_all_rows
        )
        check_table(self.name, estimator, row_model, batch_sizes)
        check_noise_left(self.name, rule, row_model, batch_sizes)
        refuse_uncompilable(row_model, mode := sampling_mode(backend, asked_mode))
        self.vars, self.rng = list(row_model.value_vars), get_random_generator(rng)
        self.run_key = draw_key(self.rng.spawn(1)[0]) if rng is not None else _ANY_RUN
        self.tune, self.row_dims = True, {group.name for group in row_model.groups}
        self.labels = position_labels(row_model)
        asked = replace(settings(row_model.n_dim), purpose=purpose, labels=self.labels)
        scheme = scheme_beside_latents(self.name, row_model, asked, batches, scheme, mode)
        if verify:
            verify_model(row_model, mode)
        parts = Parts(within_support(asked, row_model), row_model, mode, batch_sizes, scheme)
        with as_sampling_errors():
            self.chain = build_chain(self._choose(parts, batch_size is None, model))
        self.draws, self.points = DrawsAhead(self.chain), PointMap.of(row_model)
        self._data, self._process = DataAsRead.of(model), os.getpid()
        self.rows_asked = rows_asked(self.chain.block_function)
        self.compile_seconds = time.perf_counter() - started

    def _choose(self, parts: Parts, chooses_batch_size: bool, model: pm.Model) -> Parts:
        """Return the parts of the chain; a sampler may choose them anew before it is compiled."""
        return parts

    @property
    def chain_state(self) -> ChainState:
        """All that changes as the chain runs."""
        return self.chain.state

    @chain_state.setter
    def chain_state(self, state: ChainState) -> None:
        self.chain.state = state
        self.draws.forget()

    def setup_chain(self, rng: Any, tune: int, draws: int) -> None:
        """Start a chain: its random numbers and its length come from PyMC."""
        super().setup_chain(rng, tune, draws)
        self._check_process()
        self._data.refuse_change(self.name)
        check_tune_phase(self.name, self.chain.settings, tune)
        self.check_draws(draws)
        self.tune = tune > 0
        self.draws.forget()
        self.chain.restart(draw_key(self.rng), tune, draws, self.run_key)
        count_rows_from(self.chain.block_function, self.rows_asked)

    def check_draws(self, draws: int) -> None:
        """Refuse a number of draws that the cycles of the sampler do not divide."""
        if self.chain.settings.cycles is not None:
            self.chain.settings.cycles.check(draws)

    def step(self, point: Point) -> tuple[Point, list[dict[str, Any]]]:
        """Run the steps of one draw from a point."""
        chain, state = self.chain, self.chain.state
        position = self.points.position(point, state.handed_out, self.draws.last)
        if not state.started:
            with as_sampling_errors():
                position = chain.start(position)
        if not self.tune:
            chain.measure(position)
        draw, seconds = self.draws.next(position)
        count_refusal(chain, draw)
        values = self.points.point(draw.position)
        self.draws.last, new_point = (values, draw.position), {**point, **values}
        if self.points.coordinates is not None:
            state.handed_out = (self.points.flat(new_point), draw.position)
        return new_point, [self._stats(draw, seconds)]

    def score_source(self) -> ScoreSource:
        """Return what the scores of the draws are to be taken from."""
        chain, labels, bias = self.chain, list(self.labels), self.chain.settings.target_bias
        centre = None if chain.prepared is None else chain.prepared.centre
        return ScoreSource(score_function_of(chain), labels, self.points.positions, centre, bias)

    def _stats(self, draw: Draw, seconds: float) -> dict[str, Any]:
        own: dict[str, Any] = {name: draw.statistics[name] for name in self.statistics}
        if self.cycles_class is not None:
            own[records.CYCLE] = draw.cycle
        if self.has_momentum():
            own[records.KINETIC_TEMPERATURE] = _kinetic_temperature(self.chain.state)
        return {**_of_every_sampler(draw, self.chain, seconds), **own}


def _kinetic_temperature(state: ChainState) -> float:
    """Return the mean square of a momentum of unit masses."""
    momentum = state.extra_state["momentum"]
    return float(momentum @ momentum) / len(momentum)


def _of_every_sampler(draw: Draw, chain: Chain, seconds: float) -> dict[str, Any]:
    """Return the statistics of a draw that every sampler has."""
    ratio, inflation = chain.predictions(draw)
    return {
        records.STEP_SIZE: draw.step_size,
        records.TEMPERATURE: draw.temperature,
        records.STEP_SIZE_WEIGHT: draw.step_size_weight,
        records.BATCH_SIZE: chain.batches.rows_per_step,
        records.DATA_PASSES: draw.data_passes,
        records.GRADIENT_NOISE_RATIO: ratio,
        records.PREDICTED_SD_INFLATION: inflation,
        records.MINIBATCH_LOGP: draw.minibatch_logp,
        records.DIVERGING: draw.diverging,
        records.SECONDS: seconds,
    }
