r"""Scores of what rows share, where the latents of rows were kept: drawn anew for each score.

At the latents that a chain has kept, the moments of scores are right for chains that are not: they
are those of the joint density. Fisher's identity has the score of the marginal density,

.. math:: \nabla \log p(y_i \mid \theta)
          = E[\nabla \log p(y_i, z_i \mid \theta) \mid y_i, \theta],

of which latents that are moved at the parameters of the draw give an unbiased estimate.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from pymc_sgld.chain.latent_rows import KeptLatents, LatentRows
from pymc_sgld.chain.latent_warmup import LatentWarmup
from pymc_sgld.model_graph import BlockFunction
from pymc_sgld.types import Array

_MOVES = 32  # of latents from those at another draw


@dataclass
class MarginalRows:
    """Value and gradient of batches whose latents are drawn anew: a gradient for a check.

    It has of :class:`pymc_sgld.model_graph.BlockFunction` what scores are taken by. Values are
    those of the joint density.

    Parameters
    ----------
    function : BlockFunction
        Given the latents in its arrays.
    rows : LatentRows
    warmup : LatentWarmup
        Draws latents to begin with.
    """

    function: BlockFunction
    rows: LatentRows
    warmup: LatentWarmup
    _kept: KeptLatents | None = field(default=None, init=False, repr=False)
    _generator: np.random.Generator = field(
        default_factory=lambda: np.random.default_rng(0), init=False, repr=False
    )

    @property
    def total_sizes(self) -> tuple[int, ...]:
        """Number of rows of every group."""
        return self.function.total_sizes

    @property
    def dtype(self) -> str:
        """Floating-point type of the position."""
        return self.function.dtype

    def random_rows(self, sizes: Iterable[int | None], rng: np.random.Generator) -> list[Array]:
        """Return row numbers; see :meth:`pymc_sgld.model_graph.BlockFunction.random_rows`."""
        return self.function.random_rows(sizes, rng)

    def prior(self, position: Array) -> tuple[float, Array]:
        """Return value and gradient of the prior of what rows share."""
        return self.function.prior(position)

    def full(self, position: Array) -> tuple[float, Array]:
        """Return value and gradient on all rows."""
        value, gradient = 0.0, np.zeros(np.shape(position), dtype=self.dtype)
        for number, (pieces, counts) in enumerate(self.function.chunks()):
            sizes = zip(pieces, self.total_sizes, strict=True)
            rows = [np.arange(total)[piece] for piece, total in sizes]
            weights = [float(on) for on in counts]
            part, slope = self.batch(
                position, rows, prior_weight=float(number == 0), weights=weights
            )
            value, gradient = value + part, gradient + slope
        return value, gradient

    def batch(
        self,
        position: Array,
        rows: Sequence[Array],
        *,
        prior_weight: float = 1.0,
        weights: Sequence[float] | None = None,
    ) -> tuple[float, Array]:
        """Return value and gradient on some rows, with latents moved at the position."""
        leaves, function = self.rows.density.leaves, self.function
        kept, own = self._begun(position), rows[leaves.group]
        blocks = function.read(rows)
        mine = replace(kept, values=kept.values[own], scales=kept.scales[own], moves=_MOVES)
        everything = np.arange(len(own))
        read = [blocks[number] for number in leaves.read]
        self.rows.move(mine, position, everything, read, self._generator, adapts=False)
        for number, part in zip(leaves.latents, leaves.apart(mine.values), strict=True):
            blocks[number] = part.astype(function.dtypes[number], copy=False)
        factors = function.weights(rows) if weights is None else weights
        return function.on_blocks(position, blocks, prior_weight=prior_weight, weights=factors)

    def _begun(self, position: Array) -> KeptLatents:
        """Return latents to begin with, drawn at the first position that is asked for."""
        if self._kept is None:
            values = self.warmup.start_values
            self._kept = KeptLatents(values.copy(), np.full(values.shape, 0.3), 1)
            for _ in range(2):
                self.warmup.drawn(self._kept, position, self._generator)
        return self._kept
