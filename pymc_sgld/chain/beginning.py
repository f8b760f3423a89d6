"""What comes before the first step: a start, and where it is wanted a mode with all it gives."""

from dataclasses import dataclass, replace

import numpy as np

from pymc.exceptions import SamplingError

from pymc_sgld.chain.state import ChainState, Settings
from pymc_sgld.model_graph import BlockFunction
from pymc_sgld.preconditioners import DenseMetric, metric_from_covariance
from pymc_sgld.row_sources import Windows
from pymc_sgld.tuning import (
    LinearChain,
    LinearLaw,
    LocalGaussian,
    control_variate_noise,
    find_mode,
    local_gaussian,
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
            gaussian = self.centred(mode.position, covariance, gaussian)
        state.metric = metric_from_covariance(axes.metric.name, mode.position, covariance)
        picture = self._set_picture(gaussian)
        if axes.noise_compensation:
            self._set_known_noise(gaussian, picture)
        spread = np.linalg.cholesky(covariance) @ self.generator.standard_normal(len(start))
        position = (mode.position + np.sqrt(temperature) * spread).astype(start.dtype)
        finite = np.isfinite(self.block_function.full(position)[0])
        return position if finite else mode.position

    def measure(self, position: Array) -> None:
        """Measure curvature and gradient noise at a position."""
        if len(position) > _LARGEST_MEASURED:
            return
        gaussian = local_gaussian(self.block_function, position, self.generator)
        if np.isfinite(gaussian.precision).all() and np.isfinite(gaussian.row_noise).all():
            self._set_picture(gaussian)

    def centred(self, centre: Array, covariance: Array, gaussian: LocalGaussian) -> LocalGaussian:
        """Set the centre of the control variate; return the picture with the noise it leaves."""
        self.set_centre(centre)
        noise, passes = control_variate_noise(
            self.block_function, centre, covariance, self.generator
        )
        self.state.unreported_passes += passes
        return gaussian._replace(row_noise=noise)

    def set_centre(self, centre: Array) -> None:
        """Make a position the centre of the control variate: one pass through the data."""
        state, function = self.state, self.block_function
        none = [0.0] * len(function.total_sizes)
        one_row = [np.zeros(1, dtype=np.int64)] * len(none)
        everything = function.full(centre)[1]
        of_prior = function.batch(centre, one_row, weights=none)[1]
        state.estimator_parameters = (centre, (everything - of_prior).astype(centre.dtype))
        state.unreported_passes += 1

    def _set_known_noise(self, gaussian: LocalGaussian, picture: LinearChain) -> None:
        """Turn a dense metric so that the noise is diagonal, and keep its diagonal."""
        state = self.state
        if isinstance(state.metric, DenseMetric):
            state.metric = state.metric.rotated(picture.noise)
            picture = self._set_picture(gaussian._replace(data_passes=0.0))
        known = np.diag(picture.noise)
        state.picture = replace(picture, known_noise=known)
        state.gradient_noise = known.astype(self.block_function.dtype)

    def _set_picture(self, gaussian: LocalGaussian) -> LinearChain:
        noise = gaussian.gradient_noise(self.windows.total_sizes, self.windows.batch_sizes)
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
