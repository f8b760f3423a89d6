"""Points and weights for integrals over one or two dimensions, in units of a row's own scale."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class QuadratureRule:
    r"""Points and log weights such that :math:`\int f(x) dx \approx \sum_q w_q f(x_q)`.

    Attributes
    ----------
    points : ndarray, shape (n_points, n_latents)
    log_weights : ndarray, shape (n_points,)
    """

    points: np.ndarray
    log_weights: np.ndarray

    @classmethod
    def gauss_hermite(cls, nodes: int, n_latents: int) -> QuadratureRule:
        r"""Return the product rule that is exact for a polynomial times a standard normal density.

        Parameters
        ----------
        nodes : int
            Of each axis; exact up to degree 2 nodes - 1.
        n_latents : int

        References
        ----------
        .. [1] Liu, Q. and Pierce, D. A. (1994). A note on Gauss-Hermite quadrature. Biometrika
           81, 624-629. https://doi.org/10.1093/biomet/81.3.624
        """
        x, weights = np.polynomial.hermite_e.hermegauss(nodes)
        return cls._product(x, np.log(weights) + x**2 / 2, n_latents)

    @classmethod
    def equally_spaced(cls, nodes: int, n_latents: int, reach: float) -> QuadratureRule:
        """Return the trapezoidal rule from -reach to reach, which sees every mode in between."""
        x = np.linspace(-reach, reach, nodes)
        return cls._product(x, np.full(nodes, np.log(x[1] - x[0])), n_latents)

    @classmethod
    def _product(cls, x: np.ndarray, log_weights: np.ndarray, n_latents: int) -> QuadratureRule:
        points = np.stack(np.meshgrid(*[x] * n_latents, indexing="ij"), axis=-1)
        weights = np.stack(np.meshgrid(*[log_weights] * n_latents, indexing="ij"), axis=-1)
        return cls(points.reshape(-1, n_latents), weights.reshape(-1, n_latents).sum(axis=1))
