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
    """An unbiased estimate of the gradient of the log-posterior.

    Where ``remembers``, the loop hands the estimator what it remembers of the step's block of rows
    as one more parameter, the last, and puts out the gradient of the block's rows.
    ``reference_distance`` is the mean squared distance between the position and where the rows'
    gradients are compared with, in posterior covariances; 0 where they are compared with nothing.
    """

    name: ClassVar[str]
    parameters: ClassVar[tuple[str, ...]]  # vectors of shape (n_dim,) that the loop takes
    whole: ClassVar[bool]  # a batch is all rows
    needs_mode: ClassVar[bool]
    remembers: ClassVar[bool]
    reference_distance: ClassVar[int]
    gradients_per_batch: ClassVar[int]

    def steps_between(self, steps_per_pass: int) -> int | None:
        """Return the steps between two renewals of what is compared with; None where never."""
        ...

    def gradient(
        self, batch: BatchGradients, position: Tensor, parameters: Sequence[Tensor]
    ) -> Tensor:
        """Return the symbolic estimate at a position, shape (n_dim,)."""
        ...
