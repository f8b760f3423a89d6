"""Means, sds and quantiles over all draws of a chain, also those that are not stored."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from pymc_sgld.checkpoints.quantile_sketch import QuantileSketch
from pymc_sgld.types import Array

_MOST_ENTRIES = 20_000  # of all variables: beyond, quantiles would take more than 100 MB


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


@dataclass(frozen=True)
class RunningSummary:
    """Moments and quantiles of the draws so far; never written into.

    Parameters
    ----------
    moments : RunningMoments
    sketch : QuantileSketch or None
        Of all variables side by side. None where they have more than 20,000 entries.
    """

    moments: RunningMoments = field(default_factory=RunningMoments)
    sketch: QuantileSketch | None = field(default_factory=QuantileSketch)

    @property
    def count(self) -> int:
        """Number of draws."""
        return self.moments.count

    @property
    def means(self) -> dict[str, Array]:
        """Means by variable."""
        return self.moments.means

    @property
    def sds(self) -> dict[str, Array]:
        """Standard deviations by variable."""
        return self.moments.sds

    def with_draw(self, draw: Mapping[str, Array]) -> "RunningSummary":
        """Return the summary with one more draw."""
        moments = self.moments.with_draw(draw)
        if self.sketch is None:
            return RunningSummary(moments, None)
        flat = np.concatenate([np.ravel(value).astype(float) for value in draw.values()])
        sketch = self.sketch.with_draw(flat) if len(flat) <= _MOST_ENTRIES else None
        return RunningSummary(moments, sketch)

    def quantiles(self, probabilities: Sequence[float]) -> dict[str, Array] | None:
        """Return quantiles by variable, shape (n_probabilities, ...); None where there are none."""
        if self.sketch is None:
            return None
        flat = self.sketch.quantiles(np.array(probabilities))
        shapes = {name: np.shape(mean) for name, mean in self.means.items()}
        stops = np.cumsum([int(np.prod(shape, dtype=int)) for shape in shapes.values()])
        parts = np.split(flat, stops[:-1], axis=1)
        return {
            name: part.reshape(len(flat), *shape)
            for part, (name, shape) in zip(parts, shapes.items(), strict=True)
        }
