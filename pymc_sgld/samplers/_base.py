"""What an update rule says of itself."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from pymc_sgld.types import Array, Tensor
from pymc_sgld.validate import check_class_attributes, check_positive


@dataclass(frozen=True)
class Rule(ABC):
    """One step of a sampler: a pure symbolic function with its noise as an argument.

    A frozen dataclass: what is compiled of a rule is kept for all that are equal. Its fields are
    arguments of the sampler. What stands here besides ``name`` and ``largest_step`` are neutral
    values, for a rule to replace; a class attribute of another name is refused, since nobody would
    ask for it.

    Attributes
    ----------
    name : str
    largest_step : float
        Bounds the step sizes chosen for the rule, in coordinates of unit scale.
    extra_state : tuple of str
        The state beyond the position, each a vector of shape (n_dim,).
    nonlinear_state : tuple of str
        Those of ``extra_state``, such as a thermostat, that are not affine in the others on a
        Gaussian target.
    displacements : tuple of str
        Those of ``extra_state`` that are differences of positions, in coordinates.
    noise_vectors, gradients_per_step : int
        Vectors of standard normal numbers, and gradients, that a step takes.
    trajectory : int
        Steps between two tests of a :class:`TestedRule`.
    exact : bool
        Whether a test takes away all bias.
    compensates : bool
        Whether ``update`` has an argument ``gradient_noise``.
    needs_gradient_noise, step_replaces_noise : bool
        Whether it must be given that variance; whether not if a step size is given.
    needs_independent_batches : bool
        Whether it counts on batches of different steps that are independent of each other.
    """

    name: ClassVar[str]
    largest_step: ClassVar[float]
    extra_state: ClassVar[tuple[str, ...]] = ()
    nonlinear_state: ClassVar[tuple[str, ...]] = ()
    displacements: ClassVar[tuple[str, ...]] = ()
    exact: ClassVar[bool] = False
    compensates: ClassVar[bool] = False
    needs_gradient_noise: ClassVar[bool] = False
    step_replaces_noise: ClassVar[bool] = False
    needs_independent_batches: ClassVar[bool] = False

    def __init_subclass__(cls, *, extends: bool = False) -> None:
        """Refuse class attributes that no rule has; ``extends``: it adds to what rules have."""
        super().__init_subclass__()
        if not extends:
            check_class_attributes(cls, "rule")

    @property
    def noise_vectors(self) -> int:
        """Vectors of standard normal numbers that a step takes."""
        return 1

    @property
    def gradients_per_step(self) -> int:
        """Gradients that a step takes."""
        return 1

    @property
    def trajectory(self) -> int:
        """Steps between two tests; 1 where there is none."""
        return 1

    def preconditioners(self, step_given: bool) -> tuple[str, ...]:
        """Return the names of those it works with, the default first; none stands for all."""
        return ()

    def natural_step_size(self, gradient_noise: float, temperature: float) -> float | None:
        """Return the step size where it is left out, of a rule that needs no threshold."""
        return None

    def start(self, normal: Array, temperature: float) -> dict[str, Array]:
        """Return the extra state to begin with, from standard normal numbers, shape (n_dim,)."""
        return {}

    def restart(self, normal: Array, step_size: float, temperature: float) -> dict[str, Array]:
        """Return the extra state to go on with where the target has changed."""
        return self.start(normal, temperature)

    @abstractmethod
    def update(
        self,
        state: Mapping[str, Tensor],
        gradient: Callable[[Tensor], Tensor],
        *,
        step_size: Tensor,
        temperature: Tensor,
        noise: Tensor,
    ) -> dict[str, Tensor]:
        """Return the next state.

        Parameters
        ----------
        state : mapping
            ``position`` and what ``extra_state`` names, tensors of shape (n_dim,).
        gradient : callable
            Position to the estimated gradient of the log-posterior on this step's batch.
        step_size, temperature : scalar tensors
            Time increment h of the SDE; variance scale T of the target.
        noise : tensor, shape (noise_vectors, n_dim)
            Standard normal.
        gradient_noise : tensor, shape (n_dim,), optional
            Known variance of the gradient in each direction, to be taken out of the injected
            noise. Only rules that declare ``compensates`` have this argument.
        """

    def turned_back(self, state: Mapping[str, Array]) -> dict[str, Array]:
        """Return the extra state of a chain that stays because a move was refused.

        That which makes the steps from there as likely as the ones that were refused: a momentum
        is turned round.
        """
        return dict(state)


@dataclass(frozen=True)
class MomentumRule(Rule):
    """A rule that moves a momentum, of unit masses, against a friction.

    Parameters
    ----------
    friction : float, default 1
        Per unit of time.
    """

    extra_state: ClassVar[tuple[str, ...]] = ("momentum",)

    friction: float = 1.0

    def __post_init__(self) -> None:
        """Check the friction."""
        check_positive("friction", self.friction)

    def start(self, normal: Array, temperature: float) -> dict[str, Array]:
        """Return the momentum at equilibrium, N(0, T I)."""
        return {"momentum": temperature**0.5 * normal}

    def turned_back(self, state: Mapping[str, Array]) -> dict[str, Array]:
        """Return the momentum turned round, and a thermostat on the other side of its rest."""
        turned = {**state, "momentum": -state["momentum"]}
        if "thermostat" in state:
            turned["thermostat"] = 2 * self.friction - state["thermostat"]
        return turned


@dataclass(frozen=True)
class TestedRule(Rule, extends=True):
    """A rule that stops after every ``trajectory`` steps to look at all rows.

    Attributes
    ----------
    target_acceptance : float or None
        The rate that a step size left out is led to; None where it does not follow a rate.
    """

    __test__ = False  # for pytest, which takes classes of this name for its own

    needs_independent_batches: ClassVar[bool] = True
    target_acceptance: ClassVar[float | None] = None

    @abstractmethod
    def accept(
        self,
        before: Mapping[str, Array],
        after: Mapping[str, Array],
        log_density: Callable[[Array], float],
        uniform: float,
        temperature: float,
    ) -> tuple[dict[str, Array], dict[str, float]]:
        """Return the state to go on from, and statistics of the test.

        Parameters
        ----------
        before, after : mapping
            The states at the two ends of the trajectory, arrays of shape (n_dim,), of positions in
            the coordinates of the metric.
        log_density : callable
            Such a position to the log-posterior of all rows, -inf where it is not finite.
        uniform : float
            A random number in [0, 1).
        temperature : float
        """


@dataclass(frozen=True)
class ScaledRule(Rule, extends=True):
    """A rule with a preconditioner of its own, learned from squared gradients."""

    @abstractmethod
    def start_from_squares(self, squares: Array) -> dict[str, Array]:
        """Return the extra state to begin with, from the squared gradients to be expected."""

    @abstractmethod
    def own_scales(self, squares: Array) -> Array:
        """Return the root of the preconditioner, from the squared gradients to be expected."""
