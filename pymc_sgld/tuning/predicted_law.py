"""What a step size does to the posterior's width: sampling threshold and exact inflation."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import numpy as np

from pymc_sgld.row_sources import INDEPENDENT, Sweep
from pymc_sgld.tuning.linear_law import LinearLaw, NoisePart, StepMatrices
from pymc_sgld.tuning.sweep_law import settled_noise, solve_lyapunov
from pymc_sgld.types import Array

# Relative excess of a posterior sd that a step size left out is chosen for.
TARGET_BIAS = 0.05
# Beyond this many parameters the covariances between directions are left out.
_LARGEST_COUPLED = 200


class PredictedLaw:
    """What a sampler does on a Gaussian, as far as two numbers of it tell.

    The largest eigenvalue of the gradient noise, and that of the precision, in the coordinates of
    a preconditioner.
    """

    law: LinearLaw
    time_scale: float = 1.0
    noise_eigenvalue: float
    curvature_eigenvalue: float

    @property
    def noise_parts(self) -> list[NoisePart]:
        """The largest noise, in parts that are independent of each other."""
        return [(self.noise_eigenvalue, INDEPENDENT, (0,))]

    def memory(self, step_size: float, temperature: float = 1.0) -> float:
        """Return the steps in which the slowest direction decays by a factor e."""
        raise NotImplementedError

    def sd_inflation(self, step_size: float, temperature: float = 1.0) -> float:
        """Return the largest relative excess of an sd; inf where the step is unstable."""
        raise NotImplementedError

    def threshold_step_size(
        self, temperature: float = 1.0, target_bias: float = TARGET_BIAS
    ) -> float:
        r"""Return the largest step size that widens no sd by more than ``target_bias``.

        For SGLD this is Welling and Teh's sampling threshold: a variance grows by about
        :math:`\alpha + h \lambda / 2`, with :math:`\alpha = h v / (2T)` the ratio of the gradient's
        noise to the injected noise. For other rules it is the same condition on their own law.
        Known noise is not counted as compensated: compensation is an insurance on top. A rule
        that is exact with noise that is known has a ``natural_step_size`` of its own.

        References
        ----------
        .. [1] Welling, M. and Teh, Y. W. (2011). Bayesian learning via stochastic gradient
           Langevin dynamics. ICML, section 4. https://dl.acm.org/doi/10.5555/3104482.3104568
        """
        natural = self.law.rule.natural_step_size(self.noise_eigenvalue, temperature)
        if natural is not None:
            return float(natural)
        excess = (1 + target_bias) ** 2 - 1
        return self.time_scale * self.law.largest_step(
            self.noise_parts, self.curvature_eigenvalue, excess, temperature
        )

    def noise_ratio(self, step_size: float, temperature: float = 1.0) -> float:
        r"""Return Welling and Teh's :math:`\alpha = h v_{\max} / (2T)`; inf if none is injected."""
        if self.law.rule.noise_vectors == 0:
            return np.inf
        return step_size / self.time_scale * self.noise_eigenvalue / (2 * temperature)


class TiedNoise(NamedTuple):
    """Gradient noise of batches in sweeps, and when draws are taken."""

    noise: Array  # (n_dim, n_dim), covariance of the gradient of a batch, in coordinates
    sweep: Sweep
    at: tuple[int, ...] = (0,)  # steps since the end of a sweep


@dataclass(frozen=True)
class GaussianLaw(PredictedLaw):
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
    time_scale : float, default 1
        Of a rule with a preconditioner of its own, which the coordinates include: a step size of
        the chain is this many units of time in them.
    tied : sequence of TiedNoise, optional
        Parts that add up to ``noise``, where batches come in sweeps. Default: batches of different
        steps are independent.
    stiffest : float, default 1
        Largest curvature of all rows over that of the precision: steps are chosen for it.
    """

    law: LinearLaw
    precision: Array
    noise: Array
    factor: Array
    known_noise: Array | None = None
    time_scale: float = 1.0
    tied: tuple[TiedNoise, ...] = ()
    stiffest: float = 1.0
    _inflations: dict[tuple[float, float], float] = field(default_factory=dict, repr=False)

    @property
    def noise_parts(self) -> list[NoisePart]:
        """The largest noise of each part; their sum bounds that of all."""
        if not self.tied:
            return super().noise_parts
        return [(float(np.linalg.eigvalsh(one.noise)[-1]), one.sweep, one.at) for one in self.tied]

    @cached_property
    def noise_eigenvalue(self) -> float:  # type: ignore[override]
        """Largest eigenvalue of the gradient noise."""
        return float(np.linalg.eigvalsh(self.noise)[-1])

    @cached_property
    def curvature_eigenvalue(self) -> float:  # type: ignore[override]
        """Largest eigenvalue of the precision, and beyond it where rows were seen to be stiffer."""
        return float(self._eigen[0][-1]) * self.stiffest

    def memory(self, step_size: float, temperature: float = 1.0) -> float:
        """Return the steps in which the slowest direction decays by a factor e."""
        if self.known_noise is None:
            ends: set[tuple[float, float | None]] = {
                (float(self._eigen[0][end]), None) for end in (0, -1)
            }
        else:
            ranked = np.argsort(self.known_noise)
            ends = {
                (float(self.precision[one, one]), float(self.known_noise[one]))
                for one in (ranked[0], ranked[-1])
            }
        return max(
            self.law.memory(step_size / self.time_scale, curvature, temperature, known)
            for curvature, known in ends
        )

    def stationary_covariance(self, step_size: float, temperature: float = 1.0) -> Array:
        """Return the covariance the chain settles in, in parameters, shape (n_dim, n_dim).

        In the eigenvectors of the precision the Lyapunov equation falls apart into one small
        equation for each pair of directions, of the size of the rule's state.
        """
        curvatures, vectors = self._directions
        parts = self.tied or (TiedNoise(self.noise, INDEPENDENT),)
        matrices = self._matrices(step_size, temperature)
        step = np.array([one.step for one in matrices])
        kick = np.array([one.gradient for one in matrices])
        injected = np.array([one.noise @ one.noise.T for one in matrices])
        alone = len(curvatures) > _LARGEST_COUPLED or self.known_noise is not None
        settled = solve_lyapunov(step, step, injected)[:, 0, 0]
        settled = settled if alone else np.diag(settled)
        for noise, sweep, at in parts:
            rotated = vectors.T @ noise @ vectors
            if alone:
                rotated, pair = np.diag(rotated), (step, step, (kick, kick))
            else:
                pair = (step[:, None], step[None], (kick[:, None], kick[None]))
            settled = settled + rotated * settled_noise(*pair, sweep, at)[..., 0, 0]
        settled = np.diag(settled) if alone else settled
        loadings = self.factor @ vectors
        return np.asarray(loadings @ settled @ loadings.T)

    def sd_inflation(self, step_size: float, temperature: float = 1.0) -> float:
        """Return the largest relative excess of an sd; inf where the step is unstable.

        0 for a rule whose test takes away all bias. Nan for a rule with a thermostat: it takes away
        noise in a way that is not linear.
        """
        if self.law.rule.exact:
            return 0.0
        if self.law.rule.nonlinear_state:
            return np.nan
        # a decreasing schedule asks at every draw: answer within 1 % from what is known
        near = (round(np.log(step_size), 2), round(np.log(temperature), 2))
        if near not in self._inflations:
            self._inflations[near] = self._sd_inflation(step_size, temperature)
        return self._inflations[near]

    def _sd_inflation(self, step_size: float, temperature: float) -> float:
        steps = np.array([one.step for one in self._matrices(step_size, temperature)])
        if np.abs(np.linalg.eigvals(steps)).max() >= 1:
            return np.inf
        wide = np.diag(self.stationary_covariance(step_size, temperature))
        right = temperature * np.diag(self.factor @ np.linalg.inv(self.precision) @ self.factor.T)
        return float(np.sqrt(wide / right).max() - 1)

    def _matrices(self, step_size: float, temperature: float) -> list[StepMatrices]:
        """Return the matrices of a step in every direction."""
        curvatures, _ = self._directions
        known = [None] * len(curvatures) if self.known_noise is None else self.known_noise.tolist()
        step_size = float(step_size) / self.time_scale
        return [
            self.law.matrices(step_size, float(curvature), float(temperature), one)
            for curvature, one in zip(curvatures, known, strict=True)
        ]

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
