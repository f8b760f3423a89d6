"""What a compiled loop of steps does, whatever it is compiled by."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pymc_sgld.types import Array, Randomness


class Recorded(NamedTuple):
    """What a loop has done.

    Attributes
    ----------
    draws : dict of arrays, shape (n_draws, n_dim)
        The state at the end of every draw; at one that was refused that of the draw before.
    refused : array of bool, shape (n_draws,)
    last : dict of arrays, shape (n_dim,)
        The state after the last step.
    fresh : array, shape (n_steps, n_dim), or None
        What is to be remembered of the block of each step.
    """

    draws: dict[str, Array]
    refused: Array
    last: dict[str, Array]
    fresh: Array | None


def joined(parts: Sequence[Recorded]) -> Recorded:
    """Return what several calls in a row have done as what one has done."""
    if len(parts) == 1:
        return parts[0]
    # a call that no draw ended in has recorded none
    ended = [part for part in parts if len(part.refused)] or parts[:1]
    names, fresh = parts[0].last, [part.fresh for part in parts if part.fresh is not None]
    return Recorded(
        {name: np.concatenate([part.draws[name] for part in ended]) for name in names},
        np.concatenate([part.refused for part in ended]),
        parts[-1].last,
        np.concatenate(fresh) if fresh else None,
    )


@dataclass(frozen=True)
class Loop(ABC):
    """Compiled steps.

    Parameters
    ----------
    state_names : tuple of str
        ``position``, in the coordinates of the metric, and the rule's extra state.
    """

    state_names: tuple[str, ...]

    @property
    def survives_fork(self) -> bool:
        """Whether it runs in a fork of the process that compiled it."""
        return True

    @abstractmethod
    def run_draws(
        self,
        state: dict[str, Array],
        kept: dict[str, Array],
        randomness: Randomness,
        step_sizes: Array,
        temperatures: Array,
        constants: Sequence[Array],
        *,
        ends: Array,
        remembered: Array | None = None,
        limit: float = np.inf,
        stops: bool = False,
    ) -> Recorded:
        """Run one step for each row of ``randomness``, and record the state at each draw's end.

        A draw whose state is not finite is refused: the state is then that of the draw before.

        Parameters
        ----------
        state, kept : dict of arrays, shape (n_dim,)
            The state now, and at the end of the draw before.
        randomness : Randomness
        step_sizes, temperatures : array, shape (n_steps,)
        constants : sequence of arrays
            In the order of :func:`pymc_sgld.chain.step_graph.loop_constants`.
        ends : array of bool, shape (n_steps,)
            Whether a draw ends with the step.
        remembered : array, shape (n_steps, n_dim), optional
            The entry of its table for the block of each step, for an estimator that has one.
        limit : float, optional
            Refused is also a position whose squared length in coordinates is above ``limit`` times
            the temperature.
        stops : bool, default False
            Whether to stop after a draw that was refused.
        """

    def run(
        self,
        state: dict[str, Array],
        randomness: Randomness,
        step_sizes: Array,
        temperatures: Array,
        constants: Sequence[Array],
        remembered: Array | None = None,
    ) -> dict[str, Array]:
        """Run one step for each row of ``randomness`` and return the last state.

        The arguments are those of :meth:`run_draws`.
        """
        none = np.zeros(len(step_sizes), dtype=bool)
        found = self.run_draws(
            state, state, randomness, step_sizes, temperatures, constants,
            ends=none, remembered=remembered,
        )  # fmt: skip
        return found.last

    def run_remembering(
        self,
        state: dict[str, Array],
        randomness: Randomness,
        step_sizes: Array,
        temperatures: Array,
        constants: Sequence[Array],
        remembered: Array,
    ) -> tuple[dict[str, Array], Array]:
        """Run steps as :meth:`run` does, for an estimator that remembers.

        Returns
        -------
        state : dict of arrays, shape (n_dim,)
        fresh : array, shape (n_steps, n_dim)
            What is to be remembered of the block of each step from now on.
        """
        none = np.zeros(len(step_sizes), dtype=bool)
        found = self.run_draws(
            state, state, randomness, step_sizes, temperatures, constants,
            ends=none, remembered=remembered,
        )  # fmt: skip
        assert found.fresh is not None
        return found.last, found.fresh
