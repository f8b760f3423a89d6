"""When "auto" leaves a model to NUTS."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pymc as pm

from pymc.exceptions import SamplingError

from pymc_sgld.model_graph import RowError, RowModel, read_rows, uses_minibatch
from pymc_sgld.model_graph.density.finiteness import refuse_nonfinite_model
from pymc_sgld.model_graph.rewrite.errors import DataError
from pymc_sgld.step_methods.nuts_cost import NutsCost, measured_cost, probe_of
from pymc_sgld.tuning import TuningError
from pymc_sgld.validate import shown

# Seconds of a chain of NUTS: below, it is quick, and it is exact.
NUTS_SECONDS = 10.0
# Where batches of the rows can save nothing, for there are as few as this.
NUTS_SECONDS_OF_FEW_ROWS = 300.0
FEW_ROWS = 1280
_TUNING_PASSES = 100  # through the data, that tuning to minibatches takes at most, about
# A guess, where rows are so many that it need not be measured.
_FEWEST_GRADIENTS = 3  # of a draw
_SECONDS_PER_GRADIENT = 2e-5
_SECONDS_PER_NUMBER = 2e-9  # of data read
_NUMBERS_OF_A_ROW = 10  # besides its data: link and log-density
_TUNE = 1000

OF_NUTS = ("nuts_sampler", "nuts_sampler_kwargs")  # arguments of ``pm.sample`` for NUTS alone

# a model, the draws of a chain and the bound of its seconds to what NUTS costs
Measure = Callable[[pm.Model, int, float], NutsCost]


def measure_nuts(model: pm.Model, n_draws: int, bound: float) -> NutsCost:
    """Return what a chain of NUTS costs, measured by a short run."""
    return measured_cost(probe_of(model), n_draws, bound=bound)


def refuse_options_of_nuts(sampler: str, given: Mapping[str, Any]) -> None:
    """Raise where a sampler that is named was given options for NUTS, which it never takes."""
    for name in OF_NUTS:
        if sampler != "auto" and given[name] is not None:
            raise TypeError(
                f"{name}={shown(given[name])} is for models that sample('auto') leaves to NUTS, "
                f"and {sampler!r} was named. Leave it out."
            )


class Reading(NamedTuple):
    """A model read for "auto": why it is left to NUTS, or else its rows."""

    why_nuts: str
    row_model: RowModel | None = None
    why_batches: str = ""


def read_for_auto(
    model: pm.Model, *, draws: int, tune: int | None, measure: Measure = measure_nuts
) -> Reading:
    """Read a model, and say why NUTS is the better sampler for it, where it is.

    NUTS is taken where a chain should take less than ten seconds, or less than tuning to
    minibatches; with so few rows that batches save nothing, less than five minutes.

    Parameters
    ----------
    model : pm.Model
    draws, tune : int
        Of a chain; with None for ``tune``, what NUTS takes.
    measure : callable, optional
        What tells the cost of NUTS.

    Raises
    ------
    RowError
        Where a model is written on `pm.Minibatch`, whose log-density NUTS would see at other rows
        at every step, and its rows cannot be subsampled either.
    """
    on_minibatches = uses_minibatch(model)
    if not model.observed_RVs and not model.potentials:
        refuse_nonfinite_model(model)
        return Reading("it has no observed rows.")
    try:
        read = read_rows(model, allow_no_rows=True)
    except RowError as error:
        if on_minibatches or isinstance(error, DataError):
            raise
        return Reading(f"its rows cannot be subsampled. {str(error).splitlines()[0]}")
    if not read.groups:
        return Reading("it has no observed rows.")
    if on_minibatches:
        return Reading("", read)
    n_draws = draws + (_TUNE if tune is None else tune)
    total = sum(group.total_size for group in read.groups)
    bound = NUTS_SECONDS_OF_FEW_ROWS if total <= FEW_ROWS else NUTS_SECONDS
    if least_seconds(read, n_draws) > bound:
        return Reading("", read)
    try:
        cost = measure(model, n_draws, bound)
    except SamplingError:  # what is wrong with the model, the sampler will say
        return Reading("", read)
    reason = f"with {total:,} rows a chain should take {cost.in_words()}"
    if cost.seconds <= max(bound, _TUNING_PASSES * cost.gradient_seconds):
        return Reading(
            f"{reason}, and its draws are exact. Name a sampler, such as 'baoa', to have "
            f"minibatches (the bound is {bound:g} s)."
        )
    return Reading("", read, f"of NUTS {reason} (the bound is {bound:g} s).")


def why_not_tuned(error: BaseException, model: pm.Model) -> str | None:
    """Return why a model that could not be sampled on minibatches is left to NUTS.

    Parameters
    ----------
    error : Exception
        Of a run of "auto" with nothing given, or of one of its processes.
    model : pm.Model

    Returns
    -------
    str or None
        None where NUTS would be as helpless, or would not see the posterior: the posterior is
        improper or grows without bound, or the model is written on `pm.Minibatch`.
    """
    causes = [error]
    while (cause := causes[-1].__cause__) is not None:
        causes.append(cause)
    if uses_minibatch(model):
        return None
    if any(isinstance(cause, TuningError) and cause.model_at_fault for cause in causes):
        return None
    messages = [str(cause) for cause in causes if isinstance(cause, SamplingError)]
    if not messages:
        return None
    return f"the sampler could not be tuned to the model. {messages[-1].split('. ')[0]}."


def least_seconds(rows: RowModel, n_draws: int) -> float:
    """Return what a chain of NUTS takes at least, guessed from the size of the data."""
    numbers = sum(int(np.prod(np.shape(leaf.values()))) for leaf in rows.leaves)
    numbers += sum(_NUMBERS_OF_A_ROW * group.total_size for group in rows.groups)
    gradient = _SECONDS_PER_GRADIENT + _SECONDS_PER_NUMBER * numbers
    return n_draws * _FEWEST_GRADIENTS * gradient
