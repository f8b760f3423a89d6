"""The mode of the posterior of all rows, and the Gaussian picture of the model there."""

from typing import NamedTuple

import numpy as np

from pymc_sgld.model_graph import BlockFunction, doing
from pymc_sgld.tuning.kinked_priors import smoothed_slope
from pymc_sgld.tuning.local_gaussian import LocalGaussian, Scores, local_gaussian, look_at_scores
from pymc_sgld.tuning.mode_search import (
    climb,
    find_mode,
    on_the_way,
    sample_rows,
)
from pymc_sgld.tuning.rough_coordinates import rough_coordinates
from pymc_sgld.tuning.row_sample import ROWS_OF_A_SAMPLE, RowSample
from pymc_sgld.tuning.trust_region import newton_climb
from pymc_sgld.types import Array

_ROUGHLY = 0.5  # tolerance of the first climb
_ARRIVED = 0.1  # root mean square of the gradient over the parameters, in posterior sds
_EACH_ARRIVED = 0.3  # posterior sds of any parameter from the mode: an average hides one of many
_MOST_STEPS = 5  # with the Hessian of one place, and more while they shrink the slope
_SLOW = 0.7
_MOST_ROUNDS = 2
_FEWEST_ROWS = 2000  # of the first sample
_ROWS_PER_PARAMETER = 20
_DIFFERENCE = 1e-2  # posterior sds
_MOST_LOST = 0.5  # of the log-density in a step to where the slope is smaller
_ROUNDING = {"float64": 1e-9, "float32": 1e-4}  # of a log-density, as a share of it
_EXACTLY = 1e-3  # of the slope at a mode, as above
_MOST_HESSIANS = 4


class Laplace(NamedTuple):
    """A mode and what the model looks like around it."""

    position: Array  # (n_dim,)
    logp: float
    gaussian: LocalGaussian
    covariance: Array  # (n_dim, n_dim)
    score: float  # root mean square of L' gradient: distance from the mode, in posterior sds
    data_passes: float
    scores: Scores | None = None  # of single rows, from near by
    farthest: float = 0.0  # distance of any parameter from its mode, in its own posterior sds

    @property
    def arrived(self) -> bool:
        """Whether all parameters together, and each of them, are at the mode."""
        return self.score < _ARRIVED and self.farthest < _EACH_ARRIVED

    def at(self, position: Array, logp: float, gradient: Array) -> "Laplace":
        """Return the picture with another position, and how far that is from the mode."""
        with np.errstate(invalid="ignore", over="ignore"):
            away = self.covariance @ gradient / np.sqrt(np.diag(self.covariance))
        farthest, score = float(np.abs(away).max(initial=0.0)), _size(gradient, self.covariance)
        return self._replace(position=position, logp=logp, score=score, farthest=farthest)


def find_laplace(
    block_function: BlockFunction,
    start: Array,
    generator: np.random.Generator,
    scores: Scores | None = None,
    *,
    near: bool = False,
) -> Laplace:
    r"""Find a mode and the Gaussian picture there.

    Newton steps in a trust region on a small sample of the rows, the Hessian there, and then Newton
    steps on all rows,

    .. math:: c \leftarrow c + A^{-1} \nabla \log p(c),

    of which three or four are enough, each a pass through the data. Where they do not arrive, the
    Hessian is measured anew, and in the end the trust region goes on, on all rows.

    Parameters
    ----------
    block_function : BlockFunction
    start : array, shape (n_dim,)
        Decides which mode is found.
    generator : numpy.random.Generator
        Chooses the samples.
    scores : Scores, optional
        Of single rows, where they are known from near by.
    near : bool
        Whether the start is near a mode of all rows, which that of a sample may be farther from.
    """
    position, passes = start, 0.0
    if not near:
        doing("looking for a mode on some of the rows")
        n_rows = max(_FEWEST_ROWS, _ROWS_PER_PARAMETER * len(start))
        rows = sample_rows(block_function, n_rows, generator)
        mode = climb(block_function, rows, start, generator, _ROUGHLY)
        position, more = on_the_way(block_function, start, mode.position)
        passes = mode.data_passes + more
    if scores is None:
        doing("looking for the rows that matter most")
        scores = look_at_scores(block_function, position, generator)
        passes += scores.data_passes
    if not near:
        position, evaluated = _on_more_rows(block_function, position, generator, scores)
        passes += evaluated
    found = _polished(block_function, position, passes, generator, scores)
    if found.gaussian.widths is not None and found.gaussian.widths.any():
        return _at_kinks(block_function, found, generator, scores)
    if not found.arrived and np.isfinite(found.score):
        found = _polished(block_function, found.position, found.data_passes, generator, scores)
    if found.arrived:
        return found
    mode = find_mode(block_function, found.position, generator)
    again = _polished(block_function, mode.position, mode.data_passes, generator)
    passes = found.data_passes + again.data_passes
    return (again if again.score < found.score else found)._replace(data_passes=passes)


def _on_more_rows(
    block_function: BlockFunction, position: Array, generator: np.random.Generator, scores: Scores
) -> tuple[Array, float]:
    """Climb on, on a sample with the rows that matter most, if there are more; return also passes.

    A small sample leaves the effect of a rare level where one of its rows, or none, has it.
    """
    if max(block_function.total_sizes, default=0) <= ROWS_OF_A_SAMPLE:
        return position, 0.0
    sample = RowSample(block_function, ROWS_OF_A_SAMPLE, generator, scores.sizes)

    def log_posterior(at: Array) -> tuple[float, Array]:
        prior, slope = block_function.prior(at)
        of_rows, more = sample.log_likelihood(at)
        return prior + of_rows, slope + more

    moved, evaluations = newton_climb(
        log_posterior,
        position,
        lambda at: rough_coordinates(block_function, at, scores.information),
        _ROUGHLY,
        block_function.dtype,
        sum(block_function.total_sizes),
    )
    return moved, evaluations * sample.share


def _at_kinks(
    block_function: BlockFunction,
    found: Laplace,
    generator: np.random.Generator,
    scores: Scores | None,
) -> Laplace:
    """Go on by L-BFGS on all rows: where a prior has kinks, Newton steps leap over them."""
    factor = np.linalg.cholesky(found.covariance)
    mode = climb(block_function, None, found.position, generator, factor=factor)
    passes = found.data_passes + mode.data_passes
    return _polished(block_function, mode.position, passes, generator, scores, most_steps=0)


def _polished(
    block_function: BlockFunction,
    position: Array,
    passes: float,
    generator: np.random.Generator,
    scores: Scores | None = None,
    most_steps: int = _MOST_STEPS,
) -> Laplace:
    """Take Newton steps on all rows, shortened where the gradient grows.

    A prior with a kink is smoothed over the width of the posterior.
    """
    doing("measuring the curvature, and looking for the mode of all rows")
    gaussian = local_gaussian(block_function, position, generator, scores)
    widths = np.zeros(len(position)) if gaussian.widths is None else gaussian.widths

    def smoothed(at: Array) -> tuple[float, Array]:
        value, slope = block_function.full(at)
        with np.errstate(invalid="ignore", over="ignore"):  # far away; the caller looks
            return value, slope + smoothed_slope(block_function.prior, at, widths)

    logp, gradient = smoothed(position)
    passes += gaussian.data_passes + 1
    if not (np.isfinite(gaussian.precision).all() and np.isfinite(gradient).all()):
        nothing = np.full_like(gaussian.precision, np.nan)
        return Laplace(position, logp, gaussian, nothing, np.inf, passes, scores)
    covariance = np.linalg.inv(gaussian.precision)
    found = Laplace(position, float(logp), gaussian, covariance, np.inf, passes, scores)
    found, shorter = found.at(position, float(logp), gradient), 1.0
    # a step is a pass, and another Hessian many
    most_steps = max(most_steps, int(gaussian.data_passes / 2)) if most_steps else 0
    for number in range(most_steps):
        if found.arrived:
            break
        before = found.score
        ahead = (found.position + shorter * (covariance @ gradient)).astype(position.dtype)
        value, slope = smoothed(ahead)
        tried = found.at(ahead, float(value), slope)
        lost = found.logp - tried.logp  # at the end of a support the slope is small far out too
        rounding = _ROUNDING[np.dtype(block_function.dtype).name] * abs(found.logp)
        flatter = tried.score < found.score and lost < _MOST_LOST + rounding
        if np.isfinite(value) and (flatter or tried.logp > found.logp):
            found, gradient, shorter = tried, slope, 1.0
        else:
            shorter /= 4
        passes += 1
        if number + 1 >= _MOST_STEPS and found.score > _SLOW * before:
            break
    return found._replace(data_passes=passes)


def _size(gradient: Array, covariance: Array) -> float:
    """Return the root mean square of the gradient in coordinates of unit posterior sd."""
    with np.errstate(invalid="ignore", over="ignore"):
        square = float(gradient @ covariance @ gradient) / len(gradient)
    return float(np.sqrt(max(square, 0.0))) if np.isfinite(square) else np.inf


def on_all_rows(block_function: BlockFunction, found: Laplace) -> Laplace:
    """Refine a mode and the covariance there, with Hessians of all rows.

    Newton steps; the Hessian is taken by central differences of the gradient along the directions
    that the covariance known so far whitens, ``2 * n_dim`` passes each.

    Parameters
    ----------
    block_function : BlockFunction
    found : Laplace
        From :func:`find_laplace`, whose covariance must be finite.

    Returns
    -------
    Laplace
        Its covariance is nan where the curvature is not positive in all directions.
    """
    mode = np.asarray(found.position, dtype=float)
    factor, passes = np.linalg.cholesky(found.covariance), found.data_passes
    for _ in range(_MOST_HESSIANS):
        precision = _whitened_precision(block_function, mode, factor)
        passes += 2 * len(mode) + 1
        if not _is_positive(precision):
            return found._replace(covariance=np.full_like(factor, np.nan), data_passes=passes)
        slope = factor.T @ block_function.full(mode)[1]
        mode = mode + factor @ np.linalg.solve(precision, slope)
        factor = factor @ np.linalg.cholesky(np.linalg.inv(precision))
        if np.sqrt(np.mean(slope**2)) < _EXACTLY:
            break
    logp, gradient = block_function.full(mode)
    covariance = factor @ factor.T
    score = _size(np.asarray(gradient, dtype=float), covariance)
    return Laplace(mode, float(logp), found.gaussian, covariance, score, passes + 1)


def _is_positive(matrix: Array) -> bool:
    return bool(np.isfinite(matrix).all() and np.linalg.eigvalsh(matrix)[0] > 0)


def _whitened_precision(block_function: BlockFunction, mode: Array, factor: Array) -> Array:
    columns = []
    for direction in _DIFFERENCE * factor.T:
        behind = np.asarray(block_function.full(mode - direction)[1], dtype=float)
        ahead = block_function.full(mode + direction)[1]
        columns.append(factor.T @ (behind - ahead) / (2 * _DIFFERENCE))
    return np.asarray((np.array(columns) + np.transpose(columns)) / 2)
