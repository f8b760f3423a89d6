r"""Gibbs sampling of the factorisation: the posterior from all ratings, without steps or gradients.

Given the items' factors, the users' levels and factors are independent and normal, and the other
way round; given all of these, so is the mean. What is left are four scales, each drawn by a slice
on its logarithm. Scales and effects depend on each other strongly, so three more moves are made
along which the ratings say little or nothing: a shift from the mean to the levels, a factor from
the users' factors to the items', and a scale with standardised effects held (interweaving).

References
----------
.. [1] Salakhutdinov, R. and Mnih, A. (2008). Bayesian probabilistic matrix factorization using
   Markov chain Monte Carlo. ICML. https://doi.org/10.1145/1390156.1390267
.. [2] Yu, Y. and Meng, X.-L. (2011). To center or not to center: that is not the question.
   Journal of Computational and Graphical Statistics. https://doi.org/10.1198/jcgs.2011.203main
.. [3] Neal, R. M. (2003). Slice sampling. Annals of Statistics.
   https://doi.org/10.1214/aos/1056562461
"""

from collections.abc import Callable
from typing import Any

import arviz as az
import numpy as np

from xarray import DataTree

from models._datasets import Array

PRIOR_MU = 3.0, 1.0
PRIOR_SIGMA = 1.0
PRIOR_SPREAD = 0.5


class Gibbs:
    """One chain.

    Parameters
    ----------
    data : models.factorisation.Ratings
    rank : int
        Factors of a user and of an item.
    rng : numpy.random.Generator
        Also draws where to start.
    """

    def __init__(self, data: Any, rank: int, rng: np.random.Generator) -> None:
        self.data, self.rng = data, rng
        self.mu, self.sigma = float(data.stars.mean()), 1.0
        self.spread = np.exp(rng.normal(np.log(0.3), 0.5, 3))
        self.user = np.zeros((data.n_users, 1 + rank))  # level, then factors
        self.item = np.zeros((data.n_items, 1 + rank))
        self.item[:, 1:] = self.spread[2] * rng.normal(size=(data.n_items, rank))
        self.user_sds = np.ones(1 + rank)
        self.item_sds = np.ones(1 + rank)
        self._set_sds()

    def sweep(self) -> None:
        """Draw everything once, given the rest."""
        data = self.data
        self.user = self._effects(data.user, data.n_users, self.item[data.item], self.user_sds)
        self.item = self._effects(data.item, data.n_items, self.user[data.user], self.item_sds)
        self._draw_mu()
        self._shift(self.user, self.spread[0])
        self._shift(self.item, self.spread[1])
        self._trade_scales()
        for number in range(3):
            self._draw_spread(number)
            self._draw_spread_with_effects(number)
        square = (self.left() ** 2).sum()
        count = len(data.stars)
        self.sigma = self._slice(
            self.sigma, lambda s: -count * np.log(s) - square / (2 * s**2) - s**2 / 2
        )
        self._set_sds()

    def expected(self, user: Array, item: Array) -> Array:
        """Return the mean of the stars that users give items."""
        users, items = self.user[user], self.item[item]
        product = (users[:, 1:] * items[:, 1:]).sum(axis=1)
        return np.asarray(self.mu + users[:, 0] + items[:, 0] + product)

    def left(self) -> Array:
        """Return the stars less their means."""
        return np.asarray(self.data.stars - self.expected(self.data.user, self.data.item))

    def _set_sds(self) -> None:
        self.user_sds[0] = self.spread[0]
        self.item_sds[:] = self.spread[2]
        self.item_sds[0] = self.spread[1]

    def _effects(self, of: Array, count: int, others: Array, sds: Array) -> Array:
        """Draw a level and factors of each user (or item), given those of the others."""
        size = others.shape[1]
        design = others.copy()
        design[:, 0] = 1.0
        left = self.data.stars - self.mu - others[:, 0]
        precision = np.zeros((count, size, size))
        linear = np.empty((count, size))
        for row in range(size):
            linear[:, row] = np.bincount(of, design[:, row] * left, count) / self.sigma**2
            for column in range(row + 1):
                sums = np.bincount(of, design[:, row] * design[:, column], count) / self.sigma**2
                precision[:, row, column] = precision[:, column, row] = sums
        precision[:, range(size), range(size)] += sds**-2.0
        factor = np.linalg.cholesky(precision)
        whitened = np.linalg.solve(factor, linear[..., None])
        whitened += self.rng.normal(size=whitened.shape)
        return np.asarray(np.linalg.solve(factor.transpose(0, 2, 1), whitened)[..., 0])

    def _draw_mu(self) -> None:
        precision = len(self.data.stars) / self.sigma**2 + PRIOR_MU[1] ** -2
        sums = (self.left() + self.mu).sum() / self.sigma**2 + PRIOR_MU[0] / PRIOR_MU[1] ** 2
        self.mu = self.rng.normal(sums / precision, precision**-0.5)

    def _shift(self, effects: Array, sd: float) -> None:
        """Take something from the levels and add it to the mean: no rating changes."""
        levels = effects[:, 0]
        precision = len(levels) / sd**2 + PRIOR_MU[1] ** -2
        mean = levels.sum() / sd**2 + (PRIOR_MU[0] - self.mu) / PRIOR_MU[1] ** 2
        by = self.rng.normal(mean / precision, precision**-0.5)
        self.mu += by
        effects[:, 0] -= by

    def _trade_scales(self) -> None:
        """Multiply the users' factors by what the items' and their sd are divided by."""
        square, size = (self.user[:, 1:] ** 2).sum(), self.user[:, 1:].size
        of_items = self.spread[2]

        def log_density(by: float) -> float:  # with respect to by; the slice adds log(by)
            of_prior = (of_items / by) ** 2 / (2 * PRIOR_SPREAD**2)
            return float(-square * by**2 / 2 + (size - 2) * np.log(by) - of_prior)

        by = self._slice(1.0, log_density)
        self.user[:, 1:] *= by
        self.item[:, 1:] /= by
        self.spread[2] /= by

    def _held(self, number: int) -> Array:
        """Return what a spread is the sd of, a view."""
        return (self.user[:, 0], self.item[:, 0], self.item[:, 1:])[number]

    def _draw_spread(self, number: int) -> None:
        held = self._held(number)
        square, size = (held**2).sum(), held.size

        def log_density(sd: float) -> float:
            of_prior = sd**2 / (2 * PRIOR_SPREAD**2)
            return float(-size * np.log(sd) - square / (2 * sd**2) - of_prior)

        self.spread[number] = self._slice(self.spread[number], log_density)

    def _draw_spread_with_effects(self, number: int) -> None:
        """Draw a spread given effects / spread: the effects move with it."""
        data, old = self.data, self.spread[number]
        users, items = self.user[data.user], self.item[data.item]
        if number == 2:
            slope = (users[:, 1:] * items[:, 1:]).sum(axis=1) / old
        else:
            slope = (users, items)[number][:, 0] / old
        left = self.left() + slope * old
        square, product = slope @ slope, slope @ left

        def log_density(sd: float) -> float:
            fit = (square * sd**2 - 2 * product * sd) / (2 * self.sigma**2)
            return float(-fit - sd**2 / (2 * PRIOR_SPREAD**2))

        self.spread[number] = new = self._slice(old, log_density)
        self._held(number)[:] *= new / old

    def _slice(self, value: float, log_density: Callable[[float], float]) -> float:
        """Draw a positive number by a slice on its logarithm."""

        def of_log(log: float) -> float:
            return log_density(np.exp(log)) + log

        at = np.log(value)
        height = of_log(at) - self.rng.exponential()
        low = at - 0.2 * self.rng.random()
        high = low + 0.2
        while of_log(low) > height:
            low -= 0.2
        while of_log(high) > height:
            high += 0.2
        while True:
            new = self.rng.uniform(low, high)
            if of_log(new) > height:
                return float(np.exp(new))
            low, high = (new, high) if new < at else (low, new)


def sample(
    data: Any, rank: int, draws: int, tune: int, chains: int = 2, seed: int = 1, shown: int = 40
) -> DataTree:
    """Return draws of the variables of :func:`models.factorisation.build_model`.

    Parameters
    ----------
    data : models.factorisation.Ratings
    rank : int
    draws, tune : int
        Sweeps of a chain that are kept, and sweeps before them that are not.
    chains, seed : int
    shown : int
        Held-out ratings whose means are in the draws as "shown".
    """
    runs: list[dict[str, Array]] = []
    for generator in np.random.default_rng(seed).spawn(chains):
        chain = Gibbs(data, rank, generator)
        found = []
        for number in range(tune + draws):
            chain.sweep()
            if number >= tune:
                found.append(_values(chain, data.test, shown))
        runs.append({name: np.stack([one[name] for one in found]) for name in found[0]})
    stacked = {name: np.stack([one[name] for one in runs]) for name in runs[0]}
    result: DataTree = az.from_dict({"posterior": stacked})
    return result


def _values(chain: Gibbs, test: Any, shown: int) -> dict[str, Array]:
    return {
        "mu": np.array(chain.mu),
        "sigma": np.array(chain.sigma),
        "spread": chain.spread.copy(),
        "user_level": chain.user[:, 0].copy(),
        "item_level": chain.item[:, 0].copy(),
        "user_factor": chain.user[:, 1:].copy(),
        "item_factor": chain.item[:, 1:].copy(),
        "shown": chain.expected(test.user[:shown], test.item[:shown]),
    }
