"""Where chains start, and which modes climbs from there end at."""

from collections.abc import Sequence

import numpy as np

from pymc_sgld.model_graph import BlockFunction
from pymc_sgld.tuning.laplace import find_laplace
from pymc_sgld.tuning.mode_search import climb, sample_rows, share_of, starting_scales
from pymc_sgld.tuning.other_modes import POINTS_OF_A_PATH, path_dips
from pymc_sgld.tuning.spectrum_ends import diagonal_scales
from pymc_sgld.tuning.tuned import LARGEST_MEASURED, Tuned
from pymc_sgld.types import Array

ANOTHER_MODE = 1.0  # posterior sds of a sample of the rows, root mean square over the parameters
_JITTER = 1.0  # half-width of PyMC's own jitter of starting points, in unconstrained space
_JITTER_RETRIES = 10
_ROWS_TO_COMPARE = 2000  # of a sample on which the modes of two starts are compared
_STARTS_BESIDE = 6  # from which another mode is looked for, beside those of the chains
_WIDE_JITTER = 2.0  # of these
_AT_A_MODE = 0.3  # posterior sds of slope


def jittered(
    function: BlockFunction,
    position: Array,
    generator: np.random.Generator,
    half_width: float = _JITTER,
    *,
    by_scale: bool = True,
    transformed: Sequence[int] = (),
) -> tuple[Array, float]:
    """Disperse starts, for PyMC starts all chains at one point; return also data passes.

    By the parameters' own scales, where wanted: a coefficient of a column of dollars leaps
    thousands of posterior sds by one. Such a start is where a climb on a sample of the rows begins,
    and must be finite on a sample of them; any other, on all rows. Entries that are ``transformed``
    move by one at most, as PyMC has it: of a scale's log that is nearly threefold.
    """
    scales = np.ones(len(position))
    rows, share = list[Array](), 1.0
    if by_scale:
        rows = sample_rows(function, _ROWS_TO_COMPARE, generator)
        share = share_of(function, rows)
    if by_scale and len(position) <= LARGEST_MEASURED:
        scales = starting_scales(function, position, generator)
        scales[list(transformed)] = np.minimum(scales[list(transformed)], 1.0)
    for number in range(_JITTER_RETRIES):
        offset = scales * generator.uniform(-half_width, half_width, len(position))
        moved = (position + offset).astype(position.dtype)
        value, gradient = function.batch(moved, rows) if by_scale else function.full(moved)
        if np.isfinite(value) and np.isfinite(gradient).all():
            return np.asarray(moved), (number + 1) * share
    return position, _JITTER_RETRIES * share


def near_mode(
    function: BlockFunction, tuned: Tuned, temperature: float, generator: np.random.Generator
) -> tuple[Array, float]:
    """Return a draw from the Gaussian picture around a mode, or the mode; and data passes."""
    normal = generator.standard_normal(len(tuned.mode))
    if tuned.covariance is not None:
        spread = np.asarray(np.linalg.cholesky(tuned.covariance) @ normal)
    elif tuned.metric.name == "low_rank":
        away = tuned.metric.to_position(normal, *tuned.metric.parameters())
        spread = np.asarray(away - tuned.mode)
    else:
        spread = diagonal_scales(function, tuned.mode, generator) * normal
    position = (tuned.mode + np.sqrt(temperature) * spread).astype(tuned.mode.dtype)
    finite = np.isfinite(function.full(position)[0])
    return np.asarray(position if finite else tuned.mode), 1.0


def ends_of_climbs(
    function: BlockFunction, starts: list[Array], known: Tuned, generator: np.random.Generator
) -> tuple[list[tuple[Array, float]], float]:
    """Return where climbs end and how far from a known mode, in sds per parameter; data passes.

    All of them are on one small sample of the rows, and in its wider posterior sds.
    """
    factor = None
    if known.covariance is not None:
        factor = np.linalg.cholesky(known.covariance)
    rows = sample_rows(function, _ROWS_TO_COMPARE, generator)
    ends = [
        climb(function, rows, start, generator, factor=factor) for start in (known.mode, *starts)
    ]
    share = np.sqrt(sum(map(len, rows)) / sum(function.total_sizes))
    home = ends[0].position - known.mode
    blocks, weights = function.read(rows), function.weights(rows)

    def on_rows(at: Array) -> float:
        return function.on_blocks(at, blocks, prior_weight=1.0, weights=weights)[0]

    apart, passes = [], sum(end.data_passes for end in ends)
    for end in ends[1:]:
        distance = float(share * known.distance(end.position - home))
        if distance > ANOTHER_MODE:
            passes += POINTS_OF_A_PATH * share**2
            dips = path_dips(on_rows, ends[0].position, end.position)
            distance = distance if dips else 0.0
        apart.append((end.position, distance))
    return apart, passes


def proved_apart(
    function: BlockFunction, mode: Array, score: float, known: Tuned
) -> tuple[float, float]:
    """Return how far another mode lies, in posterior sds, 0 where it is none; and data passes.

    Both must be modes on all rows, and the density must dip on the path between them.

    Parameters
    ----------
    function : BlockFunction
    mode : array, shape (n_dim,)
        Where a search on all rows has ended.
    score : float
        Root mean square of the slope there, in posterior sds.
    known : Tuned
    """
    apart = known.distance(mode)
    if not (apart > ANOTHER_MODE and score < _AT_A_MODE):
        return 0.0, 0.0
    dips = path_dips(lambda at: function.full(at)[0], known.mode, mode)
    return apart if dips else 0.0, float(POINTS_OF_A_PATH)


def other_mode(
    function: BlockFunction,
    start: Array,
    known: Tuned,
    generator: np.random.Generator,
    transformed: Sequence[int] = (),
) -> tuple[float, float]:
    """Climb from a few dispersed starts; return how far another mode lies, and data passes.

    The distance is in posterior sds, root mean square over the parameters; 0 if all the climbs
    end at the known mode.
    """
    passes, one_side = 0.0, []
    for _ in range(_STARTS_BESIDE // 2):
        moved, more = jittered(function, start, generator, _WIDE_JITTER, transformed=transformed)
        one_side.append(moved)
        passes += more
    # in pairs on either side: a mode and its mirror image are then seen more surely
    starts = [*one_side, *(2 * start - moved for moved in one_side)]
    ends, more = ends_of_climbs(function, starts, known, generator)
    passes += more
    for where, distance in ends:
        if distance > ANOTHER_MODE:
            # the small climb may have stopped on its way: a search on all rows decides
            other = find_laplace(function, where, generator)
            apart, more = proved_apart(function, other.position, other.score, known)
            passes += other.data_passes + more
            if apart and other.arrived:
                return apart, passes
    return 0.0, passes
