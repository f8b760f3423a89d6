"""One chain: how it starts and how a draw is made."""

from dataclasses import dataclass, field, replace

import numpy as np

from pymc_sgld import schedules
from pymc_sgld.chain.between_draws import Moves, Tuner
from pymc_sgld.chain.block_gradients import CentreTables
from pymc_sgld.chain.end_of_support import first_step_factor, is_too_large, turn_back
from pymc_sgld.chain.latent_rows import LatentRows
from pymc_sgld.chain.log_density import at_end_of_draw
from pymc_sgld.chain.loop import Loop
from pymc_sgld.chain.metric_learning import MetricLearning
from pymc_sgld.chain.random_streams import RandomStreams
from pymc_sgld.chain.settings import Settings
from pymc_sgld.chain.state import ChainState, Draw
from pymc_sgld.chain.step_plan import StepPlan, first_temperature, plan_steps
from pymc_sgld.chain.steps import Steps
from pymc_sgld.chain.tune_phase import (
    adapted_factor,
    distance_limit,
    is_beyond,
    kept_draws,
    move_centre,
)
from pymc_sgld.model_graph import BlockFunction
from pymc_sgld.row_sources import Batches
from pymc_sgld.samplers import ScaledRule
from pymc_sgld.tuning import PredictedLaw, Tuned, batch_gradients
from pymc_sgld.types import Array


@dataclass
class Chain:
    """A chain of one sampler on one model.

    Parameters
    ----------
    settings : Settings
    loop : Loop
    block_function : BlockFunction
        Value and gradient on any rows.
    batches : Batches
    n_dim : int
    state : ChainState
    tuner : Tuner
        Works out where the chain starts.
    moves : Moves, optional
        What is done between the runs of steps of two draws.
    latents : LatentRows, optional
        How latents of rows are moved, where they are kept.
    """

    settings: Settings
    loop: Loop
    block_function: BlockFunction
    batches: Batches
    n_dim: int
    state: ChainState
    tuner: Tuner
    moves: Moves | None = None
    latents: LatentRows | None = None
    _made: RandomStreams | None = field(default=None, init=False, repr=False)
    _tables: CentreTables = field(default_factory=CentreTables, init=False, repr=False)
    _predicted: tuple[PredictedLaw, tuple[float, float], tuple[float, float]] | None = field(
        default=None, init=False, repr=False
    )  # the last that was asked for

    @property
    def prepared(self) -> Tuned | None:
        """What was worked out before the chains were started."""
        return self.tuner.prepared

    def restart(
        self, key: tuple[int, int], tune: int, draws: int, run_key: tuple[int, int] | None = None
    ) -> None:
        """Forget the last chain and set up the next."""
        self.state = ChainState(key, tune, draws, self.settings.kernel.metric, run_key)

    def start(self, position: Array) -> Array:
        """Do what comes before the first step and return where to start."""
        state, settings = self.state, self.settings
        generator = self.streams().tuning()
        temperature = first_temperature(settings, state.tune, state.draws)
        start = self.tuner.start(position, temperature, generator, jitters=state.tune > 0)
        position, state.mode_distance = start.position, start.mode_distance
        state.unreported_passes += start.data_passes
        state.moves = start.moves
        if start.tuned is not None:
            self._adopt(start.tuned)
        state.step_factor = first_step_factor(settings, start.tuned)
        state.plan = self._planned()
        if settings.preconditioner.learns and state.learned is None:
            gradients = self._batch_gradients(position, generator)
            MetricLearning(settings, state).begin(gradients, position)
        normal = generator.standard_normal(self.n_dim).astype(position.dtype)
        rule, squares = settings.kernel.rule, state.expected_squares
        if not isinstance(rule, ScaledRule):
            state.extra_state = rule.start(normal, temperature)
            return position
        if squares is None:
            parameters = state.metric.parameters()
            gradients = self._batch_gradients(position, generator)
            pulled = [state.metric.pull_back(gradient, *parameters) for gradient in gradients]
            squares = np.mean(np.square(pulled), axis=0)
        state.extra_state = rule.start_from_squares(squares.astype(position.dtype))
        return position

    def measure(self, position: Array) -> None:
        """Measure curvature and gradient noise at a position, if that was not done in tuning."""
        state = self.state
        if state.predicted_law is None:
            temperature = self.plan.temperature_at(state.step_number)
            state.predicted_law, passes = self.tuner.measure(
                position, state.metric, temperature, self.streams().tuning()
            )
            state.unreported_passes += passes

    def draw(self, position: Array) -> Draw:
        """Run the steps of one draw; the chain stays where that or its density is not finite."""
        state, settings, plan, run = self.state, self.settings, self.plan, self.steps
        compared_with = state.estimator_parameters
        self.move_centre_if_due()
        generator, tuning = self.streams().between_draws(state.draw_number), state.tuning
        if self.moves is not None:
            self._condition(self.moves, position, generator)
        numbers = state.step_number + np.arange(plan.n_steps(state.draw_number))
        step_sizes, temperatures = plan.at(settings.clock(numbers), state.step_factor)
        start = state.coordinates_of(position)
        last, statistics = run.run(start, step_sizes, temperatures)
        moved = run.to_position(last["position"]).astype(position.dtype, copy=False)
        diverging = not all(np.isfinite(value).all() for value in (moved, *last.values()))
        limit = distance_limit(settings, state, self.n_dim) * temperatures[-1]
        diverging = diverging or is_beyond(last["position"], limit)
        logp, outside = np.nan, False
        state.position, state.coordinates = position, start
        if not diverging:
            logp, gradient = at_end_of_draw(run, moved, int(numbers[-1]))
            outside = not np.isfinite(logp)
        refused = diverging or outside
        if not refused:
            state.position = position = moved
            state.coordinates = last["position"]
            state.extra_state = {name: last[name] for name in state.extra_state}
            if settings.preconditioner.learns and tuning:
                MetricLearning(settings, state).add(gradient)
        else:
            run.anchors().forget(compared_with)
            if self.latents is not None:
                self.latents.undo(state.moves)
            turn_back(settings, state)
        too_large = is_too_large(state, settings, diverging, outside)
        self.end_tuning_draw(position, too_large, statistics)
        cycle = plan.cycle(state.draw_number)
        passes = state.count_draw(len(numbers), len(numbers) * run.passes_per_step)
        if self.moves is not None and not refused:
            position, state.moves, more = self.moves.after_draw(
                position, state.moves, generator, draw_number=state.draw_number, tuning=tuning
            )
            passes += more
        weight = float(step_sizes[-plan.steps_per_draw :].sum())
        return Draw(
            position, float(step_sizes[-1]), float(temperatures[-1]), weight, passes, refused,
            np.nan if refused else logp, statistics, cycle, outside,
        )  # fmt: skip

    def end_tuning_draw(
        self, position: Array, too_large: bool, statistics: dict[str, float]
    ) -> None:
        """Do what follows a draw of the tune phase; ``too_large``, if that speaks of the step."""
        state, settings = self.state, self.settings
        state.tune_draws = kept_draws(settings, state, position)
        state.step_factor = adapted_factor(settings, state, self.plan, too_large, statistics)
        if settings.preconditioner.learns and state.draw_number + 1 == state.tune:
            self._freeze_metric()

    def predictions(self, draw: Draw) -> tuple[float, float]:
        """Return the gradient noise ratio and the predicted inflation of sds; nan if unknown."""
        law = self.state.predicted_law
        if law is None or self.settings.anneals:
            return np.nan, np.nan
        asked = draw.step_size, draw.temperature
        if self._predicted is None or self._predicted[0] is not law or self._predicted[1] != asked:
            self._predicted = (law, asked, (law.noise_ratio(*asked), law.sd_inflation(*asked)))
        return self._predicted[2]

    @property
    def plan(self) -> StepPlan:
        """The steps of the chain, once it has started."""
        if self.state.plan is None:
            raise RuntimeError("The chain has not started.")
        return self.state.plan

    @property
    def steps(self) -> Steps:
        """What runs the steps of a draw."""
        return Steps(
            self.settings, self.loop, self.block_function, self.batches, self.n_dim, self.state,
            self.streams(), self._tables, self.latents,
        )  # fmt: skip

    def streams(self) -> RandomStreams:
        """Return the random numbers of this chain; they follow from its key.

        A permutation serves whole trajectories, so that a sequence of batches is as likely as its
        reverse.
        """
        keys = self.state.key, self.state.run_key
        if self._made is None or (self._made.key, self._made.run_key) != keys:
            self._made = RandomStreams(
                self.state.key,
                self.n_dim,
                self.settings.kernel.rule.noise_vectors,
                self.batches.total_sizes,
                self.batches.batch_sizes,
                self.batches.scheme,
                self.block_function.dtype,
                self.settings.trajectory,
                self.state.run_key,
            )
        return self._made

    def _batch_gradients(self, position: Array, generator: np.random.Generator) -> Array:
        """Return gradients of some batches, shape (n_batches, n_dim)."""
        gradients, passes = batch_gradients(self.block_function, self.batches, position, generator)
        self.state.unreported_passes += passes
        return gradients

    def _adopt(self, tuned: Tuned) -> None:
        """Write what was worked out into the state of the chain."""
        state = self.state
        state.metric, state.predicted_law = tuned.metric, tuned.predicted_law
        state.estimator_parameters = tuned.estimator_parameters
        state.gradient_noise = tuned.gradient_noise
        state.learned, state.expected_squares = tuned.learned, tuned.expected_squares

    def move_centre_if_due(self) -> None:
        """After the tune phase, centre the control variate at the mean of its draws, if better."""
        if self.state.draw_number == self.state.tune and self.state.tune_draws:
            temperature = self.plan.temperature_at(self.state.step_number)
            move_centre(self.state, self.tuner, temperature, self.streams().tuning())

    def _condition(self, moves: Moves, position: Array, generator: np.random.Generator) -> None:
        """Set what the steps of a draw are made under."""
        state, plan = self.state, self.plan
        step = np.array([state.step_number])
        step_size = schedules.evaluate("step_size", plan.step_size, step)[0] * state.step_factor
        conditions = moves.before_draw(
            position,
            state.moves,
            generator,
            step_size=float(step_size),
            temperature=plan.temperature_at(state.step_number),
        )
        state.metric, state.extra_state = conditions.metric, conditions.extra_state
        state.coordinates = None
        if conditions.gradient_noise is not None:
            state.gradient_noise = conditions.gradient_noise

    def _freeze_metric(self) -> None:
        """End the learning of the preconditioner, and choose the step size for it."""
        state, settings = self.state, self.settings
        MetricLearning(settings, state).freeze()
        chooses = settings.step_size is None and not settings.adapts_step_size
        if chooses and state.predicted_law is not None:
            state.plan = self._planned()

    def _planned(self) -> StepPlan:
        """Return the steps for what is known of the chain; how many make a draw never changes."""
        state, settings = self.state, self.settings
        if state.plan is not None:
            settings = replace(settings, steps_per_draw=state.plan.steps_per_draw)
        return plan_steps(
            settings,
            state.predicted_law,
            state.tune,
            state.draws,
            passes_per_step=self.steps.passes_per_step,
            steps_per_sweep=self.batches.steps_per_sweep,
            step=state.step_number, step_factor=state.step_factor,
        )  # fmt: skip
