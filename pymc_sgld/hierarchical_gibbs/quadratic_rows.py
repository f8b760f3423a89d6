"""A quadratic that stands for the rows' log-likelihood of effects, so that no row is read."""

from typing import Any, NamedTuple

import numpy as np

from pymc_sgld.hierarchical_gibbs.conditional_curvature import ConditionalCurvature
from pymc_sgld.types import Array


class QuadraticRows(NamedTuple):
    r"""Log-likelihood of the rows near a centre, as a function of what moves.

    .. math:: \ell(x) = s^\top x - \tfrac12 x^\top \Big(J + \sum_k x_k J_k\Big) x

    with x what moves less the centre, and :math:`J_k` how the information of effects goes with a
    number that all rows share, such as the scale of errors.
    """

    centre: Array  # (n_moving,)
    score: Array  # (n_moving,)
    moving: Array  # (n_moving,), entries of the position
    information: Any  # (n_moving, n_moving), dense or sparse
    changes: tuple[tuple[int, Any], ...] = ()  # places within what moves, and derivatives

    def value(self, position: Array) -> float:
        """Return it at a position, but for a constant."""
        apart = (position[self.moving] - self.centre).astype(float)
        square = apart @ (self.information @ apart)
        for place, derivative in self.changes:
            square += apart[place] * (apart @ (derivative @ apart))
        return float(self.score @ apart - square / 2)


def quadratic_rows(curvature: ConditionalCurvature, slope: Array) -> QuadraticRows:
    """Return the quadratic that a curvature has, with the rows' slope where it was taken.

    Parameters
    ----------
    curvature : ConditionalCurvature
    slope : array, shape (n_moving,)
    """
    centre = curvature.reference[curvature.moving].astype(float)
    slope = np.asarray(slope, dtype=float)
    changes = curvature.changes_of_effects
    return QuadraticRows(centre, slope, curvature.moving, curvature.information, changes)
