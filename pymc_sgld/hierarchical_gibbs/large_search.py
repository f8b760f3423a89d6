"""The search for where a Gibbs split of thousands of effects is to be tuned: sparse matrices."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from scipy.sparse import csr_array

from pymc_sgld.hierarchical_gibbs.conditional_curvature import pilot
from pymc_sgld.hierarchical_gibbs.hierarchy import Hierarchy, TunedHierarchy
from pymc_sgld.hierarchical_gibbs.marginal_mode import (
    ConditionalMode,
    MarginalDensity,
    conditional_mode,
)
from pymc_sgld.hierarchical_gibbs.sparse_curvature import SparseCurvature
from pymc_sgld.hierarchical_gibbs.sparse_prior import sparse_prior
from pymc_sgld.hierarchical_gibbs.sparse_rows import LARGEST_SHARED, SparseRows
from pymc_sgld.preconditioners.sparse_factor import elimination
from pymc_sgld.tuning import LawByEnds, LinearLaw, TuningProblem, centre_parameters
from pymc_sgld.tuning.sparse_hessian import Colouring
from pymc_sgld.types import Array

_MOST_ROUNDS = 6
_SETTLED = 0.3  # sds of a hyperparameter given the effects
_MOST_MAXIMISED = 12  # hyperparameters; more are drawn, and their mean is taken
_DRAWS = 120  # of the run without data
_FIRST_DRAWS, _LEFT_OUT = 100, 0.3
_MOST_CORRECTED = 12  # numbers that all rows share
_WORTH_CORRECTING = 0.1  # sds
_STEP = 0.5  # sds, of the difference of two precisions
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
        they stay where they are.

        Raises
        ------
        TuningError
            Where there is no finite density, or no positive curvature.
        """
        hierarchy, moving = self.hierarchy, self.hierarchy.moving
        position, offset = start, np.zeros(len(moving))
        passes, learned, corrected = 0.0, None, False
        for _ in range(_MOST_ROUNDS):
            found, curvature = self._at_hyperparameters(position, offset)
            passes += found.data_passes + 1
            slope = self._slope(curvature.reference) - offset
            position, units, learned = self._typical(curvature, slope, learned)
            apart = (position - found.position)[hierarchy.hyperparameters.entries]
            settled = bool((np.abs(apart) <= _SETTLED * units).all())
            if settled and corrected:
                break
            offset, more = self._offset(curvature)
            passes, corrected = passes + more, settled
            if settled and not offset.any():
                break
        draws = self._draws(curvature, position, slope, learned)
        curvature = curvature.levelled(position)
        metric = curvature.metric(position)
        parameters: tuple[Array, ...] = ()
        if self.problem.estimator.needs_mode:
            parameters = centre_parameters(self.problem.function, position)
        smallest, largest = curvature.ends(position)
        whole = np.zeros(len(position))
        whole[moving] = slope
        return TunedHierarchy(
            mode=position,
            covariance=None,
            metric=metric,
            predicted_law=LawByEnds(LinearLaw(self.problem.rule), smallest, largest, 0.0),
            score=found.distance,
            data_passes=passes + 1,
            curvature=curvature,
            laplace=None,
            draws=draws,
            slope=whole,
            estimator_parameters=parameters,
        )

    def other_mode(self, start: Array, tuned: TunedHierarchy) -> tuple[float, float]:
        """Look for another mode of what moves: climb again, from the start.

        Returns how far it lies, in the coordinates of the steps, and data passes.
        """
        begin = np.array(tuned.mode)
        moving = tuned.curvature.moving
        begin[moving] = start[moving]
        found, _ = self._at_hyperparameters(begin, np.zeros(len(moving)))
        again, _ = self._at_hyperparameters(tuned.mode, np.zeros(len(moving)))
        apart = [tuned.metric.to_coordinates(one.position) for one in (found, again)]
        distance = float(np.sqrt(np.mean((apart[0] - apart[1])[moving] ** 2)))
        far = distance if distance > _ANOTHER_MODE and found.distance < _CONVERGED else 0.0
        return far, found.data_passes + again.data_passes

    def _at_hyperparameters(
        self, start: Array, offset: Array
    ) -> tuple[ConditionalMode, SparseCurvature]:
        """Return the best effects at the hyperparameters of the start, and the curvature there."""
        moving = self.hierarchy.moving
        at_start = self._curvature(start)

        def precision(at: Array) -> csr_array:
            return csr_array(self._information(at) + replace(at_start, reference=at).prior_at(at))

        found = conditional_mode(
            self.problem.function,
            precision,
            at_start.elimination.factor,
            start,
            moving,
            offset,
            self.rows.passes_of_information,
        )
        curvature = replace(
            at_start, reference=found.position, information=self._information(found.position)
        )
        passes = found.data_passes + 2 * self.rows.passes_of_information
        return found._replace(data_passes=passes), curvature

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
        moving = self.hierarchy.moving
        return csr_array(csr_array(self.rows.information(position)[moving])[:, moving])

    def _slope(self, position: Array) -> Array:
        """Return the slope of the rows' log-likelihood."""
        of_prior = self.hierarchy.prior(position, np.zeros_like(position))[0]
        whole = self.problem.function.full(position)[1]
        return np.asarray((whole.astype(float) - of_prior)[self.hierarchy.moving])

    def _typical(
        self, curvature: SparseCurvature, slope: Array, learned: Any
    ) -> tuple[Array, Array, Any]:
        """Return typical hyperparameters with the best effects, the units of their distance.

        The maximum of their marginal density; where they are many, the mean of draws.
        """
        entries = self.hierarchy.hyperparameters.entries
        density = MarginalDensity(curvature, self.hierarchy.density, slope)
        if len(entries) <= _MOST_MAXIMISED:
            return *density.maximum(), learned
        draws, learned = self._pilot(curvature, curvature.reference, slope, _FIRST_DRAWS, learned)
        draws = draws[int(_LEFT_OUT * len(draws)) :, entries]
        return density.at(draws.mean(axis=0))[1], draws.std(axis=0), learned

    def _draws(self, curvature: SparseCurvature, start: Array, slope: Array, learned: Any) -> Array:
        return self._pilot(curvature, start, slope, _DRAWS, learned)[0]

    def _pilot(
        self, curvature: SparseCurvature, start: Array, slope: Array, n_draws: int, learned: Any
    ) -> tuple[Array, Any]:
        """Run the Gibbs sampler without data; return draws, and what the step method learned."""
        hierarchy, generator, latest = self.hierarchy, self.generator, [learned]

        def update(position: Array) -> Array:
            moved, latest[0] = hierarchy.hyperparameters.draw(position, generator, latest[0], True)
            return moved

        draws = pilot(curvature, start, curvature.reference, slope, update, n_draws, generator)
        return draws, latest[0]

    def _offset(self, curvature: SparseCurvature) -> tuple[Array, float]:
        r"""Return the slope that moves numbers shared by all rows to their marginal mode; passes.

        The joint mode of effects and the scale of errors has too small a scale: the density of the
        scale alone has the factor :math:`|P_u|^{-1/2}` beside that at the best effects. Its slope
        is taken along the direction in which a number moves with all that follows it.
        """
        moving, size = curvature.moving, np.bincount(curvature.variable)
        chosen = np.flatnonzero((size[curvature.variable] == 1) & self._is_shared)
        offset = np.zeros(len(moving))
        if not 0 < len(chosen) <= _MOST_CORRECTED:
            return offset, 0.0
        others = np.setdiff1d(np.arange(len(moving)), chosen)
        factor = curvature.factor(curvature.reference)
        units = np.zeros((len(chosen), len(moving)))
        units[np.arange(len(chosen)), chosen] = 1
        ways = np.array([factor.solve(unit) for unit in units])
        covariance = ways[:, chosen]
        sds, shift = np.sqrt(np.diag(covariance)), []
        plan = None
        for way, sd in zip(ways, sds, strict=True):
            halves = []
            for sign in (1, -1):
                at = curvature.reference.copy()
                at[moving] += sign * _STEP * way / sd
                there = replace(curvature, reference=at, information=self._information(at))
                among = csr_array(csr_array(there.precision(at)[others])[:, others])
                plan = plan or elimination(among, curvature.variable[others])
                halves.append(plan.factor(among).log_determinant / 2)
            shift.append(-(halves[0] - halves[1]) / (2 * _STEP))
        if np.abs(shift).max() > _WORTH_CORRECTING:
            offset[chosen] = -np.linalg.solve(covariance, sds * np.array(shift))
        return offset, 2 * len(chosen) * self.rows.passes_of_information

    @property
    def _is_shared(self) -> Array:
        return np.isin(self.hierarchy.moving, self.rows.gathered.shared)
