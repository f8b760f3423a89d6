"""What numba makes of operations of this package, told when something is first compiled for it.

PyTensor's translations to numba take as long to import as PyMC.
"""

from collections.abc import Callable
from threading import Lock

_waiting: list[Callable[[], None]] = []
_lock = Lock()


def when_compiled[Register: Callable[[], None]](register: Register) -> Register:
    """Have a function without arguments called once, before anything is compiled for numba."""
    _waiting.append(register)
    return register


def register_rules() -> None:
    """Call the functions that were not called yet."""
    with _lock:
        while _waiting:
            _waiting.pop()()
