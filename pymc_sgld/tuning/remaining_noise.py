"""The noise that a control variate leaves, averaged over the posterior."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from pymc_sgld.model_graph import BlockFunction
from pymc_sgld.tuning.large_matrices import MANY
from pymc_sgld.tuning.row_sizes import (
    FEW_LOOKS,
    FIRST_LOOKS,
    MANY_LOOKS,
    TO_A_KINK,
    UNEVEN,
    passes,
    row_sizes,
    rows_looked_at,
    unevenness,
)
from pymc_sgld.types import Array

_FEWEST_POINTS = 100  # of the posterior
_FEWEST_OF_A_GROUP = 10  # points, where a model has many groups of rows
_ROWS_AT_A_POINT = 20
_ROWS_PER_PARAMETER = 60  # the largest eigenvalue is then over-estimated by a quarter or less
# A row whose part in the noise is larger than this share of all that were looked at: there are
# others like it that were not looked at, as where levels of a feature are rare.
_LARGEST_SHARE = 0.02
# Mean square of the rows' parts over their squared mean: many rows have little of the noise, as
# those of large groups beside small ones. It is pi / 2 where all have the same.
_UNEVEN = 3.0
_LARGE = 20_000  # rows, beyond which a sample may miss the few that have much of the noise
_AT_ONCE = 200  # draws of thousands of parameters
# Looks that are enough for so many parameters; of more, more, up to so many times as many.
_FEW_PARAMETERS, _MOST_TIMES = 50, 4.0
UNIFORM_SHARE = 0.1  # of the probabilities: no row's weight is larger than ten


class UnevenRows(NamedTuple):
    """Rows some of which have much of the noise; what is left of it if these come more often."""

    probabilities: Array  # (total_size,)
    row_noise: Array  # (1, n_dim, n_dim)
    error: float  # relative standard error of the noise


class RemainingNoise(NamedTuple):
    """The noise of one row, by group, and what it took to measure it."""

    row_noise: Array  # (n_groups, n_dim, n_dim)
    data_passes: float
    uneven: UnevenRows | None = None  # of a model with one group of rows
    error: float = 0.0  # relative standard error of the noise, of the group with the largest


def control_variate_noise(
    block_function: BlockFunction,
    centre: Array,
    covariance: Array,
    generator: np.random.Generator,
    probabilities: Array | None = None,
    *,
    kinked: bool = False,
    sizes: Sequence[Array | None] = (),
) -> RemainingNoise:
    r"""Return the row noise that is left with a control variate at a centre.

    The scores of a row at a point of the posterior and at the centre are subtracted; their
    covariance over rows is averaged over points drawn from the Gaussian picture. Where few rows
    have most of the noise, all rows are looked at, and then drawn with probabilities :math:`p_i`
    in proportion to the root mean square of their part, with weights :math:`1 / (N p_i)`. Batches
    may be drawn with these probabilities too, and then have less noise.

    Parameters
    ----------
    block_function : BlockFunction
    centre : array, shape (n_dim,)
    covariance : array, shape (n_dim, n_dim)
        Of the posterior.
    generator : numpy.random.Generator
    probabilities : array, shape (total_size,), optional
        With which the batches draw the rows of the one group; uniform if not given.
    kinked : bool
        Whether the gradients of rows jump, so that only rows near a jump have a part.
    sizes : sequence of (array or None), optional
        How much each row of a group matters, from a first look; of many rows, those that
        :func:`rows_looked_at` names, which stand for all of them. Where rows are alike by it and by
        their parts in the noise, they are not looked at again.
    """
    n_dim, totals = len(centre), block_function.total_sizes
    noise = np.zeros((len(totals), n_dim, n_dim))
    evaluated, uneven, errors = 0, None, [0.0]
    for group, total in enumerate(totals):
        if total == 1:  # one row is never a part of the rows
            continue
        looked_at = None if probabilities is not None else rows_looked_at(int(total))
        measure = _Measure(block_function, centre, covariance, group, generator, looked_at)
        n_rows = measure.n_rows
        uniform = np.full(n_rows, 1 / n_rows)
        if probabilities is not None:
            noise[group], parts = measure.over_points(probabilities, probabilities)
        else:
            noise[group], parts = measure.over_points(uniform, uniform)
            known = sizes[group] if len(sizes) else None
            alike = known is not None and unevenness(known, FIRST_LOOKS) <= UNEVEN
            looks = kinked or _is_uneven(parts, all_looked_at=alike)
            looks = looks or (total > _LARGE and not alike)
            by_size = measure.by_size(known, kinked) if looks else uniform
            if looks and (_is_uneven(parts) or n_rows * (by_size**2).sum() > _UNEVEN):
                noise[group], parts = measure.over_points(by_size, uniform)
                left, parts_left = measure.over_points(by_size, by_size)
                if len(totals) == 1 and n_rows == total:
                    uneven = UnevenRows(by_size, left[None], _relative_error(parts_left))
        errors.append(_relative_error(parts))
        evaluated += measure.evaluated
    return RemainingNoise(noise, evaluated / float(sum(totals)), uneven, max(errors))


def _relative_error(parts: Array) -> float:
    """Return the relative standard error of the mean of the rows' parts."""
    mean = float(parts.mean()) if len(parts) else 0.0
    return float(parts.std() / np.sqrt(len(parts)) / mean) if mean > 0 else 0.0


class _Measure:
    """The differences of scores of one group of rows."""

    def __init__(
        self,
        block_function: BlockFunction,
        centre: Array,
        covariance: Array,
        group: int,
        generator: np.random.Generator,
        looked_at: Array | None,
    ) -> None:
        self.function, self.centre, self.group = block_function, centre, group
        self.covariance, self.factor = covariance, np.linalg.cholesky(covariance)
        self.generator = generator
        self.looked_at = looked_at  # None: all
        total = int(block_function.total_sizes[group])
        self.n_rows = total if looked_at is None else len(looked_at)
        self.evaluated = 0
        self._drawn: Iterator[Array] = iter(())

    def over_points(self, drawn_by: Array, of_batches: Array) -> tuple[Array, Array]:
        """Return the noise of one row of a batch, averaged, and the parts that rows had in it.

        Parameters
        ----------
        drawn_by : array, shape (n_rows,)
            Probabilities with which the rows are looked at.
        of_batches : array, shape (n_rows,)
            Probabilities whose noise is asked for.
        """
        n_dim = len(self.centre)
        enough = -(-_ROWS_PER_PARAMETER * min(n_dim, MANY) // _ROWS_AT_A_POINT)
        n_groups = len(self.function.total_sizes)
        n_points = max(_FEWEST_OF_A_GROUP, -(-max(_FEWEST_POINTS, enough) // n_groups))
        n_rows = min(_ROWS_AT_A_POINT, self.n_rows)
        ends = np.cumsum(drawn_by)
        noise, parts = np.zeros((n_dim, n_dim)), []
        for _ in range(n_points):
            places = ends[-1] * self.generator.random(n_rows)
            rows = np.searchsorted(ends[:-1], places, side="right")
            left = self._left(rows)
            to_mean = 1 / (self.n_rows * drawn_by[rows])
            in_batch = 1 / (self.n_rows * of_batches[rows])
            # of hundreds of group effects a few rows see a few
            used = np.flatnonzero(left.any(axis=0))
            left = left[:, used]
            noise[np.ix_(used, used)] += _covariance(left, to_mean, in_batch) / n_points
            whitened = ((left @ self.covariance[np.ix_(used, used)]) * left).sum(axis=1)
            parts.append(to_mean * in_batch * whitened)
        return noise, np.concatenate(parts)

    def by_size(self, known: Array | None, kinked: bool) -> Array:
        """Look at every row; return probabilities by the size of its part, in posterior sds.

        With sizes from a first look, half as many looks are added to these. All rows of a level
        have the error of few looks in common, and the level that was seen least has most of the
        noise: so there are more looks where there are more parameters. Where gradients jump, a row
        has a part if the jump lies between centre and draw: so far the second difference of its
        value is seen, from farther off for rows at the edge, and its part is the root of that.
        """
        looks = MANY_LOOKS if known is None or kinked else FEW_LOOKS
        looks = int(looks * np.clip(len(self.centre) / _FEW_PARAMETERS, 1, _MOST_TIMES))
        self.evaluated += passes(looks) * self.n_rows
        factor = TO_A_KINK * self.factor if kinked else self.factor
        size = row_sizes(self.function, self.centre, factor, self.group, self.generator, looks)
        if kinked:
            size = np.sqrt(size)
        elif known is not None and size.sum() > 0 and known.sum() > 0:
            size = looks * size / size.sum() + FEW_LOOKS * known / known.sum()
        if not size.sum() > 0:
            return np.full(self.n_rows, 1 / self.n_rows)
        return np.asarray(UNIFORM_SHARE / self.n_rows + (1 - UNIFORM_SHARE) * size / size.sum())

    def _point(self) -> Array:
        """Return a draw from the Gaussian picture of the posterior."""
        if len(self.centre) > MANY:
            return self._of_many()
        normal = self.generator.standard_normal(len(self.centre))
        return np.asarray(self.centre + self.factor @ normal).astype(self.centre.dtype)

    def _of_many(self) -> Array:
        """Return a draw; the products with a large factor are made for many at a time."""
        drawn = next(self._drawn, None)
        if drawn is None:
            normals = self.generator.standard_normal((len(self.centre), _AT_ONCE))
            draws = self.centre[:, None] + self.factor @ normals
            self._drawn = iter(np.ascontiguousarray(draws.T, dtype=self.centre.dtype))
            drawn = next(self._drawn)
        return drawn

    def _left(self, rows: Array) -> Array:
        """Return what is left of the rows' scores at a point of the posterior."""
        self.evaluated += 2 * len(rows)
        rows = rows if self.looked_at is None else self.looked_at[rows]
        there = self.function.row_gradients(self._point(), self.group, rows)
        here = self.function.row_gradients(self.centre, self.group, rows)
        left: Array = np.asarray(there, dtype=float) - np.asarray(here, dtype=float)
        return left


def _is_uneven(parts: Array, *, all_looked_at: bool = False) -> bool:
    """Whether some rows, drawn with equal probabilities, have much more of the noise than others.

    Parameters
    ----------
    parts : array
        Squares, of the rows that were looked at.
    all_looked_at : bool
        Whether all rows are known to be alike in size: none like a large one was missed then.
    """
    total = max(float(parts.sum()), 1e-300)
    of_typical = float(np.sqrt(np.maximum(parts, 0)).mean()) ** 2 * len(parts)
    one_is_large = not all_looked_at and parts.max() > _LARGEST_SHARE * total
    return bool(one_is_large or total > _UNEVEN * of_typical > 0)


def _covariance(left: Array, to_mean: Array, in_batch: Array) -> Array:
    """Return an unbiased estimate of the covariance of a row's part, from a weighted sample.

    The square of the mean is estimated by products of different rows.

    Parameters
    ----------
    left : array, shape (n_rows, n_dim)
    to_mean : array, shape (n_rows,)
        Weights with which the mean over the sample is that over all rows.
    in_batch : array, shape (n_rows,)
        Weights of the rows in a batch.
    """
    n_rows = len(left)
    weighted = to_mean[:, None] * left
    own = weighted.T @ weighted
    total = weighted.sum(axis=0)
    square_of_mean = (np.outer(total, total) - own) / (n_rows * (n_rows - 1))
    return np.asarray((in_batch[:, None] * weighted).T @ left / n_rows - square_of_mean)
