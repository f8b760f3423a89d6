"""What the rows of each block say at one position: a table in place of a second gradient a step."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from pymc_sgld.model_graph import BlockFunction
from pymc_sgld.row_sources import Batches, BlockLayout
from pymc_sgld.types import Array


def layouts_of(batches: Batches) -> list[BlockLayout]:
    """Return the blocks that the rows of each group are cut into."""
    sizes = zip(batches.total_sizes.tolist(), batches.batch_sizes.tolist(), strict=True)
    return [BlockLayout(total, batch) for total, batch in sizes]


def block_gradients(
    function: BlockFunction, batches: Batches, leaves: Sequence[Array], group: int, position: Array
) -> Array:
    """Return the scaled gradient of every block of a group, in one pass through its rows.

    Parameters
    ----------
    function : BlockFunction
    batches : Batches
    leaves : sequence of arrays
        In the order of the rows that the blocks are of.
    group : int
    position : array, shape (n_dim,)

    Returns
    -------
    array, shape (n_blocks, n_dim)
    """
    layout = layouts_of(batches)[group]
    weights = [
        layout.total / layout.batch if number == group else 0.0
        for number in range(len(batches.groups))
    ]

    def of_rows(first: int, n_rows: int) -> Array:
        own = slice(first, first + n_rows)
        blocks = [
            leaf[own if number == group else slice(0, 1)]  # a row that does not count
            for leaf, number in zip(leaves, batches.leaf_groups, strict=True)
        ]
        return function.on_blocks(position, blocks, prior_weight=0.0, weights=weights)[1]

    apart = [of_rows(number * layout.batch, layout.batch) for number in range(layout.n_apart)]
    ring, stride = layout.n_apart * layout.batch, layout.stride
    pieces = np.array(
        [of_rows(ring + number * stride, stride) for number in range(layout.n_on_ring)],
        dtype=float,
    )
    # a window of the ring is a sum of neighbouring pieces, by differences of running sums
    n_pieces = layout.batch // stride
    around = np.concatenate([np.zeros_like(pieces[:1]), pieces, pieces[: n_pieces - 1]])
    sums = np.cumsum(around, axis=0)
    windows = sums[n_pieces:] - sums[:-n_pieces]
    table = np.concatenate([np.reshape(apart, (-1, len(position))), windows])
    return table.astype(function.dtype)


@dataclass
class CentreTables:
    """The table of each group at the centre of a control variate, for the order in use.

    Chains of a process that share centre and order share it, too.
    """

    _key: object = field(default=None, init=False, repr=False)
    _tables: list[Array] = field(default_factory=list, init=False, repr=False)

    def at(
        self,
        starts: Array,
        order: object,
        centre: Array,
        function: BlockFunction,
        batches: Batches,
        leaves: Callable[[], Sequence[Array]],
    ) -> Array:
        """Return the scaled gradient at the centre of the rows of each step.

        Parameters
        ----------
        starts : array of int, shape (n_steps, n_groups)
            Of the windows.
        order : hashable
            Names the order of the rows.
        centre : array, shape (n_dim,)
        function : BlockFunction
        batches : Batches
        leaves : callable
            Returns the arrays in that order.

        Returns
        -------
        array, shape (n_steps, n_dim)
        """
        key = order, centre.tobytes()
        if key != self._key:
            arrays, groups = leaves(), range(len(batches.groups))
            self._tables = [
                block_gradients(function, batches, arrays, group, centre) for group in groups
            ]
            self._key = key
        found = np.zeros((len(starts), len(centre)), function.dtype)
        for layout, table, column in zip(layouts_of(batches), self._tables, starts.T, strict=True):
            found += table[layout.number(column)]
        return found

    def __getstate__(self) -> dict[str, object]:
        """Leave the tables out of a pickle: they can be made again."""
        return {"_key": None, "_tables": []}
