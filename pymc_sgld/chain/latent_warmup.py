"""The work before the first step of a chain that keeps the latents of rows.

A mode of what rows share is looked for given latents that were drawn given the last one, some
rounds of that: stochastic EM [1]_. The mode of all together would be at infinite density, where a
scale of latents is zero.

References
----------
.. [1] Nielsen, S. F. (2000). The stochastic EM algorithm: estimation and asymptotic results.
   Bernoulli 6, 457-489. https://doi.org/10.2307/3318671
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pymc_sgld.chain.between_draws import Tuner
from pymc_sgld.chain.latent_rows import KeptLatents, LatentRows
from pymc_sgld.model_graph import BlockFunction
from pymc_sgld.preconditioners import Metric
from pymc_sgld.tuning import LARGEST_MEASURED, Centre, PredictedLaw, Start, Tuned, find_laplace
from pymc_sgld.types import Array

_FEWEST_ROUNDS = 4
_ROUNDS = 20
_ARRIVED = 1.5  # posterior sds given the latents, from one round to the next
_MOVES = 20  # of a round, of all rows
_ROWS_AT_A_TIME = 20_000
_MOST_MOVES = 16  # before a gradient
_ROWS_MEASURED = 1000
_NOISE_SHARE = 0.25  # of the noise of theta's steps that is of batches, as plans come to have it


@dataclass(frozen=True)
class LatentWarmup:
    """Warm-up of parameters and latents in turn.

    Parameters
    ----------
    inner : Tuner
        Of the parameters, given the latents that are in the arrays of `function`.
    tunes : bool
        Whether a mode is wanted.
    function : BlockFunction
        Its arrays of latents are written into.
    rows : LatentRows
    start_values : array, shape (N, n_latents)
    """

    inner: Tuner
    tunes: bool
    function: BlockFunction
    rows: LatentRows
    start_values: Array

    @property
    def prepared(self) -> Tuned | None:
        """What was worked out before: nothing, for it depends on the latents."""
        return None

    def start(
        self, position: Array, temperature: float, generator: np.random.Generator, *, jitters: bool
    ) -> Start:
        """Return where to start, what is known there, and the latents."""
        passes, values = 0.0, self.start_values
        if not self.tunes:
            begun = self.inner.start(position, temperature, generator, jitters=jitters)
            position = begun.position
        kept = KeptLatents(
            values + 0.1 * generator.standard_normal(values.shape), np.full(values.shape, 0.3), 1
        )
        for number in range(_ROUNDS):
            passes += self.drawn(kept, position, generator)
            if not (self.tunes and len(position) <= LARGEST_MEASURED):
                if number == _FEWEST_ROUNDS - 1:
                    break
                continue
            laplace = find_laplace(self.function, position, generator)
            step = laplace.position - position
            far = float(step @ np.linalg.solve(laplace.covariance, step)) / len(position)
            position, passes = laplace.position, passes + laplace.data_passes
            if number >= _FEWEST_ROUNDS - 1 and not far > _ARRIVED**2:
                break
        if self.tunes:
            passes += self.drawn(kept, position, generator)
            begun = self.inner.start(position, temperature, generator, jitters=False)
        kept.moves, more = self.moves_needed(kept, position, generator)
        return begun._replace(moves=kept, data_passes=begun.data_passes + passes + more)

    def measure(
        self, position: Array, metric: Metric, temperature: float, generator: np.random.Generator
    ) -> tuple[PredictedLaw | None, float]:
        """Measure curvature and gradient noise at a position, given the latents; and passes."""
        return self.inner.measure(position, metric, temperature, generator)

    def better_centre(
        self,
        draws: Array,
        centre: Centre,
        metric: Metric,
        temperature: float,
        generator: np.random.Generator,
    ) -> tuple[Centre | None, float]:
        """Return no centre: none stays one as the latents move."""
        return None, 0.0

    def drawn(self, kept: KeptLatents, position: Array, generator: np.random.Generator) -> float:
        """Move all rows at a position, adapt the kernel, and write the arrays; return passes."""
        rows, moves = self.rows, kept.moves
        kept.moves = 1
        for first in range(0, rows.total, _ROWS_AT_A_TIME):
            these = np.arange(first, min(first + _ROWS_AT_A_TIME, rows.total))
            blocks = self.blocks(these)
            for number in range(_MOVES):
                gain = 1.5 / (1 + number) ** 0.5
                rows.move(kept, position, these, blocks, generator, adapts=True, gain=gain)
        kept.moves = moves
        self.write(kept.values)
        return _MOVES * (1 + rows.kernel.evaluations)

    def blocks(self, rows: Array) -> list[Array]:
        """Return the blocks of some rows that their density reads."""
        arrays, kinds = self.function.arrays, self.function.dtypes
        read = self.rows.density.leaves.read
        return [np.asarray(arrays[n][rows], dtype=kinds[n]) for n in read]

    def write(self, values: Array, rows: Array | slice = slice(None)) -> None:
        """Write latents into the arrays that modes and scores are taken on."""
        leaves = self.rows.density.leaves
        for number, part in zip(leaves.latents, leaves.apart(values), strict=True):
            self.function.arrays[number][rows] = part

    def moves_needed(
        self, kept: KeptLatents, position: Array, generator: np.random.Generator
    ) -> tuple[int, float]:
        r"""Return how many moves of a row pay before a gradient, and passes.

        Passes of an effective draw are

        .. math:: (1 + \tfrac{m c}{2}) \left(\frac{1 + R}{f} + \frac{2 R r_m}{1 - r_m}\right)

        for m moves of c evaluations, with R the information that is missing over that observed, f
        the share of the noise that is of batches, and :math:`r_m` what m moves leave of the
        correlation of scores. R and :math:`r_m` are measured by scores of the same rows at latents
        that are apart by moves.
        """
        leaves, rows = self.rows.density.leaves, self.rows
        these = np.sort(
            generator.choice(rows.total, min(rows.total, _ROWS_MEASURED), replace=False)
        )
        if not np.isfinite(self.function.row_gradients(position, leaves.group, these[:1])).all():
            return 1, 0.0
        trial = KeptLatents(kept.values[these], kept.scales[these], 1)
        blocks, everything = self.blocks(these), np.arange(len(these))

        def scores() -> Array:
            self.write(trial.values, these)
            return self.function.row_gradients(position, leaves.group, these)

        first, products, done = scores(), {}, 0
        counts = [1, 2, 4, 8, _MOST_MOVES]
        for count in [*counts, 2 * _MOST_MOVES, 4 * _MOST_MOVES]:
            trial.moves, done = count - done, count
            rows.move(trial, position, everything, blocks, generator, adapts=False)
            products[count] = _products(first, scores())
        self.write(kept.values)
        apart = products[4 * _MOST_MOVES]
        remaining = [(count, products[count] - apart) for count in counts]
        moves = best_moves(1.0 - apart, remaining, rows.kernel.evaluations)
        return moves, (done * rows.kernel.evaluations + 8) * len(these) / rows.total


def _products(first: Array, second: Array) -> Array:
    """Return the products of scores over those of the first with itself, by parameter."""
    scale = np.square(first).mean(axis=0)
    fine = scale > 0
    return np.asarray((first * second).mean(axis=0)[fine] / scale[fine])


def best_moves(
    missing: Array, remaining: Sequence[tuple[int, Array]], kernel_evaluations: float
) -> int:
    """Return the number of moves with the fewest passes of an effective draw.

    Of the parameters that is one with more than nine tenths of the others: a mean over them would
    set those off, whose latents go to and fro, against those that stay.

    Parameters
    ----------
    missing : array, shape (n_dim,)
        Share of the complete information that is missing, R / (1 + R).
    remaining : sequence of tuples
        Moves, and what they leave of it, shape (n_dim,).
    kernel_evaluations : float
        Of a move.
    """
    missing = np.clip(missing, 1e-3, 0.999)
    ratio = missing / (1 - missing)

    def passes(moves: int, left: Array) -> float:
        correlation = np.clip(left / missing, 0.0, 0.99)
        sweeps = (1 + ratio) / _NOISE_SHARE + 2 * ratio * correlation / (1 - correlation)
        return (1 + moves * kernel_evaluations / 2) * float(np.quantile(sweeps, 0.9))

    return min(remaining, key=lambda one: passes(*one))[0]
