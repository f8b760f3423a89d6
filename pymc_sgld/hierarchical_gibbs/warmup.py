"""What comes before a Gibbs split: where effects and hyperparameters are, and how well known."""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from pymc_sgld.hierarchical_gibbs.arrowhead_metric import ConditionalNoise
from pymc_sgld.hierarchical_gibbs.conditional_curvature import (
    ConditionalCurvature,
    conditional_curvature,
    given_the_rest,
    information_of_all_rows,
)
from pymc_sgld.hierarchical_gibbs.hierarchy import Hierarchy, TunedHierarchy
from pymc_sgld.hierarchical_gibbs.moves import MovesMemory
from pymc_sgld.hierarchical_gibbs.posterior_covariance import posterior_covariance
from pymc_sgld.hierarchical_gibbs.stiffness import stiffest_of_split
from pymc_sgld.hierarchical_gibbs.without_data import run_without_data
from pymc_sgld.model_graph import BlockFunction
from pymc_sgld.preconditioners import Metric
from pymc_sgld.tuning import (
    FEWEST_DRAWS,
    MANY,
    Centre,
    GaussianLaw,
    Laplace,
    LinearLaw,
    Start,
    SteepSlopes,
    Tuned,
    TuningProblem,
    better_centre,
    centre_parameters,
    check_mode,
    find_laplace,
    is_nearly_positive,
    look_at_scores,
    other_mode,
    with_noise_left,
)
from pymc_sgld.types import Array

_FIRST_DRAWS, _DRAWS = 300, 800  # of the runs without data, and of the last
_LEFT_OUT = 0.2  # of a run, at its beginning
_MOST_ROUNDS = 4
_MOVED_LITTLE = 0.3  # posterior sds of every effect, for its information to be as it was
_STEPS_FROM_NEAR_BY = 6  # to the mode at other hyperparameters, each a pass
_SETTLED = 0.3  # posterior sds of each hyperparameter
_SETTLED_OF_MANY = 1.0  # where another Hessian is dear


class _Found(NamedTuple):
    """What moves, at its mode given some hyperparameters."""

    laplace: Laplace
    curvature: ConditionalCurvature
    slope: Array  # (n_dim,), of the rows' log-likelihood


@dataclass(frozen=True)
class HierarchySearch:
    """The search for where a Gibbs split is to be tuned.

    Parameters
    ----------
    problem : TuningProblem
        Of the chain that is not split; gives estimator and batches.
    hierarchy : Hierarchy
    generator : numpy.random.Generator
    """

    problem: TuningProblem
    hierarchy: Hierarchy
    generator: np.random.Generator

    def find(self, start: Array, temperature: float) -> TunedHierarchy:
        """Find the posterior of a hierarchy, hyperparameters frozen first.

        Freed at once they would run off: with effects at their common mean a scale goes to zero.
        So the effects are looked for at the hyperparameters of the start, and what the rows say
        of them is kept as a quadratic, on which a whole Gibbs sampler runs without data. From its
        mean both are done again, until no hyperparameter's mean is far, in its own sds, from where
        the effects were looked for.
        """
        generator = self.generator
        found, curvature, slope, draws = self._settled(start)
        passes = found.data_passes
        function, moving = self.problem.function, self.hierarchy.moving
        centre = draws.mean(axis=0).astype(start.dtype)
        conditional_function = given_the_rest(function, centre, moving)
        metric = curvature.metric(centre)
        factor = metric.matrix()[moving]
        covariance = posterior_covariance(curvature, slope, draws)
        estimator = self.problem.estimator
        if not estimator.reference_distance:  # all of the rows' noise is left, that at the centre
            scores = look_at_scores(conditional_function, centre[moving], generator)
            noise, passes = scores.noise, passes + scores.data_passes
            found = found._replace(gaussian=found.gaussian._replace(row_noise=noise))
        gaussian = with_noise_left(
            conditional_function,
            estimator,
            centre[moving],
            found.gaussian._replace(
                precision=np.linalg.inv(covariance[np.ix_(moving, moving)]), data_passes=0.0
            ),
            temperature,
            generator,
        )
        gaussian = self.problem.noise_of_blocks(
            conditional_function, centre[moving], gaussian, temperature, generator
        )
        passes += gaussian.data_passes
        conditional = factor[:, moving] @ factor[:, moving].T
        stiffest, more = stiffest_of_split(function, curvature, centre, draws, generator)
        gaussian = gaussian._replace(precision=np.linalg.inv(conditional), stiffest=stiffest)
        found = found._replace(gaussian=gaussian)
        steep = self._steep_slopes(found, curvature.reference)
        parameters: tuple[Array, ...] = ()
        passes += more + steep.data_passes
        if estimator.needs_mode:
            parameters, passes = centre_parameters(function, centre), passes + 1
        return TunedHierarchy(
            mode=centre,
            covariance=covariance,
            metric=metric,
            predicted_law=self._law(found, factor[:, moving]),
            estimator_parameters=parameters,
            score=found.score,
            data_passes=passes,
            curvature=curvature,
            laplace=found,
            draws=draws,
            slope=slope,
            steep=steep,
        )

    def _steep_slopes(self, found: Laplace, at: Array) -> SteepSlopes:
        """Look at the slopes of what moves near the end of its support, hyperparameters held."""
        moving = self.hierarchy.moving
        conditional = given_the_rest(self.problem.function, at, moving)
        entries = self._moving_near_ends()
        problem = replace(self.problem, function=conditional, transformed=entries)
        steep = problem.steep_slopes(found)
        return steep._replace(entries=tuple(int(moving[j]) for j in steep.entries))

    def _moving_near_ends(self) -> tuple[int, ...]:
        """Return those among what moves that are variables with an end, by their place there."""
        place = {int(entry): number for number, entry in enumerate(self.hierarchy.moving)}
        return tuple(place[j] for j in self.problem.transformed if j in place)

    def other_mode(self, start: Array, tuned: TunedHierarchy) -> tuple[float, float]:
        """Look for another mode of what moves, the hyperparameters as they were in the search.

        Returns how far it lies, and data passes: see :func:`pymc_sgld.tuning.other_mode`.
        """
        at, moving = tuned.curvature.reference, self.hierarchy.moving
        conditional = given_the_rest(self.problem.function, at, moving)
        assert tuned.laplace is not None
        known = Tuned(at[moving], tuned.laplace.covariance, tuned.metric, None)
        start = start.astype(at.dtype)[moving]
        ends = self._moving_near_ends()
        return other_mode(conditional, start, known, self.generator, ends)

    def _settled(self, start: Array) -> tuple[Laplace, ConditionalCurvature, Array, Array]:
        """Return what is found where the hyperparameters are typical, and draws without data."""
        entries = self.hierarchy.hyperparameters.entries
        position, passes, learned = start, 0.0, None
        known: _Found | None = None
        for _ in range(_MOST_ROUNDS):
            known = self._from_near_by(position, known) or self._at_hyperparameters(position, known)
            found, curvature, slope = known
            passes += found.data_passes + 1
            mode = curvature.reference
            draws, learned = self._pilot(curvature, mode, slope, _FIRST_DRAWS, learned)
            draws = draws[int(_LEFT_OUT * len(draws)) :]
            moved = np.abs(draws.mean(axis=0) - position)[entries]
            position = draws.mean(axis=0).astype(start.dtype)
            settled = _SETTLED if len(position) <= MANY else _SETTLED_OF_MANY
            if (moved <= settled * draws.std(axis=0)[entries]).all():
                break
        last = draws[-1].astype(start.dtype)
        draws, _ = self._pilot(curvature, last, slope, _DRAWS, learned)
        return found._replace(data_passes=passes), curvature, slope, draws

    def with_batches(self, tuned: TunedHierarchy) -> TunedHierarchy:
        """Return what was found, with the noise of the batches as they are."""
        moving, n_dim = self.hierarchy.moving, len(tuned.mode)
        assert tuned.laplace is not None
        noise = self.problem.noise_of_batches(tuned.laplace.gaussian)
        factor = tuned.metric.matrix()[np.ix_(moving, moving)]
        predicted_law = self._law(tuned.laplace, factor)
        known = ConditionalNoise(np.zeros(n_dim), np.zeros(n_dim))
        known.by_parameter[moving] = np.diag(noise)
        blocks = tuned.curvature.blocks
        if blocks is not None:
            within = noise[blocks[:, :, None], blocks[:, None, :]]
            known = known._replace(within=within)
        known.of_border[moving] = np.diag(predicted_law.noise)
        if not self.problem.noise_compensation:
            return replace(tuned, predicted_law=predicted_law)
        predicted_law = replace(predicted_law, known_noise=np.diag(predicted_law.noise))
        return replace(tuned, predicted_law=predicted_law, noise=known)

    def _at_hyperparameters(self, start: Array, known: "_Found | None") -> "_Found":
        """Find the mode of what moves at the hyperparameters of the start, curvature and slope."""
        hierarchy, function = self.hierarchy, self.problem.function
        moving, generator = hierarchy.moving, self.generator
        conditional: BlockFunction = given_the_rest(function, start, moving)
        scores = None if known is None else known.laplace.scores
        laplace = find_laplace(conditional, start[moving], generator, scores)
        check_mode(conditional, laplace, generator, self._labels())
        return self._with_all_rows(start, conditional, laplace)

    def _from_near_by(self, start: Array, known: "_Found | None") -> "_Found | None":
        """Find the mode at other hyperparameters from what rows say near by; None if it is far.

        Rows do not depend on hyperparameters: what they say of the effects is what it was, and
        the mode is a few Newton steps away.
        """
        if known is None:
            return None
        hierarchy, moving = self.hierarchy, self.hierarchy.moving
        conditional = given_the_rest(self.problem.function, start, moving)
        position, passes = np.array(start), 0.0
        position[moving] = known.curvature.reference[moving]
        of_prior = [hierarchy.prior(position, unit)[1][moving] for unit in self._units(position)]
        precision = np.asarray(known.curvature.information + np.array(of_prior), dtype=float)
        try:
            covariance = np.linalg.inv(precision)
            np.linalg.cholesky(covariance)
        except np.linalg.LinAlgError:
            return None
        gaussian = known.laplace.gaussian._replace(precision=precision)
        near_by = known.laplace._replace(gaussian=gaussian, covariance=covariance)
        at = position[moving]
        for _ in range(_STEPS_FROM_NEAR_BY):
            value, slope = conditional.full(at)
            passes += 1
            if not (np.isfinite(value) and np.isfinite(slope).all()):
                return None
            near_by = near_by.at(at, float(value), np.asarray(slope, dtype=float))
            if near_by.arrived:
                near_by = near_by._replace(data_passes=passes)
                far = np.abs(at - known.curvature.reference[moving]) / np.sqrt(np.diag(covariance))
                if far.max() < _MOVED_LITTLE:
                    return self._as_near_by(start, near_by, known.curvature)
                return self._with_all_rows(start, conditional, near_by)
            at = (at + covariance @ slope).astype(start.dtype)
        return None

    def _as_near_by(
        self, start: Array, laplace: Laplace, curvature: ConditionalCurvature
    ) -> "_Found":
        """Return a mode with what rows said of it near by."""
        mode = np.array(start)
        mode[self.hierarchy.moving] = laplace.position
        of_prior = self.hierarchy.prior(mode, np.zeros_like(mode))[0]
        slope = self.problem.function.full(mode)[1] - of_prior
        return _Found(laplace, replace(curvature, reference=mode), slope)

    def _with_all_rows(self, start: Array, conditional: BlockFunction, found: Laplace) -> "_Found":
        """Return a mode with the curvature of all rows there, as far as it has few entries."""
        hierarchy, function, moving = self.hierarchy, self.problem.function, self.hierarchy.moving
        mode = np.array(start)
        mode[moving] = found.position
        of_prior = np.array([hierarchy.prior(mode, unit)[1] for unit in self._units(mode)])
        information = found.gaussian.precision - of_prior[:, moving]
        refined, passes = information_of_all_rows(
            conditional, found.position, information, of_prior[:, moving]
        )
        found = found._replace(data_passes=found.data_passes + passes)
        information = positive_part(refined)
        curvature = conditional_curvature(
            hierarchy.prior,
            mode,
            hierarchy.hyperparameters.entries,
            information,
            hierarchy.sizes,
            self.generator,
        )
        slope = function.full(mode)[1] - hierarchy.prior(mode, np.zeros_like(mode))[0]
        return _Found(found, curvature, slope)

    def _pilot(
        self, curvature: ConditionalCurvature, start: Array, slope: Array, n_draws: int, known: Any
    ) -> tuple[Array, Any]:
        """Run the Gibbs sampler without data; return draws, and what it has learned."""
        hierarchy, slope = self.hierarchy, slope[self.hierarchy.moving]
        return run_without_data(hierarchy, curvature, slope, start, n_draws, self.generator, known)

    def _labels(self) -> tuple[str, ...]:
        labels = self.problem.labels
        return tuple(labels[j] for j in self.hierarchy.moving) if labels else ()

    def _units(self, position: Array) -> Array:
        return np.asarray(np.eye(len(position), dtype=position.dtype)[self.hierarchy.moving])

    def _law(self, found: Laplace, factor: Array) -> GaussianLaw:
        """Return the steps on what moves, in its coordinates at typical hyperparameters."""
        noise = self.problem.noise_of_batches(found.gaussian)
        return GaussianLaw(
            LinearLaw(self.problem.rule),
            factor.T @ found.gaussian.precision @ factor,
            factor.T @ noise @ factor,
            factor,
            stiffest=found.gaussian.stiffest,
        )


@dataclass(frozen=True)
class HierarchicalWarmup:
    """The work before the first step of a chain whose hyperparameters are drawn between draws.

    Parameters
    ----------
    problem : TuningProblem
        Of the chain as it is sampled.
    hierarchy : Hierarchy
    tuned : TunedHierarchy
    """

    problem: TuningProblem
    hierarchy: Hierarchy
    tuned: TunedHierarchy

    @property
    def prepared(self) -> Tuned:
        """What was worked out before the chains were started."""
        return self.tuned.joint

    def start(
        self, position: Array, temperature: float, generator: np.random.Generator, *, jitters: bool
    ) -> Start:
        """Start from a draw of the run without data; the mode was looked for before."""
        draws = self.tuned.draws
        start = draws[generator.integers(len(draws))].astype(position.dtype)
        finite = np.isfinite(self.problem.function.full(start)[0])
        where = start if finite else self.tuned.mode
        memory = MovesMemory(self.tuned.noise)
        return Start(where, self.prepared, data_passes=1.0, moves=memory)

    def measure(
        self, position: Array, metric: Metric, temperature: float, generator: np.random.Generator
    ) -> tuple[None, float]:
        """Measure nothing: the law of the steps was worked out before."""
        return None, 0.0

    def better_centre(
        self,
        draws: Array,
        centre: Centre,
        metric: Metric,
        temperature: float,
        generator: np.random.Generator,
    ) -> tuple[Centre | None, float]:
        """Centre the control variate at the mean of draws, if that is better for what moves.

        See :meth:`pymc_sgld.tuning.Warmup.better_centre`.
        """
        problem, tuned, moving = self.problem, self.tuned, self.hierarchy.moving
        if not isinstance(centre.predicted_law, GaussianLaw) or len(draws) < FEWEST_DRAWS:
            return None, 0.0
        assert tuned.laplace is not None and tuned.covariance is not None
        new = draws.mean(axis=0).astype(problem.function.dtype)
        spread = np.linalg.inv(tuned.covariance[np.ix_(moving, moving)])
        left, passes = better_centre(
            given_the_rest(problem.function, new, moving),
            problem.estimator,
            new[moving],
            centre.estimator_parameters[0][moving],
            draws[:, moving],
            centre.predicted_law.factor,
            tuned.laplace.gaussian._replace(precision=spread, data_passes=0.0),
            temperature=1.0,
            generator=generator,
            probabilities=problem.batches.scheme.row_probabilities,
        )
        if left is None:
            return None, passes
        parameters = centre_parameters(problem.function, new)
        gaussian = left._replace(precision=tuned.laplace.gaussian.precision)
        tuned = replace(tuned, laplace=tuned.laplace._replace(gaussian=gaussian))
        tuned = HierarchySearch(problem, self.hierarchy, generator).with_batches(tuned)
        memory = centre.moves._replace(noise=tuned.noise)
        moved = Centre(parameters, tuned.predicted_law, centre.gradient_noise, memory)
        return moved, passes + (1 + left.data_passes)


def positive_part(matrix: Array) -> Array:
    """Return the nearest matrix without negative eigenvalues."""
    if len(matrix) > MANY and is_nearly_positive(matrix):
        return matrix
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    if values[0] >= 0:
        return matrix
    return np.asarray((vectors * np.maximum(values, 0)) @ vectors.T)
