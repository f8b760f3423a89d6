"""Where passes through all rows are made: in this process, or chunk by chunk elsewhere."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol

import numpy as np

type Part = tuple[float, np.ndarray]


class Passes(Protocol):
    """Evaluates the chunks of a pass elsewhere."""

    def parts(self, function: Any, position: np.ndarray, chunk: int) -> Iterator[Part] | None:
        """Return value and gradient of each chunk, in order; None where it is not worth it.

        Added up in this order they are those of one process, to the last bit.
        """
        ...


_PASSES: ContextVar[Passes | None] = ContextVar("_PASSES", default=None)


@contextmanager
def passes_made_by(passes: Passes | None) -> Iterator[None]:
    """Let the passes within be made elsewhere."""
    token = _PASSES.set(passes)
    try:
        yield
    finally:
        _PASSES.reset(token)


def parts_from_elsewhere(function: Any, position: np.ndarray, chunk: int) -> Iterator[Part] | None:
    """Return value and gradient of each chunk, where that is asked for and worth it."""
    passes = _PASSES.get()
    return None if passes is None else passes.parts(function, position, chunk)
