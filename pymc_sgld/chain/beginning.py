"""What comes before the first step: a start, and where it is wanted a mode with all it gives."""

from dataclasses import dataclass, replace

import numpy as np

from pymc.exceptions import SamplingError

from pymc_sgld.chain.references import centre_parameters
from pymc_sgld.chain.state import ChainState, Settings
from pymc_sgld.model_graph import BlockFunction
from pymc_sgld.preconditioners import DenseMetric, metric_from_covariance
from pymc_sgld.row_sources import Windows
from pymc_sgld.tuning import (
    LinearChain,
    LinearLaw,
    LocalGaussian,
    find_mode,
    local_gaussian,
    with_noise_left,
)
from pymc_sgld.types import Array

_JITTER = 1.0  # half-width of PyMC's own jitter of starting points, in unconstrained space
_JITTER_RETRIES = 10
_LARGEST_MEASURED = 2000  # parameters; beyond, no n_dim x n_dim matrix is made


@dataclass(frozen=True)
class Beginning:
    """The work before the first step; it writes what it finds into the chain's state."""

    settings: Settings
    block_function: BlockFunction
    windows: Windows
    state: ChainState
    generator: np.random.Generator

    def jittered(self, position: Array) -> Array:
        """Disperse the chains: PyMC starts all of them at one point on this path."""
        for _ in range(_JITTER_RETRIES):
            offset = self.generator.uniform(-_JITTER, _JITTER, len(position))
            moved = (position + offset).astype(position.dtype)
            value, gradient = self.block_function.full(moved)
            self.state.unreported_passes += 1
            if np.isfinite(value) and np.isfinite(gradient).all():
                return np.asarray(moved)
        return position

    def tuned(self, start: Array, temperature: float) -> Array:
        """Find the mode, set metric, centre and noise there, and return a start near it."""
        state, axes = self.state, self.settings.axes
        mode = find_mode(self.block_function, start, self.generator)
        gaussian = local_gaussian(self.block_function, mode.position, self.generator)
        state.unreported_passes += mode.data_passes
        if not (np.isfinite(mode.logp) and np.isfinite(gaussian.precision).all()):
            raise SamplingError(
                "No mode was found to choose the step size at: the log-posterior or its gradient "
                f"is not finite around the end of the search (logp = {mode.logp:.4g}). Give "
                "initvals where the model is finite, stronger priors, or step_size."
            )
        covariance = np.linalg.inv(gaussian.precision)
        if axes.estimator.needs_mode:
            state.estimator_parameters = centre_parameters(self.block_function, mode.position)
            state.unreported_passes += 1
        gaussian = self._with_noise_left(mode.position, gaussian, temperature)
        state.metric = metric_from_covariance(axes.metric.name, mode.position, covariance)
        picture = self._set_picture(gaussian)
        if axes.noise_compensation:
            self._set_known_noise(gaussian, picture)
        spread = np.linalg.cholesky(covariance) @ self.generator.standard_normal(len(start))
        position = (mode.position + np.sqrt(temperature) * spread).astype(start.dtype)
        finite = np.isfinite(self.block_function.full(position)[0])
        return position if finite else mode.position

    def measure(self, position: Array, temperature: float) -> None:
        """Measure curvature and gradient noise at a position."""
        if len(position) > _LARGEST_MEASURED:
            return
        gaussian = local_gaussian(self.block_function, position, self.generator)
        if np.isfinite(gaussian.precision).all() and np.isfinite(gaussian.row_noise).all():
            self._set_picture(self._with_noise_left(position, gaussian, temperature))

    def recentre(self, temperature: float) -> None:
        """Move the centre of the control variate to the mean of draws, if that is the better one.

        The coordinates stay as they are, for the state of the rule is in them.
        """
        state, picture, draws = self.state, self.state.picture, self.state.tune_mean
        if picture is None or draws is None:
            return
        inverse = np.linalg.inv(picture.factor)
        precision = inverse.T @ picture.precision @ inverse
        if not draws.is_better_than(state.estimator_parameters[0], precision):
            return
        centre = draws.mean.astype(self.block_function.dtype)
        state.estimator_parameters = centre_parameters(self.block_function, centre)
        state.unreported_passes += 1
        gaussian = LocalGaussian(precision, np.zeros((0, 0, 0)), 0.0)
        picture = self._set_picture(self._with_noise_left(centre, gaussian, temperature))
        if self.settings.axes.noise_compensation:
            self._keep_known_noise(picture)

    def _with_noise_left(
        self, position: Array, gaussian: LocalGaussian, temperature: float
    ) -> LocalGaussian:
        estimator = self.settings.axes.estimator
        return with_noise_left(
            self.block_function, estimator, position, gaussian, temperature, self.generator
        )

    def _set_known_noise(self, gaussian: LocalGaussian, picture: LinearChain) -> None:
        """Turn a dense metric so that the noise is diagonal, and keep its diagonal."""
        state = self.state
        if isinstance(state.metric, DenseMetric):
            state.metric = state.metric.rotated(picture.noise)
            picture = self._set_picture(gaussian._replace(data_passes=0.0))
        self._keep_known_noise(picture)

    def _keep_known_noise(self, picture: LinearChain) -> None:
        """Take the noise by coordinate out of the injected noise from now on."""
        known = np.diag(picture.noise)
        self.state.picture = replace(picture, known_noise=known)
        self.state.gradient_noise = known.astype(self.block_function.dtype)

    def _set_picture(self, gaussian: LocalGaussian) -> LinearChain:
        noise = gaussian.gradient_noise(
            self.windows.total_sizes,
            self.windows.batch_sizes,
            with_replacement=self.windows.scheme.with_replacement,
        )
        factor = self.state.metric.matrix()
        picture = LinearChain(
            LinearLaw(self.settings.axes.rule),
            factor.T @ gaussian.precision @ factor,
            factor.T @ noise @ factor,
            factor,
        )
        self.state.picture = picture
        self.state.unreported_passes += gaussian.data_passes
        return picture
