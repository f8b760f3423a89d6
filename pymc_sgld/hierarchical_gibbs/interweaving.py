r"""Hyperparameters given what is left of the effects without them, between draws given the effects.

Where rows say little of effects, these are what their hyperparameters make of them: given all the
effects a scale hardly moves, be it of groups with few rows or of the steps of a random walk. So it
is moved with the effects following. With :math:`c(\phi)` and :math:`L(\phi) L(\phi)^\top` mean and
covariance of the effects given hyperparameters *and rows*, by a quadratic in place of the rows,

.. math:: z = L(\phi)^{-1} (u - c(\phi)), \qquad
    p(\phi \mid z, y) \propto p(\phi, u)\, e^{\ell(u)}\, |L(\phi)|, \quad u = c(\phi) + L(\phi) z.

An effect that is known from its rows stays where it is, one that is not follows its prior, and
all between goes by degrees: a centring that is partial, effect by effect. Where effects given
hyperparameters and rows are Gaussian, z says nothing of :math:`\phi`, and a move is one of the
hyperparameters' own posterior. The law is right whatever c and L are, for z and u determine each
other. No row is read; where the quadratic is not good enough a Metropolis test on all rows
corrects it.

References
----------
.. [1] Papaspiliopoulos, O., Roberts, G. O. and Skoeld, M. (2007). A general framework for the
   parametrization of hierarchical models. Statistical Science 22.
   https://doi.org/10.1214/088342307000000014
.. [2] Yu, Y. and Meng, X.-L. (2011). To center or not to center: that is not the question. JCGS 20.
   https://doi.org/10.1198/jcgs.2011.203main
.. [3] Christen, J. A. and Fox, C. (2005). Markov chain Monte Carlo using an approximation.
   JCGS 14. https://doi.org/10.1198/106186005X76983
.. [4] Neal, R. M. (2003). Slice sampling. Annals of Statistics 31.
   https://doi.org/10.1214/aos/1056562461
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from pymc_sgld.hierarchical_gibbs.arrowhead_metric import ConditionalMetric
from pymc_sgld.hierarchical_gibbs.conditional_curvature import ConditionalCurvature
from pymc_sgld.hierarchical_gibbs.quadratic_rows import QuadraticRows
from pymc_sgld.model_graph import BlockFunction
from pymc_sgld.types import Array

_MOVES = 2  # of a draw, at most, each along a direction of its own
_MOST_MOVED = 10  # hyperparameters; more have no direction in which one move gets far
_WIDTH = 2.0  # of a slice, in sds of the hyperparameters
_MOST_WIDTHS = 20
_SHORTEST = 1e-9  # sds, of an interval in which rounding decides
_TRIALS = 8  # moves, one after the other, that are looked at beforehand
_ROWS_IN_THE_TIME_OF_A_DRAW = 20_000  # a test of all rows comes so rarely that it takes as long
_UNKNOWN_SD = 0.5  # of a hyperparameter in the first run without data


@dataclass
class Interweaving:
    """Moves of the hyperparameters with the effects following, their whitened rest held fixed.

    Parameters
    ----------
    prior : callable
        ``(position, direction) -> (gradient, minus Hessian @ direction, value)``, of the prior.
    curvature : ConditionalCurvature
        Of the effects given hyperparameters and rows.
    rows : QuadraticRows
    entries : array of int, shape (n_entries,)
        Hyperparameters that are moved, as entries of the position.
    directions : array, shape (n_entries, n_entries)
        Of which a move takes a random combination: a factor of their covariance.
    every : int
        Draws between two moves, 1 if they are not tested.
    tested : bool
        Whether the quadratic is corrected by a test against all rows.
    error : float
        Root mean square of the log of the ratio that is tested, over some moves.
    """

    prior: Callable[[Array, Array], tuple[Array, Array, Any]]
    curvature: ConditionalCurvature
    rows: QuadraticRows
    entries: Array
    directions: Array
    every: int = 1
    tested: bool = False
    error: float = 0.0

    def coordinates(self, position: Array) -> ConditionalMetric:
        """Return c and L at the hyperparameters of a position."""
        curvature, moving = self.curvature, self.curvature.moving
        at = curvature.reference.copy()
        at[curvature.hyperparameters] = position[curvature.hyperparameters]
        metric = curvature.metric(at)
        slope = np.zeros(len(at))
        slope[moving] = self.prior(at, np.zeros_like(at))[0][moving] + self.rows.score
        centre = metric.to_position(metric.whitened(slope), *metric.parameters())
        return replace(metric, centre=centre)

    def density(self, position: Array, coordinates: ConditionalMetric) -> float:
        """Return the log-density of hyperparameters given whitened effects, but for a constant."""
        of_prior = float(self.prior(position, np.zeros_like(position))[2])
        return of_prior + self.rows.value(position) - coordinates.log_determinant / 2

    def propose(self, position: Array, generator: np.random.Generator) -> Array:
        """Return a position of the same whitened effects, in balance by the quadratic."""
        moved = position
        for _ in range(min(_MOVES, len(self.entries))):
            normal = generator.standard_normal(len(self.entries))
            with np.errstate(all="ignore"):  # far out there is no density
                moved = self._along(moved, self.directions @ normal, generator)
        return moved

    def _along(self, position: Array, direction: Array, generator: np.random.Generator) -> Array:
        """Return the position after a move of the hyperparameters along a line."""
        here = self.coordinates(position)
        whitened = here.to_coordinates(position)

        def at(distance: float) -> tuple[Array, ConditionalMetric]:
            moved = position.copy()
            moved[self.entries] += (distance * direction).astype(position.dtype)
            there, moving = self.coordinates(moved), self.curvature.moving
            moved[moving] = there.to_position(whitened, *there.parameters())[moving]
            return moved, there

        def density(distance: float) -> float:
            try:
                value = self.density(*at(distance))
            except np.linalg.LinAlgError:
                return -np.inf
            return value if np.isfinite(value) else -np.inf

        distance = slice_move(density, self.density(position, here), _WIDTH, generator)
        return at(distance)[0] if distance else position

    def log_ratio(self, function: BlockFunction, prior: Any, old: Array, new: Array) -> float:
        """Return by how much the rows prefer the new position more than the quadratic does.

        Two passes through the data.
        """
        return self.excess(function, prior, new) - self.excess(function, prior, old)

    def excess(self, function: BlockFunction, prior: Any, position: Array) -> float:
        """Return the rows' log-likelihood less the quadratic, but for a constant. A pass."""
        of_rows = function.full(position)[0] - prior(position)
        return float(of_rows - self.rows.value(position))

    def move(
        self, position: Array, function: BlockFunction, prior: Any, generator: np.random.Generator
    ) -> tuple[Array, float]:
        """Return the next position, and data passes."""
        moved = self.propose(position, generator)
        if not np.isfinite(moved).all():
            return position, 0.0
        if not self.tested:
            return moved, 0.0
        ratio = self.log_ratio(function, prior, position, moved)
        accepted = np.log(generator.random()) < ratio
        return (moved if accepted else position), 2.0


def slice_move(
    density: Callable[[float], float], here: float, width: float, generator: np.random.Generator
) -> float:
    """Return a distance after a slice move from 0 that leaves a log-density on a line alone.

    Stepping out and shrinking (Neal 2003, section 4).

    Parameters
    ----------
    density : callable
        Distance to the log-density, but for a constant.
    here : float
        That at 0.
    width : float
        Of the first interval.
    generator : numpy.random.Generator
    """
    if not np.isfinite(here):
        return 0.0
    level = here + np.log(generator.random())
    left = -width * generator.random()
    right = left + width
    steps = int(generator.integers(_MOST_WIDTHS))
    for _ in range(steps):
        if density(left) <= level:
            break
        left -= width
    for _ in range(_MOST_WIDTHS - 1 - steps):
        if density(right) <= level:
            break
        right += width
    while right - left > _SHORTEST:
        distance = generator.uniform(left, right)
        if density(distance) > level:
            return float(distance)
        if distance < 0:
            left = distance
        else:
            right = distance
    return 0.0


def interweaving(
    prior: Callable[[Array, Array], tuple[Array, Array, Any]],
    curvature: ConditionalCurvature,
    rows: QuadraticRows,
    sizes: Sequence[int],
    draws: Array | None = None,
) -> Interweaving | None:
    """Return the moves; None where no hyperparameter is to be moved so.

    Parameters
    ----------
    prior : callable
        See :class:`Interweaving`.
    curvature : ConditionalCurvature
    rows : QuadraticRows
    sizes : sequence of int
        Lengths of the variables of the position.
    draws : array, shape (n_draws, n_dim), optional
        Which show how wide the posterior of the hyperparameters is.
    """
    entries = _moved(curvature.hyperparameters, sizes)
    if not len(entries):
        return None
    directions = _UNKNOWN_SD * np.eye(len(entries))
    if draws is not None:
        covariance = np.atleast_2d(np.cov(draws[:, entries].astype(float), rowvar=False))
        values, vectors = np.linalg.eigh(covariance)
        directions = vectors * np.sqrt(np.maximum(values, 0))
    return Interweaving(prior, curvature, rows, entries, directions)


def _moved(hyperparameters: Array, sizes: Sequence[int]) -> Array:
    """Return the entries of the smallest variables, as long as they are few."""
    variable = np.repeat(np.arange(len(sizes)), sizes)[hyperparameters]
    numbers, counts = np.unique(variable, return_counts=True)
    order = np.argsort(counts, kind="stable")
    within = np.cumsum(counts[order]) <= _MOST_MOVED
    return np.asarray(hyperparameters[np.isin(variable, numbers[order][within])])


def judged(
    moves: Interweaving,
    function: BlockFunction,
    prior: Any,
    draws: Array,
    target_bias: float,
    generator: np.random.Generator,
) -> tuple[Interweaving, float]:
    """Return the moves, tested where their quadratic is off by more than the target; and passes.

    Parameters
    ----------
    moves : Interweaving
    function : BlockFunction
    prior : callable
        Position to the log-density of the prior part.
    draws : array, shape (n_draws, n_dim)
    target_bias : float
    generator : numpy.random.Generator
    """
    at = draws[int(generator.integers(len(draws)))].astype(function.dtype)
    excesses = [moves.excess(function, prior, at)]
    for _ in range(_TRIALS):
        at = moves.propose(at, generator)
        excesses.append(moves.excess(function, prior, at))
    ratios = np.diff(excesses)
    moves.error = float(np.sqrt(np.mean(np.square(ratios))))
    moves.tested = not moves.error <= target_bias
    if moves.tested:
        total = sum(function.total_sizes)
        moves.every = int(np.ceil(2 * total / _ROWS_IN_THE_TIME_OF_A_DRAW))
    return moves, float(len(excesses))


def least_share(
    prior: Callable[[Array, Array], tuple[Array, Array, Any]], entries: Array, draws: Array
) -> float:
    """Return the least share of a posterior variance of hyperparameters that is left given effects.

    One less the autocorrelation of Gibbs draws of them, along the slowest direction.

    Parameters
    ----------
    prior : callable
        See :class:`Interweaving`.
    entries : array of int, shape (n_entries,)
    draws : array, shape (n_draws, n_dim)
        From the posterior.
    """
    precision = np.zeros((len(entries), len(entries)))
    for draw in draws:
        for place, entry in enumerate(entries):
            unit = np.zeros_like(draw)
            unit[entry] = 1
            precision[place] += prior(draw, unit)[1][entries] / len(draws)
    covariance = np.atleast_2d(np.cov(draws[:, entries].astype(float), rowvar=False))
    largest = np.linalg.eigvals(precision @ covariance).real.max()
    return float(min(1.0, 1 / largest)) if largest > 0 else 1.0
