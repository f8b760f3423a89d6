"""Types shared by all rooms of the library."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple, Protocol

from numpy.typing import NDArray

Array = NDArray[Any]
Point = dict[str, Array]

# A symbolic tensor: PyTensor has no stubs, so the type says intent only.
Tensor = Any

# step numbers, shape (n_steps,) -> values, shape (n_steps,)
Schedule = Callable[[Array], Any]


class Randomness(NamedTuple):
    """The random inputs of one block of steps."""

    starts: Array  # (n_steps, n_groups), first row of each step's window
    noise: Array  # (n_steps, noise_vectors, n_dim), standard normal


class UpdateRule(Protocol):
    """One step of a sampler: a pure symbolic function with its noise as an argument.

    An object that does not change, such as a frozen dataclass: what is compiled of it is kept.

    ``extra_state`` names the state beyond the position, each a vector of shape (n_dim,);
    ``nonlinear_state`` those of them, such as a thermostat, that are not affine in the others on a
    Gaussian target.
    ``largest_step`` bounds the step sizes chosen for the rule, in coordinates of unit scale.

    A rule may have more, each of which is optional:

    ``displacements``
        Those of ``extra_state`` that are differences of positions, in coordinates.
    ``preconditioners(step_given)``
        Names of those it works with, the default first; all if empty.
    ``needs_gradient_noise``, ``step_replaces_noise``
        Whether it must be told the variance of the gradient; whether not if a step size is given.
    ``natural_step_size(gradient_noise, temperature)``
        The step size where it is left out, of a rule that needs no threshold.
    ``start_from_squares(squares)``, ``own_scales(squares)``
        Of a rule with a preconditioner of its own: the extra state to begin with, and the root of
        the preconditioner, both from the squared gradients to be expected.
    """

    name: ClassVar[str]
    extra_state: ClassVar[tuple[str, ...]]
    nonlinear_state: ClassVar[tuple[str, ...]]
    noise_vectors: ClassVar[int]
    gradients_per_step: ClassVar[int]
    largest_step: ClassVar[float]

    def __hash__(self) -> int:
        """Equal for equal rules."""
        ...

    def start(self, normal: Array, temperature: float) -> dict[str, Array]:
        """Return the extra state to begin with, from standard normal numbers, shape (n_dim,)."""
        ...

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
            noise. Only rules that can do so have this argument.
        """
        ...


class TestedRule(UpdateRule, Protocol):
    """A rule that stops after every ``trajectory`` steps to look at all rows.

    ``exact`` says that the test takes away all bias. ``target_acceptance``, where a rule has it, is
    the rate that a step size left out is led to.
    """

    exact: ClassVar[bool]
    trajectory: int

    def settle(
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
        ...
