"""The precision of thousands of effects given their hyperparameters, as a sparse matrix."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import scipy

from scipy.sparse import coo_array, csr_array, diags_array, sparray

from pymc_sgld.hierarchical_gibbs.arrowhead_metric import ConditionalMetric
from pymc_sgld.hierarchical_gibbs.conditional_curvature import ConditionalCurvature
from pymc_sgld.preconditioners.sparse_factor import Elimination, SparseFactor, elimination
from pymc_sgld.types import Array

_STIFFEST = 1.9  # in the coordinates of the steps, whose law is exact to 1 % of an sd up to 2
_SLACK = 0.03  # smallest curvature in the coordinates of the steps that is left
_LARGEST_WHOLE = 1000  # parameters of a matrix that is factorised at every draw: .1 s
_LANCZOS = 1e-2  # relative tolerance
_MOST_PRODUCTS = 300


@dataclass(frozen=True)
class SparseCurvature(ConditionalCurvature):
    """As :class:`ConditionalCurvature`, with the information of the rows as a sparse array.

    Parameters
    ----------
    variable : array of int, shape (n_moving,)
        Number of the variable that each parameter is of.
    level : float
        What the coordinates of the steps are multiplied by, so that no direction is too stiff.
    changes : tuple of (int, sparse array)
        Numbers that rows share, as places within what moves, and derivatives of the information.
    """

    variable: Array
    level: float = 1.0
    changes: tuple[tuple[int, csr_array], ...] = ()

    @cached_property
    def elimination(self) -> Elimination:
        """What is eliminated first, for any hyperparameters."""
        return elimination(self.pattern, self.variable)

    @property
    def pattern(self) -> csr_array:
        """Where the precision has entries, for any hyperparameters."""
        of_prior = self._prior_matrix(np.ones(len(self.entries.row)))
        return csr_array(abs(self.information) + of_prior)

    def precision(self, position: Array) -> csr_array:
        """Return the precision at the hyperparameters of a position."""
        return csr_array(self.information + self._prior_matrix(self.of_prior(position)))

    def factor(self, position: Array) -> SparseFactor:
        """Return its factor."""
        return self.elimination.factor(self.precision(position))

    def draw(self, position: Array, slope: Array, normal: Array) -> Array:
        """Return a draw from the Gaussian with this slope at the position."""
        factor, moved = self.factor(position), np.array(position)
        of_moving = self.moving
        moved[of_moving] += factor.solve(slope[of_moving]) + factor.coloured(normal[of_moving])
        return moved

    def metric(self, position: Array) -> ConditionalMetric:
        """Return the coordinates of the steps."""
        found, level = super().metric(position), self.level
        return replace(
            found,
            scale=found.scale * found.scale.dtype.type(level),
            columns=found.columns * found.columns.dtype.type(level),
            upper=found.upper / level,
        )

    @cached_property
    def of_rows(self) -> tuple[Array, Array, Array]:
        """Information of the rows, in the parts of an arrowhead.

        Its border goes with what is eliminated: with all else too, it might not be positive.
        """
        rows = csr_array(self.information)
        of_single = csr_array(rows[self.single])
        cross = of_single[:, self.border].toarray()
        inner = csr_array(rows[self.border])[:, self.border].toarray()
        with_border = np.isin(self.single, self.elimination.single)
        own = rows.diagonal()[self.single]
        return own, np.where(with_border[:, None], cross, 0), inner

    @cached_property
    def changes_of_effects(self) -> tuple[tuple[int, csr_array], ...]:
        """How the information of effects goes with numbers that all rows share."""
        of_effects = np.zeros(len(self.moving))
        of_effects[self.single] = 1
        mask = diags_array(of_effects)
        return tuple((place, csr_array(mask @ one @ mask)) for place, one in self.changes)

    @property
    def information_diagonal(self) -> Array:
        """Information of the rows on each parameter alone."""
        return np.asarray(self.information.diagonal())

    def ends(self, position: Array) -> tuple[float, float]:
        """Return the smallest and the largest curvature in the coordinates of the steps."""
        metric, precision = self.metric(position), self.precision(position)
        parameters = metric.parameters()
        centred = (np.zeros_like(parameters[0]), *parameters[1:])

        def product(some: Array) -> Array:
            whole = np.zeros(len(position))
            whole[self.moving] = np.ravel(some)
            moved = metric.to_position(whole, *centred)[self.moving]
            whole[self.moving] = precision @ moved
            return metric.whitened(whole)[self.moving]

        n_moving = len(self.moving)
        operator = scipy.sparse.linalg.LinearOperator(
            (n_moving, n_moving), matvec=product, dtype=float
        )
        start = np.random.default_rng(0).standard_normal(n_moving)
        options = {"k": 1, "tol": _LANCZOS, "v0": start, "return_eigenvectors": False}
        largest = scipy.sparse.linalg.eigsh(operator, which="LA", **options)[0]
        # what is left of a shifted operator converges to the other end without a solve
        shifted = scipy.sparse.linalg.LinearOperator(
            operator.shape, matvec=lambda v: largest * np.ravel(v) - product(v), dtype=float
        )
        smallest = largest - scipy.sparse.linalg.eigsh(shifted, which="LA", **options)[0]
        return float(max(smallest, 1e-6)), float(largest)

    def with_good_coordinates(self, position: Array) -> "SparseCurvature":
        """Return the curvature with coordinates in which no direction is too stiff or too slack.

        A long walk whose steps are small is stiff along neighbours and slack in all together: then
        its coordinates are those of the whole matrix, where that is small enough for every draw.
        """
        levelled = self.levelled(position)
        n_moving = len(self.moving)
        if n_moving > _LARGEST_WHOLE or levelled.ends(position)[0] > _SLACK:
            return levelled
        everything = np.arange(n_moving)
        return replace(self, single=everything[:0], border=everything, level=1.0)

    def levelled(self, position: Array) -> "SparseCurvature":
        """Return the curvature with coordinates in which no direction is too stiff there."""
        _, largest = replace(self, level=1.0).ends(position)
        return replace(self, level=min(1.0, float(np.sqrt(_STIFFEST / largest))))

    def prior_at(self, position: Array) -> csr_array:
        """Return minus the Hessian of the prior at the hyperparameters of a position."""
        return self._prior_matrix(self.of_prior(position))

    def _prior_matrix(self, values: Array) -> csr_array:
        row, column, n_moving = self.entries.row, self.entries.column, len(self.moving)
        return csr_array(coo_array((values, (row, column)), shape=(n_moving, n_moving)))


def of_some(matrix: sparray, chosen: Array) -> csr_array:
    """Return the rows and columns of some entries."""
    if len(chosen) == matrix.shape[0]:
        return csr_array(matrix)
    return csr_array(csr_array(csr_array(matrix)[chosen])[:, chosen])
