"""The mean of a stretch of draws, and how far off it may be."""

from dataclasses import dataclass

import numpy as np

from pymc_sgld.types import Array

N_PARTS = 10


@dataclass(frozen=True)
class MeanOfDraws:
    """Sums over the parts of a stretch of draws.

    Parameters
    ----------
    sums : array, shape (N_PARTS, n_dim)
    counts : array, shape (N_PARTS,)
    """

    sums: Array
    counts: Array

    @classmethod
    def of_none(cls, n_dim: int) -> "MeanOfDraws":
        """Return the sums before the first draw."""
        return cls(np.zeros((N_PARTS, n_dim)), np.zeros(N_PARTS))

    def with_draw(self, position: Array, share: float) -> "MeanOfDraws":
        """Return the sums with one draw more, ``share`` of the stretch after its beginning."""
        sums, counts = self.sums.copy(), self.counts.copy()
        part = min(int(share * N_PARTS), N_PARTS - 1)
        sums[part] += position
        counts[part] += 1
        return MeanOfDraws(sums, counts)

    @property
    def mean(self) -> Array:
        """The mean of the draws, shape (n_dim,)."""
        return np.asarray(self.sums.sum(axis=0) / self.counts.sum())

    def is_better_than(self, centre: Array, precision: Array) -> bool:
        r"""Whether the mean is nearer to the right one than a centre is.

        With m the right mean and e the error of the mean found, of mean square :math:`s^2` in units
        of the posterior, the distance found squared is on average :math:`|m - c|^2 + s^2`. The mean
        is better where :math:`|m - c|^2 > s^2`.

        Parameters
        ----------
        centre : array, shape (n_dim,)
        precision : array, shape (n_dim, n_dim)
            Of the posterior: the measure of distance.
        """
        if (self.counts < 2).any():
            return False
        parts = self.sums / self.counts[:, None]
        error = parts - parts.mean(axis=0)
        squared_error = np.einsum("pi,ij,pj->", error, precision, error)
        squared_error /= N_PARTS * (N_PARTS - 1)
        away = self.mean - centre
        return bool(away @ precision @ away > 2 * squared_error)
