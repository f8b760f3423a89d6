r"""A Hessian from few products, where most parameters have no row in common.

Group effects that are in no row together have a Hessian without an entry for them both. The product
with the sum of their unit vectors then holds all their columns at once: where the matrix of columns
is sparse a few products give it whole. Parameters that go with all others, such as coefficients,
get a product each; their entries for an effect are read from their own column, by symmetry.

References
----------
.. [1] Powell, M. J. D. and Toint, P. L. (1979). On the estimation of sparse Hessian matrices. SIAM
   Journal on Numerical Analysis 16. https://doi.org/10.1137/0716078
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from scipy.sparse import csr_array, eye_array

from pymc_sgld.types import Array

_DENSE_COLUMN = 30  # entries of a column that gets a product of its own
_TOLERANCE = 1e-3  # of the product with a random direction: a few entries in a hundred are noticed


class Colouring(NamedTuple):
    """Which columns are measured together, and where each entry is read.

    The entry (``row``, ``column``) of the matrix is entry ``place`` of its product with the sum of
    the unit vectors of the colour ``product``.
    """

    colour: Array  # (n_dim,), the number of the product that each column is in
    row: Array  # (n_entries,), of the entries that may be other than zero
    column: Array
    product: Array
    place: Array

    @property
    def n_products(self) -> int:
        """Number of products."""
        return int(self.colour.max(initial=-1)) + 1

    def directions(self, sizes: Array) -> Array:
        """Return the sums of unit vectors, times ``sizes``, shape (n_products, n_dim)."""
        which = np.arange(self.n_products)[:, None]
        return np.where(self.colour == which, sizes, np.zeros_like(sizes))

    def matrix(self, products: Array, sizes: Array) -> Array:
        """Return the symmetric matrix of products with the directions, shape (n_dim, n_dim)."""
        n_dim = len(self.colour)
        hessian = np.zeros((n_dim, n_dim))
        measured = np.where(self.place == self.row, self.column, self.row)
        hessian[self.row, self.column] = products[self.product, self.place] / sizes[measured]
        return (hessian + hessian.T) / 2


def coloured(pattern: Array, most: int | None = None) -> Colouring:
    """Find few products from which a symmetric matrix can be read.

    Parameters
    ----------
    pattern : array of bool, shape (n_dim, n_dim)
        Which entries may be other than zero; symmetric.
    most : int, optional
        Products that are of use: where more are needed, each column gets its own, at once.

    Returns
    -------
    Colouring
    """
    n_dim = len(pattern)
    pattern = pattern | np.eye(n_dim, dtype=bool)
    counts = pattern.sum(axis=0)
    fullest_first = np.argsort(-counts, kind="stable")
    best, n_best = np.arange(n_dim), n_dim
    limit = n_dim if most is None else min(n_dim, most + 1)
    # how many columns get a product of their own: those with more entries than the next
    for dense in (0, *np.flatnonzero(np.diff(-counts[fullest_first])) + 1):
        if dense >= limit:
            break
        rest = np.sort(fullest_first[dense:])
        together = _greedy(pattern[np.ix_(rest, rest)], limit - dense)
        if together is not None:
            limit = n_best = dense + int(together.max(initial=-1)) + 1
            best = np.empty(n_dim, dtype=int)
            best[rest] = together
            best[fullest_first[:dense]] = n_best - dense + np.arange(dense)
    row, column = np.nonzero(pattern)
    # in the product of a column's colour, does another column of the colour have this row?
    members = np.zeros((n_best, n_dim), dtype=int)
    np.add.at(members, (best[column], row), 1)
    by_column = members[best[column], row] == 1
    product = np.where(by_column, best[column], best[row])
    return Colouring(best, row, column, product, np.where(by_column, row, column))


def coloured_sparse(pattern: csr_array) -> Colouring:
    """Find few products from which a sparse symmetric matrix can be read.

    Columns with many entries get a product each; the others, one after the other, the first in
    which no column has a row in common with them.

    Parameters
    ----------
    pattern : sparse array, shape (n_dim, n_dim)
        Its stored entries are those that may be other than zero.
    """
    n_dim = pattern.shape[0]
    pattern = csr_array(pattern + eye_array(n_dim))
    counts = np.diff(pattern.indptr)
    dense = counts > _DENSE_COLUMN
    colour = np.full(n_dim, -1)
    last: list[Array] = []  # by colour, which rows are taken
    starts, indices = pattern.indptr, pattern.indices
    for column in np.flatnonzero(~dense) if (counts > 1).any() else ():
        rows = indices[starts[column] : starts[column + 1]]
        rows = rows[~dense[rows]]
        number = next((k for k, taken in enumerate(last) if not taken[rows].any()), len(last))
        if number == len(last):
            last.append(np.zeros(n_dim, dtype=bool))
        last[number][rows] = True
        colour[column] = number
    if not last:  # a diagonal
        colour[~dense] = 0
    n_shared = int(colour.max(initial=-1)) + 1
    colour[dense] = n_shared + np.arange(dense.sum())
    row = np.repeat(np.arange(n_dim), counts)
    column = indices.astype(np.int64)
    # in the product of a column's colour, does another column of the colour have this row?
    key = colour[column] * n_dim + row
    _, place, members = np.unique(key, return_inverse=True, return_counts=True)
    by_column = members[place] == 1
    product = np.where(by_column, colour[column], colour[row])
    return Colouring(colour, row, column, product, np.where(by_column, row, column))


def _greedy(pattern: Array, fewer_than: int) -> Array | None:
    """Give columns that share no row the same number; None where that takes too many numbers."""
    if pattern.sum(axis=0).max(initial=0) >= fewer_than:
        return None
    colour, used = np.zeros(len(pattern), dtype=int), 0
    taken = np.zeros((max(fewer_than - 1, 1), len(pattern)), dtype=bool)  # rows, by number
    for column in range(len(pattern)):
        rows = np.flatnonzero(pattern[:, column])
        free = np.flatnonzero(~taken[: used + 1, rows].any(axis=1))
        if not len(free):
            return None
        colour[column] = free[0]
        taken[free[0], rows] = True
        used = max(used, int(free[0]) + 1)
        if used >= fewer_than:
            return None
    return colour


def minus_hessian(
    gradient: Callable[[Array], Array], position: Array, sizes: Array, colouring: Colouring
) -> Array:
    """Return minus the Hessian by central differences, two gradients a product.

    Parameters
    ----------
    gradient : callable
    position : array, shape (n_dim,)
    sizes : array, shape (n_dim,)
        Of the differences.
    colouring : Colouring

    Returns
    -------
    array, shape (n_dim, n_dim)
    """
    sizes = (position + sizes).astype(position.dtype) - position  # as the numbers can hold them
    products = [_product(gradient, position, one) for one in colouring.directions(sizes)]
    return colouring.matrix(np.array(products), sizes)


def agrees(
    matrix: Array,
    gradient: Callable[[Array], Array],
    position: Array,
    sizes: Array,
    generator: np.random.Generator,
) -> bool:
    """Whether a matrix is minus the Hessian, by a product with a random direction.

    Parameters
    ----------
    matrix : array, shape (n_dim, n_dim)
    gradient, position, sizes
        As for :func:`minus_hessian`.
    generator : numpy.random.Generator
        Chooses the direction.
    """
    direction = sizes * generator.choice([-1.0, 1.0], len(sizes))
    right = _product(gradient, position, direction)
    error = sizes * (right - matrix @ direction)
    return bool(np.linalg.norm(error) <= _TOLERANCE * np.linalg.norm(sizes * right))


def _product(gradient: Callable[[Array], Array], position: Array, direction: Array) -> Array:
    ahead = gradient((position + direction).astype(position.dtype))
    behind = gradient((position - direction).astype(position.dtype))
    return np.asarray((np.asarray(behind, dtype=float) - ahead) / 2)
