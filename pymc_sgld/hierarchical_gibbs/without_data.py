"""A whole Gibbs sampler of a hierarchy with a quadratic in place of the rows: no data are read."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from pymc_sgld.hierarchical_gibbs.conditional_curvature import ConditionalCurvature
from pymc_sgld.hierarchical_gibbs.hierarchy import Hierarchy
from pymc_sgld.hierarchical_gibbs.interweaving import interweaving
from pymc_sgld.hierarchical_gibbs.quadratic_rows import quadratic_rows
from pymc_sgld.tuning import TuningError
from pymc_sgld.types import Array

_FEWEST_DRAWS = 50  # of which widths of moves are taken


class Learned(NamedTuple):
    """What a run leaves to the next one."""

    by_step: Any  # by the step method of the hyperparameters
    draws: Array  # (n_draws, n_dim)


def run_without_data(
    hierarchy: Hierarchy,
    curvature: ConditionalCurvature,
    slope: Array,
    start: Array,
    n_draws: int,
    generator: np.random.Generator,
    known: Learned | None = None,
) -> tuple[Array, Learned]:
    """Run the Gibbs sampler on the quadratic of a curvature, hyperparameters moved both ways.

    Given the effects, and with the effects following: see
    :mod:`pymc_sgld.hierarchical_gibbs.interweaving`.

    Parameters
    ----------
    hierarchy : Hierarchy
    curvature : ConditionalCurvature
    slope : array, shape (n_moving,)
        Of the rows' log-likelihood at the curvature's reference.
    start : array, shape (n_dim,)
    n_draws : int
    generator : numpy.random.Generator
    known : Learned, optional
        Of the run before.

    Returns
    -------
    draws : array, shape (n_draws, n_dim)
    learned : Learned
    """
    latest = None if known is None else known.by_step
    wide = known is not None and len(known.draws) >= _FEWEST_DRAWS
    moves = interweaving(
        hierarchy.prior,
        curvature,
        quadratic_rows(curvature, slope),
        hierarchy.sizes,
        known.draws if wide and known is not None else None,
    )

    def update(position: Array) -> Array:
        nonlocal latest
        moved, latest = hierarchy.hyperparameters.draw(position, generator, latest, True)
        if moves is not None:
            followed = moves.propose(moved, generator)
            moved = followed if np.isfinite(followed).all() else moved
        return moved

    draws = pilot(curvature, start, curvature.reference, slope, update, n_draws, generator)
    return draws, Learned(latest, draws)


def pilot(
    curvature: ConditionalCurvature,
    position: Array,
    centre: Array,
    score: Array,
    update: Callable[[Array], Array],
    n_draws: int,
    generator: np.random.Generator,
) -> Array:
    r"""Run a Gibbs sampler of the hierarchy with a quadratic log-likelihood; no data are read.

    .. math:: \ell(\theta) = s^\top (\theta - c) - \tfrac12 (\theta - c)^\top J (\theta - c)

    Parameters
    ----------
    curvature : ConditionalCurvature
        Has J.
    position : array, shape (n_dim,)
        Where to begin.
    centre : array, shape (n_dim,)
        c, of which the moving entries count.
    score : array, shape (n_moving,)
        s, the slope of the rows' log-likelihood there.
    update : callable
        Draws the hyperparameters of a position given all else.
    n_draws : int
    generator : numpy.random.Generator

    Returns
    -------
    array, shape (n_draws, n_dim)

    Raises
    ------
    TuningError
        Where the curvature given the hyperparameters is not positive.
    """
    moving, nothing = curvature.moving, np.zeros_like(position)
    draws = np.empty((n_draws, len(position)))
    for number in range(n_draws):
        slope = np.array(curvature.prior(position, nothing)[0], dtype=float)
        apart = position[moving] - centre[moving]
        slope[moving] += score - curvature.information @ apart
        normal = generator.standard_normal(len(position))
        moved = curvature.draw(position, slope, normal)
        if not np.isfinite(moved).all():
            raise TuningError(
                "Given the hyperparameters, the effects have no Gaussian picture at their mode: "
                "its curvature is not positive, as where effects are multiplied with each other. "
                "Give hyperparameters='joint', or another sampler, such as 'sghmc'."
            )
        position = update(moved.astype(position.dtype))
        draws[number] = position
    return draws
