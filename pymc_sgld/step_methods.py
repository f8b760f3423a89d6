"""PyMC step methods around the compiled loop, and the registry of their names."""

import inspect
import os
import time

from collections.abc import Callable
from dataclasses import fields
from typing import Any, ClassVar

import numpy as np
import pymc as pm

from pymc.exceptions import SamplingError
from pymc.step_methods.compound import BlockedStep, Competence, StepMethodState
from pymc.step_methods.state import dataclass_state
from pymc.util import get_random_generator, get_value_vars_from_user_vars
from rich.progress import TextColumn
from rich.table import Column

from pymc_sgld import schedules
from pymc_sgld.chain import Chain, ChainState, Draw, Settings
from pymc_sgld.compiled_loops.random_streams import draw_key
from pymc_sgld.compiled_loops.scan_loop import (
    FixedShapes,
    compile_loop,
    sampling_mode,
)
from pymc_sgld.compiled_loops.transition import Axes
from pymc_sgld.gradient_estimators import ESTIMATORS, GradientEstimator
from pymc_sgld.model_graph import RowModel, row_model, uses_minibatch
from pymc_sgld.model_graph import verify as verify_rows
from pymc_sgld.model_graph.modes import is_jax
from pymc_sgld.preconditioners import NAMES, empty_metric
from pymc_sgld.row_sources import windows_of
from pymc_sgld.samplers import (
    Badodab,
    Baoa,
    Baoab,
    NoseHooverThermostat,
    Obabo,
    StochasticGradientHamiltonian,
    StochasticGradientLangevin,
)
from pymc_sgld.types import Point, UpdateRule
from pymc_sgld.validate import check_integer, check_one_of

_DEFAULT_BATCH_SIZE = 256
_REFUSALS_BEFORE_ERROR = 20
_LARGEST_TUNED = 2000
_STEPS_ON_JAX = 64  # of one compiled call, which has a fixed length there


@dataclass_state
class StochasticGradientState(StepMethodState):
    """The state that PyMC saves and restores."""

    tune: bool
    chain_state: ChainState


class StochasticGradientStep(BlockedStep):
    """Base of the step methods: all but the update rule.

    Parameters
    ----------
    vars : list of variables, optional
        All continuous variables of the model; the default.
    batch_size : int, optional
        Rows a step reads, of each group of rows. Default 256, or all rows if there are fewer.
    rows : "auto", str or mapping, default "auto"
        Where the rows are: see :func:`pymc_sgld.row_model`.
    step_size : float or schedule, optional
        Time increment h of the SDE, in units of position squared over log-density (with a
        preconditioner: pure number of order 0.01 to 1). Left out, it is set at the sampling
        threshold at a mode found in the tune phase.
    temperature : float or schedule, default 1
        The target is the posterior to the power 1 / temperature.
    gradient : {"minibatch", "control_variate"}, default "minibatch"
        How the gradient is estimated from a batch. A control variate is centred at a mode found in
        the tune phase.
    noise_compensation : bool, default False
        Take the variance of the gradient, measured at the mode, out of the injected noise. For the
        rules that can.
    preconditioner : {"identity", "diagonal", "dense"}, optional
        Default "dense" where the step size is left out, "identity" where it is given. The others
        are measured at a mode found in the tune phase.
    steps_per_draw : int, optional
        Compiled steps between two draws. Default: five passes through the data, or fewer where
        the chain forgets sooner.
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
    rule_class: ClassVar[type[Any]]
    rule_defaults: ClassVar[dict[str, float]] = {}
    default_gradient: ClassVar[str] = "minibatch"
    _state_class = StochasticGradientState
    default_blocked = True
    default_tune_steps = 200
    stats_dtypes_shapes: ClassVar[dict[str, Any]] = {
        "step_size": (np.float64, []),
        "temperature": (np.float64, []),
        "step_size_weight": (np.float64, []),
        "batch_size": (np.int64, []),
        "data_passes": (np.float64, []),
        "gradient_noise_ratio": (np.float64, []),
        "predicted_sd_inflation": (np.float64, []),
        "minibatch_logp": (np.float64, []),
        "diverging": (bool, []),
        "seconds": (np.float64, []),
    }

    def __init__(
        self,
        vars: Any = None,
        *,
        batch_size: int | None = None,
        rows: Any = "auto",
        step_size: Any = None,
        temperature: Any = 1.0,
        gradient: str | None = None,
        preconditioner: str | None = None,
        noise_compensation: bool = False,
        steps_per_draw: int | None = None,
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
        rule = _make_rule(self.name, self.rule_class, self.rule_defaults, rule_arguments)
        _check_compensation(self.name, rule, noise_compensation)
        settings = _settings(step_size, temperature, preconditioner, steps_per_draw)
        gradient = self.default_gradient if gradient is None else gradient
        estimator = ESTIMATORS[check_one_of("gradient", gradient, ESTIMATORS)]
        model = pm.modelcontext(model)
        _check_all_variables(self.name, vars, model)
        rows_model = row_model(model, rows=rows)
        batch_sizes = _batch_sizes(batch_size, rows_model)
        mode = sampling_mode(backend, (compile_kwargs or {}).get("mode"))
        self.vars = list(rows_model.value_vars)
        self.rng = get_random_generator(rng)
        self.tune = True
        self.row_dims = {group.name for group in rows_model.groups}
        self._names = tuple(var.name for var in self.vars)
        self._shapes = rows_model.shapes
        if verify:
            verify_rows(rows_model, mode, rng=np.random.default_rng(0))
        self.chain = _build_chain(
            rows_model, mode, settings(rows_model, rule, estimator, noise_compensation), batch_sizes
        )
        self._process = os.getpid()
        self.compile_seconds = time.perf_counter() - started

    @property
    def chain_state(self) -> ChainState:
        """All that changes as the chain runs."""
        return self.chain.state

    @chain_state.setter
    def chain_state(self, state: ChainState) -> None:
        self.chain.state = state

    def setup_chain(self, rng: Any, tune: int, draws: int) -> None:
        """Start a chain: its random numbers and its length come from PyMC."""
        super().setup_chain(rng, tune, draws)
        if self.chain.loop.fixed is not None and self._process != os.getpid():
            raise SamplingError(
                f"{self.name} was compiled with JAX, which does not survive a fork of the process. "
                "Pass backend='jax' to pm.sample as well, or mp_ctx='forkserver', or cores=1."
            )
        if tune == 0 and self.chain.settings.needs_tuning:
            raise ValueError(
                f"step_size was left out, or a preconditioner, a control variate or noise is to be "
                f"measured at a mode, but tune=0 leaves {self.name} no draw to do it in. Give "
                "tune >= 1, or step_size with preconditioner='identity' and gradient='minibatch'."
            )
        self.tune = tune > 0
        self.chain.restart(draw_key(self.rng), tune, draws)

    def step(self, point: Point) -> tuple[Point, list[dict[str, Any]]]:
        """Run the steps of one draw from a point."""
        started = time.perf_counter()
        chain, state = self.chain, self.chain.state
        position = np.concatenate([np.ravel(point[name]) for name in self._names])
        position = position.astype(chain.block_function.dtype, copy=False)
        if not state.begun:
            position = chain.begin(position)
        if not self.tune:
            chain.measure(position)
        draw = chain.draw(position)
        self._count_refusal(draw)
        new_point = {**point, **self._unravel(draw.position)}
        return new_point, [self._stats(draw, time.perf_counter() - started)]

    @staticmethod
    def competence(var: Any, has_grad: bool = False) -> Competence:
        """Leave ordinary models to NUTS."""
        return Competence.INCOMPATIBLE

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle without the model, whose graph would carry the data a second time."""
        state = {key: value for key, value in self.__dict__.items() if not key.endswith("newargs")}
        return object.__new__, (type(self),), state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over a pickle made in another process."""
        self.__dict__.update(state)
        self._process = os.getpid()

    def _unravel(self, position: Any) -> Point:
        point, start = {}, 0
        for name, shape in zip(self._names, self._shapes, strict=True):
            stop = start + int(np.prod(shape))
            point[name] = np.array(position[start:stop]).reshape(shape)
            start = stop
        return point

    def _count_refusal(self, draw: Draw) -> None:
        """Shrink the step while tuning; give up where nothing is accepted."""
        state = self.chain.state
        if not draw.diverging:
            state.refused_in_a_row = 0
            return
        state.refused_in_a_row += 1
        if self.tune:
            state.shrunk /= 2
        if state.refused_in_a_row >= _REFUSALS_BEFORE_ERROR:
            raise SamplingError(
                f"{_REFUSALS_BEFORE_ERROR} draws in a row were not finite with step_size="
                f"{draw.step_size:.3g}. The step is too large for this model: give a smaller "
                "step_size, leave it out to have it chosen, or use preconditioner='dense' where "
                "parameters have very different scales."
            )

    def _stats(self, draw: Draw, seconds: float) -> dict[str, Any]:
        ratio, inflation = self.chain.predictions(draw)
        return {
            "step_size": draw.step_size,
            "temperature": draw.temperature,
            "step_size_weight": draw.step_size_weight,
            "batch_size": int(self.chain.windows.batch_sizes.sum()),
            "data_passes": draw.data_passes,
            "gradient_noise_ratio": ratio,
            "predicted_sd_inflation": inflation,
            "minibatch_logp": draw.minibatch_logp,
            "diverging": draw.diverging,
            "seconds": seconds,
        }

    @staticmethod
    def _progressbar_config(n_chains: int = 1) -> tuple[list[Any], dict[str, Any]]:
        columns = [
            TextColumn("{task.fields[step_size]:0.2e}", table_column=Column("Step size", ratio=1)),
            TextColumn("{task.fields[passes]:0.1f}", table_column=Column("Passes/draw", ratio=1)),
            TextColumn("{task.fields[refused]}", table_column=Column("Refused", ratio=1)),
        ]
        return columns, {
            "step_size": [0.0] * n_chains,
            "passes": [0.0] * n_chains,
            "refused": [False] * n_chains,
        }

    @staticmethod
    def _make_progressbar_update_functions() -> tuple[Any, ...]:
        def update(stats: dict[str, Any]) -> dict[str, Any]:
            return {
                "step_size": stats["step_size"],
                "passes": stats["data_passes"],
                "refused": stats["diverging"],
                "failing": stats["diverging"],
            }

        return (update,)


class SGLD(StochasticGradientStep):
    """Stochastic-gradient Langevin dynamics (Welling and Teh 2011) as a PyMC step method.

    See :class:`pymc_sgld.samplers.StochasticGradientLangevin` for the update and its law, and
    :class:`StochasticGradientStep` for the parameters.

    Examples
    --------
    >>> with model:
    ...     idata = pm.sample(step=SGLD(batch_size=256))
    """

    name = "sgld"
    rule_class = StochasticGradientLangevin

    @staticmethod
    def competence(var: Any, has_grad: bool = False) -> Competence:
        """Take every variable of a model that holds `pm.Minibatch`, and of no other."""
        try:
            model = pm.modelcontext(None)
        except TypeError:  # no model on the context stack
            return Competence.INCOMPATIBLE
        return Competence.IDEAL if uses_minibatch(model) else Competence.INCOMPATIBLE


class SGHMC(StochasticGradientStep):
    """Stochastic-gradient Hamiltonian Monte Carlo (Chen et al. 2014): momentum and friction."""

    name = "sghmc"
    rule_class = StochasticGradientHamiltonian


class BAOA(StochasticGradientStep):
    """Langevin splitting with one gradient a step, its positions exact on a Gaussian."""

    name = "baoa"
    rule_class = Baoa


class LeimkuhlerMatthews(StochasticGradientStep):
    """BAOA at infinite friction: overdamped, with averaged noise; exact on a Gaussian."""

    name = "leimkuhler_matthews"
    rule_class = Baoa
    rule_defaults: ClassVar[dict[str, float]] = {"friction": float("inf")}


class BAOAB(StochasticGradientStep):
    """Symmetric Langevin splitting with two gradients a step; exact on a Gaussian."""

    name = "baoab"
    rule_class = Baoab


class OBABO(StochasticGradientStep):
    """Symmetric Langevin splitting around a leapfrog step, two gradients a step."""

    name = "obabo"
    rule_class = Obabo


class SGNHT(StochasticGradientStep):
    """Nose-Hoover thermostat (Ding et al. 2014): the friction adapts to the gradient's noise."""

    name = "sgnht"
    rule_class = NoseHooverThermostat


class BADODAB(StochasticGradientStep):
    """Adaptive Langevin (Leimkuhler and Shang 2016): SGNHT's thermostat, second-order splitting."""

    name = "badodab"
    rule_class = Badodab


class SGLDCV(StochasticGradientStep):
    """SGLD with a control variate centred at the mode (Baker et al. 2019): cost without N."""

    name = "sgld_cv"
    rule_class = StochasticGradientLangevin
    default_gradient = "control_variate"


REGISTRY: dict[str, type[StochasticGradientStep]] = {
    step_method.name: step_method
    for step_method in (
        SGLD,
        SGLDCV,
        SGHMC,
        BAOA,
        LeimkuhlerMatthews,
        BAOAB,
        OBABO,
        SGNHT,
        BADODAB,
    )
}


def register() -> None:
    """Append the step methods to PyMC's list, once."""
    for step_method in REGISTRY.values():
        if step_method not in pm.step_methods.STEP_METHODS:
            pm.step_methods.STEP_METHODS.append(step_method)


def _make_rule(
    name: str, rule_class: type[Any], defaults: dict[str, float], given: dict[str, float]
) -> UpdateRule:
    """Make the update rule with the arguments that are its own, such as the friction."""
    allowed = [one.name for one in fields(rule_class) if one.name not in defaults]
    for argument in given:
        if argument not in allowed:
            own = f"takes {', '.join(allowed)}" if allowed else "has no arguments of its own"
            raise TypeError(f"{argument!r} is not an argument of {name}; its rule {own}.")
    rule: UpdateRule = rule_class(**{**defaults, **given})
    return rule


def _check_compensation(name: str, rule: UpdateRule, wanted: bool) -> None:
    able = "gradient_noise" in inspect.signature(rule.update).parameters
    if wanted and not able:
        raise ValueError(
            f"noise_compensation=True is not possible for {name}: its rule has no closed form for "
            "it. Use sgld, sghmc, baoa or baoab, or leave it out."
        )


def _settings(
    step_size: Any, temperature: Any, preconditioner: str | None, steps_per_draw: int | None
) -> Callable[..., Settings]:
    """Check the arguments that need no model; return what makes settings of one."""
    schedule = None if step_size is None else schedules.as_schedule("step_size", step_size)
    heat = schedules.as_schedule("temperature", temperature)
    if preconditioner is None:
        preconditioner = "dense" if step_size is None else "identity"
    kind = check_one_of("preconditioner", preconditioner, NAMES)
    if steps_per_draw is not None:
        check_integer("steps_per_draw", steps_per_draw, at_least=1)

    def settings(
        rows_model: RowModel, rule: UpdateRule, estimator: GradientEstimator, compensated: bool
    ) -> Settings:
        n_dim = rows_model.n_dim
        axes = Axes(rule, estimator, empty_metric(kind, n_dim), compensated)
        chosen = Settings(schedule, heat, steps_per_draw, axes)
        if chosen.needs_tuning and n_dim > _LARGEST_TUNED:
            raise ValueError(
                f"The model has {n_dim} parameters; step size and preconditioner are measured for "
                f"up to {_LARGEST_TUNED}. Give step_size with preconditioner='identity'."
            )
        return chosen

    return settings


def _check_all_variables(name: str, vars: Any, model: pm.Model) -> None:
    """Refuse to sample a part of the variables."""
    if vars is None:
        return
    chosen = set(get_value_vars_from_user_vars(np.atleast_1d(vars).tolist(), model))
    left = [var.name for var in model.continuous_value_vars if var not in chosen]
    if left:
        raise ValueError(
            f"{name} moves all continuous variables together, but {', '.join(left)} were left out. "
            "Leave vars out."
        )


def _batch_sizes(batch_size: int | None, rows_model: RowModel) -> list[int]:
    totals = [group.total_size for group in rows_model.groups]
    if batch_size is None:
        batch_size = min(_DEFAULT_BATCH_SIZE, max(totals))
    check_integer(
        "batch_size",
        batch_size,
        at_least=1,
        at_most=max(totals),
        hint=f"The data have {max(totals)} rows.",
    )
    return [min(batch_size, total) for total in totals]


def _build_chain(
    rows_model: RowModel, mode: Any, settings: Settings, batch_sizes: list[int]
) -> Chain:
    block_function = rows_model.block_function(mode)
    fixed = None
    if is_jax(mode):
        n_steps = min(settings.steps_per_draw or _STEPS_ON_JAX, _STEPS_ON_JAX)
        fixed = FixedShapes(n_steps, batch_sizes)
    loop = compile_loop(rows_model, settings.axes, mode, fixed=fixed)
    windows = windows_of(
        block_function.arrays, block_function.array_groups, block_function.total_sizes, batch_sizes
    )
    state = ChainState((0, 0), 0, 0, settings.axes.metric)
    chain = Chain(settings, loop, block_function, windows, rows_model.n_dim, state)
    chain.warm_up()
    return chain
