"""Rows that stand for all: the largest, each as itself, and a uniform sample of the rest."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from pymc_sgld.model_graph import BlockFunction
from pymc_sgld.tuning.row_sizes import rows_looked_at
from pymc_sgld.types import Array

ROWS_OF_A_SAMPLE = 20_000
WIDE_DIFFERENCES = {"float64": 0.1, "float32": 0.5}  # of a posterior sd, of gradients on all rows


class Stratum(NamedTuple):
    """Rows of each group, and the factor of their sum."""

    rows: list[Array]
    weights: list[float]
    blocks: list[Any]


class RowSample:
    """The log-likelihood of all rows, estimated from two strata.

    Parameters
    ----------
    block_function : BlockFunction
    most : int
        Rows in the uniform part of each group; so many rows may be taken as themselves beside.
    generator : numpy.random.Generator
    sizes : sequence of (array or None), optional
        How much each row matters, of those that :func:`rows_looked_at` names. Rows that a sample
        in proportion to it would hold at least once are taken for sure.
    """

    def __init__(
        self,
        block_function: BlockFunction,
        most: int,
        generator: np.random.Generator,
        sizes: Sequence[Array | None] | None = None,
    ) -> None:
        self.function = block_function
        totals = block_function.total_sizes
        known = [None] * len(totals) if sizes is None else list(sizes)
        large, rest, factors = [], [], []
        for total, size in zip(totals, known, strict=True):
            sure, some, factor = _two_strata(total, size, most, generator)
            large.append(sure)
            rest.append(some)
            factors.append(factor)
        self.by_group = [
            [(rows, weight) for rows, weight in ((a, 1.0), (b, factor)) if len(rows)]
            for a, b, factor in zip(large, rest, factors, strict=True)
        ]
        self.strata = [self._stratum(rest, factors)]
        if any(map(len, large)):
            self.strata.append(self._stratum(large, [1.0] * len(large)))

    @property
    def share(self) -> float:
        """Of all rows; 1 where the model has none and is evaluated as a whole."""
        total = sum(self.function.total_sizes)
        looked = sum(len(rows) for group in self.by_group for rows, _ in group)
        return looked / total if total else 1.0

    def log_likelihood(self, position: Array) -> tuple[float, Array]:
        """Return the estimate and its gradient."""
        value, gradient = 0.0, np.zeros(len(position))
        for stratum in self.strata:
            part, slope = self.function.on_blocks(
                position, stratum.blocks, prior_weight=0.0, weights=stratum.weights
            )
            value += part
            gradient += slope
        return value, gradient

    def gradient(self, position: Array) -> Array:
        """Return the gradient of the estimate."""
        return self.log_likelihood(position)[1]

    def slope(self, position: Array) -> Array:
        """Return the gradient of the log-posterior, that of the prior exact."""
        of_prior = np.asarray(self.function.prior(position)[1], dtype=float)
        return of_prior + self.gradient(position)

    def _stratum(self, rows: list[Array], weights: list[float]) -> Stratum:
        # a block cannot be empty: one row that does not count
        counted = [weight if len(some) else 0.0 for some, weight in zip(rows, weights, strict=True)]
        read = [some if len(some) else np.zeros(1, dtype=np.int64) for some in rows]
        return Stratum(rows, counted, self.function.read(read))


def _two_strata(
    total: int, size: Array | None, most: int, generator: np.random.Generator
) -> tuple[Array, Array, float]:
    """Return rows taken as themselves, a sample of the others, and the factor of these."""
    none = np.zeros(0, dtype=np.int64)
    if total <= most:
        return none, np.arange(total), 1.0
    sure, looked_at = none, rows_looked_at(total)
    if size is not None and size.sum() > 0:
        sure = np.flatnonzero(size * most >= size.sum() * (total / len(size)))
        sure = sure if looked_at is None else looked_at[sure]
    if not len(sure):
        return none, np.sort(generator.choice(total, most, replace=False)), total / most
    if looked_at is not None:  # no array of all rows is made
        drawn = generator.choice(total, most + len(sure), replace=False)
        some = drawn[~np.isin(drawn, sure)][:most]
        return sure, np.sort(some), (total - len(sure)) / most
    others = np.setdiff1d(np.arange(total), sure, assume_unique=True)
    if len(others) <= most:
        return none, np.arange(total), 1.0
    some = np.sort(generator.choice(others, most, replace=False))
    return sure, some, len(others) / most
