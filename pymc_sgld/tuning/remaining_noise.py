"""The noise that a control variate leaves, averaged over the posterior."""

import numpy as np

from pymc_sgld.model_graph import BlockFunction
from pymc_sgld.types import Array

_FEWEST_POINTS = 100  # of the posterior
_ROWS_AT_A_POINT = 20
# A row whose part in the noise is larger than this share of all that were looked at: there are
# others like it that were not looked at, as where levels of a feature are rare.
_LARGEST_SHARE = 0.02
_MOST_ROWS = 200_000
_LOOKS = 2


def control_variate_noise(
    block_function: BlockFunction,
    centre: Array,
    covariance: Array,
    generator: np.random.Generator,
) -> tuple[Array, float]:
    r"""Return the row noise that is left with a control variate at a centre, and data passes.

    The scores of a row at a point of the posterior and at the centre are subtracted; their
    covariance over rows is averaged over points drawn from the Gaussian picture. Where few rows
    have most of the noise, all rows are looked at, and then drawn with probabilities :math:`p_i`
    half uniform and half in proportion to their part in the noise, with weights
    :math:`1 / (N p_i)`.

    Returns
    -------
    row_noise : array, shape (n_groups, n_dim, n_dim)
    data_passes : float
    """
    n_dim = len(centre)
    totals = block_function.total_sizes
    noise = np.zeros((len(totals), n_dim, n_dim))
    evaluated = 0
    for group, total in enumerate(totals):
        if total == 1:  # one row is never a part of the rows
            continue
        measure = _Measure(block_function, centre, covariance, group, generator)
        uniform = np.full(total, 1 / total)
        noise[group], largest = measure.over_points(uniform)
        if largest > _LARGEST_SHARE and total <= _MOST_ROWS:
            noise[group], _ = measure.over_points(measure.probabilities())
        evaluated += measure.evaluated
    return noise, evaluated / float(sum(totals))


class _Measure:
    """The differences of scores of one group of rows."""

    def __init__(
        self,
        block_function: BlockFunction,
        centre: Array,
        covariance: Array,
        group: int,
        generator: np.random.Generator,
    ) -> None:
        self.function, self.centre, self.group = block_function, centre, group
        self.factor = np.linalg.cholesky(covariance)
        self.generator = generator
        self.total = int(block_function.total_sizes[group])
        self.evaluated = 0

    def over_points(self, probabilities: Array) -> tuple[Array, float]:
        """Return the covariance over rows, averaged, and the largest share of one row in it."""
        n_dim = len(self.centre)
        n_points = max(_FEWEST_POINTS, -(-20 * n_dim // _ROWS_AT_A_POINT))
        n_rows = min(_ROWS_AT_A_POINT, self.total)
        ends = np.cumsum(probabilities)
        noise, parts = np.zeros((n_dim, n_dim)), []
        for _ in range(n_points):
            rows = np.searchsorted(ends, ends[-1] * self.generator.random(n_rows), side="right")
            left = self._left(rows)
            weight = 1 / (self.total * probabilities[rows])
            noise += _covariance(left, weight) / n_points
            parts.append(weight * ((left @ self.factor) ** 2).sum(axis=1))
        shares = np.concatenate(parts)
        return noise, float(shares.max() / max(shares.sum(), 1e-300))

    def probabilities(self) -> Array:
        """Look at every row; return probabilities half uniform, half by part in the noise."""
        everything = np.arange(self.total)
        size = np.zeros(self.total)
        for _ in range(_LOOKS):
            size += ((self._left(everything) @ self.factor) ** 2).sum(axis=1)
        return np.asarray((1 / self.total + size / size.sum()) / 2)

    def _left(self, rows: Array) -> Array:
        """Return what is left of the rows' scores at a point of the posterior."""
        normal = self.generator.standard_normal(len(self.centre))
        point = (self.centre + self.factor @ normal).astype(self.centre.dtype)
        self.evaluated += 2 * len(rows)
        there = self.function.row_gradients(point, self.group, rows)
        here = self.function.row_gradients(self.centre, self.group, rows)
        left: Array = np.asarray(there, dtype=float) - np.asarray(here, dtype=float)
        return left


def _covariance(left: Array, weight: Array) -> Array:
    """Return an unbiased estimate of the covariance over rows, divisor N, from a weighted sample.

    The square of the mean is estimated by products of different rows.
    """
    n_rows = len(left)
    weighted = weight[:, None] * left
    own = weighted.T @ weighted
    total = weighted.sum(axis=0)
    square_of_mean = (np.outer(total, total) - own) / (n_rows * (n_rows - 1))
    return np.asarray(weighted.T @ left / n_rows - square_of_mean)
