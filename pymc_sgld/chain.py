"""One chain: what it is told, what changes as it runs, and how a draw is made."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from pymc.exceptions import SamplingError

from pymc_sgld import schedules
from pymc_sgld.compiled_loops.random_streams import RandomStreams
from pymc_sgld.compiled_loops.scan_loop import Loop, loop_constants
from pymc_sgld.compiled_loops.transition import Axes
from pymc_sgld.model_graph import BlockFunction
from pymc_sgld.preconditioners import DenseMetric, Metric, metric_from_covariance
from pymc_sgld.row_sources import Windows
from pymc_sgld.tuning import (
    LinearChain,
    LinearLaw,
    LocalGaussian,
    control_variate_noise,
    find_mode,
    local_gaussian,
)
from pymc_sgld.types import Array, Randomness, Schedule

_JITTER = 1.0  # half-width of PyMC's own jitter of starting points, in unconstrained space
_JITTER_RETRIES = 10
_MOST_PASSES_PER_DRAW = 5  # through the data, where steps_per_draw is left out
_LARGEST_MEASURED = 2000  # parameters; beyond, no n_dim x n_dim matrix is made


@dataclass(frozen=True)
class Settings:
    """What the user asked for; None where it is to be chosen."""

    step_size: Schedule | None
    temperature: Schedule
    steps_per_draw: int | None
    axes: Axes  # of the metric its kind; its values are those of the identity

    @property
    def needs_tuning(self) -> bool:
        """Whether a mode must be found before the first step."""
        axes = self.axes
        return (
            self.step_size is None
            or axes.metric.name != "identity"
            or axes.estimator.needs_mode
            or axes.noise_compensation
        )


@dataclass
class ChainState:
    """All that changes as a chain runs; saved and restored as a whole."""

    key: tuple[int, int]
    tune: int
    draws: int
    metric: Metric
    step_number: int = 0
    begun: bool = False
    steps_per_draw: int = 1
    step_size: Any = None  # schedules, once the chain has begun
    temperature: Any = None
    shrunk: float = 1.0  # factor on the step size, halved at each refused draw while tuning
    extra_state: dict[str, Array] = field(default_factory=dict)
    estimator_parameters: tuple[Array, ...] = ()
    gradient_noise: Array | None = None  # by coordinate, where it is compensated
    picture: LinearChain | None = None
    unreported_passes: float = 0.0
    refused_in_a_row: int = 0


@dataclass(frozen=True)
class Draw:
    """A new position and what there is to say of it."""

    position: Array
    step_size: float
    temperature: float
    step_size_weight: float
    data_passes: float
    diverging: bool
    minibatch_logp: float


@dataclass
class Chain:
    """A chain of one sampler on one model.

    Parameters
    ----------
    settings : Settings
    loop : Loop
        The compiled steps.
    block_function : BlockFunction
        Value and gradient on any rows.
    windows : Windows
        The batches.
    n_dim : int
    state : ChainState
    """

    settings: Settings
    loop: Loop
    block_function: BlockFunction
    windows: Windows
    n_dim: int
    state: ChainState
    _made: RandomStreams | None = field(default=None, init=False, repr=False)

    def warm_up(self) -> None:
        """Run one step that counts for nothing, so that compiling is done before any chain runs.

        Numba and JAX compile at the first call; in several processes each would compile for itself.
        """
        batches = self.windows.batch_sizes
        leaves = [
            array[: batches[group]]
            for array, group in zip(
                self.block_function.arrays, self.windows.leaf_groups, strict=True
            )
        ]
        dtype = self.block_function.dtype
        zeros = np.zeros(self.n_dim, dtype)
        rule, estimator = self.settings.axes.rule, self.settings.axes.estimator
        constants = loop_constants(
            batch_sizes=batches,
            scales=np.ones(len(batches), dtype),
            gradient_noise=zeros if self.settings.axes.noise_compensation else None,
            estimator_parameters=[zeros] * len(estimator.parameters),
            metric_parameters=self.settings.axes.metric.parameters(),
            leaves=leaves,
        )
        one = np.ones(1, dtype)
        randomness = Randomness(
            np.zeros((1, len(batches)), dtype=np.int64),
            np.zeros((1, rule.noise_vectors, self.n_dim), dtype),
        )
        state = {"position": zeros} | dict.fromkeys(rule.extra_state, zeros)
        self.loop.run(state, randomness, one, one, constants)
        weights = [1.0] * len(batches)
        self.block_function.on_blocks(zeros, leaves, prior_weight=1, weights=weights)

    def restart(self, key: tuple[int, int], tune: int, draws: int) -> None:
        """Forget the last chain and set up the next."""
        self.state = ChainState(key, tune, draws, self.settings.axes.metric)

    def begin(self, position: Array) -> Array:
        """Do what comes before the first step and return where to start."""
        state, settings = self.state, self.settings
        generator = self._streams().tuning()
        if state.tune:
            position = self._jittered(position, generator)
        step_size = settings.step_size
        temperature = schedules.bind(settings.temperature, self._horizon(1))
        first = float(schedules.evaluate("temperature", temperature, np.zeros(1))[0])
        if settings.needs_tuning:
            position = self._tuned(position, first, generator)
        if step_size is None:
            step_size = schedules.constant(self._threshold(first))
        state.steps_per_draw = settings.steps_per_draw or self._steps_to_forget(step_size)
        horizon = self._horizon(state.steps_per_draw)
        state.step_size = schedules.bind(step_size, horizon)
        state.temperature = schedules.bind(settings.temperature, horizon)
        normal = generator.standard_normal(self.n_dim).astype(position.dtype)
        state.extra_state = settings.axes.rule.start(normal, first)
        state.begun = True
        return position

    def measure(self, position: Array) -> None:
        """Measure curvature and gradient noise at a position, if that was not done in tuning."""
        if self.state.picture is None and len(position) <= _LARGEST_MEASURED:
            generator = self._streams().tuning()
            gaussian = local_gaussian(self.block_function, position, generator)
            if np.isfinite(gaussian.precision).all() and np.isfinite(gaussian.row_noise).all():
                self._set_picture(gaussian)

    def draw(self, position: Array) -> Draw:
        """Run the steps of one draw; a draw that is not finite is refused and the chain stays."""
        state = self.state
        steps = np.arange(state.step_number, state.step_number + state.steps_per_draw)
        step_sizes = schedules.evaluate("step_size", state.step_size, steps) * state.shrunk
        temperatures = schedules.evaluate("temperature", state.temperature, steps)
        last = self._run(position, step_sizes, temperatures)
        moved = np.asarray(
            state.metric.to_position(last["position"], *state.metric.parameters()), position.dtype
        )
        diverging = not all(np.isfinite(value).all() for value in (moved, *last.values()))
        logp = np.nan
        if not diverging:
            position = moved
            state.extra_state = {name: last[name] for name in state.extra_state}
            logp = self._minibatch_logp(position)
        state.step_number += len(steps)
        passes = len(steps) * self._passes_per_step + state.unreported_passes
        state.unreported_passes = 0.0
        return Draw(
            position,
            float(step_sizes[-1]),
            float(temperatures[-1]),
            float(step_sizes.sum()),
            passes,
            diverging,
            logp,
        )

    def predictions(self, draw: Draw) -> tuple[float, float]:
        """Return the gradient noise ratio and the predicted inflation of sds; nan if unknown."""
        picture = self.state.picture
        if picture is None:
            return np.nan, np.nan
        ratio = picture.noise_ratio(draw.step_size, draw.temperature)
        return ratio, picture.sd_inflation(draw.step_size, draw.temperature)

    def _run(self, position: Array, step_sizes: Array, temperatures: Array) -> dict[str, Array]:
        """Run the compiled loop, in pieces where the rows are shuffled anew."""
        state, streams = self.state, self._streams()
        dtype = position.dtype
        current = {"position": state.metric.to_coordinates(position).astype(dtype, copy=False)}
        current |= state.extra_state
        done = 0
        while done < len(step_sizes):
            first = state.step_number + done
            n_steps = min(len(step_sizes) - done, streams.steps_until_shuffle(first))
            piece = slice(done, done + n_steps)
            constants = loop_constants(
                batch_sizes=self.windows.batch_sizes,
                scales=(self.windows.total_sizes / self.windows.batch_sizes).astype(dtype),
                gradient_noise=state.gradient_noise,
                estimator_parameters=state.estimator_parameters,
                metric_parameters=state.metric.parameters(),
                leaves=self._leaves(first),
            )
            current = self.loop.run(
                current,
                streams.block(first, n_steps),
                step_sizes[piece].astype(dtype),
                temperatures[piece].astype(dtype),
                constants,
            )
            done += n_steps
        return current

    def _minibatch_logp(self, position: Array) -> float:
        """Return the scaled log-posterior on the last batch of the draw."""
        last = self.state.step_number + self.state.steps_per_draw - 1
        starts = self._streams().block(last, 1).starts[0]
        sizes = self.windows.batch_sizes
        blocks = [
            leaf[starts[group] : starts[group] + sizes[group]]
            for leaf, group in zip(self._leaves(last), self.windows.leaf_groups, strict=True)
        ]
        weights = self.windows.total_sizes / sizes
        value, _ = self.block_function.on_blocks(
            position, blocks, prior_weight=1, weights=weights.tolist()
        )
        return value

    def _leaves(self, step: int) -> list[Array]:
        streams = self._streams()
        number = streams.shuffle_number(step)
        key = (self.state.key, number)
        return self.windows.arrays(key, lambda group: streams.permutation(number, group))

    def _jittered(self, position: Array, generator: np.random.Generator) -> Array:
        """Disperse the chains: PyMC starts all of them at one point on this path."""
        for _ in range(_JITTER_RETRIES):
            offset = generator.uniform(-_JITTER, _JITTER, len(position)).astype(position.dtype)
            value, gradient = self.block_function.full(position + offset)
            self.state.unreported_passes += 1
            if np.isfinite(value) and np.isfinite(gradient).all():
                return np.asarray(position + offset)
        return position

    def _tuned(self, start: Array, temperature: float, generator: np.random.Generator) -> Array:
        """Find the mode, set metric, centre and noise there, and return a start near it."""
        state, axes = self.state, self.settings.axes
        mode = find_mode(self.block_function, start, generator)
        gaussian = local_gaussian(self.block_function, mode.position, generator)
        state.unreported_passes += mode.data_passes
        if not (np.isfinite(mode.logp) and np.isfinite(gaussian.precision).all()):
            raise SamplingError(
                "No mode was found to choose the step size at: the log-posterior or its gradient "
                f"is not finite around the end of the search (logp = {mode.logp:.4g}). Give "
                "initvals where the model is finite, stronger priors, or step_size."
            )
        covariance = np.linalg.inv(gaussian.precision)
        if axes.estimator.needs_mode:
            gaussian = self._centred(mode.position, covariance, gaussian, generator)
        state.metric = metric_from_covariance(axes.metric.name, mode.position, covariance)
        picture = self._set_picture(gaussian)
        if axes.noise_compensation:
            self._set_known_noise(gaussian, picture)
        spread = np.linalg.cholesky(covariance) @ generator.standard_normal(len(start))
        position = (mode.position + np.sqrt(temperature) * spread).astype(start.dtype)
        finite = np.isfinite(self.block_function.full(position)[0])
        return position if finite else mode.position

    def _centred(
        self,
        centre: Array,
        covariance: Array,
        gaussian: LocalGaussian,
        generator: np.random.Generator,
    ) -> LocalGaussian:
        """Set the centre of the control variate; return the picture with the noise it leaves."""
        state, function = self.state, self.block_function
        none = [0.0] * len(function.total_sizes)
        one_row = [np.zeros(1, dtype=np.int64)] * len(none)
        everything = function.full(centre)[1]
        of_prior = function.batch(centre, one_row, weights=none)[1]
        state.estimator_parameters = (centre, (everything - of_prior).astype(centre.dtype))
        noise, passes = control_variate_noise(function, centre, covariance, generator)
        state.unreported_passes += 1 + passes
        return gaussian._replace(row_noise=noise)

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

    def _threshold(self, temperature: float) -> float:
        if self.state.picture is None:
            raise RuntimeError("The chain was not tuned.")
        return self.state.picture.threshold_step_size(temperature)

    def _steps_to_forget(self, step_size: Schedule) -> int:
        """Return the steps of a draw: some passes, or fewer where the chain forgets sooner."""
        enough = _MOST_PASSES_PER_DRAW / self._passes_per_step
        picture = self.state.picture
        if picture is not None and isinstance(step_size, schedules.constant):
            enough = min(enough, picture.law.memory(step_size.value, 1.0))
        return max(1, int(np.ceil(enough)))

    @property
    def _passes_per_step(self) -> float:
        axes = self.settings.axes
        gradients = axes.rule.gradients_per_step * axes.estimator.gradients_per_batch
        return self.windows.passes_per_step * gradients

    def _horizon(self, steps_per_draw: int) -> int:
        return max(1, (self.state.tune + self.state.draws) * steps_per_draw)

    def _streams(self) -> RandomStreams:
        """Return the random numbers of this chain; they follow from its key."""
        if self._made is None or self._made.key != self.state.key:
            self._made = RandomStreams(
                self.state.key,
                self.n_dim,
                self.settings.axes.rule.noise_vectors,
                self.windows.total_sizes,
                self.windows.batch_sizes,
                self.windows.steps_per_shuffle,
                self.block_function.dtype,
            )
        return self._made
