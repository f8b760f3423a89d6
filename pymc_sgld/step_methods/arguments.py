"""The arguments of a step method: checked, and made into the parts of a sampler."""

import logging

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
import pymc as pm

from pymc.util import get_value_vars_from_user_vars

from pymc_sgld import samplers, schedules
from pymc_sgld.chain import Cycles, Settings
from pymc_sgld.chain.transition import Kernel
from pymc_sgld.gradient_estimators import ESTIMATORS, GradientEstimator
from pymc_sgld.model_graph import Recentre, RowError, RowModel, read_rows, recentred
from pymc_sgld.model_graph.density.modes import chosen_mode
from pymc_sgld.model_graph.rewrite.naming import listed
from pymc_sgld.preconditioners import PRECONDITIONERS, FixedCovariance, Preconditioner
from pymc_sgld.row_sources import (
    SCHEMES,
    BlockLayout,
    FixedBlocks,
    SamplingScheme,
)
from pymc_sgld.samplers import Rule, ScaledRule, TestedRule
from pymc_sgld.tuning import LARGEST_MEASURED, TARGET_BIAS
from pymc_sgld.validate import check_arguments, check_integer, check_one_of, check_share

_log = logging.getLogger("pymc.sgld")
_DEFAULT_BATCH_SIZE = 256


def check_step(*, purpose: str, **given: Any) -> Any:
    """Check the arguments that need neither rule nor model; return the mode that is asked for."""
    checked = check_arguments(**given)
    check_one_of("purpose", purpose, ("sample", "anneal"))
    return chosen_mode(None, checked["compile_kwargs"])


def make_rule(
    name: str, rule_class: type[Rule], defaults: dict[str, float], given: dict[str, float]
) -> Rule:
    """Make the update rule with the arguments that are its own, such as the friction."""
    allowed = [one.name for one in fields(rule_class) if one.name not in defaults]
    for argument in given:
        if argument not in allowed:
            own = f"takes {', '.join(allowed)}" if allowed else "has no arguments of its own"
            raise TypeError(f"{argument!r} is not an argument of {name}; its rule {own}.")
    return rule_class(**{**defaults, **given})


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
    if isinstance(gradient, GradientEstimator):
        # one of another name is made outside of this library: a sampler that takes all takes it
        if gradient.name in ESTIMATORS or len(allowed) < len(ESTIMATORS):
            check_one_of(f"gradient of {name}", gradient.name, allowed, hint=why)
        return gradient
    return ESTIMATORS[check_one_of(f"gradient of {name}", gradient, allowed, hint=why)]


def choose_settings(
    name: str,
    rule: Rule,
    estimator: GradientEstimator,
    *,
    step_size: Any,
    temperature: Any,
    preconditioner: str | Preconditioner | None,
    noise_compensation: bool,
    steps_per_draw: int | None,
    cycles: Cycles | None = None,
    target_bias: float | None = None,
) -> Callable[[int], Settings]:
    """Check the arguments that need no model; return what makes settings for ``n_dim``."""
    schedule = None if step_size is None else schedules.as_schedule("step_size", step_size)
    if cycles is not None and isinstance(schedule, schedules.cosine_cycles):
        raise ValueError(
            f"step_size of {name} is {schedule}, but {name} makes cycles of its own, in step with "
            f"its draws. Give step_size={schedule.largest} and cycles={schedule.cycles}."
        )
    temperature_schedule = schedules.as_schedule("temperature", temperature)
    given = _choose_preconditioner(name, rule, preconditioner, step_size is not None)
    compensated = _choose_compensation(
        name, rule, estimator, noise_compensation, step_size is not None
    )
    _check_steps_per_draw(name, rule, steps_per_draw)
    bias = _check_target_bias(target_bias, step_size)

    def settings(n_dim: int) -> Settings:
        recipe = given
        if preconditioner is None and recipe.name == "dense" and n_dim > LARGEST_MEASURED:
            recipe = PRECONDITIONERS["low_rank"]
        _check_size(n_dim, rule, step_size is not None, recipe, compensated)
        kernel = Kernel(rule, estimator, recipe.empty(n_dim), compensated)
        return Settings(
            schedule, temperature_schedule, steps_per_draw, kernel, cycles, bias,
            preconditioner=recipe, preconditioner_given=preconditioner is not None,
        )  # fmt: skip

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


def choose_row_model(
    name: str,
    model: pm.Model,
    rows: Any,
    *,
    recentre: Recentre,
    allow_no_rows: bool,
    temperature: Any,
    preconditioner: Any,
) -> RowModel:
    """Return the model by rows, in the coordinates that it is sampled in; say which these are."""
    if isinstance(rows, RowModel):
        found: RowModel = rows
        _check_model_of(found, model)
    else:
        found = read_rows(model, rows=rows, allow_no_rows=allow_no_rows, recentre=recentre)
    if found is rows and recentre is not True:
        raise RowError(
            f"{name} got recentre={recentre!r} beside a row model. Give it where that is made: "
            "pymc_sgld.row_model(model, recentre=...)."
        )
    said = [f"'{effect.name}'" for effect in found.effects]
    named = preconditioner is None or isinstance(preconditioner, str | Preconditioner)
    own = isinstance(preconditioner, FixedCovariance) or not named
    if said and (own or not (np.isscalar(temperature) and temperature == 1)):
        why = "the preconditioner is given for it" if own else "at another temperature the target"
        why += "" if own else " would be another one in the effects"
        _log.info(f"{', '.join(said)} sampled as written and not as group effects: {why}.")
        return found
    for effect in found.effects:
        _log.info(f"Sampling {effect.describe()}; reported as written.")
    for line in found.left:
        _log.info(f"{line}.")
    return recentred(found)


def _check_model_of(row_model: RowModel, model: pm.Model) -> None:
    """Refuse the rows of another model, and of this one as it was before it was changed."""
    advice = "Pass rows=pymc_sgld.row_model(model) of the model that is sampled, or leave rows out."
    if row_model.model is not model:
        raise RowError(f"rows is the row model of another model than the one sampled. {advice}")
    read, there = {var.name for var in row_model.value_vars}, {v.name for v in model.value_vars}
    changed = sorted(read ^ there)
    if not changed:
        known = [term.name for term in row_model.terms]
        known += [whole.name for whole in row_model.whole]
        factors = [one.name for one in (*model.observed_RVs, *model.potentials)]
        changed = [name for name in factors if not any(one.startswith(name) for one in known)]
    if changed:
        raise RowError(
            f"The model was changed after row_model read it: {listed(changed)} differ. {advice}"
        )


def choose_batch_sizes(
    name: str,
    batch_size: int | None,
    row_model: RowModel,
    estimator: GradientEstimator,
    why: str = "",
) -> list[int]:
    """Return the rows of a batch, for each group of rows; ``why`` a sampler may take none."""
    totals = [group.total_size for group in row_model.groups]
    if not totals:
        if batch_size is not None:
            raise ValueError(
                f"The model has no rows to take batches of, got batch_size={batch_size}. Leave it "
                "out: every step takes the whole gradient."
            )
        return []
    if batch_size is not None:
        hint = f"The data have {max(totals)} rows."
        check_integer("batch_size", batch_size, at_least=1, at_most=max(totals), hint=hint)
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
    return [min(batch_size, total) for total in totals]


def choose_scheme(
    name: str,
    batches: str | SamplingScheme | None,
    rule: Rule,
    estimator: GradientEstimator,
    noise_compensation: bool,
    settles: bool = True,
) -> SamplingScheme:
    """Return how the rows of a batch are drawn.

    Where that is left out, plain gradients take sweeps without replacement: draws at their ends
    have a fraction of the noise. What counts on batches that are independent of each other does
    not, nor does what leaves little noise, or one that is not the same at every step.

    Parameters
    ----------
    name : str
        Of the sampler.
    batches : str or SamplingScheme
        A key of ``SCHEMES``, or a scheme of your own. None: chosen.
    rule : Rule
    estimator : GradientEstimator
    noise_compensation : bool
        Whether known noise is taken out of the injected noise.
    settles : bool, default True
        Whether one law is sampled: no cycles, no annealing.
    """
    compensated = noise_compensation or rule.needs_gradient_noise
    if batches is None:
        tied = estimator.name == "minibatch" and settles
        counts_on_it = compensated or rule.needs_independent_batches
        batches = "epochs" if tied and not counts_on_it else "independent"
    if isinstance(batches, SamplingScheme):
        scheme = batches
    else:
        scheme = SCHEMES[check_one_of("batches", batches, SCHEMES)]
    if scheme.weights is not None:
        raise ValueError(
            f"batches={scheme.name!r} gives the rows weights, which belong into the model: 'auto' "
            "writes them there, and takes them where they pay. Use batches='independent'."
        )
    if not scheme.independent and compensated:
        raise ValueError(
            f"{name} takes the variance of the gradient's noise out of its injected noise, which "
            f"holds for independent batches. With batches={scheme.name!r} the noise of the batches "
            "of an epoch adds up to none, so it would be taken out a second time. Use "
            "batches='independent', or leave noise_compensation out."
        )
    tested = isinstance(rule, TestedRule)
    if not scheme.independent and rule.needs_independent_batches and not tested:
        raise ValueError(
            f"{name} measures the noise of the gradient by the kinetic energy that it leaves, and "
            f"takes it out. With batches={scheme.name!r} that noise adds up to none over an epoch, "
            "so it would be taken out a second time. Use batches='independent'."
        )
    if not scheme.independent and tested:
        raise ValueError(
            f"{name} weighs a sequence of batches against its reverse, which must be as likely; "
            f"with batches={scheme.name!r} it is not. Use batches='independent'."
        )
    if not estimator.remembers:
        return scheme
    if scheme.name != "independent":
        raise ValueError(
            f"gradient={estimator.name!r} remembers the gradients of fixed blocks of rows and "
            f"draws one of them at each step; batches={scheme.name!r} would cut the rows anew. Use "
            "batches='independent', or gradient='svrg'."
        )
    return FixedBlocks()


def check_table(
    name: str, estimator: GradientEstimator, row_model: RowModel, batch_sizes: Sequence[int]
) -> None:
    """Say how much memory a table of gradients takes, or refuse it.

    Parameters
    ----------
    name : str
        Of the sampler.
    estimator : GradientEstimator
    row_model : RowModel
    batch_sizes : sequence of int
        By group of rows.
    """
    if not estimator.remembers:
        return
    if len(row_model.groups) > 1:
        groups = ", ".join(group.name for group in row_model.groups)
        raise ValueError(
            f"gradient={estimator.name!r} of {name} keeps a table for one group of rows, but the "
            f"model has {len(row_model.groups)}: {groups}. Use gradient='svrg' or "
            "'control_variate'."
        )
    total, batch, n_dim = row_model.groups[0].total_size, batch_sizes[0], row_model.n_dim
    count = BlockLayout(total, batch).count
    size = count * n_dim * np.dtype(row_model.position.type.dtype).itemsize
    if size > estimator.largest_table:
        raise ValueError(
            f"gradient={estimator.name!r} of {name} would keep {count} gradients of {n_dim} "
            f"numbers, {size / 1e6:,.0f} MB a chain, for N={total} rows in batches of n={batch} "
            f"and D={n_dim} parameters; largest_table allows {estimator.largest_table / 1e6:,.0f} "
            "MB. Give a larger batch_size that divides N, gradient='svrg' which keeps two "
            f"gradients, or gradient={type(estimator).__name__}(largest_table=...) with more bytes."
        )
    _log.info(
        f"{name}: the table of {count} gradients of {n_dim} numbers takes {size / 1e6:,.1f} MB "
        "in each chain."
    )


def check_noise_left(name: str, rule: Rule, row_model: RowModel, sizes: Sequence[int]) -> None:
    """Refuse batches of all rows for a rule that lives on the noise of batches."""
    totals = [group.total_size for group in row_model.groups]
    if rule.noise_vectors == 0 and list(totals) == list(sizes):
        raise ValueError(
            f"{name} injects no noise and moves by that of the batches alone, but batches of all "
            f"{max(totals)} rows have none: it would find the mode and stay there. Give batch_size "
            f"below {max(totals)}, or take a sampler that injects noise, such as 'sgld'."
        )


def check_tune_phase(name: str, settings: Settings, tune: int) -> None:
    """Refuse to go without a tune phase where something is to be worked out in it."""
    if tune == 0 and settings.needs_tune_phase:
        raise ValueError(
            "step_size was left out, or a preconditioner, a control variate or noise is to be "
            f"measured before sampling, but tune=0 leaves {name} no draw to do it in. "
            "Give tune >= 1, or step_size with preconditioner='identity' and "
            "gradient='minibatch'."
        )


def _choose_preconditioner(name: str, rule: Rule, given: Any, step_given: bool) -> Preconditioner:
    """Return the preconditioner asked for, if the rule works with it, or the default."""
    allowed = rule.preconditioners(step_given) or tuple(PRECONDITIONERS)
    if given is None:
        usual = "identity" if step_given else "dense"
        given = usual if len(allowed) == len(PRECONDITIONERS) else allowed[0]
    elif not isinstance(given, str | Preconditioner | bool) and hasattr(given, "__len__"):
        given = FixedCovariance(given)  # an array, a list, a data frame
    if isinstance(given, Preconditioner):
        # one of another name is made outside of this library: any rule without wishes takes it
        if given.name in PRECONDITIONERS or len(allowed) < len(PRECONDITIONERS):
            check_one_of(f"preconditioner of {name}", given.name, allowed)
        return given
    arrays = "Or variances, shape (n_dim,), a covariance, shape (n_dim, n_dim), or an object."
    check_one_of("preconditioner", given, PRECONDITIONERS, hint=arrays)
    hint = f"The others do not fit the rule: see {type(rule).__name__}."
    return PRECONDITIONERS[check_one_of(f"preconditioner of {name}", given, allowed, hint=hint)]


def _check_size(
    n_dim: int,
    rule: Rule,
    step_given: bool,
    preconditioner: Preconditioner,
    compensated: bool,
) -> None:
    """Refuse what would need an n_dim x n_dim matrix where that is too large."""
    if n_dim <= LARGEST_MEASURED:
        return
    reasons = []
    if preconditioner.needs_square_matrix:
        reasons.append(
            f"preconditioner={preconditioner.name!r} (take 'low_rank', 'diagonal', 'rmsprop' or "
            "'adam')"
        )
    measurable = preconditioner.knows_ends and not isinstance(rule, ScaledRule)
    if not measurable and not step_given:
        reasons.append("the choice of step_size (give it, or take preconditioner='low_rank')")
    if not measurable and compensated:
        reasons.append("the measurement of gradient noise (noise_compensation=False)")
    if reasons:
        raise ValueError(
            f"The model has {n_dim} parameters. Beyond {LARGEST_MEASURED} no matrix of that size "
            f"squared is made, which rules out {'; '.join(reasons)}. Everything else works, "
            "control variates and the other preconditioners included."
        )


def _choose_compensation(
    name: str, rule: Rule, estimator: GradientEstimator, wanted: bool, step_given: bool
) -> bool:
    """Return whether the rule is told the variance of the gradient."""
    if step_given and rule.step_replaces_noise:
        if wanted:
            raise ValueError(
                f"noise_compensation=True and step_size are given for {name}, whose step follows "
                "from the noise of the gradient. Leave step_size out, or noise_compensation."
            )
        return False
    needed = rule.needs_gradient_noise
    wanted = wanted or needed
    if wanted and estimator.steps_between(1) is not None:
        raise ValueError(
            f"{name} with gradient={estimator.name!r} has noise that grows with the distance to "
            "where the rows' gradients were last taken, so there is no one variance to take out "
            "of the injected noise. Use gradient='control_variate' or 'minibatch', or leave "
            "noise_compensation out."
        )
    if wanted and not rule.compensates:
        raise ValueError(
            f"noise_compensation=True is not possible for {name}: its rule has no closed form for "
            f"it. Use one of {', '.join(_compensating())}, or leave it out."
        )
    return wanted


def _compensating() -> list[str]:
    """Return the rules that take the gradient's noise out of theirs and need not."""
    rules = (getattr(samplers, name) for name in samplers.__all__)
    able = (rule for rule in rules if rule.compensates and not rule.nonlinear_state)
    return sorted(rule.name for rule in able if not rule.needs_gradient_noise)


def _check_target_bias(target_bias: float | None, step_size: Any) -> float:
    """Return the largest tolerated relative excess of an sd."""
    if target_bias is None:
        return TARGET_BIAS
    meaning = (
        f"It is the largest relative excess of a posterior sd that is tolerated; {TARGET_BIAS} is "
        "5 %."
    )
    check_share("target_bias", target_bias, hint=meaning)
    if step_size is not None:
        _log.warning(
            "step_size and target_bias were both given: step_size is used as it is, and "
            "target_bias chooses nothing but a batch size that was left out."
        )
    return float(target_bias)


def _check_steps_per_draw(name: str, rule: Rule, steps_per_draw: int | None) -> None:
    if steps_per_draw is None:
        return
    check_integer("steps_per_draw", steps_per_draw, at_least=1)
    trajectory = rule.trajectory
    if steps_per_draw % trajectory:
        raise ValueError(
            f"steps_per_draw={steps_per_draw} is not a multiple of the {trajectory} steps after "
            f"which {name} looks at all rows. Give steps_per_draw="
            f"{-(-steps_per_draw // trajectory) * trajectory}."
        )
