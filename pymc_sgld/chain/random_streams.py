"""The one file that makes random numbers for the loop.

Each number belongs to a step of a chain: the streams are counter-based (Philox), cut into blocks of
a fixed length, and block ``k`` is made from the chain's key and ``k`` alone. So the numbers of step
``t`` do not depend on how many steps are asked for at a time, and a chain resumed at step ``t``
continues bit for bit.
"""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from pymc_sgld.row_sources import INDEPENDENT, Independent, SamplingScheme
from pymc_sgld.types import Array, Randomness

_NOISE, _WINDOWS, _SHUFFLES, _TUNING, _TESTS, _BETWEEN_DRAWS, _SWEEPS, _LATENTS = range(8)
_NUMBERS_PER_BLOCK = 2**18
_STEPS_OF_SWEEPS = 1024  # whose batches are drawn at once, where sweeps are short
_WORTH_SHARING = 50_000  # rows, of an order that the chains of a run share
_NEVER = 2**62  # steps, until rows that a model does not have are in another order


def draw_key(rng: np.random.Generator) -> tuple[int, int]:
    """Return the key of a chain, drawn from PyMC's generator for it."""
    first, second = rng.integers(0, 2**63, size=2)
    return int(first), int(second)


@dataclass
class RandomStreams:
    """The random numbers of one chain.

    Parameters
    ----------
    key : tuple of two ints
        See :func:`draw_key`.
    n_dim, noise_vectors : int
        Length of the position, and standard normal vectors of that length a step takes.
    total_sizes, batch_sizes : array, shape (n_groups,)
        Rows in all and in a batch.
    scheme : SamplingScheme
        Which rows the batches take.
    dtype : str
        Of the noise.
    trajectory : int
        Steps that one order of the rows must serve together, where the scheme can do so.
    run_key : tuple of two ints, optional
        Of the run: where the scheme allows it the orders of many rows follow from this, so that the
        chains of a process share one shuffled copy. The windows are those of the chain: given any
        order they are independent of those of other chains. Default: the chain's own. Of few rows
        every chain has orders of its own, over which the noise of overlapping windows averages out.
    """

    key: tuple[int, int]
    n_dim: int
    noise_vectors: int
    total_sizes: Array
    batch_sizes: Array
    scheme: SamplingScheme = field(default_factory=Independent)
    dtype: str = "float64"
    trajectory: int = 1
    run_key: tuple[int, int] | None = None
    _cached: dict[int, tuple[int, Array]] = field(default_factory=dict, init=False, repr=False)
    _swept: dict[int, tuple[int, Array]] = field(default_factory=dict, init=False, repr=False)

    def order_key(self, group: int) -> tuple[int, int]:
        """Return what the orders of the rows of a group follow from."""
        shared = self.scheme.shares_orders and self.total_sizes[group] >= _WORTH_SHARING
        return self.run_key if self.run_key is not None and shared else self.key

    @cached_property
    def block_length(self) -> int:
        """Steps whose numbers are drawn at once: depends on the model's size only."""
        numbers = max(1, self.n_dim * self.noise_vectors)
        return int(np.clip(_NUMBERS_PER_BLOCK // numbers, 16, 4096))

    def block(self, step: int, n_steps: int) -> Randomness:
        """Return the noise and the windows of the steps ``step, ..., step + n_steps - 1``."""
        pieces = [
            self._from(stream, make, step, n_steps)
            for stream, make in ((_WINDOWS, self.block_of_starts), (_NOISE, self._make_noise))
        ]
        return Randomness(*pieces)

    @cached_property
    def steps_per_shuffle(self) -> Array:
        """Steps that one order of the rows serves, by group."""
        return self.scheme.steps_per_shuffle(self.total_sizes, self.batch_sizes, self.trajectory)

    def shuffle_numbers(self, step: int) -> tuple[int, ...]:
        """Return which order of its rows serves a step, by group."""
        return tuple((step // self.steps_per_shuffle).tolist())

    def steps_until_copy(self, step: int) -> int:
        """Return how many steps, this one included, the current orders still serve."""
        return int(np.min(self.steps_per_shuffle - step % self.steps_per_shuffle, initial=_NEVER))

    def order(self, number: int, group: int) -> Array:
        """Return the rows of a group in the order of that number."""
        generator = self._generator(_SHUFFLES, number, group, key=self.order_key(group))
        total, batch = int(self.total_sizes[group]), int(self.batch_sizes[group])
        return self.scheme.order(generator, total, batch)

    def uniform(self, step: int) -> float:
        """Return the number in [0, 1) of the test after a step."""
        return float(self._generator(_TESTS, step).random())

    def tuning(self) -> np.random.Generator:
        """Return a generator for the work before the first step."""
        return self._generator(_TUNING, 0)

    def between_draws(self, draw: int) -> np.random.Generator:
        """Return a generator for what is done between a draw and the one before."""
        return self._generator(_BETWEEN_DRAWS, draw)

    def moves_of_latents(self, step: int) -> np.random.Generator:
        """Return a generator for the moves of latents of rows before a step."""
        return self._generator(_LATENTS, step)

    def _from(self, stream: int, make: object, step: int, n_steps: int) -> Array:
        length = self.block_length
        parts = []
        while n_steps > 0:
            number, offset = divmod(step, length)
            if stream not in self._cached or self._cached[stream][0] != number:
                self._cached[stream] = (number, make(number))  # type: ignore[operator]
            part = self._cached[stream][1][offset : offset + n_steps]
            parts.append(part)
            step += len(part)
            n_steps -= len(part)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _make_noise(self, number: int) -> Array:
        shape = (self.block_length, self.noise_vectors, self.n_dim)
        generator = self._generator(_NOISE, number)
        return generator.standard_normal(shape, dtype=np.dtype(self.dtype).type)

    def block_of_starts(self, number: int) -> Array:
        """Return the windows of a block of ``block_length`` steps, made without their noise."""
        steps = number * self.block_length + np.arange(self.block_length)
        generator = self._generator(_WINDOWS, number)
        starts = self.scheme.starts(generator, steps, self.total_sizes, self.batch_sizes)
        for group, (total, batch) in enumerate(
            zip(self.total_sizes, self.batch_sizes, strict=True)
        ):
            sweep = self.scheme.sweep(int(total), int(batch))
            if sweep != INDEPENDENT:
                starts[:, group] = self._in_sweeps(group, steps, sweep.n_steps)
        return starts

    def _in_sweeps(self, group: int, steps: Array, length: int) -> Array:
        """Return the starts of a group whose batches are drawn by whole sweeps, some at once."""
        total, batch = int(self.total_sizes[group]), int(self.batch_sizes[group])
        n_sweeps = max(1, _STEPS_OF_SWEEPS // length)
        starts, together = np.empty(len(steps), dtype=np.int64), n_sweeps * length
        for number in range(steps[0] // together, steps[-1] // together + 1):
            if self._swept.get(group, (-1, starts))[0] != number:
                generator = self._generator(_SWEEPS, number, group)
                made = self.scheme.starts_of_sweeps(generator, total, batch, n_sweeps)
                self._swept[group] = (number, made.ravel())
            here = steps // together == number
            starts[here] = self._swept[group][1][steps[here] % together]
        return starts

    def _generator(
        self, stream: int, number: int, group: int = 0, *, key: tuple[int, int] | None = None
    ) -> np.random.Generator:
        counter = np.array([0, group, number, stream], dtype=np.uint64)
        of_key = np.array(key or self.key, dtype=np.uint64)
        return np.random.Generator(np.random.Philox(counter=counter, key=of_key))
