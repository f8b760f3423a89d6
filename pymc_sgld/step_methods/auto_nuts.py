"""When "auto" leaves a model to NUTS."""

from typing import NamedTuple

import numpy as np
import pymc as pm

from pymc.exceptions import SamplingError

from pymc_sgld.model_graph import RowError, RowModel, read_rows, uses_minibatch
from pymc_sgld.tuning import TuningError

# Below, NUTS is quick, and it is exact.
NUTS_SECONDS = 10.0
_GRADIENTS_PER_DRAW = 16  # of NUTS: leapfrog steps of a trajectory of a well-scaled model
_SECONDS_PER_GRADIENT = 2e-5
_SECONDS_PER_NUMBER = 2e-9  # of data read
_NUMBERS_OF_A_ROW = 10  # besides its data: link and log-density
_TUNE = 1000


class Reading(NamedTuple):
    """A model read for "auto": why it is left to NUTS, or else its rows."""

    why_nuts: str
    row_model: RowModel | None = None


def read_for_auto(model: pm.Model, *, draws: int, tune: int | None) -> Reading:
    """Read a model, and say why NUTS is the better sampler for it, where it is.

    Parameters
    ----------
    model : pm.Model
    draws, tune : int
        Of a chain; with None for ``tune``, what NUTS takes.

    Raises
    ------
    RowError
        Where a model is written on `pm.Minibatch`, whose log-density NUTS would see at other rows
        at every step, and its rows cannot be subsampled either.
    """
    on_minibatches = uses_minibatch(model)
    if not model.observed_RVs and not model.potentials:
        return Reading("it has no observed rows.")
    try:
        read = read_rows(model, allow_no_rows=True)
    except RowError as error:
        if on_minibatches:
            raise
        return Reading(f"its rows cannot be subsampled. {str(error).splitlines()[0]}")
    if not read.groups:
        return Reading("it has no observed rows.")
    if on_minibatches:
        return Reading("", read)
    seconds = nuts_seconds(read, draws + (_TUNE if tune is None else tune))
    if seconds > NUTS_SECONDS:
        return Reading("", read)
    total = sum(group.total_size for group in read.groups)
    return Reading(
        f"with {total:,} rows a chain should take about {max(seconds, 0.1):.1f} s, and its draws "
        f"are exact. Name a sampler, such as 'baoa', to have minibatches (the bound is "
        f"{NUTS_SECONDS:g} s)."
    )


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


def nuts_seconds(rows: RowModel, n_draws: int) -> float:
    """Return a rough guess of the seconds that a chain of NUTS takes, from the size of the data."""
    numbers = sum(int(np.prod(np.shape(leaf.values()))) for leaf in rows.leaves)
    numbers += sum(_NUMBERS_OF_A_ROW * group.total_size for group in rows.groups)
    gradient = _SECONDS_PER_GRADIENT + _SECONDS_PER_NUMBER * numbers
    return n_draws * _GRADIENTS_PER_DRAW * gradient
