"""Tuning without any n_dim x n_dim matrix: by products of the Hessian with vectors."""

from dataclasses import dataclass, replace

import numpy as np

from pymc_sgld.model_graph import BlockFunction
from pymc_sgld.preconditioners import LowRankMetric
from pymc_sgld.row_sources import INDEPENDENT, Sweep
from pymc_sgld.tuning.centre import centre_parameters
from pymc_sgld.tuning.errors import TuningError
from pymc_sgld.tuning.linear_law import LinearLaw
from pymc_sgld.tuning.mode_search import find_mode
from pymc_sgld.tuning.predicted_law_by_ends import LawByEnds, batch_noise
from pymc_sgld.tuning.problem import TuningProblem
from pymc_sgld.tuning.spectrum_ends import (
    diagonal_scales,
    extreme_directions,
    stiffest_direction,
)
from pymc_sgld.tuning.sweep_law import phases
from pymc_sgld.tuning.tuned import Tuned
from pymc_sgld.types import Array


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
    search = find_mode(function, start, generator)
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
    products = _Products(function, mode, generator)
    metric = chosen.by_products(mode, products)
    passes += products.data_passes
    if metric is not None:
        tuned = replace(tuned, metric=metric)
    if chosen.knows_ends and (problem.chooses_step_size or problem.noise_compensation):
        assert isinstance(metric, LowRankMetric)
        tuned = _with_ends(problem, tuned, metric, temperature, generator)
    slope = tuned.metric.pull_back(function.full(mode)[1], *tuned.metric.parameters())
    score = float(np.sqrt(np.mean(np.square(slope))))
    return replace(tuned, score=score, data_passes=passes + 1 + tuned.data_passes)


@dataclass
class _Products:
    """What preconditioners may ask for, as ``CurvatureProducts`` has it."""

    function: BlockFunction
    mode: Array
    generator: np.random.Generator
    data_passes: float = 0.0

    def scales(self) -> Array:
        """Return the root of the inverse of the Hessian's diagonal."""
        return diagonal_scales(self.function, self.mode, self.generator)

    def extremes(self, rank: int | None) -> tuple[Array, Array, Array, int]:
        """Return both ends of the spectrum of the Hessian of the scaled parameters."""
        ends = extreme_directions(self.function, self.mode, self.generator, rank)
        self.data_passes += ends.data_passes
        return ends.scale, ends.values, ends.vectors, ends.gap


def _with_ends(
    problem: TuningProblem,
    tuned: Tuned,
    metric: LowRankMetric,
    temperature: float,
    generator: np.random.Generator,
) -> Tuned:
    """Scale the stiffest curvature to one, and measure the noise in these coordinates."""
    function = problem.function
    stiffest, direction, passes = stiffest_direction(function, metric, generator)
    scale = (metric.scale / np.sqrt(stiffest)).astype(tuned.mode.dtype)
    metric = replace(metric, scale=scale)
    noise = batch_noise(
        function,
        metric,
        np.column_stack([metric.directions, direction]),
        problem.batches.batch_sizes.tolist(),
        control_variate=problem.estimator.reference_distance > 0,
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
        data_passes=passes + noise.data_passes,
    )


def _tied(problem: TuningProblem) -> tuple[Sweep, tuple[int, ...]]:
    """Return the sweep of all groups, and when draws are taken; of different ones, none."""
    sweeps = set(problem.batches.sweeps)
    if len(sweeps) != 1:  # more noise than there is
        return INDEPENDENT, (0,)
    [sweep] = sweeps
    return sweep, phases(sweep, problem.steps_per_draw or sweep.n_steps)
