r"""Coordinates of effects that come in small blocks, as correlated intercepts and slopes.

As :mod:`pymc_sgld.hierarchical_gibbs.arrowhead_metric`, with blocks :math:`K_g` in place of the
diagonal D: a group's own effects are tied to each other by the prior and by rows.

.. math:: L = \begin{pmatrix} F & -F F^\top C\, W \\ 0 & W \end{pmatrix}, \qquad
    F_g F_g^\top = K_g^{-1}, \quad W W^\top = (B - C^\top F F^\top C)^{-1}.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytensor.tensor as pt
import scipy

from pymc_sgld.hierarchical_gibbs.arrowhead_metric import (
    ConditionalMetric,
    ConditionalNoise,
    nearest_cholesky,
)
from pymc_sgld.types import Array, Tensor

_SMALLEST_EIGENVALUE = 1e-9  # relative


@dataclass(frozen=True)
class BlockMetric(ConditionalMetric):
    """A factor for each block, columns for the border, zero for what does not move.

    ``scale`` has the diagonals of the factors.
    """

    name: ClassVar[str] = "conditional blocks"
    blocks: Array  # (n_blocks, size), numbers of the parameters
    roots: Array  # (n_blocks, size, size), F

    def parameters(self) -> tuple[Array, ...]:
        """Centre, factors and columns."""
        return self.centre, self.roots, self.columns

    @property
    def _places(self) -> Array:
        """Where in the blocks, end to end, each parameter is; behind them what is in none."""
        places = np.full(len(self.centre), self.blocks.size)
        places[self.blocks.ravel()] = np.arange(self.blocks.size)
        return places

    def to_position(self, coordinates: Any, *parameters: Any) -> Any:
        """Return c + L z."""
        centre, roots, columns = parameters
        of_blocks = (roots * coordinates[self.blocks][:, None, :]).sum(axis=2)
        return centre + self._spread(of_blocks) + columns @ coordinates[self.border]

    def pull_back(self, gradient: Tensor, *parameters: Any) -> Tensor:
        """Return L' g."""
        _, roots, columns = parameters
        of_blocks = (roots * gradient[self.blocks][:, :, None]).sum(axis=1)
        return pt.inc_subtensor(self._spread(of_blocks)[self.border], gradient @ columns)

    def _spread(self, of_blocks: Any) -> Any:
        if isinstance(of_blocks, np.ndarray):
            return np.append(of_blocks.ravel(), of_blocks.dtype.type(0))[self._places]
        behind = pt.zeros((1,), dtype=of_blocks.type.dtype)
        return pt.concatenate([of_blocks.reshape((-1,)), behind])[self._places]

    def whitened(self, gradient: Array) -> Array:
        """Return L' g, of numbers."""
        coordinates = self._spread((self.roots * gradient[self.blocks][:, :, None]).sum(axis=1))
        coordinates[self.border] += gradient @ self.columns
        return np.asarray(coordinates)

    def to_coordinates(self, position: Array) -> Array:
        """Return z with L z = theta - c; zero for what does not move."""
        apart = position - self.centre
        of_border = self.upper @ apart[self.border]
        left = (apart - self.columns @ of_border)[self.blocks]
        coordinates = self._spread(np.linalg.solve(self.roots, left[..., None])[..., 0])
        coordinates[self.border] = of_border
        return np.asarray(coordinates)

    def matrix(self) -> Array:
        """Return L, shape (n_dim, n_dim)."""
        n_dim = len(self.centre)
        factor = np.zeros((n_dim, n_dim), dtype=self.roots.dtype)
        factor[self.blocks[:, :, None], self.blocks[:, None, :]] = self.roots
        factor[:, self.border] += self.columns
        return factor

    def noise_by_coordinate(self, noise: ConditionalNoise) -> Array:
        """Return the diagonal of L' N L, but for what coordinates of the border take in."""
        assert noise.within is not None
        along = np.einsum("bij,bik,bkj->bj", self.roots, noise.within, self.roots)
        variances = noise.of_border.copy()
        variances[self.blocks.ravel()] = along.ravel()
        return variances


def block_metric(
    centre: Array, blocks: Array, border: Array, own: Array, cross: Array, inner: Array
) -> BlockMetric:
    """Return the metric of an arrowhead of blocks.

    Parameters
    ----------
    centre : array, shape (n_dim,)
    blocks : array of int, shape (n_blocks, size)
        Numbers of the parameters of each block.
    border : array of int, shape (n_border,)
    own : array, shape (n_blocks, size, size)
        The blocks of the precision.
    cross : array, shape (n_blocks * size, n_border)
        In the order of the blocks, end to end.
    inner : array, shape (n_border, n_border)
    """
    roots = _inverse_roots(own)
    coupling = cross.reshape(*blocks.shape, len(border))
    half = np.einsum("bij,bik->bjk", roots, coupling)
    along = half.reshape(blocks.size, len(border))
    lower = nearest_cholesky(inner - along.T @ along)
    inverse = scipy.linalg.solve_triangular(lower, np.eye(len(border)), lower=True).T
    columns = np.zeros((len(centre), len(border)))
    columns[border] = inverse
    columns[blocks.ravel()] = -np.einsum("bij,bjk->bik", roots, half).reshape(along.shape) @ inverse
    scale = np.zeros(len(centre))
    scale[blocks.ravel()] = np.diagonal(roots, axis1=1, axis2=2).ravel()
    dtype = centre.dtype
    return BlockMetric(
        centre,
        scale.astype(dtype),
        np.ascontiguousarray(columns, dtype=dtype),
        border,
        lower.T,
        blocks,
        np.ascontiguousarray(roots, dtype=dtype),
    )


def _inverse_roots(matrices: Array) -> Array:
    """Return F with F F' = K^-1 of each matrix, upper triangular; of the nearest positive one."""
    if not np.isfinite(matrices).all():
        raise np.linalg.LinAlgError("The precision of effects is not finite.")
    try:
        lower = np.linalg.cholesky(matrices)
    except np.linalg.LinAlgError:
        values, vectors = np.linalg.eigh(matrices)
        smallest = _SMALLEST_EIGENVALUE * np.abs(values).max(axis=1, keepdims=True)
        values = np.maximum(np.abs(values), smallest)
        lower = np.linalg.cholesky((vectors * values[:, None, :]) @ vectors.swapaxes(1, 2))
    return np.asarray(np.linalg.inv(lower).swapaxes(1, 2))
