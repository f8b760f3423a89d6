r"""How much more noise there is between blocks of neighbouring rows than between rows.

The mean of the gradients of b rows of one block has the covariance :math:`V (1 + (b - 1)\rho) / b`,
with V that of a row. In rows of random order :math:`\rho = 0`; where a file is sorted, a block is
of one kind and says little of the others.
"""

import logging

from collections.abc import Sequence
from typing import NamedTuple
from weakref import WeakSet

import numpy as np

from pymc_sgld.gradient_estimators import GradientEstimator
from pymc_sgld.model_graph import BlockFunction
from pymc_sgld.row_sources import RandomBlocks, number_of_blocks
from pymc_sgld.tuning.errors import TuningError
from pymc_sgld.tuning.local_gaussian import LocalGaussian
from pymc_sgld.types import Array

_MOST_BLOCKS = 1024  # that are looked at
_SORTED = 2.0  # times the noise of rows in random order, from which it counts
_POINTS = 3  # of the posterior, at which what a control variate leaves is looked at

_log = logging.getLogger("pymc.sgld")
_told: WeakSet[BlockFunction] = WeakSet()  # of these models it was said


class BetweenBlocks(NamedTuple):
    """The noise of rows that come in blocks."""

    row_noise: Array  # (n_dim, n_dim), for batches of single rows to have the same
    factor: float  # largest noise over that of rows in random order; 1 where it may be chance
    data_passes: float


def between_blocks(
    block_function: BlockFunction,
    group: int,
    rows_of_block: int,
    row_noise: Array,
    points: Sequence[Array],
    generator: np.random.Generator,
    centre: Array | None = None,
) -> BetweenBlocks:
    """Measure the noise of batches that are made of blocks of neighbouring rows.

    Parameters
    ----------
    block_function : BlockFunction
    group : int
        Of rows.
    rows_of_block : int
    row_noise : array, shape (n_dim, n_dim)
        Covariance of what the estimator leaves of the gradient of a row.
    points : sequence of array, shape (n_dim,)
        Where it is looked at.
    generator : numpy.random.Generator
        Chooses blocks, where there are more than 1024.
    centre : array, shape (n_dim,), optional
        Of a control variate.
    """
    total = int(block_function.total_sizes[group])
    numbers = np.arange(total // rows_of_block)
    if len(numbers) > _MOST_BLOCKS:
        numbers = np.sort(generator.choice(len(numbers), _MOST_BLOCKS, replace=False))
    places = [slice(k * rows_of_block, (k + 1) * rows_of_block) for k in numbers.tolist()]
    weights = [float(g == group) for g in range(len(block_function.total_sizes))]
    pieces: list[slice] = [slice(0, 1)] * len(weights)
    means = np.zeros((len(points), len(places), len(row_noise)))
    for place, rows in enumerate(places):
        blocks = block_function.read(
            [rows if g == group else pieces[g] for g in range(len(pieces))]
        )

        def slope(at: Array, blocks: list[Array] = blocks) -> Array:
            gradient = block_function.on_blocks(at, blocks, prior_weight=0.0, weights=weights)[1]
            return np.asarray(gradient, dtype=float) / rows_of_block

        at_centre = 0.0 if centre is None else slope(centre)
        means[:, place] = [slope(point) - at_centre for point in points]
    evaluated = (len(points) + (centre is not None)) * len(places) * rows_of_block
    apart = means - means.mean(axis=1, keepdims=True)
    degrees = len(points) * max(1, len(places) - 1)
    of_blocks = rows_of_block * np.einsum("pki,pkj->ij", apart, apart) / degrees
    noise, factor = _larger(row_noise, of_blocks, degrees)
    return BetweenBlocks(noise, factor, evaluated / float(sum(block_function.total_sizes)))


def with_noise_of_blocks(
    block_function: BlockFunction,
    estimator: GradientEstimator,
    scheme: RandomBlocks,
    position: Array,
    gaussian: LocalGaussian,
    temperature: float,
    generator: np.random.Generator,
    *,
    compensates: bool,
) -> LocalGaussian:
    """Return a picture with the noise of batches that are made of blocks of neighbouring rows.

    Parameters
    ----------
    block_function, estimator, scheme
    position : array, shape (n_dim,)
        The mode.
    gaussian : LocalGaussian
        With the noise of batches of rows in random order.
    temperature : float
    generator : numpy.random.Generator
    compensates : bool
        Whether noise is taken out of the injected noise.
    """
    points, centre = [position], None
    if estimator.reference_distance:
        covariance = np.linalg.inv(gaussian.precision) * temperature
        factor = np.linalg.cholesky(estimator.reference_distance * covariance)
        normals = generator.standard_normal((_POINTS, len(position)))
        points = list((position + normals @ factor.T).astype(position.dtype))
        centre = position
    row_noise, passes, largest = gaussian.row_noise.copy(), 0.0, 1.0
    for group, total in enumerate(block_function.total_sizes):
        if number_of_blocks(scheme, int(total)) == 1:
            continue
        measured = between_blocks(
            block_function, group, scheme.rows_of_block, row_noise[group], points, generator, centre
        )
        row_noise[group] = measured.row_noise
        largest, passes = max(largest, measured.factor), passes + measured.data_passes
    if largest > 1:
        _say(block_function, scheme, largest, compensates)
    return gaussian._replace(
        row_noise=scheme.sweeps * row_noise, data_passes=gaussian.data_passes + passes
    )


def _say(
    block_function: BlockFunction, scheme: RandomBlocks, factor: float, compensates: bool
) -> None:
    sorted_rows = (
        f"Rows are alike within blocks of {scheme.rows_of_block:,}, as in a file that is sorted: "
        f"batches that are read where they lie (scratch=False) have up to {factor:,.3g} times the "
        "noise of random rows"
    )
    instead = "Leave scratch out, so that rows are written once in random order."
    if compensates:
        raise TuningError(
            f"{sorted_rows}, the same for many steps: that cannot be taken out of the injected "
            f"noise. {instead}"
        )
    if block_function not in _told:
        _told.add(block_function)
        _log.warning(f"{sorted_rows}, for which step sizes are chosen. {instead}")


def _larger(of_rows: Array, of_blocks: Array, degrees: int) -> tuple[Array, float]:
    """Return the larger of two covariances in every direction, and by how much it is at most."""
    size = np.sqrt(np.maximum(np.diag(of_rows), 0))
    used = np.flatnonzero(size > 0)
    if not len(used):
        return of_rows, 1.0
    values, vectors = np.linalg.eigh(of_rows[np.ix_(used, used)] / np.outer(size[used], size[used]))
    root = vectors * np.sqrt(np.maximum(values, 1e-10 * values[-1]))
    back = np.linalg.inv(root) / size[used]
    ratios, directions = np.linalg.eigh(back @ of_blocks[np.ix_(used, used)] @ back.T)
    # the largest eigenvalue of a covariance of white noise, by Marchenko and Pastur
    by_chance = (1 + np.sqrt(len(used) / degrees)) ** 2
    factor = float(ratios[-1])
    if factor < _SORTED * by_chance:
        return of_rows, 1.0
    inner = (directions * np.maximum(ratios, 1.0)) @ directions.T
    outer = size[used, None] * root
    noise = of_rows.copy()
    noise[np.ix_(used, used)] = outer @ inner @ outer.T
    return noise, factor
