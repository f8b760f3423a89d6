"""The compiled value and gradient of a row model on blocks of rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import pytensor.tensor as pt

from pymc_sgld.model_graph.density.full_passes import parts_from_elsewhere
from pymc_sgld.model_graph.density.modes import compile_function, without_assertions
from pymc_sgld.model_graph.density.pass_counter import count
from pymc_sgld.model_graph.density.row_density import RowDensity
from pymc_sgld.model_graph.rewrite.errors import RowError
from pymc_sgld.model_graph.rewrite.naming import listed

_CHUNK_BYTES = 16_000_000


def compile_block_function(row_model: RowDensity, mode: Any) -> Any:
    """Compile ``f(position, prior_weight, *group_weights, *blocks) -> (value, gradient)``.

    Parameters
    ----------
    row_model : RowDensity
    mode : str or pytensor Mode

    Returns
    -------
    callable
        Value is ``prior_weight * prior + sum over groups of weight * sum of row log-densities``.
    """
    dtype = row_model.position.type.dtype
    prior_weight = pt.scalar("prior_weight", dtype=dtype)
    weights = [pt.scalar(f"weight_{g.name}", dtype=dtype) for g in row_model.groups]
    value = prior_weight * row_model.prior
    for term in row_model.terms:
        value = value + weights[term.group] * term.logp.sum()
    value = pt.cast(value, dtype)
    function = compile_function(
        [row_model.position, prior_weight, *weights, *(leaf.block for leaf in row_model.leaves)],
        [value, row_model.gradient(value)],
        mode=without_assertions(mode),
    )
    function.trust_input = True  # `on_blocks` sees to types
    return function


@dataclass(frozen=True, eq=False)
class OnRows:
    """A compiled function of blocks of rows, together with what the rows are read from.

    Holds no model and no graph of it, so it can be sent to other processes.

    Attributes
    ----------
    function : callable
        See the subclasses.
    arrays : tuple
        Full array of every leaf, rows on axis 0, or another source of rows; None where the
        rows are streamed and no source was given.
    array_groups : tuple of int
        Group of every array.
    total_sizes : tuple of int
        Number of rows of every group.
    dtype : str
        Floating-point type of the position.
    names, dtypes : tuple of str
        Name of every array, and type of its blocks.
    """

    function: Any
    arrays: tuple[Any, ...]
    array_groups: tuple[int, ...]
    total_sizes: tuple[int, ...]
    dtype: str
    names: tuple[str, ...]
    dtypes: tuple[str, ...]

    def read(self, rows: Sequence[Any]) -> list[Any]:
        """Return a block of every array.

        Parameters
        ----------
        rows : sequence of slice or int ndarray
            For each group, which rows.
        """
        missing = [n for n, a in zip(self.names, self.arrays, strict=True) if a is None]
        if missing:
            raise RowError(
                f"{listed(missing)} is streamed, and the model holds a placeholder only. Pass "
                f"data={{'{missing[0]}': <array, memory map or file>, ...}} to block_function, or "
                "call on_blocks with your own blocks."
            )
        return [
            _block(array, rows[group], dtype)
            for array, group, dtype in zip(self.arrays, self.array_groups, self.dtypes, strict=True)
        ]

    def random_rows(
        self, sizes: Iterable[int | None], rng: np.random.Generator
    ) -> list[np.ndarray]:
        """Return sorted row numbers of each group, drawn without replacement.

        Parameters
        ----------
        sizes : iterable of int or None
            How many of each group. None: all of them, for which nothing is drawn.
        rng : numpy.random.Generator
        """
        return [
            np.arange(total)
            if size is None
            else np.sort(rng.choice(int(total), int(size), replace=False))
            for total, size in zip(self.total_sizes, sizes, strict=True)
        ]

    def weights(self, rows: Sequence[Any]) -> list[float]:
        """Return N / n of each group, for a batch of the given row numbers."""
        sizes = [np.size(one) for one in rows]
        if 0 in sizes:
            raise RowError(
                "A batch of 0 rows has no N / n. Give at least one row for each group, or "
                "pass weights."
            )
        return [total / size for total, size in zip(self.total_sizes, sizes, strict=True)]

    def chunks(self, chunk: int | None = None) -> Iterator[tuple[list[slice], list[bool]]]:
        """Yield the rows of each group, chunk by chunk, and whether they count.

        A group that has run out keeps one row, which does not count.
        """
        chunk = self.default_chunk() if chunk is None else chunk
        if chunk < 1:
            raise RowError(f"chunk must be at least 1 row, found {chunk}.")
        for start in range(0, max(self.total_sizes, default=1), chunk):
            counts = [start < n for n in self.total_sizes]
            stops = [min(start + chunk, n) for n in self.total_sizes]
            pairs = zip(stops, counts, strict=True)
            yield [slice(start, stop) if on else slice(0, 1) for stop, on in pairs], counts

    def default_chunk(self) -> int:
        """Return the rows whose data take about 16 MB, at least 256."""
        bytes_per_row: int = sum(
            array.dtype.itemsize * max(1, int(np.prod(array.shape[1:])))
            for array in self.arrays
            if array is not None
        )
        return max(256, _CHUNK_BYTES // max(1, bytes_per_row))


def _block(source: Any, rows: Any, dtype: str) -> Any:
    """Read rows as a plain array, without a copy where they are one.

    Numba compiles a function anew for each memory layout of its arguments.
    """
    block = source[rows]
    if hasattr(block, "indptr"):
        return block
    return np.require(block, dtype=dtype, requirements=["C_CONTIGUOUS", "WRITEABLE", "ENSUREARRAY"])


@dataclass(frozen=True, eq=False)
class BlockFunction(OnRows):
    """The compiled value and gradient, together with what its rows are read from.

    `function` is ``f(position, prior_weight, *group_weights, *blocks) -> (value, gradient)``.

    Attributes
    ----------
    by_row : RowGradients, or an object with its method, optional
        Compiles the gradients of many rows at once.
    """

    by_row: Any = None

    def batch(
        self,
        position: np.ndarray,
        rows: Sequence[np.ndarray],
        *,
        prior_weight: float = 1.0,
        weights: Sequence[float] | None = None,
    ) -> tuple[float, np.ndarray]:
        """Return value and gradient of the estimated log-density on chosen rows.

        Parameters
        ----------
        position : ndarray, shape (n_dim,)
        rows : sequence of int ndarray
            Row numbers for each group.
        prior_weight : float
            Factor of the prior.
        weights : sequence of float, optional
            Factor of each group's sum over its rows; N / n if not given.

        Returns
        -------
        value : float
        gradient : ndarray, shape (n_dim,)
        """
        if len(rows) != len(self.total_sizes):
            raise RowError(
                f"rows has {len(rows)} entries but the model has {len(self.total_sizes)} row "
                "groups. Pass one array of row numbers for each group."
            )
        factors = self.weights(rows) if weights is None else weights
        return self._call(position, prior_weight, factors, rows)

    def prior(self, position: np.ndarray) -> tuple[float, np.ndarray]:
        """Return value and gradient of the prior part alone.

        Parameters
        ----------
        position : ndarray, shape (n_dim,)

        Returns
        -------
        value : float
        gradient : ndarray, shape (n_dim,)
        """
        # a group cannot be empty in the graph: one row, which does not count
        n_groups = len(self.total_sizes)
        return self._call(position, 1.0, [0.0] * n_groups, [slice(0, 1)] * n_groups)

    def full(self, position: np.ndarray, chunk: int | None = None) -> tuple[float, np.ndarray]:
        """Return value and gradient on all rows, in chunks of bounded memory.

        Parameters
        ----------
        position : ndarray, shape (n_dim,)
        chunk : int, optional
            Rows at a time; chosen from the width of the rows if not given.

        Returns
        -------
        value : float
        gradient : ndarray, shape (n_dim,)
        """
        chunk = self.default_chunk() if chunk is None else chunk
        value, gradient = 0.0, np.zeros(np.shape(position), dtype=self.dtype)
        elsewhere = parts_from_elsewhere(self, position, chunk)
        for part, slope in self.parts(position, chunk) if elsewhere is None else elsewhere:
            value += part
            gradient += slope
        return value, gradient

    def parts(
        self, position: np.ndarray, chunk: int, first: int = 0, stop: int | None = None
    ) -> Iterator[tuple[float, np.ndarray]]:
        """Yield value and gradient of chunks of all rows; the first has the prior.

        Parameters
        ----------
        position : ndarray, shape (n_dim,)
        chunk : int
            Rows at a time.
        first : int, default 0
        stop : int, optional
            Which chunks. Default: all.
        """
        for number, (pieces, counts) in enumerate(islice(self.chunks(chunk), first, stop), first):
            weights = [float(on) for on in counts]
            yield self._call(position, float(number == 0), weights, pieces)

    def row_gradients(self, position: np.ndarray, group: int, rows: np.ndarray) -> np.ndarray:
        """Return the gradient of each row's log-likelihood, unscaled and without the prior.

        Parameters
        ----------
        position : ndarray, shape (n_dim,)
        group : int
            Which row group.
        rows : ndarray of int

        Returns
        -------
        ndarray, shape (len(rows), n_dim)
        """
        weights = [float(g == group) for g in range(len(self.total_sizes))]
        pieces: list[Any] = [slice(0, 1)] * len(self.total_sizes)
        pieces[group] = np.asarray(rows)
        blocks = self.read(pieces)
        many = None if self.by_row is None else self.by_row.of_group(group, len(rows))
        count(len(rows) / sum(self.total_sizes))
        if many is not None:
            own = [b for b, g in zip(blocks, self.array_groups, strict=True) if g == group]
            return np.asarray(many(np.asarray(position, dtype=self.dtype), *own))
        result = np.empty((len(rows), np.size(position)), dtype=self.dtype)
        same = [np.asarray(one, dtype=self.dtype) for one in (position, 0.0, *weights)]
        of_group = [g == group for g in self.array_groups]
        for i in range(len(rows)):
            own = [
                block[i : i + 1] if taken else block
                for block, taken in zip(blocks, of_group, strict=True)
            ]
            result[i] = self.function(*same, *own)[1]
        return result

    def row_values(self, position: np.ndarray, group: int, rows: Any) -> np.ndarray:
        """Return the log-likelihood of each row, unscaled and without the prior.

        Parameters
        ----------
        position : ndarray, shape (n_dim,)
        group : int
            Which row group.
        rows : slice or ndarray of int

        Returns
        -------
        ndarray, shape (n_rows,)
        """
        position = np.asarray(position, dtype=self.dtype)
        pieces: list[Any] = [slice(0, 1)] * len(self.total_sizes)
        pieces[group] = rows
        blocks = list(zip(self.read(pieces), self.array_groups, strict=True))
        many = None if self.by_row is None else self.by_row.values_of_group(group)
        if many is not None:
            of_group = [block for block, g in blocks if g == group]
            count(len(of_group[0]) / sum(self.total_sizes))
            return np.asarray(many(position, *of_group))
        weights = [float(g == group) for g in range(len(self.total_sizes))]
        n_rows = next(block.shape[0] for block, g in blocks if g == group)
        values = []
        for i in range(n_rows):
            own = [block[i : i + 1] if g == group else block for block, g in blocks]
            values.append(self.on_blocks(position, own, prior_weight=0.0, weights=weights)[0])
        return np.array(values)

    def _call(
        self, position: np.ndarray, prior_weight: float, weights: Sequence[float], rows: Any
    ) -> tuple[float, np.ndarray]:
        blocks = self.read(rows)
        return self.on_blocks(position, blocks, prior_weight=prior_weight, weights=weights)

    def on_blocks(
        self,
        position: np.ndarray,
        blocks: Sequence[np.ndarray],
        *,
        prior_weight: float,
        weights: Sequence[float],
    ) -> tuple[float, np.ndarray]:
        """Return value and gradient on given blocks of rows, one for each array.

        Parameters
        ----------
        position : ndarray, shape (n_dim,)
        blocks : sequence of arrays
            Rows of each of ``arrays``, on axis 0; those of one group have the same number.
        prior_weight : float
            Factor of the prior.
        weights : sequence of float
            Factor of each group's sum over its rows.

        Returns
        -------
        value : float
        gradient : ndarray, shape (n_dim,)
        """
        count(self._share(blocks, weights))
        scalars = [np.asarray(w, dtype=self.dtype) for w in (prior_weight, *weights)]
        fitting = [
            block if getattr(block, "dtype", None) == dtype else _block(block, slice(None), dtype)
            for block, dtype in zip(blocks, self.dtypes, strict=True)
        ]
        value, gradient = self.function(np.asarray(position, dtype=self.dtype), *scalars, *fitting)
        return float(value), np.asarray(gradient)

    def _share(self, blocks: Sequence[np.ndarray], weights: Sequence[float]) -> float:
        """Return the share of all rows that these blocks are; 1 of a model without rows."""
        if not self.total_sizes:
            return 1.0
        sizes = dict(zip(self.array_groups, (block.shape[0] for block in blocks), strict=True))
        counted = sum(size for group, size in sizes.items() if weights[group])
        return float(counted / sum(self.total_sizes))
