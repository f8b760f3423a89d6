"""Log-likelihoods row by row, unscaled: at one point, and for all draws of a posterior."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pymc_sgld.model_graph.density.block_function import OnRows
from pymc_sgld.model_graph.density.modes import compile_function
from pymc_sgld.model_graph.density.row_density import RowDensity
from pymc_sgld.model_graph.rewrite.errors import RowError
from pymc_sgld.model_graph.rewrite.naming import listed


@dataclass(frozen=True, eq=False)
class RowFunction(OnRows):
    """The compiled log-likelihood of each row.

    `function` is ``f(position, *blocks) -> [entries of each term]``.

    Attributes
    ----------
    terms : tuple of (str, int, int)
        Name, group and row axis of every term.
    """

    terms: tuple[tuple[str, int, int], ...]

    def entries(
        self, positions: np.ndarray, chunk: int | None = None
    ) -> Iterator[tuple[int, slice, np.ndarray]]:
        """Yield blocks of every term's log-likelihood at several positions.

        Parameters
        ----------
        positions : ndarray, shape (n_positions, n_dim)
        chunk : int, optional
            Rows at a time; by default such that data and result take about 16 MB each.

        Yields
        ------
        term : int
            Number of the term in `terms`.
        rows : slice
        block : ndarray, shape (n_positions, ...)
            Entries of the term, with the rows on its own axis.
        """
        if chunk is None:
            chunk = max(256, min(self.default_chunk(), 2_000_000 // max(1, len(positions))))
        for pieces, counts in self.chunks(chunk):
            blocks = self.read(pieces)
            evaluated = [self.on_blocks(position, blocks) for position in positions]
            for number, (_, group, _) in enumerate(self.terms):
                if counts[group]:
                    yield number, pieces[group], np.stack([one[number] for one in evaluated])

    def on_blocks(self, position: np.ndarray, blocks: Sequence[Any]) -> list[np.ndarray]:
        """Return the entries of every term on given blocks of rows.

        Parameters
        ----------
        position : ndarray, shape (n_dim,)
        blocks : sequence of arrays
            Rows of each of ``arrays``, on axis 0.

        Returns
        -------
        list of ndarray
        """
        result = self.function(np.asarray(position, dtype=self.dtype), *blocks)
        return [np.asarray(entries) for entries in result]

    def per_row(self, position: np.ndarray, rows: Sequence[Any] | None) -> dict[str, np.ndarray]:
        """Return each term's log-likelihood of each row, other axes summed.

        Parameters
        ----------
        position : ndarray, shape (n_dim,)
        rows : sequence of slice or int ndarray, or None
            For each group, which rows; None for all, in chunks.

        Returns
        -------
        dict of str to ndarray, shape (n,)
        """
        pieces: dict[str, dict[int, list[np.ndarray]]] = {}
        if rows is None:
            evaluated = ((n, block[0]) for n, _, block in self.entries(np.asarray(position)[None]))
        else:
            evaluated = enumerate(self.on_blocks(position, self.read(rows)))  # type: ignore[assignment]
        for number, entries in evaluated:
            name, _, axis = self.terms[number]
            others = tuple(i for i in range(entries.ndim) if i != axis)
            pieces.setdefault(name, {}).setdefault(number, []).append(entries.sum(axis=others))
        return self._joined(pieces)

    def _joined(self, pieces: dict[str, dict[int, list[np.ndarray]]]) -> dict[str, np.ndarray]:
        """Put the chunks of a term together, and add up the terms of one potential."""
        result: dict[str, np.ndarray] = {}
        for name, by_term in pieces.items():
            by_group: dict[int, np.ndarray] = {}
            for number, chunks in by_term.items():
                group = self.terms[number][1]
                by_group[group] = by_group.get(group, 0.0) + np.concatenate(chunks)
            for count, values in enumerate(by_group.values()):
                result[name if count == 0 else f"{name}#{count + 1}"] = values
        return result


def compile_row_function(row_model: RowDensity, mode: Any) -> Any:
    """Compile ``f(position, *blocks) -> [entries of each term]``.

    Parameters
    ----------
    row_model : RowDensity
    mode : str or pytensor Mode
    """
    return compile_function(
        [row_model.position, *(leaf.block for leaf in row_model.leaves)],
        [term.entries for term in row_model.terms],
        mode=mode,
    )


def rows_by_group(row_model: RowDensity, rows: Any) -> list[np.ndarray]:
    """Return row numbers for each group from what a user gives.

    Parameters
    ----------
    row_model : RowDensity
    rows : int array, or mapping of group name to int array
        An array if the model has one group of rows.

    Raises
    ------
    RowError
        If a group is missing or unknown, or row numbers are no whole numbers in range.
    """
    names = [group.name for group in row_model.groups]
    if not isinstance(rows, Mapping):
        if len(names) > 1:
            raise RowError(
                f"rows is one array, but the model has {len(names)} groups of rows, "
                f"{listed(names)}. Pass a mapping: rows={{'{names[0]}': ..., '{names[1]}': ...}}."
            )
        rows = {names[0]: rows}
    unknown, missing = [n for n in rows if n not in names], [n for n in names if n not in rows]
    if unknown or missing:
        raise RowError(
            f"rows names {listed(rows)}, but the model's groups of rows are {listed(names)}. Pass "
            "row numbers for each of them."
        )
    return [_checked(g.name, rows[g.name], g.total_size) for g in row_model.groups]


def _checked(name: str, rows: Any, total_size: int) -> np.ndarray:
    numbers = np.asarray(rows)
    if numbers.ndim != 1 or numbers.size == 0 or numbers.dtype.kind not in "iu":
        raise RowError(
            f"'{name}' rows have shape {numbers.shape} and type {numbers.dtype}. Pass a vector of "
            "whole numbers, at least one."
        )
    if numbers.min() < 0 or numbers.max() >= total_size:
        raise RowError(
            f"'{name}' rows run from {numbers.min()} to {numbers.max()}, but there are "
            f"{total_size}. Pass numbers from 0 to {total_size - 1}."
        )
    return numbers.astype(np.int64)
