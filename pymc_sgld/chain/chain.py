"""One chain: how it begins and how a draw is made."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from pymc_sgld import schedules
from pymc_sgld.chain.beginning import Beginning
from pymc_sgld.chain.metric_learning import MetricLearning
from pymc_sgld.chain.references import References
from pymc_sgld.chain.settings import Settings
from pymc_sgld.chain.state import ChainState, Draw, Tuned
from pymc_sgld.chain.step_plan import StepPlan, first_temperature, plan_steps
from pymc_sgld.compiled_loops.random_streams import RandomStreams
from pymc_sgld.compiled_loops.scan_loop import Loop, loop_constants
from pymc_sgld.model_graph import BlockFunction
from pymc_sgld.records import ACCEPTANCE_RATE
from pymc_sgld.row_sources import Windows
from pymc_sgld.samplers import TestedRule
from pymc_sgld.types import Array, Randomness

_TUNE_DRAWS = 50  # about, that are kept to choose a centre by
_FAR_AWAY = 10.0  # posterior sds, root mean square over the parameters
_ADAPTATION_DECAY = 0.6  # of the adaptation of the step size to the acceptance rate


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
    prepared: Tuned | None = None  # where a mode was found before the chains were started
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
        if estimator.remembers:
            self.loop.run_remembering(state, randomness, one, one, constants, zeros[None])
        else:
            self.loop.run(state, randomness, one, one, constants)
        weights = [1.0] * len(batches)
        self.block_function.on_blocks(zeros, leaves, prior_weight=1, weights=weights)

    def restart(self, key: tuple[int, int], tune: int, draws: int) -> None:
        """Forget the last chain and set up the next."""
        self.state = ChainState(key, tune, draws, self.settings.axes.metric)

    def begin(self, position: Array) -> Array:
        """Do what comes before the first step and return where to start."""
        state, settings = self.state, self.settings
        beginning = self._beginning()
        if state.tune:
            position = beginning.jittered(position)
        temperature = first_temperature(settings, state.tune, state.draws)
        if settings.needs_tuning:
            start = beginning.tuned(position, temperature, self.prepared)
            position = position if settings.annealing else start
        state.plan = self._planned()
        if settings.preconditioner.learns and state.learned is None:
            self._learning.begin(beginning.batch_gradients(position), position)
        normal = beginning.generator.standard_normal(self.n_dim).astype(position.dtype)
        state.extra_state = beginning.start_of_rule(position, normal, temperature)
        return position

    def measure(self, position: Array) -> None:
        """Measure curvature and gradient noise at a position, if that was not done in tuning."""
        if self.state.picture is None:
            self._beginning().measure(position, self._temperature())

    def draw(self, position: Array) -> Draw:
        """Run the steps of one draw; a draw that is not finite is refused and the chain stays."""
        state = self.state
        compared_with = state.estimator_parameters
        if state.draw_number == state.tune and state.tune_draws:
            self._beginning().move_centre(self._temperature())
        plan = self.plan
        steps = state.step_number + np.arange(plan.n_steps(state.draw_number))
        clock = self._clock(steps)
        step_sizes = schedules.evaluate("step_size", plan.step_size, clock) * state.step_factor
        temperatures = schedules.evaluate("temperature", plan.temperature, clock)
        last, statistics = self._run(position, step_sizes, temperatures)
        moved = self._to_position(last["position"]).astype(position.dtype, copy=False)
        diverging = not all(np.isfinite(value).all() for value in (moved, *last.values()))
        diverging = diverging or self._far_away(last["position"], float(temperatures[-1]))
        logp = np.nan
        if not diverging:
            position = moved
            state.extra_state = {name: last[name] for name in state.extra_state}
            logp, gradient = self._at_end_of_draw(position, int(steps[-1]))
            if self._learns:
                self._learning.add(gradient)
        else:
            self._references().forget(compared_with)
        self._keep_tune_draw(position)
        self._adapt(diverging, statistics)
        if self._learns and state.draw_number + 1 == state.tune:
            self._freeze_metric()
        cycle = plan.cycle(state.draw_number)
        state.step_number += len(steps)
        state.draw_number += 1
        passes = len(steps) * self._passes_per_step + state.unreported_passes
        state.unreported_passes = 0.0
        return Draw(
            position,
            float(step_sizes[-1]),
            float(temperatures[-1]),
            float(step_sizes[-plan.steps_per_draw :].sum()),
            passes,
            diverging,
            logp,
            statistics,
            cycle,
        )

    def _far_away(self, coordinates: Array, temperature: float) -> bool:
        """Whether a chain that is being tuned leaves the posterior that it was tuned to.

        In whitened coordinates, where an sd is 1. Once tuned, nothing that is finite is refused.
        """
        state = self.state
        whitened = state.picture is not None and state.metric.name == "dense"
        if not (state.tuning and whitened) or self.settings.annealing:
            return False
        return bool(coordinates @ coordinates > _FAR_AWAY**2 * len(coordinates) * temperature)

    def predictions(self, draw: Draw) -> tuple[float, float]:
        """Return the gradient noise ratio and the predicted inflation of sds; nan if unknown."""
        picture = self.state.picture
        if picture is None or self.settings.annealing:
            return np.nan, np.nan
        ratio = picture.noise_ratio(draw.step_size, draw.temperature)
        return ratio, picture.sd_inflation(draw.step_size, draw.temperature)

    def _clock(self, steps: Array) -> Array:
        """Return the steps that schedules are asked for: one for each trajectory.

        Its reverse must be as likely, and so have the same step sizes.
        """
        return steps - steps % self.settings.trajectory if self.settings.tested else steps

    def _run(
        self, position: Array, step_sizes: Array, temperatures: Array
    ) -> tuple[dict[str, Array], dict[str, float]]:
        """Run the compiled loop, in pieces; return the last state and the rule's statistics."""
        rule, dtype = self.settings.axes.rule, position.dtype
        coordinates = self.state.metric.to_coordinates(position).astype(dtype, copy=False)
        current = {"position": coordinates} | self.state.extra_state
        before, statistics = current, []
        done = 0
        while done < len(step_sizes):
            first = self.state.step_number + done
            n_steps = min(len(step_sizes) - done, self._until_pause(first))
            self._renew_references(first, current["position"])
            piece = slice(done, done + n_steps)
            current = self._run_piece(
                current, first, step_sizes[piece].astype(dtype), temperatures[piece].astype(dtype)
            )
            done += n_steps
            if isinstance(rule, TestedRule) and (first + n_steps) % rule.trajectory == 0:
                current, found = rule.accept(
                    before,
                    current,
                    self._log_density,
                    self._streams().uniform(first + n_steps - 1),
                    float(temperatures[done - 1]),
                )
                statistics.append(found)
                before = current
        return current, _averages(statistics)

    def _run_piece(
        self, current: dict[str, Array], first: int, step_sizes: Array, temperatures: Array
    ) -> dict[str, Array]:
        """Run steps between which nothing but the state changes."""
        state = self.state
        constants = loop_constants(
            batch_sizes=self.windows.batch_sizes,
            scales=(self.windows.total_sizes / self.windows.batch_sizes).astype(step_sizes.dtype),
            gradient_noise=state.gradient_noise,
            estimator_parameters=state.estimator_parameters,
            metric_parameters=state.metric.parameters(),
            leaves=self._leaves(first),
        )
        randomness = self._streams().block(first, len(step_sizes))
        if not self.settings.axes.estimator.remembers:
            return self.loop.run(current, randomness, step_sizes, temperatures, constants)
        references = self._references()
        remembered = references.remembered(randomness.starts)
        moved, fresh = self.loop.run_remembering(
            current, randomness, step_sizes, temperatures, constants, remembered
        )
        references.keep(randomness.starts, fresh)
        return moved

    def _until_pause(self, step: int) -> int:
        """Return how many steps can be run before something outside the loop is to be done."""
        until = self._streams().steps_until_copy(step)
        renewal = self._references().steps_until(step)
        if renewal is not None:
            until = min(until, renewal)
        if self.settings.tested:
            until = min(until, self.settings.trajectory - step % self.settings.trajectory)
        return until

    def _renew_references(self, step: int, coordinates: Array) -> None:
        if not self.windows.groups:  # a model without rows: its gradient is compared with nothing
            return
        self._references().renew(
            step,
            lambda: self._to_position(coordinates).astype(self.block_function.dtype, copy=False),
            self._streams().copy_numbers(step)[0],
            lambda: self._leaves(step),
        )

    def _keep_tune_draw(self, position: Array) -> None:
        """Keep some draws of the second half of the tune phase, where a centre may move to them."""
        state = self.state
        if not (state.tuning and self.settings.axes.estimator.move_centre):
            return
        apart = max(1, state.tune // (2 * _TUNE_DRAWS))
        if 2 * state.draw_number >= state.tune and state.draw_number % apart == 0:
            state.tune_draws = (*state.tune_draws, position)

    def _adapt(self, diverging: bool, statistics: dict[str, float]) -> None:
        """Change the step size while tuning: halve it, or lead it to the rate of acceptance."""
        state = self.state
        if not (state.tuning or self.settings.annealing):
            return
        if diverging:
            state.step_factor /= 2
        elif self.settings.adapts_step_size:
            rule = self.settings.axes.rule
            assert isinstance(rule, TestedRule) and rule.target_acceptance is not None
            wanted = rule.target_acceptance
            rate = (state.draw_number + 1) ** -_ADAPTATION_DECAY
            state.step_factor *= float(np.exp(rate * (statistics[ACCEPTANCE_RATE] - wanted)))
            first = schedules.evaluate("step_size", self.plan.step_size, np.zeros(1))[0]
            state.step_factor = min(state.step_factor, float(rule.largest_step / first))

    def _log_density(self, coordinates: Array) -> float:
        """Return the log-density of all rows at a point in coordinates; two are remembered."""
        state, position = self.state, self._to_position(coordinates)
        if not np.isfinite(position).all():
            return -np.inf
        others = []
        value = None
        for place, density in state.known_densities:
            if np.array_equal(place, position):
                value = density
            else:
                others.append((place, density))
        if value is None:
            value = float(self.block_function.full(position)[0])
            value = value if np.isfinite(value) else -np.inf
            state.unreported_passes += 1
        state.known_densities = (*others[-1:], (position, value))  # the last asked for comes last
        return value

    def _to_position(self, coordinates: Array) -> Array:
        metric = self.state.metric
        return np.asarray(metric.to_position(coordinates, *metric.parameters()))

    def _at_end_of_draw(self, position: Array, last: int) -> tuple[float, Array]:
        """Return log-posterior and gradient on the batch of the last step; annealing, on all rows.

        Those of the batch are scaled to all rows.
        """
        if self.settings.annealing:
            self.state.unreported_passes += 1
            return self.block_function.full(position)
        starts = self._streams().block(last, 1).starts[0]
        sizes = self.windows.batch_sizes
        blocks = [
            leaf[starts[group] : starts[group] + sizes[group]]
            for leaf, group in zip(self._leaves(last), self.windows.leaf_groups, strict=True)
        ]
        weights = self.windows.total_sizes / sizes
        return self.block_function.on_blocks(
            position, blocks, prior_weight=1, weights=weights.tolist()
        )

    def _leaves(self, step: int) -> list[Array]:
        streams = self._streams()
        numbers = streams.copy_numbers(step)
        return self.windows.arrays(
            self.state.key, lambda group: streams.order(numbers[group], group), numbers
        )

    def _freeze_metric(self) -> None:
        """End the learning of the preconditioner, and choose the step size for it."""
        state, settings = self.state, self.settings
        self._learning.freeze()
        if settings.step_size is None and not settings.adapts_step_size and state.picture:
            state.plan = self._planned()

    def _planned(self) -> StepPlan:
        """Return the steps for what is known of the chain; how many make a draw never changes."""
        state, settings = self.state, self.settings
        if state.plan is not None:
            settings = replace(settings, steps_per_draw=state.plan.steps_per_draw)
        return plan_steps(
            settings,
            state.picture,
            state.tune,
            state.draws,
            passes_per_step=self._passes_per_step,
            step=state.step_number,
        )

    @property
    def plan(self) -> StepPlan:
        """The steps of the chain, once it has begun."""
        if self.state.plan is None:
            raise RuntimeError("The chain has not begun.")
        return self.state.plan

    @property
    def passes_per_draw(self) -> float:
        """Data passes of a draw with the steps that were given."""
        return (self.settings.steps_per_draw or 1) * self._passes_per_step

    @property
    def _passes_per_step(self) -> float:
        axes = self.settings.axes
        gradients = axes.rule.gradients_per_step * axes.estimator.gradients_per_batch
        return self.windows.passes_per_step * gradients

    def _temperature(self) -> float:
        """Return the temperature of the step to come."""
        return self.plan.temperature_at(self.state.step_number)

    def _references(self) -> References:
        estimator = self.settings.axes.estimator
        return References(estimator, self.block_function, self.windows, self.state)

    @property
    def _learns(self) -> bool:
        """Whether the preconditioner takes in the gradient of this draw."""
        return self.settings.preconditioner.learns and self.state.tuning

    @property
    def _learning(self) -> MetricLearning:
        return MetricLearning(self.settings, self.state)

    def _beginning(self) -> Beginning:
        return Beginning(
            self.settings,
            self.block_function,
            self.windows,
            self.state,
            self._streams().tuning(),
        )

    def _streams(self) -> RandomStreams:
        """Return the random numbers of this chain; they follow from its key.

        A permutation serves whole trajectories, so that a sequence of batches is as likely as its
        reverse.
        """
        if self._made is None or self._made.key != self.state.key:
            self._made = RandomStreams(
                self.state.key,
                self.n_dim,
                self.settings.axes.rule.noise_vectors,
                self.windows.total_sizes,
                self.windows.batch_sizes,
                self.windows.scheme,
                self.block_function.dtype,
                self.settings.trajectory,
            )
        return self._made


def _averages(statistics: Sequence[dict[str, float]]) -> dict[str, float]:
    """Return the mean of every statistic."""
    names = statistics[0] if statistics else {}
    return {name: float(np.mean([one[name] for one in statistics])) for name in names}
