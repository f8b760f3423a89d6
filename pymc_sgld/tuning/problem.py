"""What is tuned: a sampler on a model, and the law of it on a Gaussian."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from pymc_sgld.gradient_estimators import GradientEstimator
from pymc_sgld.model_graph import BlockFunction
from pymc_sgld.preconditioners import Metric
from pymc_sgld.row_sources import INDEPENDENT, Batches, RandomBlocks
from pymc_sgld.samplers import Rule, ScaledRule
from pymc_sgld.tuning.between_blocks import with_noise_of_blocks
from pymc_sgld.tuning.estimator_noise import with_noise_left
from pymc_sgld.tuning.laplace import Laplace
from pymc_sgld.tuning.linear_law import LinearLaw
from pymc_sgld.tuning.local_gaussian import LocalGaussian
from pymc_sgld.tuning.predicted_law import GaussianLaw, TiedNoise
from pymc_sgld.tuning.spectrum_ends import RowLook, diagonal_scales
from pymc_sgld.tuning.steep_slopes import (
    GAUSSIAN,
    SteepSlopes,
    steep_slopes,
    steep_slopes_of_many,
)
from pymc_sgld.tuning.sweep_law import phases
from pymc_sgld.types import Array

_BATCHES_AT_START = 32  # for the first squares of gradients, where no mode gives them


@dataclass(frozen=True)
class TuningProblem:
    """A sampler on a model, as far as it is known before it is tuned.

    Parameters
    ----------
    function : BlockFunction
        Value and gradient on any rows.
    batches : Batches
        The batches.
    rule : Rule
    estimator : GradientEstimator
    preconditioner : Preconditioner
        What was asked for.
    metric : Metric
        Its kind, with the values of the identity.
    noise_compensation : bool
    chooses_step_size : bool
        Whether the step size was left out.
    purpose : {"sample", "anneal"}
        A chain that anneals starts away from the mode.
    labels : tuple of str, optional
        Of the parameters, for messages.
    steps_per_draw : int, optional
        Default: whole sweeps of the rows, where batches come in sweeps.
    transformed : tuple of int
        Entries of the position that are variables with an end, in unconstrained space.
    """

    function: BlockFunction
    batches: Batches
    rule: Rule
    estimator: GradientEstimator
    preconditioner: Any
    metric: Metric
    noise_compensation: bool
    chooses_step_size: bool
    purpose: Literal["sample", "anneal"] = "sample"
    labels: tuple[str, ...] = ()
    steps_per_draw: int | None = None
    transformed: tuple[int, ...] = ()

    def noise_of_batches(self, gaussian: LocalGaussian) -> Array:
        """Return the covariance of the gradient of a batch, shape (n_dim, n_dim)."""
        return gaussian.gradient_noise(
            self.batches.total_sizes,
            self.batches.batch_sizes,
            with_replacement=self.batches.scheme.with_replacement,
        )

    def noise_left(
        self,
        position: Array,
        gaussian: LocalGaussian,
        temperature: float,
        generator: np.random.Generator,
    ) -> LocalGaussian:
        """Return the picture at a point with the noise that the gradient estimator leaves."""
        left = with_noise_left(
            self.function,
            self.estimator,
            position,
            gaussian,
            temperature,
            generator,
            self.batches.scheme.row_probabilities,
        )
        return self.noise_of_blocks(self.function, position, left, temperature, generator)

    def noise_of_blocks(
        self,
        function: BlockFunction,
        position: Array,
        gaussian: LocalGaussian,
        temperature: float,
        generator: np.random.Generator,
    ) -> LocalGaussian:
        """Return the picture with the noise that there is where rows are read in blocks.

        Raises
        ------
        TuningError
            Where rows are so alike within blocks that noise would be taken out that batches do not
            have at every step.
        """
        scheme = self.batches.scheme
        if not isinstance(scheme, RandomBlocks):
            return gaussian
        compensates = self.noise_compensation or self.rule.needs_gradient_noise
        return with_noise_of_blocks(
            function, self.estimator, scheme, position, gaussian, temperature, generator,
            compensates=compensates,
        )  # fmt: skip

    def squares(self, gaussian: LocalGaussian, factor: Array, temperature: float) -> Array:
        """Return the squared gradients expected at stationarity: its curvature plus its noise."""
        # the gradient P (theta - mode) has covariance T P
        covariance = temperature * gaussian.precision + self.noise_of_batches(gaussian)
        return np.asarray(((covariance @ factor) * factor).sum(axis=0))

    def steep_slopes(self, laplace: Laplace) -> SteepSlopes:
        """Return where the slope is steeper than the picture, if a step size is to be chosen."""
        if not self.chooses_step_size or self.purpose == "anneal":
            return GAUSSIAN
        return steep_slopes(self.function, laplace, self.transformed)

    def steep_slopes_of_many(
        self, mode: Array, looked: RowLook | None = None, among: Array | None = None
    ) -> SteepSlopes:
        """Return the same where there is no matrix of the parameters; ``among`` some entries."""
        entries = self.transformed
        if among is not None:
            entries = tuple(j for j in entries if j in set(map(int, among)))
        if not self.chooses_step_size or self.purpose == "anneal" or not entries:
            return GAUSSIAN
        scales = diagonal_scales(self.function, mode, np.random.default_rng(0), looked)
        return steep_slopes_of_many(self.function, mode, scales, entries)

    def expected_squares(
        self, gaussian: LocalGaussian, metric: Metric, temperature: float
    ) -> Array | None:
        """Return the squared gradients by coordinate, for a rule that asks for them."""
        if not isinstance(self.rule, ScaledRule):
            return None
        return self.squares(gaussian, metric.matrix(), temperature)

    def predicted_law(
        self, gaussian: LocalGaussian, metric: Metric, temperature: float
    ) -> GaussianLaw:
        """Return the sampler on the Gaussian picture, in the coordinates it moves in."""
        rule, noise = self.rule, self.noise_of_batches(gaussian)
        tied = self.tied_noise(gaussian)
        factor, time_scale = metric.matrix(), 1.0
        if isinstance(rule, ScaledRule):
            own = factor * rule.own_scales(self.squares(gaussian, factor, temperature))
            time_scale = float(1 / np.linalg.eigvalsh(own.T @ gaussian.precision @ own)[-1])
            factor = np.sqrt(time_scale) * own
        return GaussianLaw(
            LinearLaw(rule),
            factor.T @ gaussian.precision @ factor,
            factor.T @ noise @ factor,
            factor,
            time_scale=time_scale,
            tied=tuple(one._replace(noise=factor.T @ one.noise @ factor) for one in tied),
            stiffest=gaussian.stiffest,
        )

    def tied_noise(self, gaussian: LocalGaussian) -> list[TiedNoise]:
        """Return the noise of batches in parts, of one sweep each; none where none has a sweep."""
        batches = self.batches
        sweeps = batches.sweeps
        if set(sweeps) <= {INDEPENDENT}:
            return []
        by_group = gaussian.noise_by_group(batches.total_sizes, batches.batch_sizes)
        left = self.noise_of_batches(gaussian) - by_group.sum(axis=0)
        every = self.steps_per_draw or batches.steps_per_sweep
        tied = [
            TiedNoise(
                by_group[[one == sweep for one in sweeps]].sum(axis=0), sweep, phases(sweep, every)
            )
            for sweep in dict.fromkeys(sweeps)
        ]
        return [*tied, TiedNoise(left, INDEPENDENT)] if left.any() else tied


def batch_gradients(
    function: BlockFunction, batches: Batches, position: Array, generator: np.random.Generator
) -> tuple[Array, float]:
    """Return gradients of some batches, shape (n_batches, n_dim), and data passes."""
    gradients = []
    for _ in range(_BATCHES_AT_START):
        rows = function.random_rows(batches.batch_sizes, generator)
        gradients.append(function.batch(position, rows)[1])
    return np.array(gradients), _BATCHES_AT_START * batches.passes_per_step
