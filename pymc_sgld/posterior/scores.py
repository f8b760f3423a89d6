"""Scores of draws: the gradient of the log-posterior of a model, where a chain has been."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pymc as pm

from pymc_sgld.model_graph import RowError, read_rows
from pymc_sgld.model_graph.context import chosen_model
from pymc_sgld.model_graph.density.by_numpy import QUICKLY_COMPILED
from pymc_sgld.model_graph.density.modes import chosen_mode, strict_mode
from pymc_sgld.posterior.draws import check_draws_of, posterior_of
from pymc_sgld.posterior.unconstrained import parameter_labels, unconstrained_positions
from pymc_sgld.types import Array
from pymc_sgld.validate import and_more, check_arguments

# a position, shape (n_dim,), to the log-density of all rows and its gradient
ScoreFunction = Callable[[Array], tuple[float, Array]]
# PyTensor's Python linker: nothing to compile, and on blocks of rows as quick as NumPy
_MODE = QUICKLY_COMPILED


class NoScoreError(ValueError):
    """The log-density of a model has no gradient, or not at these draws."""


class PosteriorScores(NamedTuple):
    """Draws in unconstrained space, and the gradient of the log-posterior at some of them."""

    positions: Array  # (n_chains, n_scored, n_dim), those with a score
    scores: Array  # (n_chains, n_scored, n_dim)
    log_density: Array  # (n_chains, n_scored), unnormalised; nan where batches were read
    draws: Array  # (n_chains, n_draws, n_dim), all
    scored: Array  # (n_scored,), which of the draws have a score
    labels: list[str]  # (n_dim,), the user's variable with its index
    data_passes: float  # spent on the scores

    def __repr__(self) -> str:
        """Say how many there are, and of what."""
        chains, draws, n_dim = self.draws.shape
        return (
            f"Scores at {self.scored.size:,} of {draws:,} draws of each of {chains} chains, along "
            f"{n_dim:,} parameters ({and_more(self.labels)}): {self.data_passes:,.0f} data passes"
        )


def posterior_scores(
    idata: Any,
    model: pm.Model | None = None,
    *,
    n_scored: int = 400,
    data: Any = None,
    backend: str | None = None,
    compile_kwargs: dict[str, Any] | None = None,
) -> PosteriorScores:
    """Return the scores of thinned draws, on all rows, in chunks of rows.

    Parameters
    ----------
    idata : DataTree
        With a group ``posterior`` that holds every free variable: of any sampler.
    model : pm.Model, optional
        Default: the model on the context stack.
    n_scored : int, default 400
        At how many to take the score, at most, of all chains together (one of each at least),
        evenly spaced. Every one costs a pass through the data.
    data : dict of str to source, or a table, optional
        Rows that are not in the model, as of the run: see :func:`pymc_sgld.sample`. They are read
        in their own order, block by block, and written nowhere.
    backend, compile_kwargs
        As in :func:`pymc.sample`. Default: PyTensor's Python linker, which compiles nothing;
        ``"numba"`` is quicker where there are many rows or draws.

    Returns
    -------
    PosteriorScores

    Raises
    ------
    RowError
        If the draws are not of this model: a variable is missing, or has another shape.
    NoScoreError
        If the model has no gradient, or it is not finite at the draws.
    """
    check_arguments(n_scored=n_scored, backend=backend, compile_kwargs=compile_kwargs)
    model = chosen_model(model)
    posterior = posterior_of(idata)
    check_draws_of(model, posterior)
    everything = unconstrained_positions(model, posterior)
    scored = evenly_spaced(everything.shape[1], n_scored // len(everything))
    positions = everything[:, scored]
    labels = parameter_labels(model)
    function = score_function(model, chosen_mode(backend, compile_kwargs), data)
    check_finite("draws", everything, labels)
    log_density, scores = scores_at(positions, function)
    check_finite("gradients at the draws", scores, labels)
    n_passes = float(np.prod(positions.shape[:2]))
    return PosteriorScores(positions, scores, log_density, everything, scored, labels, n_passes)


def evenly_spaced(n_draws: int, n_wanted: int) -> Array:
    """Return the numbers of at most so many draws at equal distances, the last among them."""
    apart = -(-n_draws // max(1, n_wanted))
    return np.arange(n_draws - 1, -1, -apart)[::-1]


def score_function(model: pm.Model, mode: Any = None, data: Any = None) -> ScoreFunction:
    """Return log-density and gradient of a model, by chunks of rows where it has any.

    Raises
    ------
    NoScoreError
        If the model has discrete free variables, or an operation without a gradient.
    """
    values = model.rvs_to_values
    discrete = [rv.name for rv in model.free_RVs if values[rv] in model.discrete_value_vars]
    if discrete:
        raise NoScoreError(
            f"'{discrete[0]}' is discrete, so the model has no gradient in it. What is measured "
            "here needs one: marginalise it out."
        )
    mode = _MODE if mode is None else mode
    try:
        row_model = read_rows(model, allow_no_rows=True, data=data, scratch=False)
        function: ScoreFunction = row_model.block_function(mode).full
    except RowError:
        if data is not None:  # the model as it is has a row of nothing
            raise
        return _of_all_rows(model, mode)
    except NotImplementedError as error:
        raise _no_gradient(error) from error
    return function


def scores_at(positions: Array, function: ScoreFunction) -> tuple[Array, Array]:
    """Return log-density, shape (n_chains, n_draws), and gradient, (n_chains, n_draws, n_dim)."""
    log_density, scores = np.empty(positions.shape[:2]), np.empty(positions.shape)
    for place in np.ndindex(positions.shape[:2]):
        log_density[place], scores[place] = function(positions[place])
    return log_density, scores


def check_finite(what: str, values: Array, labels: list[str]) -> None:
    """Refuse values, shape (n_chains, n_draws, n_dim), that are not finite, by parameter.

    Raises
    ------
    NoScoreError
    """
    wrong = ~np.isfinite(values)
    if wrong.any():
        at = [labels[j] for j in np.flatnonzero(wrong.any(axis=(0, 1)))]
        of_draws = wrong.any(axis=-1)
        where = f"{of_draws.sum()} of the {of_draws.size} draws looked at"
        raise NoScoreError(
            f"The {what} are not finite along {and_more(at)}, in unconstrained space, at {where}: "
            "the chain diverged, or the draws lie outside the support of this model."
        )


def _of_all_rows(model: pm.Model, mode: Any) -> ScoreFunction:
    """Return log-density and gradient of a model whose rows cannot be taken apart."""
    try:
        function = model.logp_dlogp_function(ravel_inputs=True, mode=strict_mode(mode))
    except (NotImplementedError, TypeError) as error:
        raise _no_gradient(error) from error
    function.set_extra_values({})

    def both(position: Array) -> tuple[float, Array]:
        value, gradient = function(position)
        return float(value), np.asarray(gradient)

    return both


def _no_gradient(error: Exception) -> NoScoreError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return NoScoreError(
        f"The log-density of the model has no gradient: {reason}. What is measured here needs one."
    )
