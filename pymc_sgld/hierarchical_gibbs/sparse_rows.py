"""What rows say of thousands of effects: sums over rows, as sparse matrices.

A row sees the few effects that it gathers, and parameters that all rows share. Its Hessian has
entries for pairs of these alone, so that of all rows has as many entries as there are pairs of
effects with a row in common, and one column for each shared parameter.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from scipy.sparse import coo_array, csr_array, diags_array

from pymc_sgld.hierarchical_gibbs.row_ratios import RowRatios, row_ratios, worth_ratios
from pymc_sgld.model_graph import BlockFunction, GatheredRows
from pymc_sgld.types import Array

LARGEST_SHARED = 150  # parameters that all rows share; each is a dense column


@dataclass(frozen=True, eq=False)
class SparseRows:
    """The log-likelihood of all rows as a function of what each of them gathers.

    Parameters
    ----------
    function : BlockFunction
    gathered : GatheredRows
    entries : tuple of arrays, shape (total_size, n_columns)
        Which entries of the position the rows of each group gather.
    """

    function: BlockFunction
    gathered: GatheredRows
    entries: tuple[Array, ...]
    _known: dict[str, Any] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, function: BlockFunction, gathered: GatheredRows) -> "SparseRows":
        """Return it, with the entries looked up in the data."""
        entries = tuple(gathered.entries(function, group) for group in gathered.groups)
        return cls(function, gathered, entries)

    @property
    def ratios(self) -> RowRatios | None:
        """What rows see of all parameters over the first, where that is the same everywhere."""
        known: RowRatios | None = self._known.get("ratios")
        return known

    @property
    def passes_of_information(self) -> float:
        """Return how many passes through the data the last information has taken."""
        return float(self._known.get("passes", 0.0))

    def forget_ratios(self) -> None:
        """Let derivatives be taken one by one from now on: rows are of another kind."""
        self._known["ratios"] = None

    def information(self, position: Array) -> csr_array:
        """Return minus the Hessian of the log-likelihood of all rows, shape (n_dim, n_dim).

        A pass for each number that rows gather and each parameter that they share; two where the
        ratios of these are known from another position, and hold.

        Parameters
        ----------
        position : array, shape (n_dim,)
        """
        ratios, spent = self.ratios, 0.0
        if ratios is not None:
            curvatures = ratios.curvatures(self.function, self.gathered, position)
            spent = 2.0
            if curvatures is not None:
                self._known["passes"] = spent
                return self._from_ratios(ratios, curvatures)
            self.forget_ratios()
        sums = Sums(self.gathered.n_dim, self.gathered.shared)
        keeps = "ratios" not in self._known
        keeps = keeps and worth_ratios(self.gathered, tuple(self.function.total_sizes))
        lines = []
        for number, entries in enumerate(self.entries):
            line = self._add_group(sums, number, entries, position, keeps)
            lines.append(line)
            spent += line.shape[1] * len(entries) / sum(self.function.total_sizes)
        if keeps:
            self._known["ratios"] = row_ratios(lines)
        self._known["passes"] = spent
        return sums.matrix

    def _add_group(
        self, sums: "Sums", number: int, entries: Array, position: Array, keeps: bool
    ) -> Array:
        """Add what the rows of a group say; return the first line of each row's Hessian."""
        group = self.gathered.groups[number]
        n_numbers = group.n_columns + len(self.gathered.shared)
        first = np.empty((len(entries) if keeps else 0, n_numbers))
        for place, unit in enumerate(np.eye(n_numbers)):
            ways = unit[: group.n_columns], unit[group.n_columns :]
            pieces = self.gathered.derivatives(self.function, group, position, *ways)
            for rows, found in pieces:
                if keeps:
                    first[rows, place] = found.along[:, 0]
                if place < group.n_columns:
                    sums.add_column(entries[rows], place, -found.along)
                else:
                    j = place - group.n_columns
                    sums.add_shared(entries[rows], j, -found.along, -found.shared)
        return first

    def _from_ratios(self, ratios: RowRatios, curvatures: list[Array]) -> csr_array:
        """Return the information as sums of the outer products of ratios."""
        sums = Sums(self.gathered.n_dim, self.gathered.shared)
        for lines, curvature, entries in zip(
            ratios.by_group, curvatures, self.entries, strict=True
        ):
            n_columns = entries.shape[1]
            of_columns, of_shared = lines[:, :n_columns], lines[:, n_columns:]
            for number in range(n_columns):
                along = -(curvature * of_columns[:, number])[:, None]
                sums.add_column(entries, number, along * of_columns)
            among = -of_shared.T @ (curvature[:, None] * of_shared)
            for number in range(of_shared.shape[1]):
                along = -(curvature * of_shared[:, number])[:, None]
                sums.add_shared(entries, number, along * of_columns, among[number])
        return sums.matrix


class Sums:
    """A symmetric matrix as the sum of what rows add to it.

    Parameters
    ----------
    n_dim : int
    shared : array of int
        Entries that all rows have.
    """

    def __init__(self, n_dim: int, shared: Array) -> None:
        self.n_dim, self.shared = n_dim, shared
        self.diagonal = np.zeros(n_dim)
        self.pairs = csr_array((n_dim, n_dim))  # one of each two halves
        self.columns = np.zeros((n_dim, len(shared)))

    def add_column(self, entries: Array, number: int, values: Array) -> None:
        """Add entries of a column of each row with the columns up to it.

        Parameters
        ----------
        entries : array of int, shape (n_rows, n_columns)
        number : int
            The column.
        values : array, shape (n_rows, n_columns)
        """
        own = entries[:, number]
        self.diagonal += np.bincount(own, values[:, number], self.n_dim)
        for other in range(number):
            at = entries[:, other], own
            self.pairs = self.pairs + csr_array(
                coo_array((values[:, other], at), shape=(self.n_dim, self.n_dim))
            )

    def add_shared(self, entries: Array, number: int, values: Array, of_shared: Array) -> None:
        """Add entries of a shared parameter with what rows gather, and with shared ones."""
        for column in range(entries.shape[1]):
            self.columns[:, number] += np.bincount(
                entries[:, column], values[:, column], self.n_dim
            )
        self.columns[self.shared, number] += of_shared

    @property
    def matrix(self) -> csr_array:
        """The sum so far."""
        alone = self.columns.copy()
        alone[self.shared] = 0
        row, column = np.nonzero(alone)
        at = row, self.shared[column]
        shape = (self.n_dim, self.n_dim)
        half = self.pairs + csr_array(coo_array((alone[row, column], at), shape=shape))
        inner = self.columns[self.shared]
        inner = (inner + inner.T) / 2
        among = np.broadcast_arrays(self.shared[:, None], self.shared)
        both = coo_array((inner.ravel(), (among[0].ravel(), among[1].ravel())), shape=shape)
        return csr_array(half + half.T + diags_array(self.diagonal) + csr_array(both))
