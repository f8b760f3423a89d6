"""How stiff all rows are in the coordinates of a Gibbs split, which may leave curvature out."""

from collections.abc import Callable

import numpy as np

from pymc_sgld.hierarchical_gibbs.conditional_curvature import ConditionalCurvature
from pymc_sgld.model_graph import BlockFunction
from pymc_sgld.tuning.proof import AS_MEASURED, SETTLED, extremes, slopes_of_all_rows
from pymc_sgld.tuning.row_sample import ROWS_OF_A_SAMPLE, WIDE_DIFFERENCES
from pymc_sgld.types import Array

_DRAWS_LOOKED_AT = 5


def stiffest_of_split(
    function: BlockFunction,
    curvature: ConditionalCurvature,
    centre: Array,
    draws: Array,
    generator: np.random.Generator,
) -> tuple[float, float]:
    """Return the largest curvature in the coordinates of the steps, and data passes.

    The coordinates leave out what effects of two crossed groupings have in common, and know the
    rows as far as a sample does. Looked at is the precision that is known at some draws of the
    hyperparameters, and with more than 20,000 rows that of all rows at the centre. 1 where that is
    as the coordinates have it, up to a quarter.

    Parameters
    ----------
    function : BlockFunction
    curvature : ConditionalCurvature
    centre : array, shape (n_dim,)
    draws : array, shape (n_draws, n_dim)
        Of the run without data.
    generator : numpy.random.Generator
    """
    moving = curvature.moving

    def largest(position: Array, of_rows: Callable[[Array], Array]) -> tuple[float, int]:
        at = curvature.reference.copy()
        at[curvature.hyperparameters] = position[curvature.hyperparameters]

        def product(some: Array) -> Array:
            whole = np.zeros_like(at)
            whole[moving] = some
            of_prior = np.asarray(curvature.prior(at, whole)[1], dtype=float)[moving]
            return np.asarray(of_rows(some) + of_prior)

        factor = curvature.metric(position).matrix()[np.ix_(moving, moving)].astype(float)
        values, _, used = extremes(product, factor, generator)
        value = float(values.max())
        return (value if np.isfinite(value) else 1.0), used

    def known(some: Array) -> Array:
        return np.asarray(curvature.information @ some)

    some = draws[:: max(1, len(draws) // _DRAWS_LOOKED_AT)]
    looked = [largest(position, known)[0] for position in (centre, *some.astype(centre.dtype))]
    stiffest, passes = max(looked), 0.0
    if max(function.total_sizes, default=0) > ROWS_OF_A_SAMPLE:
        slope = slopes_of_all_rows(function)
        here, step = slope(centre), WIDE_DIFFERENCES[np.dtype(function.dtype).name]

        def of_all(some: Array) -> Array:
            ahead = np.array(centre)
            ahead[moving] += step * some
            return np.asarray((here - slope(ahead)) / step)[moving]

        value, used = largest(centre, of_all)
        stiffest, passes = stiffest * max(1.0, value / max(looked[0], 1e-300)), 1.0 + used
    stiffest *= 1 + SETTLED
    return (stiffest if stiffest > AS_MEASURED[1] else 1.0), passes
