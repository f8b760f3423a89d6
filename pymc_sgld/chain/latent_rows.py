"""Latents of rows that are kept: moved for the rows of the steps to come, before these are made.

For any batch the kernel leaves the joint law of parameters and latents invariant, and the batch
does not depend on either: so the gradient that follows has the noise of a fresh batch. In the other
order, the gradient at latents that are moved afterwards, the noise of a batch is undone by the move
of its own rows, and compensation takes out too much.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from pymc_sgld.chain.random_streams import RandomStreams
from pymc_sgld.model_graph.latents.joint_rows import LatentDensity
from pymc_sgld.samplers.rows import RowKernel
from pymc_sgld.types import Array

_SHARE_OF_ROWS = 8  # of all rows, one in so many is moved at a time at most
_MOST_STEPS = 64  # for which rows are moved at a time
_GAIN = 0.1  # on the logarithm of scales, for an acceptance rate off by one


@dataclass
class KeptLatents:
    """The latents of all rows: a part of the state of a chain, written in place.

    Attributes
    ----------
    values : array, shape (N, n_latents)
        Unconstrained.
    scales : array, shape (N, n_latents)
        Of the kernel; they are fixed once the tune phase has ended.
    moves : int
        Of a row, before a gradient is taken there.
    """

    values: Array
    scales: Array
    moves: int

    def copy(self) -> "KeptLatents":
        """Return a copy that no later move writes into."""
        return replace(self, values=self.values.copy(), scales=self.scales.copy())


@dataclass
class LatentRows:
    """How latents of rows are moved.

    Parameters
    ----------
    density : LatentDensity
    kernel : RowKernel
    total, batch : int
        Rows in all and in a batch, of their group.
    """

    density: LatentDensity
    kernel: RowKernel
    total: int
    batch: int
    _rows: tuple[object, Array] | None = field(default=None, init=False, repr=False)
    _before: list[tuple[Array, Array]] = field(default_factory=list, init=False, repr=False)

    @property
    def steps_at_once(self) -> int:
        """Steps whose rows are moved together."""
        return max(1, min(_MOST_STEPS, self.total // (_SHARE_OF_ROWS * self.batch)))

    def before_steps(
        self,
        kept: KeptLatents,
        position: Array,
        streams: RandomStreams,
        leaves: Sequence[Array],
        first: int,
        n_steps: int,
        *,
        adapts: bool,
        begins: bool,
    ) -> float:
        """Move the latents of the rows of steps to come; return passes.

        Parameters
        ----------
        kept, position, leaves, adapts
            As for :meth:`move_windows`.
        streams : RandomStreams
            Of the chain.
        first, n_steps : int
            The steps.
        begins : bool
            Whether a draw does: what is moved from here on can be undone.
        """
        if begins:
            self._before = []
        group = self.density.leaves.group
        number = streams.shuffle_numbers(first)[group]

        def order() -> Array:
            if self.batch == self.total:
                return np.arange(self.total)
            return streams.scheme.extended(streams.order(number, group), self.batch)

        return self.move_windows(
            kept,
            position,
            streams.block(first, n_steps).starts[:, group],
            leaves,
            self.rows_in_order((*streams.order_key(group), number), order),
            streams.moves_of_latents(first),
            adapts=adapts,
        )

    def rows_in_order(self, name: object, order: Callable[[], Array]) -> Array:
        """Return the rows of an order, which is made anew where the name is another."""
        if self._rows is None or self._rows[0] != name:
            self._rows = name, order()
        return self._rows[1]

    def undo(self, kept: KeptLatents) -> None:
        """Put the latents back to where they were when the draw began."""
        for rows, values in reversed(self._before):
            kept.values[rows] = values
        self._before = []

    def move_windows(
        self,
        kept: KeptLatents,
        position: Array,
        starts: Array,
        leaves: Sequence[Array],
        order: Array,
        generator: np.random.Generator,
        *,
        adapts: bool,
    ) -> float:
        """Move the latents of the rows of some steps, and write them into the arrays of rows.

        Parameters
        ----------
        kept : KeptLatents
        position : array, shape (n_dim,)
        starts : array of int, shape (n_steps,)
            Of the windows.
        leaves : sequence of arrays
            All arrays of the rows, in the order that serves the steps. Of the latents, the windows
            are written.
        order : array of int
            The rows in that order.
        generator : numpy.random.Generator
        adapts : bool
            Whether scales follow the acceptance.

        Returns
        -------
        float
            Evaluations of rows, over the number of rows.
        """
        windows = starts[:, None] + np.arange(self.batch)
        places = np.unique(windows)
        rows, first = np.unique(order[places], return_index=True)
        blocks = [leaves[number][places[first]] for number in self.density.leaves.read]
        self._before.append((rows, kept.values[rows]))
        self.move(kept, position, rows, blocks, generator, adapts=adapts)
        parts = self.density.leaves.apart(kept.values[order[places]])
        for number, part in zip(self.density.leaves.latents, parts, strict=True):
            leaves[number][places] = part
        return len(rows) * (1 + kept.moves * self.kernel.evaluations) / self.total

    def move(
        self,
        kept: KeptLatents,
        position: Array,
        rows: Array,
        blocks: Sequence[Array],
        generator: np.random.Generator,
        *,
        adapts: bool,
        gain: float = _GAIN,
    ) -> Array:
        """Move some rows as often as is due; return the mean acceptance of each.

        Parameters
        ----------
        blocks : sequence of arrays
            Of ``density.leaves.read``.
        """
        density = self.density.at(position, blocks)
        at, scales = density(kept.values[rows]), kept.scales[rows]
        accepted = np.zeros(len(rows))
        for _ in range(kept.moves):
            at, acceptance = self.kernel.move(density, at, scales, generator)
            accepted += acceptance / kept.moves
        kept.values[rows] = at.values
        target = self.kernel.target_acceptance
        if adapts and target is not None:
            kept.scales[rows] = scales * np.exp(gain * (accepted - target))[:, None]
        return accepted
