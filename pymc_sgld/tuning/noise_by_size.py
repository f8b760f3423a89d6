r"""The noise of rows that are drawn by their size, of more parameters than a matrix can have.

Rows are looked at with probabilities :math:`p_i` in proportion to their size, at draws from the
posterior, and weighed by the inverse: what rare rows add is seen however rare they are. It is
known along the coordinates of a metric and a few other directions.
"""

from typing import NamedTuple

import numpy as np

from pymc_sgld.model_graph import BlockFunction
from pymc_sgld.preconditioners import LowRankMetric
from pymc_sgld.tuning.remaining_noise import UNIFORM_SHARE
from pymc_sgld.types import Array

_POINTS = 200  # of the posterior
_FEWEST_AT_A_POINT = 20
_SEEN = 40  # rows looked at that see a parameter, on average


class NoiseOfRow(NamedTuple):
    """The variance of the gradient of a batch of one row, in coordinates."""

    by_coordinate: Array  # (n_dim,)
    largest: float  # along coordinates and the other directions that were looked at


class NoiseBySize(NamedTuple):
    """The noise of one row where all rows are drawn alike, and where they are drawn by size."""

    alike: NoiseOfRow
    by_size: NoiseOfRow
    probabilities: Array  # (total_size,), of the latter
    data_passes: float


def noise_by_size(
    block_function: BlockFunction,
    metric: LowRankMetric,
    directions: Array,
    sizes: Array,
    *,
    control_variate: bool,
    temperature: float,
    generator: np.random.Generator,
) -> NoiseBySize:
    r"""Measure the noise of the one group of rows.

    .. math:: V = E\left[\frac{(g_i - g_i^0)(g_i - g_i^0)^\top}{q_i}\right] - \bar g \bar g^\top

    with :math:`q_i` the probabilities of the batches, and the mean over points and over rows.

    Parameters
    ----------
    block_function : BlockFunction
    metric : LowRankMetric
        Its coordinates have unit posterior sds, about; its centre is the mode.
    directions : array, shape (n_dim, n_directions)
        Unit vectors in coordinates along which the noise is looked at, beside the coordinates.
    sizes : array, shape (total_size,)
    control_variate : bool
        Whether the gradient is corrected by that of the same rows at the mode.
    temperature : float
    generator : numpy.random.Generator
    """
    [total] = map(int, block_function.total_sizes)
    share = UNIFORM_SHARE if sizes.sum() > 0 else 1.0
    probabilities = share / total + (1 - share) * sizes / max(float(sizes.sum()), 1e-300)
    ends, n_dim = np.cumsum(probabilities), len(metric.centre)
    squares, along = np.zeros((2, n_dim)), np.zeros((2, directions.shape[1]))
    n_rows, looked = min(_FEWEST_AT_A_POINT, total), 0
    for number in range(_POINTS):
        normal = np.sqrt(temperature) * generator.standard_normal(n_dim)
        position = metric.to_position(normal, *metric.parameters()).astype(metric.centre.dtype)
        places = ends[-1] * generator.random(n_rows)
        rows = np.searchsorted(ends[:-1], places, side="right")
        left = block_function.row_gradients(position, 0, rows).astype(float)
        if control_variate:
            left = left - block_function.row_gradients(metric.centre, 0, rows)
        to_mean = 1 / (total * probabilities[rows])
        pulled = _pulled(metric, left)
        both = np.stack([np.ones(n_rows), to_mean])
        squares += total**2 / _POINTS * _variance(pulled, to_mean, both)
        along += total**2 / _POINTS * _variance(pulled @ directions, to_mean, both)
        looked += (1 + control_variate) * n_rows
        if number == 0:  # of many parameters a row sees few, others all
            seen = max(float((left != 0).mean()), 1e-6)
            wanted = min(_SEEN / seen, _SEEN * n_dim) / _POINTS
            n_rows = min(total, max(_FEWEST_AT_A_POINT, int(wanted)))
    alike, by_size = (
        NoiseOfRow(np.maximum(one, 0), float(max(one.max(), other.max(initial=0.0), 0.0)))
        for one, other in zip(squares, along, strict=True)
    )
    return NoiseBySize(alike, by_size, probabilities, looked / total)


def _pulled(metric: LowRankMetric, gradients: Array) -> Array:
    """Return gradients in coordinates, one a row."""
    scaled = gradients * metric.scale
    return np.asarray(
        scaled + ((scaled @ metric.directions) * (metric.stretch - 1)) @ metric.directions.T
    )


def _variance(left: Array, to_mean: Array, in_batch: Array) -> Array:
    """Return unbiased variances of a row's part, for each kind of batch.

    The square of the mean is estimated by products of different rows.
    """
    n_rows = len(left)
    weighted = to_mean[:, None] * left
    of_mean = weighted.sum(axis=0) ** 2 - (weighted**2).sum(axis=0)
    return np.asarray(in_batch @ (weighted * left) / n_rows - of_mean / (n_rows * (n_rows - 1)))
