"""What a chain lets others do: before its first step, and between its runs of steps."""

from typing import Any, NamedTuple, Protocol

import numpy as np

from pymc_sgld.preconditioners import Metric
from pymc_sgld.tuning import Centre, PredictedLaw, Start, Tuned
from pymc_sgld.types import Array


class Tuner(Protocol):
    """Works out where a chain starts and what it is to know there; see ``tuning.Warmup``."""

    @property
    def prepared(self) -> Tuned | None:
        """What was worked out before the chains were started."""

    def start(
        self, position: Array, temperature: float, generator: np.random.Generator, *, jitters: bool
    ) -> Start:
        """Return where to start, and what is known there."""

    def measure(
        self, position: Array, metric: Metric, temperature: float, generator: np.random.Generator
    ) -> tuple[PredictedLaw | None, float]:
        """Measure curvature and gradient noise at a position; return also data passes."""

    def better_centre(
        self,
        draws: Array,
        centre: Centre,
        metric: Metric,
        temperature: float,
        generator: np.random.Generator,
    ) -> tuple[Centre | None, float]:
        """Return a better centre of the control variate than this, if there is, and passes."""


class Conditions(NamedTuple):
    """What a run of steps is made under."""

    metric: Metric
    gradient_noise: Array | None
    extra_state: dict[str, Array]


class Moves(Protocol):
    """Moves between the runs of steps of two draws.

    What they remember is handed to them and back: it is a part of the chain's state.
    """

    def before_draw(
        self,
        position: Array,
        memory: Any,
        generator: np.random.Generator,
        *,
        step_size: float,
        temperature: float,
    ) -> Conditions:
        """Return what the steps from a position are made under."""

    def after_draw(
        self,
        position: Array,
        memory: Any,
        generator: np.random.Generator,
        *,
        draw_number: int,
        tuning: bool,
    ) -> tuple[Array, Any, float]:
        """Return the position moved, what is to be remembered, and data passes."""
