"""Effects and coefficients given the hyperparameters: their density, and its curvature.

With a quadratic log-likelihood in place of the rows a whole Gibbs sampler of the hierarchy can be
run without data. That shows where the posterior is before a row is looked at again, and how well
the scales are known.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import scipy

from pymc_sgld.hierarchical_gibbs.arrowhead_metric import ConditionalMetric, conditional_metric
from pymc_sgld.hierarchical_gibbs.block_metric import block_metric
from pymc_sgld.model_graph import BlockFunction, RowGradients
from pymc_sgld.preconditioners.sparse_factor import LARGEST_BLOCK
from pymc_sgld.tuning.sparse_hessian import Colouring, coloured, minus_hessian
from pymc_sgld.types import Array

_LARGEST_BORDER = 150  # parameters; beyond, only a border of the smaller variables is dense
_LARGEST_WHOLE = 500  # parameters of a dense matrix at every draw where they are tied: 15 ms
_NEGLIGIBLE = 1e-10  # relative
_NO_ENTRY = 1e-6  # relative, of differences
_MOST_DIFFERENCES = 20  # colours, two passes each
_DIFFERENCE = 1e-2  # of an sd


@dataclass(frozen=True)
class _OfSome:
    """A compiled function of the position as one of some of its entries; the others stay."""

    function: Any
    position: Array
    moving: Array

    def __call__(self, some: Array, *rest: Any) -> tuple[Any, Array]:
        position = self.position.copy()
        position[self.moving] = some
        value, gradient = self.function(position, *rest)
        return value, gradient[self.moving]


@dataclass(frozen=True)
class _RowsOfSome:
    """The same of the gradients of many rows."""

    by_row: RowGradients
    position: Array
    moving: Array

    def values_of_group(self, group: int) -> Any | None:
        """Return the log-likelihoods of rows as a function of what moves, or None."""
        values = self.by_row.values_of_group(group)
        if values is None:
            return None

        def of_some(some: Array, *blocks: Any) -> Array:
            position = self.position.copy()
            position[self.moving] = some
            return np.asarray(values(position, *blocks))

        return of_some

    def of_group(self, group: int, n_rows: int) -> Any | None:
        many = self.by_row.of_group(group, n_rows)
        if many is None:
            return None

        def of_some(some: Array, *blocks: Any) -> Array:
            position = self.position.copy()
            position[self.moving] = some
            return np.asarray(many(position, *blocks))[:, self.moving]

        return of_some


def given_the_rest(block_function: BlockFunction, position: Array, moving: Array) -> BlockFunction:
    """Return value and gradient as functions of some entries, with the others held fixed.

    Parameters
    ----------
    block_function : BlockFunction
    position : array, shape (n_dim,)
        Holds the entries that stay.
    moving : array of int, shape (n_moving,)
        Which entries move.
    """
    fixed = np.array(position, dtype=block_function.dtype)
    by_row = block_function.by_row
    return replace(
        block_function,
        function=_OfSome(block_function.function, fixed, moving),
        by_row=None if by_row is None else _RowsOfSome(by_row, fixed, moving),
    )


class _Places(NamedTuple):
    """Where entries go in the parts of an arrowhead, and which entries those are."""

    own: Any
    from_own: Array
    cross: tuple[Array, Array]
    from_cross: Array
    inner: tuple[Array, Array]
    from_inner: Array


@dataclass(frozen=True)
class ConditionalCurvature:
    """The precision of what moves, for any value of the hyperparameters.

    The information of the rows is that of one place; the curvature of the prior is worked out
    anew from the hyperparameters, at a fixed value of everything else.

    Parameters
    ----------
    prior : callable
        ``(position, direction) -> (gradient, minus Hessian @ direction)``, of the prior.
    reference : array, shape (n_dim,)
    moving, hyperparameters : array of int
        The entries of the position, in two parts.
    single, border : array of int
        Positions within ``moving`` of parameters that have no row in common, and of the others.
    information : array or sparse array, shape (n_moving, n_moving)
        Of the rows.
    directions : array, shape (n_directions, n_dim)
        Sums of unit vectors from which the entries of the prior's Hessian can be read.
    entries : Colouring
        Where, within ``moving``, the entries are, and where in the products they are read.
    blocks : array of int, shape (n_blocks, size), optional
        ``single`` as blocks of effects that are tied to each other, such as those of one group.
    """

    prior: Callable[[Array, Array], tuple[Array, Array]]
    reference: Array
    moving: Array
    hyperparameters: Array
    single: Array
    border: Array
    information: Any
    directions: Array
    entries: Colouring
    blocks: Array | None = field(default=None, kw_only=True)

    def of_prior(self, position: Array) -> Array:
        """Return the entries of minus the prior's Hessian, at the position's hyperparameters."""
        at = self.reference.copy()
        at[self.hyperparameters] = position[self.hyperparameters]
        products = np.array([self.prior(at, one)[1] for one in self.directions])
        read = self.entries
        return np.asarray(products[read.product, self.moving[read.place]], dtype=float)

    def metric(self, position: Array) -> ConditionalMetric:
        """Return the coordinates at the position's hyperparameters, with the position's centre."""
        values, places = self.of_prior(position), self._places
        own, cross, inner = (part.copy() for part in self.of_rows)
        own[places.own] += values[places.from_own]
        cross[places.cross] += values[places.from_cross]
        inner[places.inner] += values[places.from_inner]
        if self.blocks is not None:
            return block_metric(
                np.array(position, dtype=self.reference.dtype),
                self.moving[self.blocks],
                self.moving[self.border],
                own,
                cross,
                inner,
            )
        if len(own) and own.min() <= 0:  # a prior that is not log-concave there
            own = np.where(own > 0, own, np.median(own[own > 0]) if (own > 0).any() else 1.0)
        centre = np.array(position, dtype=self.reference.dtype)
        return conditional_metric(
            centre, self.moving[self.single], self.moving[self.border], own, cross, inner
        )

    def draw(self, position: Array, slope: Array, normal: Array) -> Array:
        """Return a draw from the Gaussian with this slope at the position.

        Parameters
        ----------
        position, slope, normal : array, shape (n_dim,)
            Of which the moving entries count, and the hyperparameters of the position.
        """
        metric = self.metric(position)
        drawn = metric.to_position(metric.whitened(slope) + normal, *metric.parameters())
        return np.asarray(drawn)

    @property
    def information_diagonal(self) -> Array:
        """Information of the rows on each parameter alone."""
        return np.diag(self.information)

    @cached_property
    def of_rows(self) -> tuple[Array, Array, Array]:
        """Information of the rows, in the parts of an arrowhead: see the metric."""
        whole, single, border, blocks = self.information, self.single, self.border, self.blocks
        own = np.diag(whole)[single]
        if blocks is not None:
            own = whole[blocks[:, :, None], blocks[:, None, :]]
        return (
            own,
            whole[np.ix_(single, border)],
            whole[np.ix_(border, border)],
        )

    @property
    def changes_of_effects(self) -> tuple[tuple[int, Any], ...]:
        """How the information of effects goes with some of what moves: none is known to."""
        return ()

    @cached_property
    def _places(self) -> "_Places":
        """Where in these parts the entries of the prior's Hessian belong."""
        row, column = self.entries.row, self.entries.column
        in_single, in_border = np.full((2, len(self.moving)), -1)
        in_single[self.single] = np.arange(len(self.single))
        in_border[self.border] = np.arange(len(self.border))
        own = np.flatnonzero((row == column) & (in_single[row] >= 0))
        of_own: Any = in_single[row[own]]
        if self.blocks is not None:
            number, place = np.full((2, len(self.moving)), -1)
            number[self.blocks] = np.arange(len(self.blocks))[:, None]
            place[self.blocks] = np.arange(self.blocks.shape[1])
            own = np.flatnonzero((number[row] >= 0) & (number[row] == number[column]))
            of_own = number[row[own]], place[row[own]], place[column[own]]
        cross = np.flatnonzero((in_single[row] >= 0) & (in_border[column] >= 0))
        inner = np.flatnonzero((in_border[row] >= 0) & (in_border[column] >= 0))
        return _Places(
            of_own,
            own,
            (in_single[row[cross]], in_border[column[cross]]),
            cross,
            (in_border[row[inner]], in_border[column[inner]]),
            inner,
        )

    def shares(self, position: Array) -> Array:
        """Return for each parameter the rows' share of its precision."""
        row, column = self.entries.row, self.entries.column
        values, diagonal = self.of_prior(position), np.zeros(len(self.moving))
        diagonal[row[row == column]] = values[row == column]
        information = self.information_diagonal
        return np.asarray(information / np.maximum(information + diagonal, 1e-300))


def conditional_curvature(
    prior: Callable[[Array, Array], tuple[Array, Array]],
    position: Array,
    hyperparameters: Array,
    information: Array,
    sizes: Sequence[int],
    generator: np.random.Generator,
) -> ConditionalCurvature:
    """Find which entries the prior's Hessian has, and which parameters make the border.

    Parameters
    ----------
    prior : callable
        See :class:`ConditionalCurvature`.
    position : array, shape (n_dim,)
        Where the prior's curvature is looked at.
    hyperparameters : array of int
    information : array, shape (n_moving, n_moving)
    sizes : sequence of int
        Lengths of the variables that the position is made of.
    generator : numpy.random.Generator
        Moves the hyperparameters a little, so that no entry is zero by chance.
    """
    n_dim = len(position)
    moving = np.setdiff1d(np.arange(n_dim), hyperparameters)
    shaken = np.array(position)
    shaken[hyperparameters] += generator.uniform(-0.1, 0.1, len(hyperparameters))
    units = np.eye(n_dim, dtype=position.dtype)[moving]
    hessian = np.array([prior(shaken, unit)[1][moving] for unit in units])
    of_prior = _entries(hessian, _NEGLIGIBLE)
    colouring = coloured(of_prior)
    directions = colouring.directions(np.ones(len(moving), dtype=position.dtype)) @ units
    variable = np.repeat(np.arange(len(sizes)), sizes)[moving]
    single, border, blocks = _parts(variable, of_prior | _entries(information, _NO_ENTRY))
    return ConditionalCurvature(
        prior=prior,
        reference=np.array(position),
        moving=moving,
        hyperparameters=hyperparameters,
        single=single,
        border=border,
        information=information,
        directions=directions,
        entries=colouring,
        blocks=blocks,
    )


def information_of_all_rows(
    block_function: BlockFunction, position: Array, information: Array, of_prior: Array
) -> tuple[Array, float]:
    """Return minus the Hessian of the log-likelihood of all rows, and data passes.

    A sample of the rows shows which entries there are. They are measured by a few central
    differences on all rows; where it would take many, the sample's is returned.

    Parameters
    ----------
    block_function : BlockFunction
        Of what moves.
    position : array, shape (n_moving,)
    information : array, shape (n_moving, n_moving)
        Of a sample of the rows, scaled to all.
    of_prior : array, shape (n_moving, n_moving)
        Minus the Hessian of the prior there.
    """
    pattern = _entries(information, _NO_ENTRY) | _entries(of_prior, _NEGLIGIBLE)
    colouring = coloured(pattern, _MOST_DIFFERENCES)  # the prior is in the gradient of all rows
    if colouring.n_products > _MOST_DIFFERENCES:
        return information, 0.0
    step = _DIFFERENCE / np.sqrt(np.maximum(np.diag(information + of_prior), 1e-300))
    found = minus_hessian(lambda at: block_function.full(at)[1], position, step, colouring)
    return found - of_prior, 2.0 * colouring.n_products


def _entries(matrix: Array, negligible: float) -> Array:
    """Return which entries are not zero, relative to the diagonal."""
    size = np.sqrt(np.abs(np.diag(matrix)))
    return np.asarray(np.abs(matrix) > negligible * np.outer(size, size))


def _parts(variable: Array, coupled: Array) -> tuple[Array, Array, Array | None]:
    """Return which parameters stand alone or in blocks, and which are dense: all if they are few.

    Or where those of the largest variable are tied to each other, as in a random walk.
    """
    everything, n_moving = np.arange(len(variable)), len(variable)
    if n_moving <= _LARGEST_BORDER:
        return everything[:0], everything, None
    numbers, counts = np.unique(variable, return_counts=True)
    largest = variable == numbers[np.argmax(counts)]
    _, label = scipy.sparse.csgraph.connected_components(
        coupled[np.ix_(largest, largest)], directed=False
    )
    [size, *others] = np.unique(np.bincount(label))
    tied = len(others) > 0 or size > LARGEST_BLOCK
    if tied or (~largest).sum() > _LARGEST_BORDER:
        whole = n_moving <= _LARGEST_WHOLE
        return everything[: 0 if whole else None], everything[: None if whole else 0], None
    single = everything[largest]
    if size == 1:
        return single, everything[~largest], None
    blocks = single[np.argsort(label, kind="stable")].reshape(-1, size)
    return blocks.ravel(), everything[~largest], blocks
