"""What an estimator is given, and what it must say of itself."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Protocol

from pymc_sgld.types import Tensor
from pymc_sgld.validate import check_class_attributes


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


@dataclass(frozen=True)
class GradientEstimator(ABC):
    """An unbiased estimate of the gradient of the log-posterior.

    A frozen dataclass, as a rule is. What stands here besides ``name`` are neutral values, for an
    estimator to replace; a class attribute of another name is refused.

    Attributes
    ----------
    name : str
    parameters : tuple of str
        Vectors of shape (n_dim,) that the loop takes.
    whole : bool
        Whether a batch is all rows.
    needs_mode : bool
        Whether ``parameters`` are a mode and the gradient of all rows' log-likelihood there.
    move_centre : bool
        Whether that centre may move to the mean of draws at the end of the tune phase.
    tabled : bool
        Whether the loop hands the estimator the entry of a table for the step's block of rows as
        one more parameter, the last.
    remembers : bool
        Whether that table is of past gradients: the loop puts out the gradient of the block's rows.
    reference_distance : int
        The mean squared distance between the position and where the rows' gradients are compared
        with, in posterior covariances; 0 where they are compared with nothing.
    gradients_per_batch : int
    """

    name: ClassVar[str]
    parameters: ClassVar[tuple[str, ...]] = ()
    whole: ClassVar[bool] = False
    needs_mode: ClassVar[bool] = False
    tabled: ClassVar[bool] = False
    remembers: ClassVar[bool] = False
    reference_distance: ClassVar[int] = 0
    gradients_per_batch: ClassVar[int] = 1

    def __init_subclass__(cls) -> None:
        """Refuse class attributes that no estimator has."""
        super().__init_subclass__()
        check_class_attributes(cls, "gradient estimator")

    @property
    def move_centre(self) -> bool:
        """Whether the centre may move to the mean of draws at the end of the tune phase."""
        return False

    @property
    def largest_table(self) -> int:
        """Bytes that what is remembered may take, for each chain."""
        return 10**9

    def steps_between(self, steps_per_pass: int) -> int | None:
        """Return the steps between two renewals of what is compared with; None where never."""
        return None

    @abstractmethod
    def gradient(
        self, batch: BatchGradients, position: Tensor, parameters: Sequence[Tensor]
    ) -> Tensor:
        """Return the symbolic estimate at a position, shape (n_dim,)."""
