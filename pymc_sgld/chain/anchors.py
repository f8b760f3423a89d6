"""What an estimator compares the rows' gradients with, kept up while the loop stands still.

Anchors are moved and tables renewed at fixed numbers of steps, so that draws do not depend on how
steps are grouped into them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pymc_sgld.chain.block_gradients import block_gradients, layouts_of
from pymc_sgld.chain.state import ChainState
from pymc_sgld.gradient_estimators import GradientEstimator
from pymc_sgld.model_graph import BlockFunction
from pymc_sgld.row_sources import Batches, BlockLayout
from pymc_sgld.tuning import centre_parameters
from pymc_sgld.types import Array


@dataclass(frozen=True)
class Anchors:
    """Anchors and tables of one chain; written into its state.

    Parameters
    ----------
    estimator : GradientEstimator
    block_function : BlockFunction
    batches : Batches
    state : ChainState
    """

    estimator: GradientEstimator
    block_function: BlockFunction
    batches: Batches
    state: ChainState

    def steps_until(self, step: int) -> int | None:
        """Return how many steps, this one included, are run before something is to be renewed."""
        between = self.estimator.steps_between(self.batches.steps_per_pass)
        return None if between is None else between - step % between

    def steps_as_it_is(self, step: int, copy_number: int, until_copy: int) -> int | None:
        """Return how many steps, this one included, nothing is renewed before; None where never.

        Parameters
        ----------
        step, copy_number : int
            As for :meth:`renew`.
        until_copy : int
            Steps until the rows are in another order.
        """
        until = self.steps_until(step)
        if until is None:
            return None
        state, between = self.state, self.estimator.steps_between(self.batches.steps_per_pass)
        if step % (between or 1) == 0 or not state.estimator_parameters:
            return 0
        if not self.estimator.remembers:
            return until
        stale = state.gradient_table is None or state.table_shuffle != copy_number
        return 0 if stale else min(until, until_copy)

    def renew(
        self,
        step: int,
        position: Callable[[], Array],
        shuffle_number: int,
        leaves: Callable[[], Sequence[Array]],
    ) -> None:
        """Do what is due before a step.

        Parameters
        ----------
        step : int
        position : callable
            Returns where the chain is.
        shuffle_number : int
            Of the order of the rows that serves the step.
        leaves : callable
            Returns the arrays in that order.
        """
        between = self.estimator.steps_between(self.batches.steps_per_pass)
        if between is None:
            return
        due = step % between == 0
        if self.estimator.remembers:
            self._renew_table(due, position, shuffle_number, leaves)
        elif due or not self.state.estimator_parameters:
            anchor = position()
            if np.isfinite(anchor).all():
                self.state.estimator_parameters = centre_parameters(self.block_function, anchor)
                self.state.unreported_passes += 1

    def remembered(self, starts: Array) -> Array:
        """Return what the table holds for steps with the given starts of windows."""
        return self._table()[self._layout.number(starts[:, 0])]

    def keep(self, starts: Array, fresh: Array) -> None:
        """Keep fresh gradients until the table is renewed."""
        self.state.fresh_gradients = (*self.state.fresh_gradients, self.numbered(starts, fresh))

    def numbered(self, starts: Array, fresh: Array) -> tuple[Array, Array]:
        """Return the blocks that steps with the given starts of windows have read, and the rest."""
        return self._layout.number(starts[:, 0]), fresh

    def forget(self, before: tuple[Array, ...]) -> None:
        """Undo what a draw that is refused has done; ``before`` it were these parameters."""
        self.state.gradient_table, self.state.fresh_gradients = None, ()
        if self.estimator.steps_between(self.batches.steps_per_pass) is not None:
            self.state.estimator_parameters = before

    def _renew_table(
        self,
        due: bool,
        position: Callable[[], Array],
        shuffle_number: int,
        leaves: Callable[[], Sequence[Array]],
    ) -> None:
        state = self.state
        if state.gradient_table is None or state.table_shuffle != shuffle_number:
            state.gradient_table = self._built(position(), leaves())
            state.table_shuffle = shuffle_number
            state.unreported_passes += 1
        elif due and state.fresh_gradients:
            numbers = np.concatenate([numbers for numbers, _ in state.fresh_gradients])
            fresh = np.concatenate([gradients for _, gradients in state.fresh_gradients])
            # of a block that was drawn several times the last gradient counts
            different, from_behind = np.unique(numbers[::-1], return_index=True)
            state.gradient_table[different] = fresh[::-1][from_behind]
        else:
            return
        state.fresh_gradients = ()
        mean = self._layout.probabilities @ self._table()
        state.estimator_parameters = (mean.astype(self.block_function.dtype),)

    def _built(self, position: Array, leaves: Sequence[Array]) -> Array:
        """Return the table at a position: one pass through the data."""
        return block_gradients(self.block_function, self.batches, leaves, 0, position)

    def _table(self) -> Array:
        if self.state.gradient_table is None:
            raise RuntimeError("The table of gradients was not built.")
        return self.state.gradient_table

    @property
    def _layout(self) -> BlockLayout:
        return layouts_of(self.batches)[0]
