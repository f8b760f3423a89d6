"""The work before the first step: a start, and where it is wanted a mode with all it gives.

Nothing here is written into a chain: what was worked out is returned, with the data passes it took.
"""

from dataclasses import dataclass, replace

import numpy as np

from pymc_sgld.preconditioners import Averages, Metric
from pymc_sgld.tuning.by_products import tune_by_products
from pymc_sgld.tuning.centre import FEWEST_DRAWS, better_centre, centre_parameters
from pymc_sgld.tuning.errors import TuningError
from pymc_sgld.tuning.laplace import Laplace, find_laplace
from pymc_sgld.tuning.local_gaussian import LocalGaussian, local_gaussian, typical_precision
from pymc_sgld.tuning.pass_budget import most_passes, within_passes
from pymc_sgld.tuning.predicted_law import GaussianLaw
from pymc_sgld.tuning.problem import TuningProblem
from pymc_sgld.tuning.propriety import check_mode
from pymc_sgld.tuning.starts import (
    ANOTHER_MODE,
    ends_of_climbs,
    jittered,
    near_mode,
    proved_apart,
)
from pymc_sgld.tuning.steep_slopes import GAUSSIAN, SteepSlopes
from pymc_sgld.tuning.tuned import LARGEST_MEASURED, Centre, Start, Tuned
from pymc_sgld.types import Array

WITHOUT_TUNING = "a step_size with preconditioner='identity' goes without"
_LARGEST_BETWEEN = 200  # parameters; beyond, annealing knows the curvature at a mode only
_LEAST_NOISE = 1e-3  # relative to the temperature, in unit scales: it stirs in a thousand steps


@dataclass(frozen=True)
class Warmup:
    """The work before the first step.

    Parameters
    ----------
    problem : TuningProblem
    tunes : bool
        Whether a mode is wanted at all.
    prepared : Tuned, optional
        Where a mode is known from before the chains were started.
    """

    problem: TuningProblem
    tunes: bool = True
    prepared: Tuned | None = None

    def start(
        self, position: Array, temperature: float, generator: np.random.Generator, *, jitters: bool
    ) -> Start:
        """Return where to start, and what is known there.

        What was prepared is taken over, if from ``position`` the same mode is reached.
        """
        function, passes = self.problem.function, 0.0
        if jitters:
            ends = self.problem.transformed
            position, passes = jittered(
                function, position, generator, by_scale=self.tunes, transformed=ends
            )
        if not self.tunes:
            return Start(position, data_passes=passes)
        begin, distance, tuned = position, np.nan, self.prepared
        if self.prepared is not None:
            [(begin, distance)], more = ends_of_climbs(
                function, [position], self.prepared, generator
            )
            passes += more
        if tuned is None:
            tuned = self._found_in_time(begin, temperature, generator)
            passes += tuned.data_passes
        elif distance > ANOTHER_MODE:
            tuned, distance, more = self._another(tuned, begin, temperature, generator)
            passes += more
        near, more = near_mode(function, tuned, temperature, generator)
        where = position if self.problem.purpose == "anneal" else near
        return Start(where, tuned, distance, passes + more)

    def _found_in_time(
        self, start: Array, temperature: float, generator: np.random.Generator
    ) -> Tuned:
        """Find a mode, of many parameters within as many passes as "auto" may take."""
        if len(start) <= LARGEST_MEASURED:
            return self.find(start, temperature, generator)
        total = sum(self.problem.function.total_sizes)
        most = most_passes(total, len(start))
        with within_passes(most, total, instead=WITHOUT_TUNING):
            return self.find(start, temperature, generator)

    def _another(
        self, known: Tuned, start: Array, temperature: float, generator: np.random.Generator
    ) -> tuple[Tuned, float, float]:
        """Return another mode, or where none is proved the known; its distance, and passes."""
        total = sum(self.problem.function.total_sizes)
        try:
            with within_passes(most_passes(total, len(start)), total):
                tuned = self.find(start, temperature, generator)
        except TuningError:  # a climb that ends nowhere is no other mode
            return known, 0.0, 0.0
        distance, more = proved_apart(self.problem.function, tuned.mode, tuned.score, known)
        return (tuned if distance else known), distance, tuned.data_passes + more

    def find(self, start: Array, temperature: float, generator: np.random.Generator) -> Tuned:
        """Work out what sampling needs to know of the model around a mode."""
        problem = self.problem
        if len(start) > LARGEST_MEASURED:
            return tune_by_products(problem, start, temperature, generator)
        laplace = find_laplace(problem.function, start, generator)
        if problem.purpose == "anneal" and len(start) <= _LARGEST_BETWEEN:
            laplace = self._between(start, laplace, generator)
        check_mode(problem.function, laplace, generator, problem.labels)
        gaussian = problem.noise_left(laplace.position, laplace.gaussian, temperature, generator)
        return self.at(laplace, gaussian, temperature, problem.steep_slopes(laplace))

    def at(
        self,
        laplace: Laplace,
        gaussian: LocalGaussian,
        temperature: float,
        steep: SteepSlopes = GAUSSIAN,
    ) -> Tuned:
        """Choose metric and centre at a mode.

        Parameters
        ----------
        laplace : Laplace
        gaussian : LocalGaussian
            The picture there, with the noise that the estimator of the gradient leaves.
        temperature : float
        steep : SteepSlopes
            What is to be known of steps beside it.
        """
        problem = self.problem
        passes = laplace.data_passes + gaussian.data_passes - laplace.gaussian.data_passes
        parameters: tuple[Array, ...] = ()
        if problem.estimator.needs_mode:
            parameters = centre_parameters(problem.function, laplace.position)
            passes += 1
        metric, learned = self.metric_at(laplace.position, gaussian, temperature)
        predicted_law = problem.predicted_law(gaussian, metric, temperature)
        known = None
        if problem.noise_compensation:
            rotated = metric.rotated(predicted_law.noise)
            if rotated is not metric:
                metric = rotated
                predicted_law = problem.predicted_law(gaussian, metric, temperature)
            self._check_noise(np.diag(predicted_law.noise), temperature)
            predicted_law, known = self._compensated(predicted_law)
        return Tuned(
            mode=laplace.position,
            covariance=laplace.covariance,
            metric=metric,
            predicted_law=predicted_law,
            estimator_parameters=parameters,
            gradient_noise=known,
            learned=learned,
            expected_squares=problem.expected_squares(gaussian, metric, temperature),
            score=laplace.score,
            data_passes=passes + steep.data_passes,
            steep=steep,
        )

    def metric_at(
        self, centre: Array, gaussian: LocalGaussian, temperature: float
    ) -> tuple[Metric, Averages | None]:
        """Return the metric for curvature and noise at the mode, and what it was learned from."""
        chosen = self.problem.preconditioner
        if not chosen.learns:
            return chosen.at_mode(centre, gaussian.precision), None
        identity = np.eye(len(centre))
        learned = chosen.expected(self.problem.squares(gaussian, identity, temperature))
        if self.problem.chooses_step_size:
            scale = chosen.scale(learned)
            stiffest = np.linalg.eigvalsh(gaussian.precision * np.outer(scale, scale))[-1]
            learned = replace(learned, level=float(1 / stiffest))
        return chosen.metric(learned, centre), learned

    def measure(
        self, position: Array, metric: Metric, temperature: float, generator: np.random.Generator
    ) -> tuple[GaussianLaw | None, float]:
        """Measure curvature and gradient noise at a position; return also data passes."""
        if len(position) > LARGEST_MEASURED:
            return None, 0.0
        gaussian = local_gaussian(self.problem.function, position, generator)
        if not (np.isfinite(gaussian.precision).all() and np.isfinite(gaussian.row_noise).all()):
            return None, 0.0
        left = self.problem.noise_left(position, gaussian, temperature, generator)
        return self.problem.predicted_law(left, metric, temperature), left.data_passes

    def better_centre(
        self,
        draws: Array,
        centre: Centre,
        metric: Metric,
        temperature: float,
        generator: np.random.Generator,
    ) -> tuple[Centre | None, float]:
        """Centre the control variate at the mean of draws, if that is the better one.

        The coordinates stay as they are, for the state of the rule is in them.

        Parameters
        ----------
        draws : array, shape (n_draws, n_dim)
        centre : Centre
            As it is.
        metric : Metric
        temperature : float
        generator : numpy.random.Generator

        Returns
        -------
        centre : Centre or None
            None where it stays.
        data_passes : float
        """
        problem, predicted_law = self.problem, centre.predicted_law
        if not isinstance(predicted_law, GaussianLaw) or len(draws) < FEWEST_DRAWS:
            return None, 0.0
        new = draws.mean(axis=0).astype(problem.function.dtype)
        inverse = np.linalg.inv(predicted_law.factor)
        precision = inverse.T @ predicted_law.precision @ inverse
        left, passes = better_centre(
            problem.function,
            problem.estimator,
            new,
            centre.estimator_parameters[0],
            draws,
            predicted_law.factor,
            LocalGaussian(precision, np.zeros((0, 0, 0)), 0.0),
            temperature=temperature,
            generator=generator,
            probabilities=problem.batches.scheme.row_probabilities,
        )
        if left is None:
            return None, passes
        parameters = centre_parameters(problem.function, new)
        law, known = problem.predicted_law(left, metric, temperature), None
        if problem.noise_compensation:
            law, known = self._compensated(law)
        return Centre(parameters, law, known), passes + (1 + left.data_passes)

    def _compensated(self, predicted_law: GaussianLaw) -> tuple[GaussianLaw, Array]:
        """Return the picture of a rule that knows the noise by coordinate, and that noise."""
        known = np.diag(predicted_law.noise)
        return replace(predicted_law, known_noise=known), known.astype(self.problem.function.dtype)

    def _between(self, start: Array, laplace: Laplace, generator: np.random.Generator) -> Laplace:
        """Take the curvature between start and mode: a chain that anneals will see both."""
        precision, passes = typical_precision(
            self.problem.function, start, laplace.position, generator
        )
        gaussian = laplace.gaussian._replace(
            precision=precision, data_passes=laplace.gaussian.data_passes + passes
        )
        covariance = np.full_like(precision, np.nan)
        if np.isfinite(precision).all():
            covariance = np.linalg.inv(precision)
        return laplace._replace(
            gaussian=gaussian, covariance=covariance, data_passes=laplace.data_passes + passes
        )

    def _check_noise(self, known: Array, temperature: float) -> None:
        """Refuse directions without noise for a rule that injects none."""
        rule = self.problem.rule
        still = int((known < _LEAST_NOISE * temperature).sum())
        if rule.noise_vectors == 0 and still:
            raise TuningError(
                f"{rule.name} moves by the noise of the batches alone, and in {still} of "
                f"{len(known)} directions they have next to none (parameters that no row informs, "
                "or batches of nearly all rows). Take a sampler that injects noise, such as "
                "'sgfs', which uses this noise too, or smaller batches."
            )
