"""What a step size does to the posterior's width: sampling threshold and exact inflation."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from pymc_sgld.tuning.linear_law import LinearLaw, solve_lyapunov
from pymc_sgld.types import Array

# Relative excess of a posterior sd that a step size left out is chosen for.
TARGET_BIAS = 0.05
# Beyond this many parameters the covariances between directions are left out.
_LARGEST_COUPLED = 200


@dataclass(frozen=True)
class LinearChain:
    r"""A sampler on the Gaussian picture of a posterior, in the coordinates of a preconditioner.

    Parameters
    ----------
    law : LinearLaw
        Of the update rule.
    precision : array, shape (n_dim, n_dim)
        Of the posterior, in coordinates: L' P L.
    noise : array, shape (n_dim, n_dim)
        Covariance of the estimated gradient, in coordinates: L' V L.
    factor : array, shape (n_dim, n_dim)
        L, from coordinates to parameters.
    known_noise : array, shape (n_dim,), optional
        What the rule takes out of its injected noise, by coordinate.
    """

    law: LinearLaw
    precision: Array
    noise: Array
    factor: Array
    known_noise: Array | None = None
    _inflations: dict[tuple[float, float], float] = field(default_factory=dict, repr=False)

    @cached_property
    def noise_eigenvalue(self) -> float:
        """Largest eigenvalue of the gradient noise."""
        return float(np.linalg.eigvalsh(self.noise)[-1])

    @cached_property
    def curvature_eigenvalue(self) -> float:
        """Largest eigenvalue of the precision."""
        return float(self._eigen[0][-1])

    def threshold_step_size(
        self, temperature: float = 1.0, target_bias: float = TARGET_BIAS
    ) -> float:
        r"""Return the largest step size that widens no sd by more than ``target_bias``.

        For SGLD this is Welling and Teh's sampling threshold: a variance grows by about
        :math:`\alpha + h \lambda / 2`, with :math:`\alpha = h v / (2T)` the ratio of the gradient's
        noise to the injected noise. For other rules it is the same condition on their own law.
        Known noise is not counted as compensated: compensation is an insurance on top.

        References
        ----------
        .. [1] Welling, M. and Teh, Y. W. (2011). Bayesian learning via stochastic gradient
           Langevin dynamics. ICML, section 4. https://dl.acm.org/doi/10.5555/3104482.3104568
        """
        excess = (1 + target_bias) ** 2 - 1
        return self.law.largest_step(
            self.noise_eigenvalue, self.curvature_eigenvalue, excess, temperature
        )

    def noise_ratio(self, step_size: float, temperature: float = 1.0) -> float:
        r"""Return Welling and Teh's :math:`\alpha = h v_{\max} / (2T)`."""
        return step_size * self.noise_eigenvalue / (2 * temperature)

    def stationary_covariance(self, step_size: float, temperature: float = 1.0) -> Array:
        """Return the covariance the chain settles in, in parameters, shape (n_dim, n_dim).

        In the eigenvectors of the precision the Lyapunov equation falls apart into one small
        equation for each pair of directions, of the size of the rule's state.
        """
        curvatures, vectors = self._directions
        rotated = vectors.T @ self.noise @ vectors
        known = [None] * len(curvatures) if self.known_noise is None else self.known_noise.tolist()
        matrices = [
            self.law.matrices(float(step_size), float(curvature), float(temperature), one)
            for curvature, one in zip(curvatures, known, strict=True)
        ]
        step = np.array([one.step for one in matrices])
        kick = np.array([one.gradient for one in matrices])
        injected = np.array([one.noise @ one.noise.T for one in matrices])
        if len(curvatures) > _LARGEST_COUPLED or self.known_noise is not None:
            source = injected + np.diag(rotated)[:, None, None] * kick[:, :, None] * kick[:, None]
            settled = np.diag(solve_lyapunov(step, step, source)[:, 0, 0])
        else:
            source = rotated[:, :, None, None] * kick[:, None, :, None] * kick[None, :, None]
            own = np.arange(len(curvatures))
            source[own, own] += injected
            settled = solve_lyapunov(step[:, None], step[None], source)[..., 0, 0]
        loadings = self.factor @ vectors
        return np.asarray(loadings @ settled @ loadings.T)

    def sd_inflation(self, step_size: float, temperature: float = 1.0) -> float:
        """Return the largest relative excess of an sd; inf where the step is unstable.

        0 for a rule whose test takes away all bias. Nan for a rule with a thermostat: it takes away
        noise in a way that is not linear.
        """
        if getattr(self.law.rule, "exact", False):
            return 0.0
        if self.law.rule.nonlinear_state:
            return np.nan
        # a decreasing schedule asks at every draw: answer within 1 % from what is known
        near = (round(np.log(step_size), 2), round(np.log(temperature), 2))
        if near not in self._inflations:
            self._inflations[near] = self._sd_inflation(step_size, temperature)
        return self._inflations[near]

    def _sd_inflation(self, step_size: float, temperature: float) -> float:
        stiffest = self.law.variance(step_size, self.curvature_eigenvalue, 0.0, temperature)
        if not np.isfinite(stiffest):
            return np.inf
        wide = np.diag(self.stationary_covariance(step_size, temperature))
        right = temperature * np.diag(self.factor @ np.linalg.inv(self.precision) @ self.factor.T)
        return float(np.sqrt(wide / right).max() - 1)

    @cached_property
    def _eigen(self) -> tuple[Array, Array]:
        eigenvalues, vectors = np.linalg.eigh(self.precision)
        return eigenvalues, vectors

    @property
    def _directions(self) -> tuple[Array, Array]:
        """Curvatures and directions; the coordinates themselves where noise is known by them."""
        if self.known_noise is None:
            return self._eigen
        return np.diag(self.precision), np.eye(len(self.precision))
