"""A sampler on a posterior too large for an n_dim x n_dim matrix: what the ends of spectra tell."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pymc_sgld.model_graph import BlockFunction
from pymc_sgld.preconditioners import LowRankMetric
from pymc_sgld.row_sources import INDEPENDENT, Sweep
from pymc_sgld.tuning.linear_law import LinearLaw, NoisePart
from pymc_sgld.tuning.predicted_law import PredictedLaw
from pymc_sgld.types import Array

_PAIRS = 200  # of batches


@dataclass(frozen=True)
class LawByEnds(PredictedLaw):
    """A sampler in coordinates of which the ends of the spectra are known, and no matrix.

    Parameters
    ----------
    law : LinearLaw
        Of the update rule.
    smallest_curvature, curvature_eigenvalue : float
        Ends of the spectrum of the posterior's precision.
    noise_eigenvalue : float
        The largest variance of the gradient in any direction that was looked at.
    compensated : bool
        Whether the rule takes known noise out of its injected noise.
    sweep : Sweep, optional
        How the noise of successive batches is tied together. Default: not at all.
    at : tuple of int, default (0,)
        Steps since the end of a sweep at which draws are taken.
    """

    law: LinearLaw
    smallest_curvature: float
    curvature_eigenvalue: float
    noise_eigenvalue: float
    compensated: bool = False
    sweep: Sweep = INDEPENDENT
    at: tuple[int, ...] = (0,)

    @property
    def noise_parts(self) -> list[NoisePart]:
        """The largest noise, and how it is tied."""
        return [(self.noise_eigenvalue, self.sweep, self.at)]

    def memory(self, step_size: float, temperature: float = 1.0) -> float:
        """Return the steps in which the slowest direction decays by a factor e."""
        return max(
            self.law.memory(step_size, curvature, temperature, known)
            for curvature in self._curvatures
            for known in {None, self._known}
        )

    def sd_inflation(self, step_size: float, temperature: float = 1.0) -> float:
        """Return the largest relative excess of an sd; 0 for an exact rule, nan if not linear."""
        if self.law.rule.exact:
            return 0.0
        if self.law.rule.nonlinear_state:
            return np.nan
        known = self._known
        ratios = [
            curvature
            * self.law.variance_of(step_size, curvature, self.noise_parts, temperature, known)
            for curvature in self._curvatures
        ]
        return float(np.sqrt(max(ratios) / temperature) - 1)

    @property
    def _known(self) -> float | None:
        return self.noise_eigenvalue if self.compensated else None

    @property
    def _curvatures(self) -> tuple[float, float]:
        return self.smallest_curvature, self.curvature_eigenvalue


class BatchNoise(NamedTuple):
    """The variance of the gradient of a batch, in coordinates."""

    by_coordinate: Array  # (n_dim,)
    largest: float  # along coordinates and the other directions that were looked at
    data_passes: float


def batch_noise(
    block_function: BlockFunction,
    metric: LowRankMetric,
    directions: Array,
    batch_sizes: Sequence[int],
    *,
    control_variate: bool,
    temperature: float,
    generator: np.random.Generator,
) -> BatchNoise:
    r"""Measure the noise of batches by differences of two, at points of the posterior.

    .. math:: V = \tfrac12\, E\left[(\hat g_1 - \hat g_2)(\hat g_1 - \hat g_2)^\top\right]

    Parameters
    ----------
    block_function : BlockFunction
    metric : LowRankMetric
        Its coordinates have unit posterior sds, about; its centre is the mode.
    directions : array, shape (n_dim, n_directions)
        Unit vectors in coordinates along which the noise is looked at, beside the coordinates.
    batch_sizes : sequence of int
        Rows of a batch, by group.
    control_variate : bool
        Whether the gradient is corrected by that of the same rows at the mode.
    temperature : float
    generator : numpy.random.Generator
    """
    totals = block_function.total_sizes
    square = np.zeros(len(metric.centre))
    along = np.zeros(directions.shape[1])
    for _ in range(_PAIRS):
        normal = np.sqrt(temperature) * generator.standard_normal(len(square))
        position = metric.to_position(normal, *metric.parameters()).astype(metric.centre.dtype)
        estimates = []
        for _ in range(2):
            rows = block_function.random_rows(batch_sizes, generator)
            estimate = block_function.batch(position, rows)[1].astype(float)
            if control_variate:
                estimate = estimate - block_function.batch(metric.centre, rows)[1]
            estimates.append(estimate)
        apart = metric.pull_back(estimates[0] - estimates[1], *metric.parameters())
        square += apart**2 / (2 * _PAIRS)
        along += (apart @ directions) ** 2 / (2 * _PAIRS)
    evaluated = 2 * _PAIRS * (1 + control_variate) * sum(batch_sizes)
    largest = float(max(square.max(), along.max(initial=0.0)))
    return BatchNoise(square, largest, evaluated / float(sum(totals)))
