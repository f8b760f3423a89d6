"""What an estimator is given, and what it must say of itself."""

from collections.abc import Sequence
from typing import ClassVar, Protocol

from pymc_sgld.types import Tensor


class BatchGradients(Protocol):
    """Symbolic gradients on one batch, as functions of a position of shape (n_dim,)."""

    def posterior(self, position: Tensor) -> Tensor:
        """Return the gradient of the prior and of the scaled rows together."""
        ...

    def prior(self, position: Tensor) -> Tensor:
        """Return the gradient of the prior and of whatever else enters in full."""
        ...

    def rows(self, position: Tensor) -> Tensor:
        """Return the gradient of the batch's rows, each group times total over batch size."""
        ...


class GradientEstimator(Protocol):
    """An unbiased estimate of the gradient of the log-posterior."""

    name: ClassVar[str]
    parameters: ClassVar[tuple[str, ...]]  # vectors of shape (n_dim,) that the loop takes
    whole: ClassVar[bool]  # a batch is all rows
    needs_mode: ClassVar[bool]
    gradients_per_batch: ClassVar[int]

    def gradient(
        self, batch: BatchGradients, position: Tensor, parameters: Sequence[Tensor]
    ) -> Tensor:
        """Return the symbolic estimate at a position, shape (n_dim,)."""
        ...
