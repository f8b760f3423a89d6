"""Passes through the data, counted where they are made, shown while they are, and bounded."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

_COUNTERS: ContextVar[tuple["PassCounter", ...]] = ContextVar("_COUNTERS", default=())


class TooManyPasses(RuntimeError):
    """The data were read as often as was allowed."""


@dataclass
class PassCounter:
    """Counts rows that are evaluated, in passes through the data.

    Parameters
    ----------
    most : float, default inf
        Passes, beyond which :class:`TooManyPasses` is raised.
    shows : callable, optional
        Called with what is being done and the passes so far.
    """

    most: float = float("inf")
    shows: Callable[[str, float], None] | None = None
    passes: float = field(default=0.0, init=False)
    doing: str = field(default="", init=False)

    def add(self, passes: float) -> None:
        """Count, and raise beyond the bound."""
        self.passes += passes
        self.show()
        if self.passes > self.most:
            raise TooManyPasses(f"more than {self.most:g} passes through the data")

    def show(self) -> None:
        """Tell whoever listens."""
        if self.shows is not None:
            self.shows(self.doing, self.passes)


@contextmanager
def counted(counter: PassCounter) -> Iterator[PassCounter]:
    """Count all that is evaluated within, in this counter and in those around it."""
    token = _COUNTERS.set((*_COUNTERS.get(), counter))
    try:
        yield counter
    finally:
        _COUNTERS.reset(token)


def count(passes: float) -> None:
    """Count an evaluation in every counter that is at work."""
    for counter in _COUNTERS.get():
        counter.add(passes)


def doing(what: str) -> None:
    """Say what is being done from here on."""
    for counter in _COUNTERS.get():
        counter.doing = what
        counter.show()
