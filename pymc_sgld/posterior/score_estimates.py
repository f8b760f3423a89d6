"""Scores of a run's draws within a budget: on all rows where that is affordable, else on batches.

A batch is drawn after the draw it is evaluated at, and independently of it, so that the score is
unbiased and Stein's identities hold for it as they do for that of all rows.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pymc_sgld.model_graph import BlockFunction
from pymc_sgld.posterior.latent_scores import MarginalRows
from pymc_sgld.posterior.scores import PosteriorScores, check_finite, evenly_spaced, scores_at
from pymc_sgld.tuning import TARGET_BIAS
from pymc_sgld.types import Array

FEWEST_SCORED = 100
_MOST_SCORED = 1000
_MOST_TIMES = 4
_ENOUGH_WHOLE = 200  # scores on all rows, beyond which no batches are read
_FEWEST_ROWS = 16  # of a batch
_PILOT = 8  # draws at which the centred and the plain estimate are compared
_PASSES_FOR_A_CENTRE = 4.0  # a budget below is not spent on one

# a point, and the gradient of the likelihood of all rows there
Centre = tuple[Array, ...]


@dataclass(frozen=True)
class ScoreSource:
    """What the scores of a run are taken from; made by its step method.

    Parameters
    ----------
    function : BlockFunction
        Compiled for the run.
    labels : list of str
        Of the entries of a position, for messages.
    positions : callable, optional
        From ravelled value variables, shape (..., n_dim), to the coordinates of the gradient.
        Default: they are those.
    centre : tuple of arrays, optional
        Of a control variate, if one is known. Otherwise one is made at the mean of the draws, where
        the budget allows for it.
    target_bias : float
        Relative excess of an sd that the run was to keep to.
    """

    function: BlockFunction | MarginalRows
    labels: list[str]
    positions: Callable[[Array], Array] = np.asarray
    centre: Centre | None = None
    target_bias: float = TARGET_BIAS


def affordable_scores(
    source: ScoreSource, draws: Array, budget: float, *, seed: int = 0, times: int = 1
) -> PosteriorScores | None:
    """Return scores of thinned draws for a number of passes through the data.

    Parameters
    ----------
    source : ScoreSource
    draws : array, shape (n_chains, n_draws, n_dim)
        Positions.
    budget : float
        Passes through the data: row gradients over the number of rows.
    seed : int, default 0
        Of the batches.
    times : int, default 1
        How many times as many draws as at first may be scored, up to four.

    Returns
    -------
    PosteriorScores or None
        None where the budget is too small to measure anything.

    Raises
    ------
    NoScoreError
        Where draws or gradients are not finite.
    """
    function, labels, centre = source.function, source.labels, source.centre
    check_finite("draws", draws, labels)
    n_chains, n_draws = draws.shape[:2]
    most = min(min(times, _MOST_TIMES) * _MOST_SCORED, n_chains * n_draws)
    if not function.total_sizes or budget >= min(_ENOUGH_WHOLE, most):
        scored = evenly_spaced(n_draws, min(most, int(max(budget, FEWEST_SCORED))) // n_chains)
        positions = draws[:, scored]
        density, scores = scores_at(positions.astype(function.dtype), function.full)
        passes = float(np.prod(positions.shape[:2]))
    else:
        batches = _Batches(function, np.random.default_rng(seed))
        if centre is not None:
            batches.centre = centre
        elif budget >= _PASSES_FOR_A_CENTRE and isinstance(function, BlockFunction):
            batches.make_centre(draws.mean(axis=(0, 1)))
        n_scored = batches.share_rows(budget, most)
        if n_scored < FEWEST_SCORED:
            return None
        scored = evenly_spaced(n_draws, n_scored // n_chains)
        positions = draws[:, scored]
        batches.drop_centre_if_worse(positions, draws.std(axis=(0, 1)))
        scores = np.array([[batches.score(one) for one in chain] for chain in positions])
        density, passes = np.full(positions.shape[:2], np.nan), batches.passes
    check_finite("gradients at the draws", scores, labels)
    return PosteriorScores(positions, scores, density, draws, scored, labels, passes)


class _Batches:
    """Unbiased estimates of the gradient from batches of equal shares of each group of rows."""

    def __init__(
        self, function: BlockFunction | MarginalRows, generator: np.random.Generator
    ) -> None:
        self.function, self.generator = function, generator
        self.total = sum(function.total_sizes)
        self.centre: Centre | None = None
        self.sizes: list[int] = []
        self.passes = 0.0

    @property
    def cost(self) -> int:
        """Row gradients for each row of a batch."""
        return 1 if self.centre is None else 2

    def make_centre(self, at: Array) -> None:
        """Set a centre: one pass through the data."""
        at = at.astype(self.function.dtype)
        self.centre = (at, self.function.full(at)[1] - self.function.prior(at)[1])
        self.passes += 1

    def share_rows(self, budget: float, most: int) -> int:
        """Set the rows of a batch, and return at how many draws they can be read."""
        left = (budget - self.passes) / self.cost * self.total
        n_scored = max(1, int(min(most, left / _FEWEST_ROWS)))
        # two of each kind at a draw, and those of the plain kind cost half
        of_pilot = 0 if self.centre is None else 3 * _PILOT
        share = left / (n_scored + of_pilot) / self.total
        self.sizes = [max(1, min(n, int(share * n))) for n in self.function.total_sizes]
        return n_scored

    def drop_centre_if_worse(self, positions: Array, scale: Array) -> None:
        """Compare both estimates at a few draws, and keep that with less noise."""
        if self.centre is None:
            return
        flat = positions.reshape(-1, positions.shape[-1])
        chosen = flat[:: max(1, len(flat) // _PILOT)][:_PILOT]
        centre, noise = self.centre, {}
        for kind in (centre, None):
            self.centre = kind
            apart = [(self.score(one) - self.score(one)) * scale for one in chosen]
            noise[kind is None] = self.cost * float(np.sum(np.square(apart)))
        self.centre = None if noise[True] < noise[False] else centre

    def score(self, position: Array) -> Array:
        """Return the estimate at a position, from rows that nothing else has seen."""
        function = self.function
        position = position.astype(function.dtype)
        rows = function.random_rows(self.sizes, self.generator)
        self.passes += self.cost * sum(self.sizes) / self.total
        gradient = function.batch(position, rows)[1]
        if self.centre is None:
            return gradient
        at, likelihood = self.centre
        same = function.batch(at, rows, prior_weight=0.0)[1]
        return np.asarray(gradient - same + likelihood)
