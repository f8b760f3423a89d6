"""Welling and Teh's sampling threshold: what a step size does to the posterior's width."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pymc_sgld.types import Array

# Relative excess of a posterior variance that a step size left out is chosen for: sd about 5 %.
THRESHOLD = 0.1


def threshold_step_size(
    noise_eigenvalue: float, curvature_eigenvalue: float, temperature: float = 1.0
) -> float:
    r"""Return the step size at the sampling threshold.

    A step of size h widens the variance of a direction with curvature :math:`\lambda` and gradient
    noise v by about :math:`h v / (2T) + h \lambda / 2`, the first term being Welling and Teh's
    :math:`\alpha`. The step size that keeps the sum at ``THRESHOLD`` in the worst direction is

    .. math:: h = \frac{2 \cdot 0.1}{v_{\max} / T + \lambda_{\max}} .

    Parameters
    ----------
    noise_eigenvalue : float
        Largest eigenvalue of the covariance of the minibatch gradient, in the coordinates of the
        preconditioner.
    curvature_eigenvalue : float
        Largest eigenvalue of the precision of the posterior, likewise.
    temperature : float, default 1

    References
    ----------
    .. [1] Welling, M. and Teh, Y. W. (2011). Bayesian learning via stochastic gradient Langevin
       dynamics. ICML, section 4. https://dl.acm.org/doi/10.5555/3104482.3104568
    """
    return 2 * THRESHOLD / (noise_eigenvalue / temperature + curvature_eigenvalue)


@dataclass(frozen=True)
class LinearChain:
    """SGLD on the Gaussian picture of a posterior, in the coordinates of a preconditioner.

    Parameters
    ----------
    precision : array, shape (n_dim, n_dim)
        Of the posterior, in coordinates: L' P L.
    noise : array, shape (n_dim, n_dim)
        Covariance of the minibatch gradient, in coordinates: L' V L.
    factor : array, shape (n_dim, n_dim)
        L, from coordinates to parameters.
    """

    precision: Array
    noise: Array
    factor: Array

    @cached_property
    def noise_eigenvalue(self) -> float:
        """Largest eigenvalue of the gradient noise."""
        return float(np.linalg.eigvalsh(self.noise)[-1])

    @cached_property
    def curvature_eigenvalue(self) -> float:
        """Largest eigenvalue of the precision."""
        return float(self._eigen[0][-1])

    def noise_ratio(self, step_size: float, temperature: float = 1.0) -> float:
        r"""Return Welling and Teh's :math:`\alpha = h v_{\max} / (2T)`."""
        return step_size * self.noise_eigenvalue / (2 * temperature)

    def stationary_covariance(self, step_size: float, temperature: float = 1.0) -> Array:
        r"""Return the covariance the chain settles in, in parameters, shape (n_dim, n_dim).

        In the eigenvectors of the precision the Lyapunov equation of the step solves itself:

        .. math:: C_{ij} = \frac{h^2 V_{ij} + 2 h T \delta_{ij}}
                                {1 - (1 - h\lambda_i)(1 - h\lambda_j)} .
        """
        eigenvalues, vectors = self._eigen
        rotated = vectors.T @ self.noise @ vectors
        innovation = step_size**2 * rotated + 2 * step_size * temperature * np.eye(len(rotated))
        decay = 1 - step_size * eigenvalues
        settled = vectors @ (innovation / (1 - np.outer(decay, decay))) @ vectors.T
        return self.factor @ settled @ self.factor.T

    def sd_inflation(self, step_size: float, temperature: float = 1.0) -> float:
        """Return the largest relative excess of an sd; inf where the step is unstable."""
        known = self._inflations
        # a decreasing schedule asks at every draw: answer within 1 % from what is known
        near = (round(np.log(step_size), 2), round(np.log(temperature), 2))
        if near not in known:
            known[near] = self._sd_inflation(step_size, temperature)
        return known[near]

    def _sd_inflation(self, step_size: float, temperature: float) -> float:
        if step_size * self.curvature_eigenvalue >= 2:
            return np.inf
        wide = np.diag(self.stationary_covariance(step_size, temperature))
        right = temperature * np.diag(self.factor @ np.linalg.inv(self.precision) @ self.factor.T)
        return float(np.sqrt(wide / right).max() - 1)

    @cached_property
    def _inflations(self) -> dict[tuple[float, float], float]:
        return {}

    @cached_property
    def _eigen(self) -> tuple[Array, Array]:
        eigenvalues, vectors = np.linalg.eigh(self.precision)
        return eigenvalues, vectors
