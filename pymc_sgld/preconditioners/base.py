"""What a preconditioner says of itself."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from pymc_sgld.preconditioners.linear import Metric
from pymc_sgld.types import Array
from pymc_sgld.validate import check_class_attributes


class CurvatureProducts(Protocol):
    """What is measured at a mode by products with the Hessian alone."""

    def scales(self) -> Array:
        """Return the root of the inverse of the Hessian's diagonal, shape (n_dim,)."""
        ...

    def extremes(self, rank: int | None) -> tuple[Array, Array, Array, int]:
        """Return the scales, extreme eigenvalues of the scaled Hessian and their eigenvectors.

        The last is how many of them are at the lower end of the spectrum.
        """
        ...


@dataclass(frozen=True)
class Preconditioner(ABC):
    """What a user asks for: a kind of metric, with its options.

    A frozen dataclass, as a rule is. What stands here besides ``name`` are neutral values, for a
    preconditioner to replace; a class attribute of another name is refused.
    """

    def __init_subclass__(cls, *, extends: bool = False) -> None:
        """Refuse class attributes that no preconditioner has."""
        super().__init_subclass__()
        if not extends:
            check_class_attributes(cls, "preconditioner")

    learns: ClassVar[bool] = False  # from gradients, all through the tune phase
    # whether step size and noise can be worked out from it where no matrix can be made
    knows_ends: ClassVar[bool] = False

    @property
    @abstractmethod
    def name(self) -> str:
        """The name it is asked for by, or that of its kind."""

    @property
    def needs_mode(self) -> bool:
        """Whether there is something to measure at a mode."""
        return False

    @property
    def needs_square_matrix(self) -> bool:
        """Whether its metric holds a matrix of the shape (n_dim, n_dim)."""
        return False

    @abstractmethod
    def empty(self, n_dim: int) -> Metric:
        """Return the metric of this kind that leaves the coordinates as they are."""

    def at_mode(self, centre: Array, precision: Array) -> Metric:
        """Return the metric for a precision, shape (n_dim, n_dim), around a centre."""
        return self.empty(len(centre))

    def by_products(self, centre: Array, curvature: CurvatureProducts) -> Metric | None:
        """Return the metric where no such matrix can be made; None where it stays empty."""
        return None


@dataclass(frozen=True)
class LearnedPreconditioner(Preconditioner, extends=True):
    """A preconditioner learned from the gradients of the tune phase."""

    learns: ClassVar[bool] = True

    @abstractmethod
    def expected(self, squares: Array) -> Any:
        """Return what is learned, begun at the squared gradients that are expected."""

    @abstractmethod
    def first(self, gradients: Array) -> Any:
        """Return what is learned, begun with some gradients, shape (n_gradients, n_dim)."""

    @abstractmethod
    def add(self, averages: Any, gradient: Array) -> Any:
        """Return what is learned with one more gradient."""

    @abstractmethod
    def scale(self, averages: Any) -> Array:
        """Return the diagonal of L."""

    @abstractmethod
    def metric(self, averages: Any, centre: Array) -> Metric:
        """Return the metric of what is learned around a centre."""
