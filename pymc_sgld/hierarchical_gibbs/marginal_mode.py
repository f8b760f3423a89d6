r"""Where the hyperparameters of thousands of effects are, the effects integrated out.

The joint density of a scale and its effects has no bound where the scale is zero. What has a mode
near the posterior is the density of the hyperparameters alone, by Laplace's approximation

.. math:: \log p(\phi \mid y) \approx \log p(\hat u(\phi), \phi, y) - \tfrac12 \log |P(\phi)|,

with :math:`\hat u` the best effects and P their precision given :math:`\phi`. Rows do not depend on
hyperparameters: with a quadratic in their place no row is read while :math:`\phi` is looked for.

References
----------
.. [1] Bates, D., Maechler, M., Bolker, B. and Walker, S. (2015). Fitting linear mixed-effects
   models using lme4. Journal of Statistical Software 67. https://doi.org/10.18637/jss.v067.i01
.. [2] Rue, H., Martino, S. and Chopin, N. (2009). Approximate Bayesian inference for latent
   Gaussian models by using integrated nested Laplace approximations. JRSS B 71.
   https://doi.org/10.1111/j.1467-9868.2008.00700.x
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import scipy

from scipy.sparse import csr_array, diags_array

from pymc_sgld.hierarchical_gibbs.sparse_curvature import SparseCurvature, of_some
from pymc_sgld.model_graph import BlockFunction
from pymc_sgld.preconditioners.sparse_factor import Elimination, SparseFactor, elimination
from pymc_sgld.tuning import TuningError
from pymc_sgld.types import Array

_MOST_NEWTON_STEPS = 30
_MOST_HALVINGS = 15
_RIDGES = 0.0, 0.1, 1.0, 10.0, 100.0  # of the diagonal, where the precision is not positive
_ARRIVED = 0.03  # root mean square of a step, in sds; of each parameter ten times that
_SLOW = 0.2  # by which steps with the precision of one place shrink, else it is taken anew
_ROUNDING = 1e-13  # of the log-density, gained by a step
_DIFFERENCE = 0.05  # sds of a hyperparameter given the effects
_SLOPE = 0.05
_MOST_ITERATIONS = 60
_REFUSED = 1e100


class ConditionalMode(NamedTuple):
    """The best effects and coefficients at some hyperparameters."""

    position: Array  # (n_dim,)
    data_passes: float  # but for those of the precision
    distance: float  # root mean square of the last step, in sds


def conditional_mode(
    function: BlockFunction,
    precision: Callable[[Array], csr_array],
    factor: Callable[[csr_array], SparseFactor],
    position: Array,
    moving: Array,
) -> ConditionalMode:
    """Climb by Newton steps on all rows, shortened where they overshoot.

    Parameters
    ----------
    function : BlockFunction
    precision : callable
        Position to minus the Hessian of what moves.
    factor : callable
    position : array, shape (n_dim,)
        Where to begin; has the hyperparameters.
    moving : array of int, shape (n_moving,)
        Entries that are sought; the others stay.

    Raises
    ------
    TuningError
        Where the log-density is not finite to begin with.
    """

    def density(at: Array) -> tuple[float, Array]:
        with np.errstate(all="ignore"):
            value, gradient = function.full(at)
        return float(value), np.asarray(gradient, float)[moving]

    value, slope = density(position)
    if not (np.isfinite(value) and np.isfinite(slope).all()):
        raise TuningError(
            f"At its initial point the log-density of the model is {value:.4g}. Give initvals "
            "where it is finite, or stronger priors.",
            model_at_fault=True,
        )
    passes, distance, matrix, inverse = 1.0, np.inf, None, None
    for _ in range(_MOST_NEWTON_STEPS):
        before = distance
        if inverse is not None:
            distance = _length(inverse.solve(slope), slope)
        if matrix is None or inverse is None or distance > _SLOW * before:
            matrix = precision(position)
            inverse = _positive(matrix, factor)
        step = inverse.solve(slope)
        distance = _length(step, slope)
        each = np.abs(step) * np.sqrt(np.maximum(matrix.diagonal(), 0.0))
        if step @ slope <= _ROUNDING * max(abs(value), 1.0):
            break
        arrived = distance < _ARRIVED and each.max(initial=0.0) < 10 * _ARRIVED
        for shorter in 0.5 ** np.arange(_MOST_HALVINGS):
            ahead = position.copy()
            ahead[moving] += (shorter * step).astype(position.dtype)
            tried, there = density(ahead)
            passes += 1
            if tried > value and np.isfinite(there).all():
                position, value, slope = ahead, tried, there
                break
        else:
            break
        if arrived:
            break
    return ConditionalMode(position, passes, distance)


def _length(step: Array, slope: Array) -> float:
    """Return the root mean square of a step in sds."""
    return float(np.sqrt(max(float(step @ slope), 0.0) / len(step)))


def _positive(matrix: csr_array, factor: Callable[[csr_array], SparseFactor]) -> SparseFactor:
    """Return the factor, with so much added to the diagonal that there is one."""
    diagonal = np.abs(matrix.diagonal())
    diagonal = np.where(diagonal > 0, diagonal, max(float(np.mean(diagonal)), 1e-12))
    for ridge in _RIDGES:
        try:
            return factor(csr_array(matrix + diags_array(ridge * diagonal)))
        except np.linalg.LinAlgError:
            continue
    raise TuningError(
        "Given the hyperparameters, the effects have no positive curvature where they were looked "
        "for. Give hyperparameters='joint', initvals, or stronger priors."
    )


@dataclass(frozen=True)
class MarginalDensity:
    """The log-density of the hyperparameters, with a quadratic in place of the rows.

    Numbers that all rows share, such as the scale of errors, are among the arguments: the
    information of the rows changes with them, and with it what the effects' determinant adds.

    Parameters
    ----------
    curvature : SparseCurvature
        Has the quadratic's curvature, and the place it was taken at.
    value : callable
        Log-density of the prior part at a position.
    slope : array, shape (n_moving,)
        Of the rows' log-likelihood there.
    entries : array of int, shape (n_arguments,)
        Hyperparameters and shared numbers, as entries of the position.
    changes : tuple of (int, sparse array)
        Shared numbers, as places within what moves, and the derivatives of the information.
    """

    curvature: SparseCurvature
    value: Callable[[Array], float]
    slope: Array
    entries: Array
    changes: tuple[tuple[int, csr_array], ...] = ()

    @cached_property
    def _fixed(self) -> Array:
        """Places within what moves that are arguments."""
        return np.array([place for place, _ in self.changes], dtype=int)

    @cached_property
    def _others(self) -> Array:
        return np.setdiff1d(np.arange(len(self.curvature.moving)), self._fixed)

    @cached_property
    def _elimination(self) -> Elimination:
        if not len(self._fixed):
            return self.curvature.elimination
        among = of_some(self.curvature.pattern, self._others)
        return elimination(among, self.curvature.variable[self._others])

    def at(self, values: Array) -> tuple[float, Array]:
        """Return the log-density, and the position with the best effects; -inf where it is none."""
        curvature, moving, others = self.curvature, self.curvature.moving, self._others
        position = np.array(curvature.reference)
        position[self.entries] = values
        step = (position - curvature.reference)[moving].astype(float)
        step[others] = 0
        with np.errstate(all="ignore"):
            gradient = curvature.prior(position, np.zeros_like(position))[0]
            slope = np.asarray(gradient, dtype=float)[moving] + self.slope
        slope = (slope - curvature.information @ step)[others]
        if not np.isfinite(slope).all():
            return -np.inf, position
        matrix = curvature.precision(position)
        for place, derivative in self.changes:
            matrix = matrix + step[place] * derivative
        try:
            factor = self._elimination.factor(of_some(matrix, others))
        except np.linalg.LinAlgError:
            return -np.inf, position
        step[others] = factor.solve(slope)
        position[moving[others]] += step[others].astype(position.dtype)
        of_rows = self.slope @ step - step @ (curvature.information @ step) / 2
        found = self.value(position) + of_rows - factor.log_determinant / 2
        return (float(found) if np.isfinite(found) else -np.inf), position

    def units(self) -> Array:
        """Return the sds of the arguments given all else; 1 where there is none."""
        curvature, found = self.curvature, []
        whole = np.zeros(len(curvature.reference))
        whole[curvature.moving] = curvature.information_diagonal
        for entry in self.entries:
            unit = np.zeros_like(curvature.reference)
            unit[entry] = 1
            curved = float(curvature.prior(curvature.reference, unit)[1][entry] + whole[entry])
            found.append(1 / np.sqrt(curved) if curved > 0 else 1.0)
        return np.minimum(found, 1.0)

    def maximum(self) -> Array:
        """Return the position with the best arguments and effects."""
        start = self.curvature.reference[self.entries].astype(float)
        units = self.units()

        def objective(offset: Array) -> float:
            value = self.at(start + units * offset)[0]
            return -value if np.isfinite(value) else _REFUSED

        def slope(offset: Array) -> Array:
            ways = _DIFFERENCE * np.eye(len(offset))
            pairs = [(objective(offset + way), objective(offset - way)) for way in ways]
            ahead, behind = np.array(pairs).T
            usable = (ahead < _REFUSED) & (behind < _REFUSED)
            return np.where(usable, (ahead - behind) / (2 * _DIFFERENCE), 0.0)

        result = scipy.optimize.minimize(
            objective,
            np.zeros(len(start)),
            jac=slope,
            method="L-BFGS-B",
            options={"maxiter": _MOST_ITERATIONS, "gtol": _SLOPE, "ftol": 1e-12},
        )
        return self.at(start + units * result.x)[1]
