"""Means and sds over all draws of a chain, also those that are not stored."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from pymc_sgld.types import Array


@dataclass(frozen=True)
class RunningMoments:
    """Moments of the draws so far, by Welford's update; never written into.

    Parameters
    ----------
    count : int
        Draws.
    means : dict of array
        By variable.
    squares : dict of array
        Sums of the squared deviations from the mean.

    References
    ----------
    .. [1] Welford, B. P. (1962). Note on a method for calculating corrected sums of squares and
       products. Technometrics 4, 419-420. https://doi.org/10.1080/00401706.1962.10490022
    """

    count: int = 0
    means: dict[str, Array] = field(default_factory=dict)
    squares: dict[str, Array] = field(default_factory=dict)

    def with_draw(self, draw: Mapping[str, Array]) -> "RunningMoments":
        """Return the moments with one more draw."""
        count = self.count + 1
        means, squares = {}, {}
        for name, value in draw.items():
            before = self.means.get(name, np.zeros(np.shape(value)))
            away = np.asarray(value, dtype=float) - before
            means[name] = before + away / count
            squares[name] = self.squares.get(name, 0.0) + away * (value - means[name])
        return RunningMoments(count, means, squares)

    @property
    def sds(self) -> dict[str, Array]:
        """Standard deviations with the divisor of ArviZ, one less than the draws; nan of one."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return {
                name: np.sqrt(np.divide(sum_of, self.count - 1))
                for name, sum_of in self.squares.items()
            }
