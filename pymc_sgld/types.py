"""Types shared by all rooms of the library."""

from collections.abc import Callable
from typing import Any, NamedTuple

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
