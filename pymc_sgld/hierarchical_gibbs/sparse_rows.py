"""What rows say of thousands of effects: sums over rows, as sparse matrices.

A row sees the few effects that it gathers, and parameters that all rows share. Its Hessian has
entries for pairs of these alone, so that of all rows has as many entries as there are pairs of
effects with a row in common, and one column for each shared parameter.
"""

from dataclasses import dataclass

import numpy as np

from scipy.sparse import coo_array, csr_array, diags_array

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

    @classmethod
    def of(cls, function: BlockFunction, gathered: GatheredRows) -> "SparseRows":
        """Return it, with the entries looked up in the data."""
        entries = tuple(gathered.entries(function, group) for group in gathered.groups)
        return cls(function, gathered, entries)

    @property
    def passes_of_information(self) -> float:
        """Return how many passes through the data the information takes."""
        totals, widths = self.function.total_sizes, [g.n_columns for g in self.gathered.groups]
        of_columns = sum(total * width for total, width in zip(totals, widths, strict=True))
        return of_columns / sum(totals) + len(self.gathered.shared)

    def information(self, position: Array) -> csr_array:
        """Return minus the Hessian of the log-likelihood of all rows, shape (n_dim, n_dim).

        Parameters
        ----------
        position : array, shape (n_dim,)
        """
        sums = Sums(self.gathered.n_dim, self.gathered.shared)
        for group, entries in zip(self.gathered.groups, self.entries, strict=True):
            for number, unit in enumerate(np.eye(group.n_columns + len(self.gathered.shared))):
                ways = unit[: group.n_columns], unit[group.n_columns :]
                pieces = self.gathered.derivatives(self.function, group, position, *ways)
                for rows, found in pieces:
                    if number < group.n_columns:
                        sums.add_column(entries[rows], number, -found.along)
                    else:
                        j = number - group.n_columns
                        sums.add_shared(entries[rows], j, -found.along, -found.shared)
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
