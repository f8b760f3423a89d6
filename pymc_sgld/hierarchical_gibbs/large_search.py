"""The search for where a Gibbs split of thousands of effects is to be tuned: sparse matrices."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from scipy.sparse import csr_array

from pymc_sgld.hierarchical_gibbs.hierarchy import Hierarchy, TunedHierarchy
from pymc_sgld.hierarchical_gibbs.marginal_mode import (
    ConditionalMode,
    MarginalDensity,
    conditional_mode,
)
from pymc_sgld.hierarchical_gibbs.shared_numbers import (
    changes_of_information,
    shared_numbers,
    that_matter,
)
from pymc_sgld.hierarchical_gibbs.sparse_curvature import SparseCurvature, of_some
from pymc_sgld.hierarchical_gibbs.sparse_prior import sparse_prior
from pymc_sgld.hierarchical_gibbs.sparse_rows import LARGEST_SHARED, SparseRows
from pymc_sgld.hierarchical_gibbs.without_data import run_without_data
from pymc_sgld.preconditioners.sparse_factor import elimination
from pymc_sgld.tuning import LawByEnds, LinearLaw, TuningProblem, centre_parameters
from pymc_sgld.tuning.sparse_hessian import Colouring
from pymc_sgld.types import Array

_MOST_ROUNDS = 10
_SETTLED = 0.3  # sds of a hyperparameter given the effects
_MOST_MAXIMISED = 12  # hyperparameters; more are drawn, and their mean is taken
_DRAWS = 120  # of the run without data
_FIRST_DRAWS, _LEFT_OUT = 100, 0.3
_REMEMBERED = 3  # places whose information is kept
_ANOTHER_MODE = 1.0  # root mean square over the parameters, in the coordinates of the steps
_CONVERGED = 0.1
_ANY = Colouring(*np.zeros((5, 0), dtype=int))


def why_not_sparse(rows: SparseRows | None, entries: Colouring | None = _ANY) -> str | None:
    """Return why a split cannot do without dense matrices; None where it can.

    Parameters
    ----------
    rows : SparseRows or None
        None where no row takes anything by index.
    entries : Colouring, optional
        Of the prior's Hessian, None where they are many; not looked at if not given.
    """
    if rows is None:
        return "no row takes its effects by an index, which is how the entries are known"
    if len(rows.gathered.shared) > LARGEST_SHARED:
        return (
            f"rows share {len(rows.gathered.shared):,} parameters beside the effects that they "
            f"take by index, more than {LARGEST_SHARED}"
        )
    if entries is None:
        return "the prior ties effects that are not neighbours in one variable"
    return None


@dataclass(frozen=True)
class LargeHierarchySearch:
    """The search for where a split is to be tuned, where dense matrices would be too large.

    Parameters
    ----------
    problem : TuningProblem
        Of the chain that is not split.
    hierarchy : Hierarchy
    rows : SparseRows
    entries : Colouring
        Of the prior's Hessian.
    generator : numpy.random.Generator
    """

    problem: TuningProblem
    hierarchy: Hierarchy
    rows: SparseRows
    entries: Colouring
    generator: np.random.Generator
    _known: dict[bytes, csr_array] = field(default_factory=dict, repr=False)
    _spent: list[float] = field(default_factory=list, repr=False)  # passes of informations

    @classmethod
    def prior_entries(
        cls, hierarchy: Hierarchy, start: Array, generator: np.random.Generator
    ) -> Colouring | None:
        """Return where the prior's Hessian has entries, or None where they are many."""
        return sparse_prior(hierarchy.prior, start, hierarchy.moving, hierarchy.sizes, generator)

    def find(self, start: Array, temperature: float) -> TunedHierarchy:
        """Find the posterior of a hierarchy.

        The best effects at the hyperparameters of the start; then the hyperparameters at the
        maximum of their marginal density with a quadratic in place of the rows; and again, until
        they stay where they are. Numbers that all rows share go with the effects at first, and with
        the hyperparameters from then on: at the joint mode a scale of errors is too small, for no
        effect counts as estimated there.

        Raises
        ------
        TuningError
            Where there is no finite density, or no positive curvature.
        """
        moving = self.hierarchy.moving
        position, passes, learned = start, 0.0, None
        shared = shared_numbers(self.hierarchy.sizes, moving, self.rows.gathered.shared)
        for number in range(_MOST_ROUNDS):
            free = np.setdiff1d(np.arange(len(moving)), shared[: len(shared) * (number > 0)])
            found, curvature = self._at_hyperparameters(position, free)
            passes += found.data_passes + 1
            slope = self._slope(curvature.reference)
            changes = changes_of_information(curvature, shared, self._information) if number else ()
            if number == 1:
                changes = that_matter(curvature, changes)
                shared = np.array([place for place, _ in changes], dtype=int)
            position, settled, learned = self._typical(curvature, slope, changes, learned)
            if number and settled:
                break
        of_rows = slope.copy()
        if len(shared):  # the mean of draws is to be where they are
            of_prior = self.hierarchy.prior(curvature.reference, np.zeros_like(position))[0]
            slope[shared] = -of_prior[moving[shared]]
        curvature = replace(curvature, changes=changes)
        draws = self._draws(curvature, position, slope, learned)
        curvature = curvature.with_good_coordinates(position)
        metric = curvature.metric(position)
        parameters: tuple[Array, ...] = ()
        if self.problem.estimator.needs_mode:
            parameters = centre_parameters(self.problem.function, position)
        smallest, largest = curvature.ends(position)
        whole = np.zeros(len(position))
        whole[moving] = of_rows
        steep = self.problem.steep_slopes_of_many(position, among=moving)
        return TunedHierarchy(
            mode=position,
            covariance=None,
            metric=metric,
            predicted_law=LawByEnds(LinearLaw(self.problem.rule), smallest, largest, 0.0),
            score=found.distance,
            data_passes=passes + 1 + self._passes_of_information() + steep.data_passes,
            curvature=curvature,
            laplace=None,
            draws=draws,
            slope=whole,
            estimator_parameters=parameters,
            steep=steep,
        )

    def other_mode(self, start: Array, tuned: TunedHierarchy) -> tuple[float, float]:
        """Look for another mode of what moves: climb again, from the start.

        Returns how far it lies, in the coordinates of the steps, and data passes.
        """
        begin = np.array(tuned.mode)
        moving, free = tuned.curvature.moving, np.arange(len(tuned.curvature.moving))
        begin[moving] = start[moving]
        found, _ = self._at_hyperparameters(begin, free)
        again, _ = self._at_hyperparameters(tuned.mode, free)
        apart = [tuned.metric.to_coordinates(one.position) for one in (found, again)]
        distance = float(np.sqrt(np.mean((apart[0] - apart[1])[moving] ** 2)))
        far = distance if distance > _ANOTHER_MODE and found.distance < _CONVERGED else 0.0
        passes = found.data_passes + again.data_passes + self._passes_of_information()
        return far, passes

    def _at_hyperparameters(
        self, start: Array, free: Array
    ) -> tuple[ConditionalMode, SparseCurvature]:
        """Return the best effects at the hyperparameters of the start, and the curvature there.

        Parameters
        ----------
        start : array, shape (n_dim,)
        free : array of int
            Places within what moves that are sought; the others stay.
        """
        moving, at_start = self.hierarchy.moving, self._curvature(start)
        plan = elimination(of_some(at_start.pattern, free), at_start.variable[free])

        def precision(at: Array) -> csr_array:
            of_prior = replace(at_start, reference=at).prior_at(at)
            return of_some(self._information(at) + of_prior, free)

        found = conditional_mode(
            self.problem.function,
            precision,
            plan.factor,
            start,
            moving[free],
        )
        curvature = replace(
            at_start, reference=found.position, information=self._information(found.position)
        )
        return found, curvature

    def _curvature(self, position: Array) -> SparseCurvature:
        """Return the curvature at a position."""
        hierarchy, moving = self.hierarchy, self.hierarchy.moving
        variable = np.repeat(np.arange(len(hierarchy.sizes)), hierarchy.sizes)[moving]
        border = np.isin(moving, self.rows.gathered.shared)
        units = self.entries.directions(np.ones(len(moving), dtype=position.dtype))
        directions = np.zeros((len(units), len(position)), dtype=position.dtype)
        directions[:, moving] = units
        return SparseCurvature(
            prior=hierarchy.prior,
            reference=np.array(position),
            moving=moving,
            hyperparameters=hierarchy.hyperparameters.entries,
            single=np.flatnonzero(~border),
            border=np.flatnonzero(border),
            information=self._information(position),
            directions=directions,
            entries=self.entries,
            variable=variable,
        )

    def _information(self, position: Array) -> csr_array:
        """Return the information of all rows on what moves, that of the last places from memory."""
        key = position.tobytes()
        if key not in self._known:
            while len(self._known) >= _REMEMBERED:
                self._known.pop(next(iter(self._known)))
            found = self.rows.information(position)
            self._spent.append(self.rows.passes_of_information)
            self._known[key] = of_some(found, self.hierarchy.moving)
        return self._known[key]

    def _slope(self, position: Array) -> Array:
        """Return the slope of the rows' log-likelihood."""
        of_prior = self.hierarchy.prior(position, np.zeros_like(position))[0]
        whole = self.problem.function.full(position)[1]
        return np.asarray((whole.astype(float) - of_prior)[self.hierarchy.moving])

    def _typical(
        self,
        curvature: SparseCurvature,
        slope: Array,
        changes: tuple[tuple[int, csr_array], ...],
        learned: Any,
    ) -> tuple[Array, bool, Any]:
        """Return typical hyperparameters with the best effects, and whether they were there.

        The maximum of their marginal density; where they are many, the mean of draws.
        """
        entries, reference = self.hierarchy.hyperparameters.entries, curvature.reference
        shared = curvature.moving[[place for place, _ in changes]]
        value, settled = self.hierarchy.density, True
        if len(entries) > _MOST_MAXIMISED:
            draws, learned = self._pilot(curvature, reference, slope, _FIRST_DRAWS, learned)
            draws = draws[int(_LEFT_OUT * len(draws)) :, entries]
            curvature = replace(curvature, reference=reference.copy())
            curvature.reference[entries] = draws.mean(axis=0)
            moved = np.abs(curvature.reference - reference)[entries]
            settled = bool((moved <= draws.std(axis=0)).all())
            entries = entries[:0]
        density = MarginalDensity(curvature, value, slope, np.r_[entries, shared], changes)
        position = density.maximum() if len(density.entries) else density.at(entries)[1]
        apart = np.abs(position - curvature.reference)[density.entries]
        return position, settled and bool((apart <= _SETTLED * density.units()).all()), learned

    def _draws(self, curvature: SparseCurvature, start: Array, slope: Array, learned: Any) -> Array:
        return self._pilot(curvature, start, slope, _DRAWS, learned)[0]

    def _pilot(
        self, curvature: SparseCurvature, start: Array, slope: Array, n_draws: int, known: Any
    ) -> tuple[Array, Any]:
        """Run the Gibbs sampler without data; return draws, and what it has learned."""
        return run_without_data(
            self.hierarchy, curvature, slope, start, n_draws, self.generator, known
        )

    def _passes_of_information(self) -> float:
        """Return the passes since this was last asked."""
        spent = sum(self._spent)
        self._spent.clear()
        return spent
