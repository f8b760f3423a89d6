r"""Factors of a sparse positive definite matrix, such as the precision of effects.

Effects of one grouping share no row with each other: their block of the precision is diagonal, or
made of small blocks where a group has several of them. It is eliminated first,

.. math:: P = \begin{pmatrix} K & C \\ C^\top & B \end{pmatrix}, \qquad
    L = \begin{pmatrix} F & -F F^\top C\, R^{-\top} \\ 0 & R^{-\top} \end{pmatrix}, \quad
    F F^\top = K^{-1}, \quad R R^\top = B - C^\top K^{-1} C,

so that :math:`L L^\top = P^{-1}`, and what is left, the Schur complement, is of the size of
the other parameters and dense. Of two crossed groupings the larger is eliminated. Where nothing
can be, as in a long random walk, a general sparse factorisation is taken.

References
----------
.. [1] Papaspiliopoulos, O., Stumpf-Fetizon, T. and Zanella, G. (2023). Scalable Bayesian
   computation for crossed and nested hierarchical models. EJS 17.
   https://doi.org/10.1214/23-EJS2172
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import scipy

from scipy.sparse import csc_array, csr_array, sparray, tril

from pymc_sgld.types import Array

LARGEST_BLOCK = 8  # effects of a group that are eliminated together; larger blocks stay
# Up to this many parameters what is left is dense whatever its pattern: .1 s.
ALWAYS_DENSE = 1000
# Beyond, it is dense where more than this share of its entries is not zero: filled in, a sparse
# factor would be as large, and slower by the entry.
DENSE_SHARE = 0.05
_AT_ONCE = 2_000_000  # numbers of a piece of a dense product


class SparseFactor(Protocol):
    """L with L L' = P^-1 of a positive definite matrix P."""

    @property
    def log_determinant(self) -> float:
        """Of P."""
        ...

    def solve(self, vector: Array) -> Array:
        """Return P^-1 b, of a vector."""
        ...

    def coloured(self, normal: Array) -> Array:
        """Return L z: a draw from N(0, P^-1), for a standard normal z."""
        ...

    def pulled_back(self, gradient: Array) -> Array:
        """Return L' g."""
        ...

    def whitened(self, offset: Array) -> Array:
        """Return L^-1 x."""
        ...

    def inverse_diagonal(self) -> Array:
        """Return the diagonal of P^-1, exact."""
        ...


@dataclass(frozen=True)
class EliminatedFactor:
    """Elimination of entries that couple in small blocks only, a dense factor of the rest.

    Parameters
    ----------
    single, border : array of int
        Entries that are eliminated, and the others.
    block : csr_array, shape (n_single, n_single)
        K, block diagonal.
    root : csr_array, shape (n_single, n_single)
        F, upper triangular within the blocks.
    coupling : csr_array, shape (n_single, n_border)
        C.
    lower : array, shape (n_border, n_border)
        R.
    """

    single: Array
    border: Array
    block: csr_array
    root: csr_array
    coupling: csr_array
    lower: Array

    @property
    def log_determinant(self) -> float:
        """Of P."""
        eliminated = np.log(self.root.diagonal()).sum()
        return float(2 * (np.log(np.diag(self.lower)).sum() - eliminated))

    @cached_property
    def slopes(self) -> csr_array:
        """K^-1 C: how eliminated entries follow the others."""
        return csr_array(self.root @ (self.root.T @ self.coupling))

    def solve(self, vector: Array) -> Array:
        """Return P^-1 b."""
        alone = self.root @ (self.root.T @ vector[self.single])
        rest = scipy.linalg.cho_solve(
            (self.lower, True), vector[self.border] - self.coupling.T @ alone
        )
        return self._joined(alone - self.slopes @ rest, rest)

    def coloured(self, normal: Array) -> Array:
        """Return L z."""
        rest = _triangular(self.lower, normal[self.border], trans=True)
        return self._joined(self.root @ normal[self.single] - self.slopes @ rest, rest)

    def pulled_back(self, gradient: Array) -> Array:
        """Return L' g."""
        alone = gradient[self.single]
        rest = _triangular(self.lower, gradient[self.border] - self.slopes.T @ alone)
        return self._joined(self.root.T @ alone, rest)

    def whitened(self, offset: Array) -> Array:
        """Return L^-1 x."""
        alone, rest = offset[self.single], offset[self.border]
        return self._joined(
            self.root.T @ (self.block @ alone + self.coupling @ rest), self.lower.T @ rest
        )

    def inverse_diagonal(self) -> Array:
        """Return the diagonal of P^-1."""
        inverse = scipy.linalg.cho_solve((self.lower, True), np.eye(len(self.border)))
        alone = np.asarray((self.root.multiply(self.root)).sum(axis=1)).ravel()
        slopes, at_once = self.slopes, max(1, _AT_ONCE // max(1, len(self.border)))
        for first in range(0, len(self.single), at_once):
            some = csr_array(slopes[first : first + at_once])
            product = some.multiply(some @ inverse)
            alone[first : first + at_once] += np.asarray(product.sum(axis=1)).ravel()
        return self._joined(alone, np.diag(inverse))

    def _joined(self, alone: Array, rest: Array) -> Array:
        whole = np.empty(len(self.single) + len(self.border))
        whole[self.single], whole[self.border] = alone, rest
        return whole


@dataclass(frozen=True)
class GeneralFactor:
    """L D L' of the permuted matrix.

    Parameters
    ----------
    lower : csc_array, shape (n_dim, n_dim)
        Unit lower triangular.
    diagonal : array, shape (n_dim,)
        D.
    order : array of int, shape (n_dim,)
        The row of the permuted matrix that each entry is in.
    """

    lower: csc_array
    diagonal: Array
    order: Array

    @property
    def log_determinant(self) -> float:
        """Of P."""
        return float(np.log(self.diagonal).sum())

    def solve(self, vector: Array) -> Array:
        """Return P^-1 b."""
        return self.coloured(self.pulled_back(vector))

    def coloured(self, normal: Array) -> Array:
        """Return L z."""
        scaled = normal / np.sqrt(self.diagonal)
        found = scipy.sparse.linalg.spsolve_triangular(self._upper, scaled, lower=False)
        return np.asarray(found)[self.order]

    def pulled_back(self, gradient: Array) -> Array:
        """Return L' g."""
        permuted = np.empty_like(gradient, dtype=float)
        permuted[self.order] = gradient
        found = scipy.sparse.linalg.spsolve_triangular(self._rows, permuted, lower=True)
        return np.asarray(found) / np.sqrt(self.diagonal)

    def whitened(self, offset: Array) -> Array:
        """Return L^-1 x."""
        permuted = np.empty_like(offset, dtype=float)
        permuted[self.order] = offset
        return np.asarray(np.sqrt(self.diagonal) * (self.lower.T @ permuted))

    def inverse_diagonal(self) -> Array:
        """Return the diagonal of P^-1, by selected inversion along the columns of the factor."""
        n_dim, lower = len(self.diagonal), self.lower
        columns: list[dict[int, float]] = [{} for _ in range(n_dim)]
        diagonal = np.empty(n_dim)
        for j in range(n_dim - 1, -1, -1):
            part = slice(lower.indptr[j], lower.indptr[j + 1])
            rows, values = lower.indices[part], lower.data[part]
            below = rows > j
            rows, values = rows[below], values[below]
            known = np.empty((len(rows), len(rows)))
            for k, row in enumerate(rows):
                known[k, k] = diagonal[row]
                for m in range(k):
                    low, high = sorted((int(rows[m]), int(row)))
                    known[k, m] = known[m, k] = columns[low][high]
            along = -known @ values
            columns[j] = dict(zip(rows.tolist(), along.tolist(), strict=True))
            diagonal[j] = 1 / self.diagonal[j] - along @ values
        return diagonal[self.order]

    @cached_property
    def _rows(self) -> csr_array:
        return csr_array(self.lower)

    @cached_property
    def _upper(self) -> csr_array:
        return csr_array(self.lower.T)


@dataclass(frozen=True)
class Elimination:
    """What a pattern allows: made once, for all matrices that have it.

    Parameters
    ----------
    single, border : array of int
        Entries to be eliminated, and the others. No block of the former is larger than
        ``LARGEST_BLOCK``.
    block : array of int, shape (n_single,)
        Number of the block that each is in.
    dense : bool
        Whether what is left is factorised as a dense matrix; else the whole is as a sparse one.
    """

    single: Array
    border: Array
    block: Array
    dense: bool

    def factor(self, matrix: sparray) -> SparseFactor:
        """Return the factor of a matrix.

        Parameters
        ----------
        matrix : sparse array, shape (n_dim, n_dim)
            Symmetric, both halves stored, and of the pattern.

        Raises
        ------
        numpy.linalg.LinAlgError
            Where it is not positive definite.
        """
        if not self.dense:
            return general_factor(matrix)
        rows = csr_array(matrix)
        of_single = csr_array(rows[self.single])
        block = csr_array(of_single[:, self.single])
        coupling = csr_array(of_single[:, self.border])
        root = _inverse_root(block, self.block)
        half = csr_array(root.T @ coupling)
        schur = rows[self.border][:, self.border].toarray() - (half.T @ half).toarray()
        lower = scipy.linalg.cholesky(schur, lower=True, overwrite_a=True)
        return EliminatedFactor(self.single, self.border, block, root, coupling, lower)


def elimination(matrix: sparray, variable: Array) -> Elimination:
    """Choose what to eliminate first, from the pattern of a matrix.

    Variables are tried from the longest on: one joins those that are eliminated where no block of
    entries that couple, directly or through others, is then larger than ``LARGEST_BLOCK``.

    Parameters
    ----------
    matrix : sparse array, shape (n_dim, n_dim)
        Symmetric, both halves stored. Stored zeros count as entries.
    variable : array of int, shape (n_dim,)
        Number of the variable that each entry is of.
    """
    pattern = csr_array(matrix, copy=True)
    pattern.data = np.ones(len(pattern.data))
    taken = np.zeros(len(variable), dtype=bool)
    numbers, counts = np.unique(variable, return_counts=True)
    for number in numbers[np.argsort(-counts, kind="stable")]:
        tried = taken | (variable == number)
        _, label = scipy.sparse.csgraph.connected_components(
            pattern[tried][:, tried], directed=False
        )
        if np.bincount(label).max(initial=0) <= LARGEST_BLOCK:
            taken = tried
    single, border = np.flatnonzero(taken), np.flatnonzero(~taken)
    _, block = scipy.sparse.csgraph.connected_components(pattern[single][:, single], directed=False)
    dense = len(border) <= ALWAYS_DENSE or _filled(pattern, single, border) > DENSE_SHARE
    return Elimination(single, border, np.asarray(block), dense)


def sparse_factor(matrix: sparray, variable: Array) -> SparseFactor:
    """Return the factor of one matrix: see :func:`elimination` for the parameters."""
    return elimination(matrix, variable).factor(matrix)


def general_factor(matrix: sparray) -> GeneralFactor:
    """Factorise a sparse positive definite matrix in an order that keeps it sparse."""
    options = {"SymmetricMode": True}
    with np.errstate(all="ignore"):
        try:
            found = scipy.sparse.linalg.splu(
                csc_array(matrix), "MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options=options
            )
        except RuntimeError as error:  # exactly singular
            raise np.linalg.LinAlgError(str(error)) from None
    diagonal = found.U.diagonal()
    if not (np.array_equal(found.perm_r, found.perm_c) and (diagonal > 0).all()):
        raise np.linalg.LinAlgError("The matrix is not positive definite.")
    return GeneralFactor(csc_array(tril(found.L)), diagonal, found.perm_r)


def _filled(pattern: csr_array, single: Array, border: Array) -> float:
    """Return the share of entries that what is left has after the elimination."""
    through = csr_array(pattern[single][:, border])
    left = csr_array(pattern[border][:, border]) + through.T @ through
    return float(left.nnz / max(1, len(border)) ** 2)


def _inverse_root(block: csr_array, number: Array) -> csr_array:
    """Return F with F F' = K^-1 of a block diagonal matrix, block by block of one size."""
    sizes = np.bincount(number)
    order = np.argsort(number, kind="stable")
    first = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    rows, columns, values = [], [], []
    for size in np.unique(sizes):
        members = order[first[sizes == size][:, None] + np.arange(size)]  # (n_blocks, size)
        i, j = (np.broadcast_to(m, (*members.shape, size)) for m in _pairs(members))
        whole = np.asarray(block[i.ravel(), j.ravel()]).reshape(i.shape)
        if size == 1:
            if not (whole > 0).all():
                raise np.linalg.LinAlgError("The matrix is not positive definite.")
            root = 1 / np.sqrt(whole)
        else:
            root = np.linalg.inv(np.linalg.cholesky(whole)).swapaxes(1, 2)
        upper = np.triu(np.ones((size, size), dtype=bool))[None] & np.ones_like(whole, dtype=bool)
        rows.append(i[upper])
        columns.append(j[upper])
        values.append(root[upper])
    if not rows:
        return csr_array(block.shape)
    entries = np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))
    return csr_array(entries, shape=block.shape)


def _pairs(members: Array) -> tuple[Array, Array]:
    return members[:, :, None], members[:, None, :]


def _triangular(lower: Array, vector: Array, *, trans: bool = False) -> Array:
    if not len(vector):
        return vector
    return np.asarray(scipy.linalg.solve_triangular(lower, vector, lower=True, trans=int(trans)))
