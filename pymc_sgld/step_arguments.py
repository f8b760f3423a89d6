"""The arguments of a step method: checked, and made into the parts of a sampler."""

import inspect

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import pymc as pm

from pymc.util import get_value_vars_from_user_vars

from pymc_sgld import schedules
from pymc_sgld.chain import Cycles, Settings
from pymc_sgld.compiled_loops.transition import Axes
from pymc_sgld.gradient_estimators import ESTIMATORS, GradientEstimator
from pymc_sgld.model_graph import RowModel
from pymc_sgld.preconditioners import NAMES, empty_metric
from pymc_sgld.types import UpdateRule
from pymc_sgld.validate import check_integer, check_one_of

_DEFAULT_BATCH_SIZE = 256
_LARGEST_TUNED = 2000


def make_rule(
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


def split_cycles(
    cycles_class: type[Cycles] | None, given: dict[str, Any]
) -> tuple[Cycles | None, dict[str, Any]]:
    """Return the cycles of a sampler that has them, and the arguments that are left."""
    if cycles_class is None:
        return None, given
    own = {one.name for one in fields(cycles_class)}
    of_cycles = {name: value for name, value in given.items() if name in own}
    left = {name: value for name, value in given.items() if name not in own}
    return cycles_class(**of_cycles), left


def choose_estimator(
    name: str, gradient: str | GradientEstimator, allowed: Sequence[str], why: str = ""
) -> GradientEstimator:
    """Return the estimator of that name, if the sampler works with it.

    Parameters
    ----------
    name : str
        Of the sampler.
    gradient : str or GradientEstimator
        A name, or an estimator with options of its own.
    allowed : sequence of str
        Names of the estimators that the sampler works with.
    why : str, optional
        The reason why it does not work with others.
    """
    if not isinstance(gradient, str) and getattr(gradient, "name", None) in ESTIMATORS:
        check_one_of(f"gradient of {name}", gradient.name, allowed, hint=why)
        return gradient
    return ESTIMATORS[check_one_of(f"gradient of {name}", gradient, allowed, hint=why)]


def choose_settings(
    name: str,
    rule: UpdateRule,
    estimator: GradientEstimator,
    *,
    step_size: Any,
    temperature: Any,
    preconditioner: str | None,
    noise_compensation: bool,
    steps_per_draw: int | None,
    cycles: Cycles | None = None,
) -> Callable[[int], Settings]:
    """Check the arguments that need no model; return what makes settings for ``n_dim``."""
    schedule = None if step_size is None else schedules.as_schedule("step_size", step_size)
    if cycles is not None and isinstance(schedule, schedules.cosine_cycles):
        raise ValueError(
            f"step_size of {name} is {schedule}, but {name} makes cycles of its own, in step with "
            f"its draws. Give step_size={schedule.largest} and cycles={schedule.cycles}."
        )
    heat = schedules.as_schedule("temperature", temperature)
    if preconditioner is None:
        preconditioner = "dense" if step_size is None else "identity"
    kind = check_one_of("preconditioner", preconditioner, NAMES)
    compensated = noise_compensation or getattr(rule, "needs_gradient_noise", False)
    _check_compensation(name, rule, compensated)
    _check_steps_per_draw(name, rule, steps_per_draw)

    def settings(n_dim: int) -> Settings:
        axes = Axes(rule, estimator, empty_metric(kind, n_dim), compensated)
        chosen = Settings(schedule, heat, steps_per_draw, axes, cycles)
        if chosen.needs_tuning and n_dim > _LARGEST_TUNED:
            raise ValueError(
                f"The model has {n_dim} parameters; step size and preconditioner are measured for "
                f"up to {_LARGEST_TUNED}. Give step_size with preconditioner='identity'."
            )
        return chosen

    return settings


def check_all_variables(name: str, vars: Any, model: pm.Model) -> None:
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


def choose_batch_sizes(
    name: str,
    batch_size: int | None,
    rows_model: RowModel,
    estimator: GradientEstimator,
    why: str = "",
) -> list[int]:
    """Return the rows of a batch, for each group of rows; ``why`` a sampler may take none."""
    totals = [group.total_size for group in rows_model.groups]
    if estimator.whole:
        if batch_size is not None and batch_size < max(totals):
            which, instead = ("", why) if why else (" with gradient='full'", "")
            raise ValueError(
                f"{name}{which} reads all {max(totals)} rows at every step, got "
                f"batch_size={batch_size}. Leave batch_size out"
                + (f". {instead}" if instead else ", or pass gradient='minibatch'.")
            )
        return totals
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


def _check_compensation(name: str, rule: UpdateRule, wanted: bool) -> None:
    able = "gradient_noise" in inspect.signature(rule.update).parameters
    if wanted and not able:
        raise ValueError(
            f"noise_compensation=True is not possible for {name}: its rule has no closed form for "
            "it. Use sgld, sghmc, baoa or baoab, or leave it out."
        )


def _check_steps_per_draw(name: str, rule: UpdateRule, steps_per_draw: int | None) -> None:
    if steps_per_draw is None:
        return
    check_integer("steps_per_draw", steps_per_draw, at_least=1)
    trajectory = getattr(rule, "trajectory", 1)
    if steps_per_draw % trajectory:
        raise ValueError(
            f"steps_per_draw={steps_per_draw} is not a multiple of the {trajectory} steps after "
            f"which {name} looks at all rows. Give steps_per_draw="
            f"{-(-steps_per_draw // trajectory) * trajectory}."
        )
