"""One chain: what it is told, what changes as it runs, and how a draw is made."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pymc.exceptions import SamplingError

from pymc_sgld import schedules
from pymc_sgld.compiled_loops.random_streams import RandomStreams
from pymc_sgld.compiled_loops.scan_loop import Loop
from pymc_sgld.model_graph import BlockFunction
from pymc_sgld.preconditioners import Metric, metric_from_covariance
from pymc_sgld.row_sources import Windows
from pymc_sgld.tuning import (
    LinearChain,
    LocalGaussian,
    find_mode,
    local_gaussian,
    threshold_step_size,
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
    metric: Metric  # its kind; the values are those of the identity

    @property
    def needs_tuning(self) -> bool:
        """Whether a mode must be found before the first step."""
        return self.step_size is None or self.metric.name != "identity"


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
    noise_vectors, extra_state : int, tuple of str
        Of the update rule.
    state : ChainState
    """

    settings: Settings
    loop: Loop
    block_function: BlockFunction
    windows: Windows
    n_dim: int
    noise_vectors: int
    extra_state: Sequence[str]
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
        self.loop.run(
            {"position": zeros} | dict.fromkeys(self.extra_state, zeros),
            Randomness(
                np.zeros((1, len(batches)), dtype=np.int64),
                np.zeros((1, self.noise_vectors, self.n_dim), dtype),
            ),
            np.ones(1, dtype),
            np.ones(1, dtype),
            batch_sizes=batches,
            scales=np.ones(len(batches), dtype),
            metric_parameters=self.settings.metric.parameters(),
            leaves=leaves,
        )
        weights = [1.0] * len(batches)
        self.block_function.on_blocks(zeros, leaves, prior_weight=1, weights=weights)

    def restart(self, key: tuple[int, int], tune: int, draws: int) -> None:
        """Forget the last chain and set up the next."""
        self.state = ChainState(key, tune, draws, self.settings.metric)

    def begin(self, position: Array) -> Array:
        """Do what comes before the first step and return where to start."""
        state, settings = self.state, self.settings
        generator = self._streams().tuning()
        if state.tune:
            position = self._jittered(position, generator)
        step_size = settings.step_size
        temperature = schedules.bind(settings.temperature, self._horizon(1))
        chosen = np.inf
        if settings.needs_tuning:
            first = float(schedules.evaluate("temperature", temperature, np.zeros(1))[0])
            position, chosen = self._tuned(position, first, generator)
        ratios = self.windows.total_sizes / self.windows.batch_sizes
        most = _MOST_PASSES_PER_DRAW * ratios.max()
        # a chain that tuned itself moves in units of posterior sds: it forgets in 1 / h steps
        enough = most if np.isinf(chosen) else min(most, 1 / chosen)
        state.steps_per_draw = settings.steps_per_draw or int(np.ceil(enough))
        horizon = self._horizon(state.steps_per_draw)
        state.step_size = schedules.bind(step_size or schedules.constant(chosen), horizon)
        state.temperature = schedules.bind(settings.temperature, horizon)
        state.extra_state = {name: np.zeros_like(position) for name in self.extra_state}
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
            state.extra_state = {name: last[name] for name in self.extra_state}
            logp = self._minibatch_logp(position)
        state.step_number += len(steps)
        passes = len(steps) * self.windows.passes_per_step + state.unreported_passes
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
            current = self.loop.run(
                current,
                streams.block(first, n_steps),
                step_sizes[piece].astype(dtype),
                temperatures[piece].astype(dtype),
                batch_sizes=self.windows.batch_sizes,
                scales=(self.windows.total_sizes / self.windows.batch_sizes).astype(dtype),
                metric_parameters=state.metric.parameters(),
                leaves=self._leaves(first),
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

    def _tuned(
        self, start: Array, temperature: float, generator: np.random.Generator
    ) -> tuple[Array, float]:
        """Find the mode, set the metric, and return a start near it and the threshold step size."""
        state = self.state
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
        state.metric = metric_from_covariance(self.settings.metric.name, mode.position, covariance)
        picture = self._set_picture(gaussian)
        chosen = threshold_step_size(
            picture.noise_eigenvalue, picture.curvature_eigenvalue, temperature
        )
        spread = np.linalg.cholesky(covariance) @ generator.standard_normal(len(start))
        position = (mode.position + np.sqrt(temperature) * spread).astype(start.dtype)
        finite = np.isfinite(self.block_function.full(position)[0])
        return (position if finite else mode.position), chosen

    def _set_picture(self, gaussian: LocalGaussian) -> LinearChain:
        noise = gaussian.gradient_noise(self.windows.total_sizes, self.windows.batch_sizes)
        factor = self.state.metric.matrix()
        picture = LinearChain(
            factor.T @ gaussian.precision @ factor, factor.T @ noise @ factor, factor
        )
        self.state.picture = picture
        self.state.unreported_passes += gaussian.data_passes
        return picture

    def _horizon(self, steps_per_draw: int) -> int:
        return max(1, (self.state.tune + self.state.draws) * steps_per_draw)

    def _streams(self) -> RandomStreams:
        """Return the random numbers of this chain; they follow from its key."""
        if self._made is None or self._made.key != self.state.key:
            self._made = RandomStreams(
                self.state.key,
                self.n_dim,
                self.noise_vectors,
                self.windows.total_sizes,
                self.windows.batch_sizes,
                self.windows.steps_per_shuffle,
                self.block_function.dtype,
            )
        return self._made
