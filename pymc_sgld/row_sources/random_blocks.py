"""Batches of rows that stay where they are: some random blocks are read, and their rows mixed.

Rows that may not be written anew have the order of their file. Single rows at random places of it
cost a read each, and neighbours are alike where the file is sorted. So blocks of neighbouring rows
are drawn, together a buffer, whose rows are permuted and taken once, or several times.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from pymc_sgld.row_sources.errors import RowSourceError
from pymc_sgld.row_sources.in_pieces import row_bytes
from pymc_sgld.row_sources.schemes import Independent
from pymc_sgld.types import Array

BYTES_OF_A_BLOCK = 2**22
_BLOCKS = 32  # of a buffer
_LARGEST_SHARE = 16  # of the rows is a block, at most
_FOREVER = 2**62  # steps, of a group whose batches are all its rows


@dataclass(frozen=True)
class RandomBlocks(Independent):
    r"""Rows of random blocks of neighbours, mixed in a buffer and taken from it one time each.

    A buffer holds ``n_blocks`` of the blocks of ``rows_of_block`` rows that a group is cut into
    from a random place on, around its end: every row is as likely. With ``sweeps`` passes through
    a buffer of B rows, S steps of n rows, the reuse is :math:`r = S n / B`, and what the noise of
    batches does to slow directions is that of independent batches times

    .. math:: r \, (1 + (b - 1) \rho)

    with :math:`\rho` the correlation of the rows' gradients within blocks of b rows: 0 of rows
    in random order, 1 where a block holds one kind of rows. It is measured before sampling
    (:mod:`pymc_sgld.tuning.between_blocks`). Of a group that has no more rows than a buffer all
    are permuted.

    Parameters
    ----------
    rows_of_block : int
        Neighbours that are read together.
    n_blocks : int, default 32
        Of a buffer.
    sweeps : int, default 1
        How often the rows of a buffer are taken; where decoding is dear, and the noise small.

    References
    ----------
    .. [1] Xu, L., Qiu, S., Yuan, B. et al. (2022). Stochastic gradient descent without full data
       shuffle. https://doi.org/10.48550/arXiv.2206.05830
    """

    rows_of_block: int
    n_blocks: int = _BLOCKS
    sweeps: int = 1

    name: ClassVar[str] = "random blocks"
    shares_orders: ClassVar[bool] = False  # chains with the same buffers would have the same noise

    def order(self, generator: np.random.Generator, total: int, batch: int) -> Array:
        """Return the rows of a buffer."""
        number = number_of_blocks(self, total)
        if number == 1:
            return generator.permutation(total)
        first = generator.integers(total)
        chosen = generator.choice(number, self.n_blocks, replace=False)
        starts = first + chosen * self.rows_of_block
        rows = (starts[:, None] + np.arange(self.rows_of_block)) % total
        return generator.permutation(rows.ravel())

    def extended(self, order: Array, batch: int) -> Array:
        """Return the rows as they are: no window goes beyond them."""
        return order

    def _steps_of_sweep(self, total: int, batch: int) -> int:
        held = rows_of_buffer(self, total)
        if batch > held:
            raise RowSourceError(
                f"batch_size={batch} is more than the {held} rows that are read at a time with "
                "scratch=False. Give fewer, or leave scratch out."
            )
        return held // batch

    def steps_per_shuffle(self, totals: Array, batches: Array, whole: int = 1) -> Array:
        """Return how many steps a buffer serves, by group; ``whole`` is not heeded."""
        steps = [
            self.sweeps * self._steps_of_sweep(int(total), int(batch))
            if batch < total
            else _FOREVER
            for total, batch in zip(totals, batches, strict=True)
        ]
        return np.array(steps, dtype=np.int64)

    def starts(
        self, generator: np.random.Generator, steps: Array, totals: Array, batches: Array
    ) -> Array:
        """Return where the windows start: one follows the other."""
        sweep = self.steps_per_shuffle(totals, batches) // self.sweeps
        return np.where(batches < totals, steps[:, None] % sweep * batches, 0)


def number_of_blocks(scheme: RandomBlocks, total: int) -> int:
    """Return how many blocks a group of so many rows is cut into; 1 where a buffer has them all."""
    number = total // scheme.rows_of_block
    return number if number > scheme.n_blocks else 1


def rows_of_buffer(scheme: RandomBlocks, total: int) -> int:
    """Return the rows of a buffer of a group of so many rows."""
    return total if number_of_blocks(scheme, total) == 1 else scheme.n_blocks * scheme.rows_of_block


def blocks_for(sources: Mapping[str, Any]) -> RandomBlocks:
    """Return the scheme for rows that are read where they lie.

    Parameters
    ----------
    sources : mapping of str to row source
        A block has the longest piece that one of them is read by, such as a row group, if that is
        more than some megabytes, and no more than a share of the rows.
    """
    widest = max(row_bytes(source) for source in sources.values())
    pieces = [
        int(np.max(piece)) for one in sources.values() if (piece := _lengths(one)) is not None
    ]
    total = min(source.shape[0] for source in sources.values())
    rows = max(1, BYTES_OF_A_BLOCK // max(1, widest), *pieces)
    return RandomBlocks(max(1, min(rows, total // (_LARGEST_SHARE * _BLOCKS))))


def _lengths(source: Any) -> Any:
    """Return the rows of the pieces that a source is read by, where it has some."""
    while (inside := getattr(source, "source", None)) is not None:
        source = inside
    return getattr(source, "lengths", None)
