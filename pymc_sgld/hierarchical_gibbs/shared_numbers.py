"""Numbers that all rows share, such as the scale of errors: how what rows say goes with them.

The joint mode of effects and a scale of errors has too small a scale, for the density of the scale
alone has the factor :math:`|P_u|^{-1/2}`, with P the effects' precision, beside that at the best
effects.
"""

from collections.abc import Callable, Sequence

import numpy as np

from scipy.sparse import csr_array

from pymc_sgld.hierarchical_gibbs.sparse_curvature import SparseCurvature, of_some
from pymc_sgld.preconditioners.sparse_factor import elimination
from pymc_sgld.types import Array

_MOST_CORRECTED = 12  # numbers
_MATTERS = 0.05  # sds by which a number's marginal mode is off the joint one
_STEP = 0.5  # sds, of the difference of two informations


def shared_numbers(sizes: Sequence[int], moving: Array, shared: Array) -> Array:
    """Return places within what moves of numbers that all rows share, if there are few.

    Parameters
    ----------
    sizes : sequence of int
        Lengths of the variables of the position.
    moving, shared : array of int
        Entries of the position.
    """
    variable = np.repeat(np.arange(len(sizes)), sizes)[moving]
    alone = (np.asarray(sizes)[variable] == 1) & np.isin(moving, shared)
    return np.flatnonzero(alone) if alone.sum() <= _MOST_CORRECTED else np.zeros(0, dtype=int)


def changes_of_information(
    curvature: SparseCurvature, shared: Array, information: Callable[[Array], csr_array]
) -> tuple[tuple[int, csr_array], ...]:
    """Return how the information of the rows changes with numbers that they share.

    Along the direction in which the best effects follow.

    Parameters
    ----------
    curvature : SparseCurvature
    shared : array of int
        Places within what moves.
    information : callable
        Of all rows at a position.
    """
    if not len(shared):
        return ()
    moving, reference = curvature.moving, curvature.reference
    others = np.setdiff1d(np.arange(len(moving)), shared)
    precision, found = curvature.precision(reference), []
    plan = elimination(of_some(curvature.pattern, others), curvature.variable[others])
    factor = plan.factor(of_some(precision, others))
    for place in shared:
        unit = np.zeros(len(moving))
        unit[place] = 1
        way = unit.copy()
        way[others] = -factor.solve((precision @ unit)[others])
        step = _STEP / np.sqrt(max(curvature.information_diagonal[place], 1.0))
        ends = []
        for sign in (1, -1):
            at = reference.copy()
            at[moving] += (sign * step * way).astype(at.dtype)
            ends.append(information(at))
        found.append((int(place), csr_array((ends[0] - ends[1]) / (2 * step))))
    return tuple(found)


def that_matter(
    curvature: SparseCurvature, changes: tuple[tuple[int, csr_array], ...]
) -> tuple[tuple[int, csr_array], ...]:
    """Return the shared numbers whose marginal mode is not where the joint one is."""
    precision, kept = curvature.precision(curvature.reference), []
    for place, derivative in changes:
        sd = 1 / np.sqrt(max(curvature.information_diagonal[place], 1e-300))
        halves = []
        for sign in (1, -1):
            try:
                factor = curvature.elimination.factor(precision + sign * sd * derivative)
            except np.linalg.LinAlgError:
                break
            halves.append(factor.log_determinant / 2)
        if len(halves) < 2 or abs(halves[0] - halves[1]) / 2 > _MATTERS:
            kept.append((place, derivative))
    return tuple(kept)
