"""One chain: how it starts and how a draw is made."""

from dataclasses import dataclass, field, replace

import numpy as np

from pymc_sgld import schedules
from pymc_sgld.chain.between_draws import Moves, Tuner
from pymc_sgld.chain.metric_learning import MetricLearning
from pymc_sgld.chain.random_streams import RandomStreams
from pymc_sgld.chain.scan_loop import Loop
from pymc_sgld.chain.settings import Settings
from pymc_sgld.chain.state import ChainState, Draw
from pymc_sgld.chain.step_plan import StepPlan, first_temperature, plan_steps
from pymc_sgld.chain.steps import Steps
from pymc_sgld.chain.tune_phase import adapted_factor, is_far_away, kept_draws
from pymc_sgld.model_graph import BlockFunction
from pymc_sgld.row_sources import Batches
from pymc_sgld.samplers import ScaledRule
from pymc_sgld.tuning import Centre, Tuned, batch_gradients
from pymc_sgld.types import Array


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
    batches : Batches
        The batches.
    n_dim : int
    state : ChainState
    tuner : Tuner
        Works out where the chain starts.
    moves : Moves, optional
        What is done between the runs of steps of two draws.
    """

    settings: Settings
    loop: Loop
    block_function: BlockFunction
    batches: Batches
    n_dim: int
    state: ChainState
    tuner: Tuner
    moves: Moves | None = None
    _made: RandomStreams | None = field(default=None, init=False, repr=False)

    @property
    def prepared(self) -> Tuned | None:
        """What was worked out before the chains were started."""
        return self.tuner.prepared

    def restart(self, key: tuple[int, int], tune: int, draws: int) -> None:
        """Forget the last chain and set up the next."""
        self.state = ChainState(key, tune, draws, self.settings.kernel.metric)

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
        """Run the steps of one draw; a draw that is not finite is refused and the chain stays."""
        state, settings, plan, run = self.state, self.settings, self.plan, self.steps
        compared_with = state.estimator_parameters
        if state.draw_number == state.tune and state.tune_draws:
            self._move_centre()
        generator, tuning = self.streams().between_draws(state.draw_number), state.tuning
        if self.moves is not None:
            self._condition(self.moves, position, generator)
        numbers = state.step_number + np.arange(plan.n_steps(state.draw_number))
        clock = settings.clock(numbers)
        step_sizes = schedules.evaluate("step_size", plan.step_size, clock) * state.step_factor
        temperatures = schedules.evaluate("temperature", plan.temperature, clock)
        last, statistics = run.run(position, step_sizes, temperatures)
        moved = run.to_position(last["position"]).astype(position.dtype, copy=False)
        diverging = not all(np.isfinite(value).all() for value in (moved, *last.values()))
        diverging = diverging or is_far_away(
            settings, state, last["position"], float(temperatures[-1])
        )
        logp = np.nan
        if not diverging:
            position = moved
            state.extra_state = {name: last[name] for name in state.extra_state}
            logp, gradient = run.at_end_of_draw(position, int(numbers[-1]))
            if settings.preconditioner.learns and tuning:
                MetricLearning(settings, state).add(gradient)
        else:
            run.anchors().forget(compared_with)
        state.tune_draws = kept_draws(settings, state, position)
        state.step_factor = adapted_factor(settings, state, plan, diverging, statistics)
        if settings.preconditioner.learns and state.draw_number + 1 == state.tune:
            self._freeze_metric()
        cycle = plan.cycle(state.draw_number)
        state.step_number += len(numbers)
        state.draw_number += 1
        passes = len(numbers) * run.passes_per_step + state.unreported_passes
        state.unreported_passes = 0.0
        if self.moves is not None and not diverging:
            position, state.moves, more = self.moves.after_draw(
                position, state.moves, generator, draw_number=state.draw_number, tuning=tuning
            )
            passes += more
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

    def predictions(self, draw: Draw) -> tuple[float, float]:
        """Return the gradient noise ratio and the predicted inflation of sds; nan if unknown."""
        law = self.state.predicted_law
        if law is None or self.settings.anneals:
            return np.nan, np.nan
        ratio = law.noise_ratio(draw.step_size, draw.temperature)
        return ratio, law.sd_inflation(draw.step_size, draw.temperature)

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
            self.settings,
            self.loop,
            self.block_function,
            self.batches,
            self.n_dim,
            self.state,
            self.streams(),
        )

    def streams(self) -> RandomStreams:
        """Return the random numbers of this chain; they follow from its key.

        A permutation serves whole trajectories, so that a sequence of batches is as likely as its
        reverse.
        """
        if self._made is None or self._made.key != self.state.key:
            self._made = RandomStreams(
                self.state.key,
                self.n_dim,
                self.settings.kernel.rule.noise_vectors,
                self.batches.total_sizes,
                self.batches.batch_sizes,
                self.batches.scheme,
                self.block_function.dtype,
                self.settings.trajectory,
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

    def _move_centre(self) -> None:
        """Centre the control variate at the mean of the draws of the tune phase, if better."""
        state, law, draws = self.state, self.state.predicted_law, np.array(self.state.tune_draws)
        state.tune_draws = ()
        if law is None:
            return
        known = Centre(state.estimator_parameters, law, state.gradient_noise, state.moves)
        temperature = self.plan.temperature_at(state.step_number)
        better, passes = self.tuner.better_centre(
            draws, known, state.metric, temperature, self.streams().tuning()
        )
        state.unreported_passes += passes
        if better is not None:
            state.estimator_parameters = better.estimator_parameters
            state.predicted_law, state.moves = better.predicted_law, better.moves
            state.gradient_noise = better.gradient_noise

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
            step=state.step_number,
        )
