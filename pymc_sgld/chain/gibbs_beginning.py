"""What comes before a Gibbs split: where effects and hyperparameters are, and how well known."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from pymc_sgld.chain.beginning import Beginning
from pymc_sgld.chain.hyperparameter_step import HyperparameterStep
from pymc_sgld.chain.references import centre_parameters
from pymc_sgld.chain.state import Tuned
from pymc_sgld.hierarchical_gibbs.standardised import QuadraticRows
from pymc_sgld.model_graph import BlockFunction
from pymc_sgld.tuning import (
    MANY,
    ConditionalCurvature,
    Laplace,
    LinearChain,
    LinearLaw,
    LocalGaussian,
    Scores,
    conditional_curvature,
    find_laplace,
    given_the_rest,
    information_of_all_rows,
    is_nearly_positive,
    look_at_scores,
    pilot,
    with_noise_left,
)
from pymc_sgld.types import Array

_FIRST_DRAWS, _DRAWS = 300, 800  # of the runs without data, and of the last
_LEFT_OUT = 0.2  # of a run, at its beginning
_MOST_ROUNDS = 4
_SETTLED = 0.3  # posterior sds of each hyperparameter
_SETTLED_OF_MANY = 1.0  # where another Hessian is dear
_NO_SPREAD = 1e-9
_OWN_VARIANCE = 0.1  # share of the diagonal in a covariance of few draws


@dataclass(frozen=True)
class Hierarchy:
    """A model as two blocks: hyperparameters, and what rows depend on.

    Parameters
    ----------
    prior : callable
        See :func:`pymc_sgld.hierarchical_gibbs.prior_model.compile_prior`.
    hyperparameters : HyperparameterStep
    sizes : tuple of int
        Lengths of the variables of the position.
    """

    prior: Any
    hyperparameters: HyperparameterStep
    sizes: tuple[int, ...]

    def density(self, position: Array) -> float:
        """Return the log-density of the prior part."""
        return float(self.prior(position, np.zeros_like(position))[2])

    @property
    def moving(self) -> Array:
        """Entries of the position that are no hyperparameters."""
        return np.setdiff1d(np.arange(sum(self.sizes)), self.hyperparameters.entries)


@dataclass(frozen=True)
class TunedGibbs(Tuned):
    """What is worked out before the first step of a Gibbs split."""

    curvature: ConditionalCurvature | None = None
    laplace: Laplace | None = None  # of what moves, at typical hyperparameters
    draws: Array | None = None  # (n_draws, n_dim), of the run without data
    noise: tuple[Array, Array] | None = None  # see ``ChainState.conditional_noise``
    slope: Array | None = None  # (n_dim,), of the rows' log-likelihood at the curvature's reference

    @property
    def log_scale_sd(self) -> float:
        """Predicted posterior sd of the log of a scale that effects have in the prior; largest.

        The scale is one over the root of the prior's own curvature, which does not depend on the
        data: its spread is that of the hyperparameters.
        """
        return float(self._spread[1].max(initial=0.0))

    @property
    def acted_on(self) -> Array:
        """Entries of the position whose scale in the prior the hyperparameters change."""
        entries, spread = self._spread
        return np.asarray(entries[spread > _NO_SPREAD])

    @property
    def quadratic(self) -> QuadraticRows:
        """The rows' log-likelihood near the mode that was found."""
        curvature = self.curvature
        assert curvature is not None and self.slope is not None
        score = np.zeros(len(self.mode))
        score[curvature.moving] = self.slope[curvature.moving]
        single, border = curvature.moving[curvature.single], curvature.moving[curvature.border]
        return QuadraticRows(
            curvature.reference.astype(float), score, single, border, *curvature.of_rows
        )

    @cached_property
    def _spread(self) -> tuple[Array, Array]:
        """Entries that have a curvature of their own in the prior, and sds of its log scale."""
        assert self.curvature is not None and self.draws is not None
        row, column = self.curvature.entries.row, self.curvature.entries.column
        diagonal = row == column
        values = np.array([self.curvature.of_prior(draw)[diagonal] for draw in self.draws])
        usable = (values > 0).all(axis=0)
        spread = np.log(values[:, usable]).std(axis=0) / 2
        return self.curvature.moving[row[diagonal][usable]], spread


@dataclass(frozen=True)
class GibbsBeginning:
    """The search for where a Gibbs split is to be tuned.

    Parameters
    ----------
    beginning : Beginning
        Of the chain that is not split; gives estimator, batches and random numbers.
    hierarchy : Hierarchy
    """

    beginning: Beginning
    hierarchy: Hierarchy

    def find(self, start: Array, temperature: float) -> TunedGibbs:
        """Find the posterior of a hierarchy, hyperparameters frozen first.

        Freed at once they would run off: with effects at their common mean a scale goes to zero.
        So the effects are looked for at the hyperparameters of the start, and what the rows say
        of them is kept as a quadratic, on which a whole Gibbs sampler runs without data. From its
        mean both are done again, until no hyperparameter's mean is far, in its own sds, from where
        the effects were looked for.
        """
        generator = self.beginning.generator
        found, curvature, slope, draws = self._settled(start)
        passes = found.data_passes
        function, moving = self.beginning.block_function, self.hierarchy.moving
        centre = draws.mean(axis=0).astype(start.dtype)
        conditional_function = given_the_rest(function, centre, moving)
        metric = curvature.metric(centre)
        factor = metric.matrix()[moving]
        covariance = shrunk_covariance(draws)
        estimator = self.beginning.settings.axes.estimator
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
        passes += gaussian.data_passes
        conditional = factor[:, moving] @ factor[:, moving].T
        found = found._replace(gaussian=gaussian._replace(precision=np.linalg.inv(conditional)))
        parameters: tuple[Array, ...] = ()
        if estimator.needs_mode:
            parameters, passes = centre_parameters(function, centre), passes + 1
        return TunedGibbs(
            mode=centre,
            covariance=covariance,
            metric=metric,
            picture=self._picture(found, factor[:, moving]),
            estimator_parameters=parameters,
            score=found.score,
            data_passes=passes,
            curvature=curvature,
            laplace=found,
            draws=draws,
            slope=slope,
        )

    def other_mode(self, start: Array, tuned: TunedGibbs) -> tuple[float, float]:
        """Look for another mode of what moves, the hyperparameters as they were in the search.

        Returns how far it lies, and data passes: see :meth:`Beginning.other_mode`.
        """
        assert tuned.curvature is not None and tuned.laplace is not None
        at, moving = tuned.curvature.reference, self.hierarchy.moving
        conditional = given_the_rest(self.beginning.block_function, at, moving)
        known = Tuned(at[moving], tuned.laplace.covariance, tuned.metric, None)
        start = start.astype(at.dtype)[moving]
        return replace(self.beginning, block_function=conditional).other_mode(start, known)

    def _settled(self, start: Array) -> tuple[Laplace, ConditionalCurvature, Array, Array]:
        """Return what is found where the hyperparameters are typical, and draws without data."""
        entries = self.hierarchy.hyperparameters.entries
        position, passes, learned = start, 0.0, None
        scores: Scores | None = None
        for _ in range(_MOST_ROUNDS):
            found, curvature, slope = self._at_hyperparameters(position, scores)
            scores, passes = found.scores, passes + found.data_passes + 1
            mode = curvature.reference
            draws, learned = self._pilot(curvature, mode, mode, slope, _FIRST_DRAWS, learned)
            draws = draws[int(_LEFT_OUT * len(draws)) :]
            moved = np.abs(draws.mean(axis=0) - position)[entries]
            position = draws.mean(axis=0).astype(start.dtype)
            settled = _SETTLED if len(position) <= MANY else _SETTLED_OF_MANY
            if (moved <= settled * draws.std(axis=0)[entries]).all():
                break
        last = draws[-1].astype(start.dtype)
        draws, _ = self._pilot(curvature, last, mode, slope, _DRAWS, learned)
        return found._replace(data_passes=passes), curvature, slope, draws

    def with_batches(self, tuned: TunedGibbs) -> TunedGibbs:
        """Return what was found, with the noise of the batches of this beginning."""
        assert tuned.laplace is not None and tuned.curvature is not None
        moving, n_dim = self.hierarchy.moving, len(tuned.mode)
        noise = self._noise(tuned.laplace.gaussian)
        factor = tuned.metric.matrix()[np.ix_(moving, moving)]
        picture = self._picture(tuned.laplace, factor)
        known = np.zeros(n_dim), np.zeros(n_dim)
        known[0][moving] = np.diag(noise)
        known[1][moving] = np.diag(picture.noise)
        if not self.beginning.settings.axes.noise_compensation:
            return replace(tuned, picture=picture)
        picture = replace(picture, known_noise=np.diag(picture.noise))
        return replace(tuned, picture=picture, noise=known)

    def _at_hyperparameters(
        self, start: Array, scores: Scores | None
    ) -> tuple[Laplace, ConditionalCurvature, Array]:
        """Find the mode of what moves at the hyperparameters of the start, curvature and slope."""
        hierarchy, function = self.hierarchy, self.beginning.block_function
        moving, generator = hierarchy.moving, self.beginning.generator
        conditional: BlockFunction = given_the_rest(function, start, moving)
        found = find_laplace(conditional, start[moving], generator, scores)
        replace(self.beginning, block_function=conditional, labels=self._labels()).check(found)
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
            generator,
        )
        slope = function.full(mode)[1] - hierarchy.prior(mode, np.zeros_like(mode))[0]
        return found, curvature, slope

    def _pilot(
        self,
        curvature: ConditionalCurvature,
        start: Array,
        mode: Array,
        slope: Array,
        n_draws: int,
        learned: Any,
    ) -> tuple[Array, Any]:
        """Run the Gibbs sampler without data; return draws, and what the step method learned."""
        hierarchy, generator, latest = self.hierarchy, self.beginning.generator, [learned]

        def update(position: Array) -> Array:
            moved, latest[0] = hierarchy.hyperparameters.draw(position, generator, latest[0], True)
            return moved

        slope = slope[hierarchy.moving]
        return pilot(curvature, start, mode, slope, update, n_draws, generator), latest[0]

    def _labels(self) -> tuple[str, ...]:
        labels = self.beginning.labels
        return tuple(labels[j] for j in self.hierarchy.moving) if labels else ()

    def _noise(self, gaussian: LocalGaussian) -> Array:
        windows = self.beginning.windows
        return gaussian.gradient_noise(
            windows.total_sizes,
            windows.batch_sizes,
            with_replacement=windows.scheme.with_replacement,
        )

    def _units(self, position: Array) -> Array:
        return np.asarray(np.eye(len(position), dtype=position.dtype)[self.hierarchy.moving])

    def _picture(self, found: Laplace, factor: Array) -> LinearChain:
        """Return the steps on what moves, in its coordinates at typical hyperparameters."""
        noise = self._noise(found.gaussian)
        return LinearChain(
            LinearLaw(self.beginning.settings.axes.rule),
            factor.T @ found.gaussian.precision @ factor,
            factor.T @ noise @ factor,
            factor,
        )


def positive_part(matrix: Array) -> Array:
    """Return the nearest matrix without negative eigenvalues."""
    if len(matrix) > MANY and is_nearly_positive(matrix):
        return matrix
    values, vectors = np.linalg.eigh((matrix + matrix.T) / 2)
    if values[0] >= 0:
        return matrix
    return np.asarray((vectors * np.maximum(values, 0)) @ vectors.T)


def shrunk_covariance(draws: Array) -> Array:
    """Return the covariance of draws, with a share of its diagonal so that it is positive."""
    covariance = np.cov(draws, rowvar=False)
    return np.asarray(
        (1 - _OWN_VARIANCE) * covariance + _OWN_VARIANCE * np.diag(np.diag(covariance))
    )
