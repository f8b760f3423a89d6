"""The noise of batches in the gradient of thousands of effects, as sparse matrices.

What a control variate leaves of a row's score has entries for what the row gathers and for shared
parameters. Its outer products over all rows, at a few points of the posterior, have the pattern of
the rows' information. No row is left out, so that none that matters is missed.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import scipy

from scipy.sparse import csr_array

from pymc_sgld.hierarchical_gibbs.arrowhead_metric import ConditionalMetric, ConditionalNoise
from pymc_sgld.hierarchical_gibbs.sparse_rows import SparseRows, Sums
from pymc_sgld.types import Array

_POINTS, _FEWER_POINTS = 8, 4  # the latter where rows share many parameters
_MANY_SHARED = 4
_UNEVEN = 3.0  # noise with equal probabilities over the least there can be
_UNIFORM_SHARE = 0.1  # of probabilities by size
_NUMBERS_AT_ONCE = 2_000_000
_LANCZOS = 1e-2  # relative tolerance


class SparseNoise(NamedTuple):
    """The noise of a batch of one row, scaled to all rows."""

    by_group: tuple[csr_array, ...]  # (n_dim, n_dim), rows drawn alike
    data_passes: float
    probabilities: Array | None = None  # (total_size,), by size, where rows are uneven
    weighted: csr_array | None = None  # (n_dim, n_dim), drawn with these


def sparse_noise(
    rows: SparseRows,
    centre: Array,
    draws: Array,
    metric: ConditionalMetric,
    *,
    control_variate: bool,
) -> SparseNoise:
    """Measure the noise on all rows, at some draws.

    Parameters
    ----------
    rows : SparseRows
    centre : array, shape (n_dim,)
        Of the control variate.
    draws : array, shape (n_draws, n_dim)
        About from the posterior.
    metric : ConditionalMetric
        In whose coordinates a row's part is measured.
    control_variate : bool
        Without, the noise is that of the scores at the centre.
    """
    few = len(rows.gathered.shared) > _MANY_SHARED
    points = draws[:: max(1, len(draws) // (_FEWER_POINTS if few else _POINTS))]
    points = points if control_variate else centre[None]
    totals = rows.function.total_sizes
    alike = [np.ones(total) for total in totals]
    found, sizes, passes = _sums(rows, centre, points, metric, alike, control_variate)
    by_group = tuple(csr_array(total * one) for total, one in zip(totals, found, strict=True))
    uneven = len(totals) == 1 and (
        totals[0] * (sizes[0] ** 2).sum() > _UNEVEN * sizes[0].sum() ** 2 > 0
    )
    if not uneven:
        return SparseNoise(by_group, passes)
    [size], [total] = sizes, totals
    probabilities = _UNIFORM_SHARE / total + (1 - _UNIFORM_SHARE) * size / size.sum()
    weights = [1 / probabilities]
    [weighted], _, more = _sums(rows, centre, points, metric, weights, control_variate)
    return SparseNoise(by_group, passes + more, probabilities, weighted)


def _sums(
    rows: SparseRows,
    centre: Array,
    points: Array,
    metric: ConditionalMetric,
    weights: list[Array],
    control_variate: bool,
) -> tuple[list[csr_array], list[Array], float]:
    """Return sums of weighted outer products by group, root mean squares of rows' parts, passes."""
    gathered, matrices, sizes = rows.gathered, [], []
    by_ratios = _scores_by_ratios(rows, [centre, *points] if control_variate else [centre])
    places = len(points) + control_variate
    passes = float(places * (1 if by_ratios else max(1, len(gathered.shared))))
    for number, entries in enumerate(rows.entries):
        sums = Sums(gathered.n_dim, gathered.shared)
        squares = np.zeros(len(entries))
        if by_ratios:
            parts = _left_by_ratios(rows, number, by_ratios, control_variate)
        else:
            parts = _left(rows, number, centre, points, control_variate)
        for part, of_columns, of_shared in parts:
            weight = weights[number][part, None] / len(points)
            for column in range(of_columns.shape[1]):
                values = weight * of_columns * of_columns[:, column : column + 1]
                sums.add_column(entries[part], column, values)
            for shared in range(of_shared.shape[1]):
                own = weight * of_shared[:, shared : shared + 1]
                sums.add_shared(
                    entries[part], shared, own * of_columns, (own * of_shared).sum(axis=0)
                )
            inner = _whitened_squares(metric, gathered.shared, entries[part], of_columns, of_shared)
            squares[part] += inner / len(points)
        matrices.append(sums.matrix)
        sizes.append(np.sqrt(squares))
    return matrices, sizes, passes


def _scores_by_ratios(rows: SparseRows, places: list[Array]) -> list[list[Array]]:
    """Return scores by the first effect, by place and group; none where ratios do not hold."""
    if rows.ratios is None:
        return []
    scores = []
    for place in places:
        of_place = rows.ratios.scores(rows.function, rows.gathered, place)
        if of_place is None:
            rows.forget_ratios()
            return []
        scores.append(of_place)
    return scores


def _left_by_ratios(
    rows: SparseRows, number: int, scores: list[list[Array]], control_variate: bool
) -> Iterator[tuple[slice, Array, Array]]:
    """Yield what :func:`_left` does."""
    assert rows.ratios is not None
    lines, n_columns = rows.ratios.by_group[number], rows.entries[number].shape[1]
    at_once = max(1, _NUMBERS_AT_ONCE // lines.shape[1])
    at_centre = scores[0][number]
    for there in scores[control_variate:]:
        left = there[number] - at_centre if control_variate else there[number]
        for first in range(0, len(lines), at_once):
            part = slice(first, min(first + at_once, len(lines)))
            whole = left[part, None] * lines[part]
            yield part, whole[:, :n_columns], whole[:, n_columns:]


def _left(
    rows: SparseRows, number: int, centre: Array, points: Array, control_variate: bool
) -> Iterator[tuple[slice, Array, Array]]:
    """Yield pieces of the rows, and what is left of their scores, gathered and shared, by point."""
    gathered, group = rows.gathered, rows.gathered.groups[number]
    n_shared, none = len(gathered.shared), np.zeros(group.n_columns)
    units = np.eye(n_shared) if n_shared else np.zeros((1, 0))
    places = (centre, *points) if control_variate else (centre,)
    each = [
        gathered.derivatives(rows.function, group, at, none, unit)
        for at in places
        for unit in units
    ]
    for found in zip(*each, strict=True):
        part, scores = found[0][0], []
        for first in range(0, len(found), len(units)):
            some = [one for _, one in found[first : first + len(units)]]
            of_shared = np.stack([one.values for one in some], axis=1)[:, :n_shared]
            scores.append((some[0].scores, of_shared))
        if not control_variate:
            yield part, *scores[0]
        for there in scores[1:]:
            yield part, there[0] - scores[0][0], there[1] - scores[0][1]


def _whitened_squares(
    metric: ConditionalMetric, shared: Array, entries: Array, of_columns: Array, of_shared: Array
) -> Array:
    """Return the squares of rows' parts in the coordinates of the metric."""
    squares = ((metric.scale[entries] * of_columns) ** 2).sum(axis=1)
    if not len(metric.border):
        return np.asarray(squares)
    at_once = max(1, _NUMBERS_AT_ONCE // len(metric.border))
    for first in range(0, len(entries), at_once):
        some = slice(first, first + at_once)
        along = of_shared[some] @ metric.columns[shared]
        for column in range(entries.shape[1]):
            along = along + of_columns[some, column, None] * metric.columns[entries[some, column]]
        squares[some] += (along**2).sum(axis=1)
    return np.asarray(squares)


def largest_noise(noise: csr_array, metric: ConditionalMetric) -> tuple[float, Array]:
    """Return the largest variance of a gradient in coordinates, and its direction in them."""
    _, *parameters = metric.parameters()
    n_dim = noise.shape[0]

    def product(coordinates: Array) -> Array:
        moved = metric.to_position(np.ravel(coordinates), np.zeros(n_dim), *parameters)
        return metric.whitened(noise @ moved)

    operator = scipy.sparse.linalg.LinearOperator((n_dim, n_dim), matvec=product, dtype=float)
    start = np.random.default_rng(0).standard_normal(n_dim)
    if not product(start).any():
        return 0.0, np.zeros(n_dim)
    values, vectors = scipy.sparse.linalg.eigsh(operator, k=1, which="LA", tol=_LANCZOS, v0=start)
    return float(values[0]), vectors[:, 0]


def by_coordinate(noise: csr_array, metric: ConditionalMetric) -> ConditionalNoise:
    """Return the noise of a batch as what a chain compensates."""
    of_border = np.zeros(noise.shape[0])
    of_border[metric.border] = (metric.columns * (noise @ metric.columns)).sum(axis=0)
    return ConditionalNoise(np.asarray(noise.diagonal()), of_border)
