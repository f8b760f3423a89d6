"""Tuning without any n_dim x n_dim matrix: by products of the Hessian with vectors."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pymc_sgld.model_graph import BlockFunction
from pymc_sgld.preconditioners import LowRankMetric
from pymc_sgld.row_sources import INDEPENDENT, Sweep
from pymc_sgld.tuning.centre import centre_parameters
from pymc_sgld.tuning.errors import TuningError
from pymc_sgld.tuning.linear_law import LinearLaw
from pymc_sgld.tuning.mode_search import (
    GRADIENT_IN_SDS,
    ModeSearch,
    find_mode,
    find_mode_of_sample,
    on_the_way,
)
from pymc_sgld.tuning.noise_by_size import noise_by_size
from pymc_sgld.tuning.predicted_law_by_ends import BatchNoise, LawByEnds, batch_noise
from pymc_sgld.tuning.problem import TuningProblem
from pymc_sgld.tuning.proof import AS_MEASURED, SETTLED, extremes, slopes_of_all_rows
from pymc_sgld.tuning.rough_coordinates import coordinates_of_some
from pymc_sgld.tuning.row_sample import ROWS_OF_A_SAMPLE, WIDE_DIFFERENCES, RowSample
from pymc_sgld.tuning.spectrum_ends import (
    RowLook,
    diagonal_scales,
    extreme_directions,
    look_at_rows,
    stiffest_direction,
)
from pymc_sgld.tuning.sweep_law import phases
from pymc_sgld.tuning.trust_region import newton_climb
from pymc_sgld.tuning.tuned import Tuned
from pymc_sgld.types import Array

_MOST_ROUNDS = 2  # of directions that are mended, and looked for again
_SIDES = (-1e-3, 1e-3)  # posterior sds, of differences of the prior


def tune_by_products(
    problem: TuningProblem, start: Array, temperature: float, generator: np.random.Generator
) -> Tuned:
    """Find a mode, and what is to be known of it.

    Parameters
    ----------
    problem : TuningProblem
    start : array, shape (n_dim,)
    temperature : float
    generator : numpy.random.Generator

    Raises
    ------
    TuningError
        Where the search ended at no finite density.
    """
    chosen, function = problem.preconditioner, problem.function
    search, looked = mode_of_many(function, start, generator)
    mode, passes = search.position, search.data_passes
    if not np.isfinite(search.logp):
        raise TuningError(
            f"No mode was found to measure at: where the search ended, the log-posterior is "
            f"{search.logp:.4g}. Give initvals where the model is finite, stronger priors, or "
            "preconditioner='identity' with gradient='minibatch'.",
            model_at_fault=True,
        )
    tuned = Tuned(mode, None, problem.metric, None)
    if problem.estimator.needs_mode:
        tuned = replace(tuned, estimator_parameters=centre_parameters(function, mode))
        passes += 1
    products = _Products(function, mode, generator, looked)
    metric = chosen.by_products(mode, products)
    passes += products.data_passes
    if metric is not None:
        tuned = replace(tuned, metric=metric)
    if chosen.knows_ends and (problem.chooses_step_size or problem.noise_compensation):
        assert isinstance(metric, LowRankMetric)
        tuned = _with_ends(problem, tuned, metric, looked, temperature, generator)
    steep = problem.steep_slopes_of_many(mode, looked)
    tuned = replace(tuned, steep=steep, data_passes=tuned.data_passes + steep.data_passes)
    slope = tuned.metric.pull_back(function.full(mode)[1], *tuned.metric.parameters())
    score = float(np.sqrt(np.mean(np.square(slope))))
    return replace(tuned, score=score, data_passes=passes + 1 + tuned.data_passes)


@dataclass
class _Products:
    """What preconditioners may ask for, as ``CurvatureProducts`` has it."""

    function: BlockFunction
    mode: Array
    generator: np.random.Generator
    looked: RowLook
    data_passes: float = 0.0

    def scales(self) -> Array:
        """Return the root of the inverse of the Hessian's diagonal."""
        return diagonal_scales(self.function, self.mode, self.generator, self.looked)

    def extremes(self, rank: int | None) -> tuple[Array, Array, Array, int]:
        """Return both ends of the spectrum of the Hessian of the scaled parameters."""
        ends = extreme_directions(self.function, self.mode, self.generator, rank, self.looked)
        self.data_passes += ends.data_passes
        return ends.scale, ends.values, ends.vectors, ends.gap


def mode_of_many(
    function: BlockFunction, start: Array, generator: np.random.Generator
) -> tuple[ModeSearch, RowLook]:
    """Find the mode on a sample of the rows, look at all of them, and finish on all.

    There products of the Hessian are made of a sample that has the rows that matter most.
    """
    if max(function.total_sizes, default=0) <= ROWS_OF_A_SAMPLE:
        return find_mode(function, start, generator), RowLook()
    search = find_mode_of_sample(function, start, generator)
    if not np.isfinite(search.logp):
        return search, RowLook()
    position, more = on_the_way(function, start, search.position)
    looked = look_at_rows(function, position, generator)
    sample = RowSample(function, ROWS_OF_A_SAMPLE, generator, looked.sizes)

    def coordinates(at: Array) -> Any:
        return coordinates_of_some(function, at, generator)[0]

    def climbed(value_and_gradient: Any, start: Array, **of_some: Any) -> tuple[Array, int]:
        return newton_climb(
            value_and_gradient,
            start,
            coordinates,
            GRADIENT_IN_SDS,
            function.dtype,
            sum(function.total_sizes),
            **of_some,
        )

    def on_sample(at: Array) -> tuple[float, Array]:
        value, _ = function.prior(at)
        return value + sample.log_likelihood(at)[0], sample.slope(at)

    position, on_some = climbed(on_sample, position)
    position, on_all = climbed(function.full, position, slope_of_some=sample.slope)
    passes = search.data_passes + more + looked.data_passes + on_some * sample.share + on_all
    return ModeSearch(position, float(function.full(position)[0]), passes + 1), looked


def _with_ends(
    problem: TuningProblem,
    tuned: Tuned,
    metric: LowRankMetric,
    looked: RowLook,
    temperature: float,
    generator: np.random.Generator,
) -> Tuned:
    """Scale the stiffest curvature to one, and measure the noise in these coordinates."""
    function, n_groups = problem.function, len(problem.function.total_sizes)
    stiffest, direction, passes = stiffest_direction(function, metric, generator, looked)
    metric, more, used = mended_by_all_rows(
        function, metric, stiffest, generator, kinked=looked.kinked
    )
    stiffest, passes = max(stiffest, more), passes + used
    scale = (metric.scale / np.sqrt(stiffest)).astype(tuned.mode.dtype)
    metric = replace(metric, scale=scale)
    directions = np.column_stack([metric.directions, direction])
    sizes, uneven = problem.batches.batch_sizes, None
    control_variate = problem.estimator.reference_distance > 0
    of_rows = looked.sizes[0] if n_groups == 1 and len(looked.sizes) else None
    if of_rows is not None and len(of_rows) == function.total_sizes[0]:  # not a sample of them
        uneven = noise_by_size(
            function,
            metric,
            directions,
            of_rows,
            control_variate=control_variate,
            temperature=temperature,
            generator=generator,
        )
        total, n_rows = float(sum(function.total_sizes)), float(sum(sizes))
        of_batch = (total - n_rows) / max(total - 1, 1) / n_rows
        noise = BatchNoise(
            of_batch * uneven.alike.by_coordinate,
            of_batch * uneven.alike.largest,
            uneven.data_passes,
        )
    else:
        noise = batch_noise(
            function,
            metric,
            directions,
            sizes.tolist(),
            control_variate=control_variate,
            temperature=temperature,
            generator=generator,
        )
    # what lies between the directions of the metric is scaled to be as far below one as above
    sweep, at = _tied(problem)
    predicted_law = LawByEnds(
        LinearLaw(problem.rule),
        stiffest**-2,
        1.0,
        noise.largest,
        problem.noise_compensation,
        sweep,
        at,
    )
    known = noise.by_coordinate.astype(function.dtype) if problem.noise_compensation else None
    return replace(
        tuned,
        metric=metric,
        predicted_law=predicted_law,
        gradient_noise=known,
        uneven=uneven,
        data_passes=passes + noise.data_passes,
    )


def mended_by_all_rows(
    function: BlockFunction,
    metric: LowRankMetric,
    stiffest: float,
    generator: np.random.Generator,
    *,
    kinked: bool = False,
) -> tuple[LowRankMetric, float, float]:
    """Return a metric after its proof on all rows, the largest curvature there, and data passes.

    Directions in which all rows are stiffer than the sample said of any are scaled by themselves.

    Parameters
    ----------
    function : BlockFunction
    metric : LowRankMetric
    stiffest : float
        Largest curvature of the sample, in the coordinates of the metric.
    generator : numpy.random.Generator
    kinked : bool
        Whether gradients of rows jump: the curvature is then that over a posterior sd.
    """
    if max(function.total_sizes, default=0) <= ROWS_OF_A_SAMPLE:
        return metric, stiffest, 0.0
    mode, of_rows, products = metric.centre, slopes_of_all_rows(function), 1
    step = 1.0 if kinked else WIDE_DIFFERENCES[np.dtype(function.dtype).name]
    here = of_rows(mode)

    def product(move: Array) -> Array:
        ahead = of_rows((mode + step * move).astype(mode.dtype))
        behind, before = (function.prior((mode + s * move).astype(mode.dtype))[1] for s in _SIDES)
        of_prior = (np.asarray(behind, float) - before) / (_SIDES[1] - _SIDES[0])
        return np.asarray((here - ahead) / step + of_prior)

    highest = stiffest
    for number in range(_MOST_ROUNDS + 1):
        values, vectors, used = extremes(product, metric.operator(), generator)
        products += used
        highest = (1 + SETTLED) * float(values.max()) if np.isfinite(values).all() else stiffest
        off = values > AS_MEASURED[1] * max(stiffest, 1.0)
        if not np.isfinite(values).all() or not off.any() or number == _MOST_ROUNDS:
            break
        metric = metric.corrected(vectors[:, off], np.sqrt(max(stiffest, 1.0) / values[off]))
    return metric, highest, float(products)


def _tied(problem: TuningProblem) -> tuple[Sweep, tuple[int, ...]]:
    """Return the sweep of all groups, and when draws are taken; of different ones, none."""
    sweeps = set(problem.batches.sweeps)
    if len(sweeps) != 1:  # more noise than there is
        return INDEPENDENT, (0,)
    [sweep] = sweeps
    return sweep, phases(sweep, problem.steps_per_draw or sweep.n_steps)
