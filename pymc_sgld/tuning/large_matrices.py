"""Matrices of thousands of parameters without all of their eigenvalues.

A Cholesky factor takes a twentieth of the time of eigenvalues, and Lanczos iterations for the
largest one less than that.
"""

from typing import Any

import numpy as np
import scipy

from pymc_sgld.tuning.row_scores import lean
from pymc_sgld.types import Array

MANY = 2000  # parameters, beyond which all eigenvalues take too long
_LANCZOS = 1e-4  # relative tolerance
_ROUNDING = 1e-6  # of the diagonal


def is_above(matrix: Array, share: float) -> bool:
    """Whether all eigenvalues are above this share of the largest; False if that is not certain."""
    largest = np.abs(matrix).sum(axis=1).max(initial=0.0)  # no eigenvalue is larger
    return _has_factor(matrix, np.full(len(matrix), -share * largest))


def is_nearly_positive(matrix: Array) -> bool:
    """Whether no eigenvalue is negative by more than rounding; False if that is not certain."""
    diagonal = np.diag(matrix)
    return _has_factor(matrix, _ROUNDING * np.where(diagonal > 0, diagonal, diagonal.mean()))


def largest_eigenvector(factor: Array, noise: Array) -> tuple[float, Array]:
    """Return the largest eigenvalue of ``factor' noise factor``, and its vector.

    Parameters
    ----------
    factor, noise : array, shape (n_dim, n_dim)
        ``noise`` is symmetric.
    """
    if len(noise) <= MANY:
        values, vectors = np.linalg.eigh(factor.T @ noise @ factor)
        return float(values[-1]), vectors[:, -1]
    outer, inner = lean(factor), lean(noise)

    def product(vector: Array) -> Array:
        return np.asarray(outer.T @ (inner @ (outer @ np.ravel(vector))))

    operator: Any = scipy.sparse.linalg.LinearOperator(factor.shape, matvec=product, dtype=float)
    start = np.random.default_rng(0).standard_normal(len(noise))
    values, vectors = scipy.sparse.linalg.eigsh(operator, k=1, which="LA", tol=_LANCZOS, v0=start)
    return float(values[-1]), vectors[:, -1]


def _has_factor(matrix: Array, added: Array) -> bool:
    try:
        np.linalg.cholesky(matrix + np.diag(added))
    except np.linalg.LinAlgError:
        return False
    return True
