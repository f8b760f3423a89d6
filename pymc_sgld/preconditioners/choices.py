"""The preconditioners by name, and how each is made from what is measured at a mode."""

from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np

from pymc_sgld.preconditioners.adaptive import Adam, RMSprop
from pymc_sgld.preconditioners.linear import Metric, empty_metric, metric_from_covariance
from pymc_sgld.preconditioners.low_rank import LowRank
from pymc_sgld.types import Array


class Preconditioner(Protocol):
    """What a user asks for: a kind of metric, with its options."""

    @property
    def name(self) -> str:
        """The name it is asked for by."""
        ...

    needs_mode: ClassVar[bool]
    learns: ClassVar[bool]  # from gradients, all through the tune phase

    def empty(self, n_dim: int) -> Metric:
        """Return the metric of this kind that leaves the coordinates as they are."""
        ...


@dataclass(frozen=True)
class Fixed:
    """Identity, diagonal or dense: all of it measured at a mode, without options."""

    learns: ClassVar[bool] = False
    name: str

    @property
    def needs_mode(self) -> bool:
        """Whether there is something to measure."""
        return self.name != "identity"

    def empty(self, n_dim: int) -> Metric:
        """Return the metric that leaves the coordinates as they are."""
        return empty_metric(self.name, n_dim)

    def at_mode(self, centre: Array, precision: Array) -> Metric:
        """Return the metric for a precision, shape (n_dim, n_dim), around a centre."""
        return metric_from_covariance(self.name, centre, np.linalg.inv(precision))


PRECONDITIONERS: dict[str, Any] = {
    "identity": Fixed("identity"),
    "diagonal": Fixed("diagonal"),
    "dense": Fixed("dense"),
    "low_rank": LowRank(),
    "rmsprop": RMSprop(),
    "adam": Adam(),
}
