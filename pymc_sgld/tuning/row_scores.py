"""The gradients of many rows: some rows at a time, and only what is not zero of them.

A row sees its own group's effect and the coefficients; of the gradient by hundreds of effects it
fills a few entries. Products of these alone cost a hundredth of the products of whole rows.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import scipy

from pymc_sgld.types import Array

_NUMBERS_AT_ONCE = 4_000_000
_SPARSE = 0.1  # share of entries other than zero, below which only these are multiplied


def pieces(rows: Array, n_dim: int) -> Iterator[Array]:
    """Yield the rows, as many at a time as their gradients have some million entries."""
    at_once = max(1, _NUMBERS_AT_ONCE // max(n_dim, 1))
    for first in range(0, len(rows), at_once):
        yield rows[first : first + at_once]


def lean(scores: Array) -> Any:
    """Return an array in float64, as a sparse one where most of it is zero."""
    scores = np.asarray(scores, dtype=float)
    few = np.count_nonzero(scores) < _SPARSE * scores.size
    return scipy.sparse.csr_array(scores) if few else scores


def gram(scores: Any) -> Array:
    """Return S'S of an array or sparse array, shape (n_dim, n_dim)."""
    product = scores.T @ scores
    return np.asarray(product if isinstance(product, np.ndarray) else product.toarray())


def pattern(scores: Any) -> Array:
    """Return which columns have an entry in one row together, shape (n_dim, n_dim)."""
    return gram((scores != 0).astype(np.float32)) > 0
