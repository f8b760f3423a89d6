"""How long the parts of a run took."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pymc_sgld import records


@dataclass
class Clock:
    """A callback that adds up the seconds of tuning and of drawing, over all chains."""

    then: Callable[..., Any] | None
    seconds: dict[bool, float] = field(default_factory=lambda: {True: 0.0, False: 0.0})

    def __call__(self, trace: Any, draw: Any) -> None:
        """Add the seconds of a draw, and hand on to the callback."""
        self.seconds[bool(draw.tuning)] += sum(
            stats.get(records.SECONDS, 0.0) for stats in draw.stats
        )
        if self.then is not None:
            self.then(trace=trace, draw=draw)

    def split(self, wall: float) -> tuple[float, float]:
        """Return the wall time of tuning and of drawing, in proportion to the chains' own."""
        total = sum(self.seconds.values())
        share = self.seconds[True] / total if total else 0.0
        return wall * share, wall * (1 - share)
