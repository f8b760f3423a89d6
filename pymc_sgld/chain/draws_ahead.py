"""Draws made some at a time, and handed out one by one.

Between two draws there is mostly nothing to do outside of the compiled loop, so that it makes as
many as are wanted and PyMC is handed one after the other. A draw does not depend on how many are
made at a time: its random numbers belong to its steps, and what is carried on are coordinates, as
they came out of the last step. The state of the chain is that of the draw that was handed out.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from time import perf_counter
from typing import NamedTuple

import numpy as np

from pymc_sgld.chain.chain import Chain
from pymc_sgld.chain.log_density import minibatch_logps
from pymc_sgld.chain.state import ChainState, Draw
from pymc_sgld.chain.tune_phase import distance_limit
from pymc_sgld.types import Array, Point

_SECONDS = 0.05  # of work at a time: until a progress bar moves, or an interrupt is heard
_NUMBERS = 2**20  # random numbers and coordinates at a time: eight megabytes
_FIRST = 8  # draws, while it is not known how long one takes


class _Block(NamedTuple):
    """Draws that were made, one row for each.

    Attributes
    ----------
    positions : array, shape (n_draws, n_dim)
    states : dict of arrays, shape (n_draws, n_dim)
        The state of the rule, the coordinates under ``position``.
    refused : array of bool, shape (n_draws,)
    ends : array of int, shape (n_draws,)
        Number of the last step of each, from the first step of the block.
    step_sizes, temperatures : array, shape (n_steps,)
    logp : array, shape (n_draws,)
    starts, fresh : array, shape (n_steps, n_groups) and (n_steps, n_dim)
        What an estimator remembers of every step, where it does.
    passes_per_step : float
    seconds : float
        For each draw.
    """

    positions: Array
    states: dict[str, Array]
    refused: Array
    ends: Array
    step_sizes: Array
    temperatures: Array
    logp: Array
    starts: Array
    fresh: Array | None
    passes_per_step: float
    seconds: float


@dataclass
class DrawsAhead:
    """The draws of a chain.

    Parameters
    ----------
    chain : Chain
    most : int, optional
        Draws that are made at a time, at most.

    Attributes
    ----------
    last : tuple or None
        The values of variables that were handed out last, and the position that they are.
    """

    chain: Chain
    most: int | None = None
    last: tuple[Point, Array] | None = field(default=None, init=False, repr=False)
    _waiting: Iterator[Draw] = field(default_factory=lambda: iter(()), init=False, repr=False)
    _seconds: float | None = field(default=None, init=False, repr=False)  # of a draw, the last time

    def next(self, position: Array) -> tuple[Draw, float]:
        """Return the draw that follows a position, and the seconds it took.

        Where the position is not that of the last draw, such as after a step of another method,
        the draws that were made ahead are forgotten.
        """
        started = perf_counter()
        state = self.chain.state
        last = state.position
        if position is not last and (last is None or not np.array_equal(position, last)):
            self.forget()
        draw = next(self._waiting, None)
        if draw is not None:
            return draw, self._seconds or 0.0
        self.chain.move_centre_if_due()
        n_draws = self._how_many(state)
        if not n_draws:
            draw = self.chain.draw(position)
            return draw, perf_counter() - started
        block = self._made(position, n_draws, started)
        if not len(block.positions):
            draw = self.chain.draw(position)  # which refuses it
            return draw, perf_counter() - started
        self._seconds = block.seconds
        self._waiting = self._handed_out(block)
        return next(self._waiting), block.seconds

    def forget(self) -> None:
        """Forget draws that were made ahead: the state of the chain was set from outside."""
        self._waiting, self.last = iter(()), None

    def __getstate__(self) -> dict[str, object]:
        """Leave out draws that were made ahead: they can be made again."""
        return {**self.__dict__, "_waiting": iter(()), "_seconds": None, "last": None}

    def _how_many(self, state: ChainState) -> int:
        """Return how many draws can be made at a time; 0 where one needs more than its steps."""
        chain = self.chain
        settings, run = chain.settings, chain.steps
        learns = settings.preconditioner.learns and state.tuning
        between = chain.moves is not None or chain.latents is not None
        if settings.tested or settings.anneals or learns or between:
            return 0
        if settings.support.is_bounded:  # what follows a refusal begins with another momentum
            return 0
        end = state.tune if state.tuning else state.tune + state.draws
        most = max(1, end - state.draw_number)
        if self.most is not None:
            most = min(most, self.most)
        n_steps = chain.plan.n_steps(state.draw_number)
        numbers = chain.n_dim * (n_steps * settings.kernel.rule.noise_vectors + 4)
        most = max(1, min(most, _NUMBERS // numbers))
        if self._seconds is None:
            most = min(most, _FIRST)
        else:
            most = max(1, min(most, int(_SECONDS / max(self._seconds, 1e-7))))
        until = run.steps_until_renewal(state.step_number)
        if until is None:
            return most
        return min(most, int(np.searchsorted(self._ends(most), until, side="left")))

    def _ends(self, n_draws: int) -> Array:
        """Return the number of the last step of each of the next draws, the first step being 0."""
        plan, first = self.chain.plan, self.chain.state.draw_number
        if plan.cycles is None:
            return plan.steps_per_draw * np.arange(1, n_draws + 1) - 1
        return np.cumsum([plan.n_steps(first + number) for number in range(n_draws)]) - 1

    def _made(self, position: Array, n_draws: int, started: float) -> _Block:
        """Run the steps of some draws; fewer, where one is refused that others depend on."""
        chain, state, run = self.chain, self.chain.state, self.chain.steps
        ends = self._ends(n_draws)
        numbers = state.step_number + np.arange(ends[-1] + 1)
        step_sizes, temperatures = chain.plan.at(chain.settings.clock(numbers), state.step_factor)
        kernel = chain.settings.kernel
        found, starts = run.run_draws(
            state.coordinates_of(position),
            step_sizes,
            temperatures,
            ends,
            limit=distance_limit(chain.settings, state, chain.n_dim),
            stops=state.tuning or kernel.estimator.remembers,
        )
        states, refused = found.draws, found.refused
        metric, parameters = state.metric, state.metric.parameters()
        positions = np.empty((len(refused), chain.n_dim), position.dtype)
        for number, coordinates in enumerate(states["position"]):
            before = positions[number - 1] if number else position
            positions[number] = (
                before if refused[number] else metric.to_position(coordinates, *parameters)
            )
        fine = np.isfinite(positions).all(axis=1)  # of finite coordinates a position may overflow
        logp = minibatch_logps(run, positions, ends, starts, fine & ~refused)
        fine &= refused | np.isfinite(logp)
        n_draws = len(fine) if fine.all() else int(np.argmin(fine))
        seconds = (perf_counter() - started) / max(1, n_draws)
        return _Block(
            positions[:n_draws], states, refused, ends, step_sizes, temperatures, logp,
            starts, found.fresh, run.passes_per_step, seconds,
        )  # fmt: skip

    def _handed_out(self, block: _Block) -> Iterator[Draw]:
        """Hand out the draws of a block, each with the state of the chain that belongs to it."""
        chain, state, plan, run = self.chain, self.chain.state, self.chain.plan, self.chain.steps
        compared_with, fresh_before = state.estimator_parameters, state.fresh_gradients
        first, cyclic = 0, plan.cycles is not None
        sizes, temperatures = block.step_sizes.tolist(), block.temperatures.tolist()
        of_draw = block.ends[:, None] - np.arange(plan.steps_per_draw)[::-1]
        weights = block.step_sizes[of_draw].sum(axis=1).tolist()
        logps, refusals = block.logp.tolist(), block.refused.tolist()
        for number, end in enumerate(block.ends[: len(block.positions)].tolist()):
            refused = refusals[number]
            n_steps = end + 1 - first
            position = block.positions[number]
            state.position, state.coordinates = position, block.states["position"][number]
            state.extra_state = {name: block.states[name][number] for name in state.extra_state}
            if block.fresh is not None:
                so_far = run.anchors().numbered(block.starts[: end + 1], block.fresh[: end + 1])
                state.fresh_gradients = (*fresh_before, so_far)
            if refused:
                run.anchors().forget(compared_with)
            if state.tuning:
                chain.end_tuning_draw(position, refused, {})
            cycle = plan.cycle(state.draw_number) if cyclic else -1
            passes = state.count_draw(n_steps, n_steps * block.passes_per_step)
            first = end + 1
            yield Draw(
                position, sizes[end], temperatures[end], weights[number], passes, refused,
                logps[number], {}, cycle,
            )  # fmt: skip
