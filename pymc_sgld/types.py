"""Types shared by all rooms of the library."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple, Protocol

import numpy as np

from numpy.typing import NDArray

Float = np.floating[Any]
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

    ``extra_state`` names the state beyond the position, each a vector of shape (n_dim,).
    """

    name: ClassVar[str]
    extra_state: ClassVar[tuple[str, ...]]
    noise_vectors: ClassVar[int]
    gradients_per_step: ClassVar[int]

    def update(
        self,
        state: Mapping[str, Tensor],
        gradient: Callable[[Tensor], Tensor],
        *,
        step_size: Tensor,
        temperature: Tensor,
        noise: Tensor,
    ) -> dict[str, Tensor]:
        """Return the next state; ``gradient`` maps a position to that of the log-posterior."""
        ...
