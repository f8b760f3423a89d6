"""The posterior mode: on a sample of the rows first, on all of them last."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import scipy

from pymc_sgld.model_graph import BlockFunction
from pymc_sgld.tuning.rough_coordinates import coordinates_of_some
from pymc_sgld.tuning.row_sample import ROWS_OF_A_SAMPLE
from pymc_sgld.tuning.row_scores import pieces
from pymc_sgld.tuning.row_sizes import MOST_ROWS
from pymc_sgld.tuning.trust_region import (
    information_scales,
    newton_climb,
    prior_curvatures,
    rows_of_a_group,
)
from pymc_sgld.types import Array

_ROWS_FOR_SCALES = 500
_REFUSED = 1e100  # value of a point where the log-posterior is not finite
GRADIENT_IN_SDS = 0.05  # at the mode: slope over a posterior sd, of a drop of 1/2
_MOST_ROUNDS = 20
_MOST_HALVINGS = 12  # of the way to the mode of a small sample
_LEAST_GAIN = 0.01  # of log-density, in a round


class ModeSearch(NamedTuple):
    """What a search found."""

    position: Array  # (n_dim,)
    logp: float
    data_passes: float


def sample_rows(
    block_function: BlockFunction, most: int, generator: np.random.Generator
) -> list[Array]:
    """Return for each group the numbers of at most ``most`` of its rows, without repeats."""
    sizes = [None if total <= most else most for total in block_function.total_sizes]
    return block_function.random_rows(sizes, generator)


def share_of(block_function: BlockFunction, rows: list[Array]) -> float:
    """Return the share of all rows; 1 where the model has none and is evaluated as a whole."""
    total = sum(block_function.total_sizes)
    return sum(map(len, rows)) / total if total else 1.0


def unit_information_scales(
    block_function: BlockFunction, position: Array, generator: np.random.Generator
) -> Array:
    """Return a rough posterior sd of each parameter, from the scores of some rows.

    The sum over rows of squared scores estimates the information that the data hold on each
    parameter alone; to it comes the curvature of the prior.
    """
    information = np.zeros(len(position))
    most = rows_of_a_group(_ROWS_FOR_SCALES, len(block_function.total_sizes))
    for group, rows in enumerate(sample_rows(block_function, most, generator)):
        squares: Array | float = 0.0
        for some in pieces(rows, len(position)):
            scores = block_function.row_gradients(position, group, some)
            squares = squares + np.nan_to_num(scores**2).sum(axis=0)
        information += block_function.total_sizes[group] * (squares / len(rows))
    return information_scales(block_function, position, information)


def starting_scales(
    block_function: BlockFunction, position: Array, generator: np.random.Generator
) -> Array:
    """Return over what widths starts are dispersed, by parameter.

    The change that moves the prediction of a typical row by about one, or the prior's own scale,
    where that is smaller; at least a rough posterior sd.
    """
    scales = unit_information_scales(block_function, position, generator)
    curved = prior_curvatures(block_function, position, scales)
    of_prior = 1 / np.sqrt(np.where(curved > 0, curved, np.inf))
    a_row = scales * np.sqrt(max(sum(block_function.total_sizes), 1))
    return np.asarray(np.maximum(np.where(curved > 0, np.minimum(a_row, of_prior), a_row), scales))


def find_mode(
    block_function: BlockFunction,
    start: Array,
    generator: np.random.Generator,
    tolerance: float = GRADIENT_IN_SDS,
) -> ModeSearch:
    """Climb to a mode of the log-posterior by Newton steps in a trust region.

    The search runs on a sample of at most 20,000 rows (its log-likelihood scaled up) and, if there
    are more, is finished on all rows, which takes few iterations from there.

    Parameters
    ----------
    block_function : BlockFunction
    start : array, shape (n_dim,)
        Where the climb begins; decides which mode is found.
    generator : numpy.random.Generator
        Chooses the sample.
    tolerance : float, default 0.05
        Largest slope at the end, times a rough posterior sd.
    """
    sampled = find_mode_of_sample(block_function, start, generator, tolerance)
    if max(block_function.total_sizes, default=0) <= ROWS_OF_A_SAMPLE:
        return sampled
    position, evaluations = _to_the_top(
        block_function.full, block_function, sampled.position, generator, tolerance
    )
    logp, _ = block_function.full(position)
    return ModeSearch(position, float(logp), sampled.data_passes + evaluations + 1)


def _to_the_top(
    value_and_gradient: Callable[[Array], tuple[float, Array]],
    block_function: BlockFunction,
    start: Array,
    generator: np.random.Generator,
    tolerance: float,
) -> tuple[Array, int]:
    """Maximise by Newton steps in a trust region."""
    return newton_climb(
        value_and_gradient,
        start,
        lambda at: coordinates_of_some(block_function, at, generator)[0],
        tolerance,
        block_function.dtype,
        sum(block_function.total_sizes),
    )


def find_mode_of_sample(
    block_function: BlockFunction,
    start: Array,
    generator: np.random.Generator,
    tolerance: float = GRADIENT_IN_SDS,
) -> ModeSearch:
    """Climb to a mode of the log-posterior of at most 20,000 rows, scaled up to all of them.

    It lies within a few posterior sds of all rows from their mode. Parameters as in
    :func:`find_mode`.
    """
    rows = sample_rows(block_function, ROWS_OF_A_SAMPLE, generator)
    return climb(block_function, rows, start, generator, tolerance)


def on_the_way(block_function: BlockFunction, start: Array, position: Array) -> tuple[Array, float]:
    """Return a point on the way to where a sample led that is no worse for all rows; and passes.

    A small sample has few of the rows far out in a column with a heavy tail: at its mode the
    exponentials of a count may overflow there, and neither sizes nor slopes of rows mean anything.
    """
    if max(block_function.total_sizes, default=0) <= ROWS_OF_A_SAMPLE:
        return position, 0.0
    at_start, share = block_function.full(start)[0], 1.0
    for number in range(_MOST_HALVINGS):
        between = (start + share * (position - start)).astype(position.dtype)
        if not block_function.full(between)[0] < at_start:  # or the start is where there is none
            return between, number + 2.0
        share /= 2
    return position, _MOST_HALVINGS + 1.0


def climb(
    block_function: BlockFunction,
    rows: list[Array] | None,
    start: Array,
    generator: np.random.Generator,
    tolerance: float = GRADIENT_IN_SDS,
    factor: Array | None = None,
) -> ModeSearch:
    """Climb to a mode of the log-posterior of the given rows, scaled up to all rows; None: of all.

    In coordinates that ``factor`` whitens, shape (n_dim, n_dim), where one is known; else in rough
    posterior sds, which takes more evaluations where parameters correlate.
    """
    share = 1.0
    if rows is None and max(block_function.total_sizes, default=0) <= MOST_ROWS:
        rows = [np.arange(size) for size in block_function.total_sizes]
    if rows is not None:
        share, blocks = share_of(block_function, rows), block_function.read(rows)
        weights = block_function.weights(rows)

    def on_rows(position: Array) -> tuple[float, Array]:
        if rows is None:
            return block_function.full(position)
        return block_function.on_blocks(position, blocks, prior_weight=1.0, weights=weights)

    if factor is None:
        position, evaluations = _to_the_top(on_rows, block_function, start, generator, tolerance)
    else:
        position, evaluations = _climb_whitened(on_rows, start, factor, tolerance)
    logp, _ = on_rows(position)
    return ModeSearch(position, float(logp), (evaluations + 1) * share)


def _climb_whitened(
    value_and_gradient: Callable[[Array], tuple[float, Array]],
    start: Array,
    factor: Array,
    tolerance: float,
) -> tuple[Array, int]:
    """Maximise by L-BFGS in coordinates of unit posterior sd, until there is nothing to gain.

    References
    ----------
    .. [1] Liu, D. C. and Nocedal, J. (1989). On the limited memory BFGS method for large scale
       optimization. Mathematical Programming 45. https://doi.org/10.1007/BF01589116
    """
    position, evaluations, value = start, 0, -np.inf
    for _ in range(_MOST_ROUNDS):
        # L-BFGS creeps along kinks
        result = _round(value_and_gradient, position, factor, tolerance, tolerance**2 / 2)
        position = (position + factor @ result.x).astype(start.dtype)
        evaluations += int(result.nfev)
        before, value = value, -float(result.fun)
        if result.success or value - before < _LEAST_GAIN:
            break
    return position, evaluations


def _round(
    value_and_gradient: Callable[[Array], tuple[float, Array]],
    start: Array,
    factor: Array,
    tolerance: float,
    least_gain: float,
) -> Any:
    """Run L-BFGS from ``start`` in coordinates that a matrix whitens."""

    def objective(offset: Array) -> tuple[float, Array]:
        value, gradient = value_and_gradient(start + factor @ offset)
        if not (np.isfinite(value) and np.isfinite(gradient).all()):
            return _REFUSED, np.zeros_like(offset)
        return -float(value), -(factor.T @ np.asarray(gradient, dtype=float))

    relative = least_gain / max(abs(objective(np.zeros(len(start)))[0]), 1.0)
    return scipy.optimize.minimize(
        objective,
        np.zeros(len(start)),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 100, "ftol": max(relative, 1e-13), "gtol": tolerance / 2},
    )
