"""Which entries the Hessian of a prior has, where it has few: found by products with it.

The prior of effects given their hyperparameters is that of independent numbers, of small blocks, or
of neighbours in a chain. Widths of a band are tried, from a diagonal on, and one is kept where the
product with random signs comes out as the entries say.
"""

from collections.abc import Callable, Sequence

import numpy as np

from scipy.sparse import coo_array, csr_array

from pymc_sgld.tuning.sparse_hessian import Colouring, coloured_sparse
from pymc_sgld.types import Array

_WIDTHS = 0, 1, 3, 7  # of a band within a variable, either side
_MOST_APART = 300  # parameters of small variables, each with a product of its own
_LARGEST_APART = 150  # of one of them
_NEGLIGIBLE = 1e-10  # relative
_TOLERANCE = {"float64": 1e-7, "float32": 1e-3}
_SHAKEN = 0.1
_TRIALS = 2


def sparse_prior(
    prior: Callable[[Array, Array], tuple[Array, Array]],
    position: Array,
    moving: Array,
    sizes: Sequence[int],
    generator: np.random.Generator,
) -> Colouring | None:
    """Return where the entries are and in which products they are read; None where they are many.

    Parameters
    ----------
    prior : callable
        ``(position, direction) -> (gradient, minus Hessian @ direction, ...)``.
    position : array, shape (n_dim,)
        Near which the Hessian is looked at.
    moving : array of int, shape (n_moving,)
        Entries of the position.
    sizes : sequence of int
        Lengths of the variables that the position is made of.
    generator : numpy.random.Generator
        Moves the position a little, so that no entry is zero by chance.
    """
    shaken = position + generator.uniform(-_SHAKEN, _SHAKEN, len(position))
    shaken = shaken.astype(position.dtype)
    variable = np.repeat(np.arange(len(sizes)), sizes)[moving]

    def product(direction: Array) -> Array:
        whole = np.zeros_like(shaken)
        whole[moving] = direction
        return np.asarray(prior(shaken, whole)[1][moving], dtype=float)

    apart = _small(variable)
    columns = np.array([product(unit) for unit in _units(apart)]).reshape(-1, len(moving))
    signs = generator.choice([-1.0, 1.0], (_TRIALS, len(moving)))
    right = np.array([product(one) for one in signs])
    for width in _WIDTHS:
        found = _banded(product, variable, apart, columns, width)
        error = np.linalg.norm(right - signs @ found, axis=1)
        if (error <= _TOLERANCE[position.dtype.name] * np.linalg.norm(right, axis=1)).all():
            size = np.sqrt(np.abs(found.diagonal()))
            entries = found.tocoo()
            kept = np.abs(entries.data) > _NEGLIGIBLE * size[entries.row] * size[entries.col]
            at = entries.row[kept], entries.col[kept]
            return coloured_sparse(csr_array((np.ones(kept.sum()), at), shape=found.shape))
    return None


def _small(variable: Array) -> Array:
    """Return which parameters get a product each: those of the small variables."""
    numbers, counts = np.unique(variable, return_counts=True)
    order = np.argsort(counts, kind="stable")
    within = (np.cumsum(counts[order]) <= _MOST_APART) & (counts[order] <= _LARGEST_APART)
    return np.isin(variable, numbers[order][within])


def _units(chosen: Array) -> Array:
    places = np.flatnonzero(chosen)
    units = np.zeros((len(places), len(chosen)))
    units[np.arange(len(places)), places] = 1
    return units


def _banded(
    product: Callable[[Array], Array], variable: Array, apart: Array, columns: Array, width: int
) -> csr_array:
    """Return the matrix if the others couple within a variable alone, up to a distance."""
    n_dim, period = len(variable), 2 * width + 1
    first = np.concatenate([[0], np.flatnonzero(np.diff(variable)) + 1])
    local = np.arange(n_dim) - first[np.searchsorted(first, np.arange(n_dim), side="right") - 1]
    places, others = np.flatnonzero(apart), np.flatnonzero(~apart)
    of_colour = np.array(
        [product(((local % period == k) & ~apart).astype(float)) for k in range(period)]
    )
    rows, across, values = [], [], []
    for offset in range(-width, width + 1):
        there = others + offset
        inside = (there >= 0) & (there < n_dim)
        here, there = others[inside], there[inside]
        same = (variable[here] == variable[there]) & ~apart[there]
        here, there = here[same], there[same]
        rows.append(here)
        across.append(there)
        values.append(of_colour[local[there] % period, here])
    number, row = np.nonzero(columns)
    rows += [row, places[number][~apart[row]]]
    across += [places[number], row[~apart[row]]]
    values += [columns[number, row], columns[number, row][~apart[row]]]
    at = np.concatenate(rows), np.concatenate(across)
    return csr_array(coo_array((np.concatenate(values), at), shape=(n_dim, n_dim)))
