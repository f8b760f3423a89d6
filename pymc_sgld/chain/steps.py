"""The steps of a draw: the compiled loop, and what is done where it stands still."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pymc_sgld.chain.anchors import Anchors
from pymc_sgld.chain.block_gradients import CentreTables
from pymc_sgld.chain.latent_rows import LatentRows
from pymc_sgld.chain.loop import Loop, Recorded, joined
from pymc_sgld.chain.random_streams import RandomStreams
from pymc_sgld.chain.settings import Settings
from pymc_sgld.chain.state import ChainState
from pymc_sgld.chain.step_graph import loop_constants
from pymc_sgld.model_graph import BlockFunction
from pymc_sgld.row_sources import Batches
from pymc_sgld.samplers import TestedRule
from pymc_sgld.types import Array, Randomness


@dataclass(frozen=True)
class Steps:
    """The steps of a chain; of its state they write what rules and estimators remember.

    Parameters
    ----------
    settings : Settings
    loop : Loop
        The compiled steps.
    block_function : BlockFunction
    batches : Batches
    n_dim : int
    state : ChainState
    streams : RandomStreams
    tables : CentreTables
        Of a control variate that has one.
    """

    settings: Settings
    loop: Loop
    block_function: BlockFunction
    batches: Batches
    n_dim: int
    state: ChainState
    streams: RandomStreams
    tables: CentreTables
    latents: LatentRows | None = None

    def run(
        self, coordinates: Array, step_sizes: Array, temperatures: Array
    ) -> tuple[dict[str, Array], dict[str, float]]:
        """Run the compiled loop, in pieces; return the last state and the rule's statistics."""
        rule, dtype = self.settings.kernel.rule, coordinates.dtype
        current = {"position": coordinates} | self.state.extra_state
        before, statistics, done = current, [], 0
        while done < len(step_sizes):
            first = self.state.step_number + done
            n_steps = min(len(step_sizes) - done, self._until_pause(first))
            self.renew_anchors(first, current["position"])
            if self.latents is not None:
                self._move_latents(self.latents, first, n_steps, current["position"], done == 0)
            piece = slice(done, done + n_steps)
            current = self.run_piece(
                current, first, step_sizes[piece].astype(dtype), temperatures[piece].astype(dtype)
            )
            done += n_steps
            if isinstance(rule, TestedRule) and (first + n_steps) % self.settings.trajectory == 0:
                current, tested = rule.accept(
                    before,
                    current,
                    self._log_density,
                    self.streams.uniform(first + n_steps - 1),
                    float(temperatures[done - 1]),
                )
                statistics.append(tested)
                before = current
        return current, _averages(statistics)

    def run_piece(
        self, current: dict[str, Array], first: int, step_sizes: Array, temperatures: Array
    ) -> dict[str, Array]:
        """Run steps between which nothing but the state changes."""
        constants = self._constants(first, step_sizes.dtype)
        randomness = self.streams.block(first, len(step_sizes))
        if not self.settings.kernel.estimator.remembers:
            entries = self._at_centre(first, randomness.starts)
            return self.loop.run(current, randomness, step_sizes, temperatures, constants, entries)
        anchors = self.anchors()
        remembered = anchors.remembered(randomness.starts)
        moved, fresh = self.loop.run_remembering(
            current, randomness, step_sizes, temperatures, constants, remembered
        )
        anchors.keep(randomness.starts, fresh)
        return moved

    def run_draws(
        self,
        coordinates: Array,
        step_sizes: Array,
        temperatures: Array,
        ends: Array,
        *,
        limit: float,
        stops: bool,
    ) -> tuple[Recorded, Array]:
        """Run the steps of several draws between which nothing but the state changes.

        Parameters
        ----------
        coordinates : array, shape (n_dim,)
        step_sizes, temperatures : array, shape (n_steps,)
        ends : array of int, shape (n_draws,)
            The last step of each draw, of these.
        limit, stops
            See :meth:`pymc_sgld.chain.loop.Loop.run_draws`.

        Returns
        -------
        recorded : Recorded
        starts : array, shape (n_steps, n_groups)
            Of the windows.
        """
        dtype, current = coordinates.dtype, {"position": coordinates} | self.state.extra_state
        kept, is_end = current, np.zeros(len(step_sizes), dtype=bool)
        is_end[ends] = True
        parts, starts, done = [], [], 0
        while done < len(step_sizes):
            first = self.state.step_number + done
            n_steps = min(len(step_sizes) - done, self.streams.steps_until_copy(first))
            randomness, piece = self.streams.block(first, n_steps), slice(done, done + n_steps)
            remembered = self._at_centre(first, randomness.starts)
            if self.settings.kernel.estimator.remembers:
                remembered = self.anchors().remembered(randomness.starts)
            found = self.loop.run_draws(
                current, kept, randomness,
                step_sizes[piece].astype(dtype), temperatures[piece].astype(dtype),
                self._constants(first, dtype),
                ends=is_end[piece], remembered=remembered, limit=limit, stops=stops,
            )  # fmt: skip
            parts.append(found)
            starts.append(randomness.starts)
            current, done = found.last, done + n_steps
            if len(found.refused):
                kept = {name: rows[-1] for name, rows in found.draws.items()}
            if stops and found.refused.any():
                break
        return joined(parts), np.concatenate(starts)

    def _at_centre(self, step: int, starts: Array) -> Array | None:
        """Return what the rows of each step say at the centre, where the estimator is told."""
        estimator = self.settings.kernel.estimator
        if estimator.remembers or not estimator.tabled:
            return None
        return self.tables.at(
            starts,
            tuple(self._orders(step)),
            self.state.estimator_parameters[0],
            self.block_function,
            self.batches,
            lambda: self.leaves(step),
        )

    def _orders(self, step: int) -> list[tuple[int, ...]]:
        """Return the names of the orders that serve a step, by group."""
        numbers = enumerate(self.streams.shuffle_numbers(step))
        return [(*self.streams.order_key(group), number) for group, number in numbers]

    def _constants(self, step: int, dtype: Any) -> list[Array]:
        """Return the inputs of the loop that are the same at every step, from this one on."""
        state = self.state
        return loop_constants(
            batch_sizes=self.batches.batch_sizes,
            scales=(self.batches.total_sizes / self.batches.batch_sizes).astype(dtype),
            gradient_noise=state.gradient_noise,
            estimator_parameters=state.estimator_parameters,
            metric_parameters=state.metric.parameters(),
            leaves=self.leaves(step),
        )

    def steps_until_renewal(self, step: int) -> int | None:
        """Return how many steps what is compared with stays as it is; None where always."""
        if not self.batches.groups:
            return None
        streams = self.streams
        return self.anchors().steps_as_it_is(
            step, streams.shuffle_numbers(step)[0], streams.steps_until_copy(step)
        )

    def _move_latents(
        self, latents: LatentRows, first: int, n_steps: int, coordinates: Array, begins: bool
    ) -> None:
        """Move the latents of the rows of steps to come."""
        self.state.unreported_passes += latents.before_steps(
            self.state.moves, self.to_position(coordinates), self.streams, self.leaves(first),
            first, n_steps, adapts=self.state.tuning, begins=begins,
        )  # fmt: skip

    def _until_pause(self, step: int) -> int:
        """Return how many steps can be run before something outside the loop is to be done."""
        until = self.streams.steps_until_copy(step)
        renewal = self.anchors().steps_until(step)
        if renewal is not None:
            until = min(until, renewal)
        if self.settings.tested:
            until = min(until, self.settings.trajectory - step % self.settings.trajectory)
        return until if self.latents is None else min(until, self.latents.steps_at_once)

    def renew_anchors(self, step: int, coordinates: Array) -> None:
        """Do what is due of anchors and tables before a step."""
        if not self.batches.groups:  # a model without rows: its gradient is compared with nothing
            return
        self.anchors().renew(
            step,
            lambda: self.to_position(coordinates).astype(self.block_function.dtype, copy=False),
            self.streams.shuffle_numbers(step)[0],
            lambda: self.leaves(step),
        )

    def _log_density(self, coordinates: Array) -> float:
        """Return the log-density of all rows at a point in coordinates; two are remembered."""
        state, position = self.state, self.to_position(coordinates)
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

    def to_position(self, coordinates: Array) -> Array:
        """Return the position of coordinates."""
        metric = self.state.metric
        return np.asarray(metric.to_position(coordinates, *metric.parameters()))

    def leaves(self, step: int) -> list[Array]:
        """Return the arrays of rows in the order that serves a step."""
        self.batches.read_ahead.before(streams := self.streams, step)
        return self.batches.arrays(
            "shuffled",
            lambda group: streams.order(streams.shuffle_numbers(step)[group], group),
            self._orders(step),
        )

    @property
    def passes_per_step(self) -> float:
        """Data passes of a step."""
        kernel = self.settings.kernel
        gradients = kernel.rule.gradients_per_step * kernel.estimator.gradients_per_batch
        passes = self.batches.passes_per_step * gradients
        if kernel.estimator.tabled and not kernel.estimator.remembers:
            passes += 1 / float(self.streams.steps_per_shuffle.max())  # a table for each order
        return passes

    @property
    def passes_per_draw(self) -> float:
        """Data passes of a draw with the steps that were given."""
        return (self.settings.steps_per_draw or 1) * self.passes_per_step

    def anchors(self) -> Anchors:
        """Return what the estimator compares gradients with."""
        kernel = self.settings.kernel
        return Anchors(kernel.estimator, self.block_function, self.batches, self.state)


def run_once(run: Steps) -> None:
    """Run one step that counts for nothing, so that compiling is done before any chain runs.

    Numba and JAX compile at the first call; in several processes each would compile for itself.
    """
    batches = run.batches.batch_sizes
    leaves = [
        array[: batches[group]]
        for array, group in zip(run.block_function.arrays, run.batches.leaf_groups, strict=True)
    ]
    dtype = run.block_function.dtype
    zeros = np.zeros(run.n_dim, dtype)
    rule, estimator = run.settings.kernel.rule, run.settings.kernel.estimator
    constants = loop_constants(
        batch_sizes=batches,
        scales=np.ones(len(batches), dtype),
        gradient_noise=zeros if run.settings.kernel.noise_compensation else None,
        estimator_parameters=[zeros] * len(estimator.parameters),
        metric_parameters=run.settings.kernel.metric.parameters(),
        leaves=leaves,
    )
    one = np.ones(1, dtype)
    randomness = Randomness(
        np.zeros((1, len(batches)), dtype=np.int64),
        np.zeros((1, rule.noise_vectors, run.n_dim), dtype),
    )
    state = {"position": zeros} | dict.fromkeys(rule.extra_state, zeros)
    entries = zeros[None] if estimator.tabled else None
    run.loop.run(state, randomness, one, one, constants, entries)
    weights = [1.0] * len(batches)
    run.block_function.on_blocks(zeros, leaves, prior_weight=1, weights=weights)


def _averages(statistics: Sequence[dict[str, float]]) -> dict[str, float]:
    """Return the mean of every statistic."""
    names = statistics[0] if statistics else {}
    return {name: float(np.mean([each[name] for each in statistics])) for name in names}
