"""Which rows the batches take: the ways to draw them, as layouts of a copy of the rows.

A batch is always a contiguous window of a copy. A scheme says which rows the copy holds, in which
order, how many steps it serves, and where the window of each step starts.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from math import gcd
from typing import ClassVar

import numpy as np

from pymc_sgld.row_sources.sweep import INDEPENDENT, Sweep
from pymc_sgld.types import Array
from pymc_sgld.validate import check_class_attributes

# Data passes between two shuffles, each of which costs as much as several passes. Over one
# permutation the windows overlap, so the covariance of the gradients' noise is off by a relative
# sqrt(n / N) or so; shuffling averages that out.
PASSES_PER_SHUFFLE = 100
# Rows of a copy of rows drawn with replacement: where rows are few, of several passes, so that a
# step seldom waits for one.
_ROWS_PER_SHUFFLE = 20_000
# Rows on disk: regions that are read one after the other, of so many windows; with fewer regions
# than that in all, windows are at random places.
_WINDOWS_OF_REGION = 4096
_REGIONS = 8
_FOREVER = 2**62  # steps, of a group whose batches are all its rows


@dataclass(frozen=True)
class SamplingScheme(ABC):
    """Which rows a copy holds, how many steps it serves, and where their windows start.

    A frozen dataclass. What stands here besides ``name`` and the abstract methods are neutral
    values; a class attribute of another name is refused.
    """

    name: ClassVar[str]
    independent: ClassVar[bool] = True  # whether batches of different steps are
    with_replacement: ClassVar[bool] = False
    # whether chains may share the orders of the rows: where the batches have random numbers beside
    shares_orders: ClassVar[bool] = False

    def __init_subclass__(cls) -> None:
        """Refuse class attributes that no scheme has."""
        super().__init_subclass__()
        check_class_attributes(cls, "sampling scheme")

    @property
    def row_probabilities(self) -> Array | None:
        """Probability of each row at each draw, shape (total_size,); None where all are alike."""
        return None

    @property
    def weights(self) -> Array | None:
        """Factor of each row in a batch, shape (total_size,); None where all are alike."""
        return None

    def sweep(self, total: int, batch: int) -> Sweep:
        """Return how the batches of successive steps are tied together, of a group of rows."""
        return INDEPENDENT

    def starts_of_sweeps(
        self, generator: np.random.Generator, total: int, batch: int, n_sweeps: int
    ) -> Array:
        """Return where the windows of sweeps of a group start, shape (n_sweeps, n_steps)."""
        raise NotImplementedError(f"{type(self).__name__} has no sweeps.")

    @abstractmethod
    def order(self, generator: np.random.Generator, total: int, batch: int) -> Array:
        """Return the rows of a copy."""

    @abstractmethod
    def extended(self, order: Array, batch: int) -> Array:
        """Return the rows of a copy with those that its last windows need beside."""

    @abstractmethod
    def steps_per_shuffle(self, totals: Array, batches: Array, whole: int = 1) -> Array:
        """Return how many steps a copy serves, by group: if it can be, a multiple of ``whole``."""

    @abstractmethod
    def starts(
        self, generator: np.random.Generator, steps: Array, totals: Array, batches: Array
    ) -> Array:
        """Return where the windows of steps start, shape (n_steps, n_groups)."""


@dataclass(frozen=True)
class Independent(SamplingScheme):
    """Batches at random places of a shuffled copy that wraps around: the default.

    Each row is in exactly ``n`` of the ``N`` windows, so the batch gradient is unbiased for every
    single permutation.
    """

    name: ClassVar[str] = "independent"
    shares_orders: ClassVar[bool] = True

    def order(self, generator: np.random.Generator, total: int, batch: int) -> Array:
        """Return the rows of a copy."""
        return generator.permutation(total)

    def extended(self, order: Array, batch: int) -> Array:
        """Return the rows of a copy with those that its last windows need beside."""
        return np.concatenate([order, order[: batch - 1]])

    def steps_per_shuffle(self, totals: Array, batches: Array, whole: int = 1) -> Array:
        """Return how many steps a copy serves, by group: a multiple of ``whole``."""
        steps = PASSES_PER_SHUFFLE * int(np.max(-(-totals // batches), initial=1))
        return np.full(len(totals), -(-steps // whole) * whole)

    def starts(
        self, generator: np.random.Generator, steps: Array, totals: Array, batches: Array
    ) -> Array:
        """Return where the windows of steps start, shape (n_steps, n_groups)."""
        places = generator.integers(0, totals, size=(len(steps), len(totals)))
        return np.where(batches < totals, places, 0)


@dataclass(frozen=True)
class Epochs(Independent):
    r"""Every row at most once in a sweep of floor(N / n) steps, in a new order each sweep.

    Over a sweep the noise of the gradient adds up to almost none: a chain whose draws are those at
    the ends of sweeps [1]_ takes larger steps at the same bias. The windows of a sweep lie side by
    side on the shuffled copy, from a place drawn for each sweep, and are taken in a random order;
    the ``N - n floor(N / n)`` rows that none of them has are others each time. A group of rows has
    sweeps of its own length.

    References
    ----------
    .. [1] Shaw, L. and Whalley, P. A. (2025). Random reshuffling for stochastic gradient Langevin
       dynamics. https://doi.org/10.48550/arXiv.2501.16055
    """

    name: ClassVar[str] = "epochs"
    independent: ClassVar[bool] = False
    _symmetric: ClassVar[bool] = False

    def sweep(self, total: int, batch: int) -> Sweep:
        """Return how the batches of successive steps are tied together, of a group of rows."""
        if batch >= total:
            return INDEPENDENT
        return Sweep(total // batch, -batch / (total - batch), self._symmetric)

    def starts_of_sweeps(
        self, generator: np.random.Generator, total: int, batch: int, n_sweeps: int
    ) -> Array:
        """Return where the windows of sweeps start: beside each other, in a random order."""
        if batch >= total:
            return np.zeros((n_sweeps, 1), dtype=np.int64)
        first = generator.integers(0, total, size=(n_sweeps, 1))
        order = np.broadcast_to(np.arange(total // batch), (n_sweeps, total // batch))
        starts = (first + batch * generator.permuted(order, axis=1)) % total
        return np.concatenate([starts, starts[:, ::-1]], axis=1) if self._symmetric else starts

    def steps_per_shuffle(self, totals: Array, batches: Array, whole: int = 1) -> Array:
        """Return how many steps a copy serves, by group: whole sweeps; ``whole`` is not heeded."""
        sweeps = [self.sweep(int(n), int(b)).n_steps for n, b in zip(totals, batches, strict=True)]
        return np.where(batches < totals, PASSES_PER_SHUFFLE * np.array(sweeps, int), _FOREVER)


@dataclass(frozen=True)
class SymmetricEpochs(Epochs):
    """As :class:`Epochs`, each sweep followed by its batches in the reverse order [1]_.

    What the order of a sweep leaves of its noise, its reverse takes away to first order of the
    step size.

    References
    ----------
    .. [1] Paulin, D., Whalley, P. A., Chada, N. K. and Leimkuhler, B. J. (2025). Sampling from
       Bayesian neural network posteriors with symmetric minibatch splitting Langevin dynamics.
       AISTATS. https://doi.org/10.48550/arXiv.2410.19780
    """

    name: ClassVar[str] = "symmetric_epochs"
    _symmetric: ClassVar[bool] = True


@dataclass(frozen=True)
class Replacement(Independent):
    """Each row of a batch drawn from all rows, whatever the others are."""

    name: ClassVar[str] = "replacement"
    shares_orders: ClassVar[bool] = False
    with_replacement: ClassVar[bool] = True

    def order(self, generator: np.random.Generator, total: int, batch: int) -> Array:
        """Return the rows of a copy."""
        return generator.integers(
            0, total, size=(total - total % batch) * _passes_per_shuffle(total)
        )

    def extended(self, order: Array, batch: int) -> Array:
        """Return the rows as they are: the last window ends with them."""
        return order

    def steps_per_shuffle(self, totals: Array, batches: Array, whole: int = 1) -> Array:
        """Return how many steps a copy serves, by group; ``whole`` is not heeded."""
        passes = [_passes_per_shuffle(int(total)) for total in totals]
        return np.where(batches < totals, totals // batches * passes, _FOREVER)

    def starts(
        self, generator: np.random.Generator, steps: Array, totals: Array, batches: Array
    ) -> Array:
        """Return where the windows start: one follows the other."""
        places = steps[:, None] % self.steps_per_shuffle(totals, batches) * batches
        return np.where(batches < totals, places, 0)


@dataclass(frozen=True, eq=False)
class Weighted(Replacement):
    r"""Each row of a batch drawn from all rows, row i with probability :math:`p_i`.

    .. math:: \hat g = \frac{N}{n} \sum_{i \in B} \frac{1}{N p_i} \nabla \log p(y_i \mid \theta)

    is unbiased, and has the least noise in all, summed over directions, where :math:`p_i` is
    proportional to the size of the row's part. For models with one group of rows.

    Parameters
    ----------
    probabilities : array, shape (total_size,)

    References
    ----------
    .. [1] Zhao, P. and Zhang, T. (2015). Stochastic optimization with importance sampling for
       regularized loss minimization. ICML. https://proceedings.mlr.press/v37/zhaoa15.html
    """

    probabilities: Array

    name: ClassVar[str] = "weighted"

    @property
    def row_probabilities(self) -> Array:
        """Probability of each row at each draw, shape (total_size,)."""
        return self.probabilities

    @cached_property
    def weights(self) -> Array:
        """Factor of each row in a batch, shape (total_size,)."""
        return np.asarray(1 / (len(self.probabilities) * self.probabilities))

    @cached_property
    def _ends(self) -> Array:
        return np.cumsum(self.probabilities)

    def order(self, generator: np.random.Generator, total: int, batch: int) -> Array:
        """Return the rows of a copy."""
        size = (total - total % batch) * _passes_per_shuffle(total)
        places = self._ends[-1] * generator.random(size)
        return np.asarray(np.searchsorted(self._ends[:-1], places, side="right"))


@dataclass(frozen=True)
class FixedBlocks(Independent):
    """The blocks of :class:`BlockLayout`, one of them at random at each step."""

    name: ClassVar[str] = "fixed blocks"

    def extended(self, order: Array, batch: int) -> Array:
        """Return the rows of a copy with those that its last windows need beside."""
        layout = BlockLayout(len(order), batch)
        first = layout.n_apart * batch
        return np.concatenate([order, order[first : first + batch - layout.stride]])

    def starts(
        self, generator: np.random.Generator, steps: Array, totals: Array, batches: Array
    ) -> Array:
        """Return where the windows of steps start, shape (n_steps, n_groups)."""
        places = super().starts(generator, steps, totals, batches)
        layouts = [BlockLayout(int(n), int(b)) for n, b in zip(totals, batches, strict=True)]
        columns = [one.block_start(rows) for one, rows in zip(layouts, places.T, strict=True)]
        return np.stack(columns, axis=1)


@dataclass(frozen=True)
class BlockLayout:
    r"""Blocks of ``batch`` rows that can be drawn so that every row counts alike.

    All but the last ``batch + remainder`` rows are cut into blocks that lie apart. The last ones
    form a ring, and windows of it, ``stride`` rows apart, are blocks as well; the stride is the
    greatest common divisor of ``total`` and ``batch``. A block apart is drawn with probability
    n / N and a window of the ring with probability stride / N: each row is then in the batch with
    probability n / N exactly. Where n divides N the ring is a block like the others.
    """

    total: int
    batch: int

    @property
    def n_apart(self) -> int:
        """Number of blocks that lie apart."""
        return self.total // self.batch - 1

    @property
    def stride(self) -> int:
        """Rows from one window of the ring to the next."""
        return gcd(self.total, self.batch)

    @property
    def n_on_ring(self) -> int:
        """Number of windows of the ring."""
        return (self.total - self.n_apart * self.batch) // self.stride

    @property
    def count(self) -> int:
        """Number of blocks."""
        return self.n_apart + self.n_on_ring

    @property
    def probabilities(self) -> Array:
        """Probability of each block, shape (count,)."""
        units = np.repeat([self.batch, self.stride], [self.n_apart, self.n_on_ring])
        return np.asarray(units / self.total)

    def number(self, rows: Array) -> Array:
        """Return the block of rows drawn from 0 to total - 1, or of the starts of blocks."""
        first = self.n_apart * self.batch
        on_ring = self.n_apart + (rows - first) // self.stride
        return np.where(rows < first, rows // self.batch, on_ring)

    def block_start(self, rows: Array) -> Array:
        """Return where in the copy the blocks of rows drawn from 0 to total - 1 start."""
        first = self.n_apart * self.batch
        apart = rows // self.batch * self.batch
        on_ring = first + (rows - first) // self.stride * self.stride
        return np.where(rows < first, apart, on_ring)


@dataclass(frozen=True)
class ShuffledBefore(Independent):
    """Batches of rows that lie in random order already, and are not copied.

    Windows at random places would have the disk seek at every step. So the steps whose random
    numbers are made together read one region of the rows, at a random place, each window of it once
    and in a random order. The rows are in random order, so that is any other choice of windows
    without replacement: the noise is that of independent batches, and a disk reads ahead.

    Parameters
    ----------
    groups : tuple of bool
        Which groups of rows do; the others are as with the scheme of that name in memory.
    by_regions : bool, default True
        False: windows at random places, for rules to which the reverse of a sequence of batches
        must be as likely.
    """

    groups: tuple[bool, ...]
    by_regions: bool = True

    name: ClassVar[str] = "independent, shuffled before"

    def steps_per_shuffle(self, totals: Array, batches: Array, whole: int = 1) -> Array:
        """Return how many steps an order serves, by group: any number, of rows that lie in it."""
        return np.where(self.groups, _FOREVER, super().steps_per_shuffle(totals, batches, whole))

    def starts(
        self, generator: np.random.Generator, steps: Array, totals: Array, batches: Array
    ) -> Array:
        """Return where the windows of steps start, shape (n_steps, n_groups)."""
        starts = super().starts(generator, steps, totals, batches)
        for group, (total, batch) in enumerate(zip(totals, batches, strict=True)):
            small = len(steps) * batch * _REGIONS <= total
            if self.by_regions and self.groups[group] and small:
                windows = generator.permutation(len(steps))
                starts[:, group] = (generator.integers(0, total) + batch * windows) % total
        return starts


@dataclass(frozen=True)
class EpochsShuffledBefore(ShuffledBefore, Epochs):
    """Sweeps over rows that lie in random order already, region by region."""

    name: ClassVar[str] = "epochs, shuffled before"
    independent: ClassVar[bool] = False

    def starts_of_sweeps(
        self, generator: np.random.Generator, total: int, batch: int, n_sweeps: int
    ) -> Array:
        """Return where the windows of sweeps start: in a random order within each region."""
        if batch >= total or total // batch < _REGIONS * _WINDOWS_OF_REGION:
            return super().starts_of_sweeps(generator, total, batch, n_sweeps)
        windows = np.tile(np.arange(total // batch), (n_sweeps, 1))
        for start in range(0, windows.shape[1], _WINDOWS_OF_REGION):
            region = windows[:, start : start + _WINDOWS_OF_REGION]
            generator.permuted(region, axis=1, out=region)
        starts = (generator.integers(0, total, size=(n_sweeps, 1)) + batch * windows) % total
        starts = np.concatenate([starts, starts[:, ::-1]], axis=1) if self._symmetric else starts
        return np.asarray(starts)


@dataclass(frozen=True)
class SymmetricEpochsShuffledBefore(EpochsShuffledBefore, SymmetricEpochs):
    """Sweeps there and back over rows that lie in random order already."""

    name: ClassVar[str] = "symmetric_epochs, shuffled before"
    independent: ClassVar[bool] = False


SHUFFLED_BEFORE: dict[str, type[ShuffledBefore]] = {
    "independent": ShuffledBefore,
    "epochs": EpochsShuffledBefore,
    "symmetric_epochs": SymmetricEpochsShuffledBefore,
}

SCHEMES: dict[str, SamplingScheme] = {
    scheme.name: scheme for scheme in (Independent(), Epochs(), SymmetricEpochs(), Replacement())
}


def _passes_per_shuffle(total: int) -> int:
    return max(1, _ROWS_PER_SHUFFLE // total)
