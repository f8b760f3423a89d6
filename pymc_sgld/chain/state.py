"""What changes as a chain runs, and what it says of a draw."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from pymc_sgld.chain.latent_rows import KeptLatents
from pymc_sgld.chain.step_plan import StepPlan
from pymc_sgld.preconditioners import Averages, Metric
from pymc_sgld.tuning import PredictedLaw
from pymc_sgld.types import Array


@dataclass
class ChainState:
    """All that changes as a chain runs; saved and restored as a whole.

    It is complete: a chain with the same settings, model and data that is given this state goes on
    with the same bits. Random numbers follow from ``key`` and ``step_number``, the order of the
    rows as well. It holds numbers, arrays, and the records of the metric, the plan and the law,
    which are made of arrays and numbers. It is the state after the draw that was handed out last,
    also where later draws have been made already.

    ``coordinates`` are those of ``position`` in ``metric``: they are what a chain moves, and kept,
    because back from the position they would differ in the last bits.
    """

    key: tuple[int, int]
    tune: int
    draws: int
    metric: Metric
    run_key: tuple[int, int] | None = None  # of the orders of rows that the chains of a run share
    step_number: int = 0
    draw_number: int = 0  # tuning included
    plan: StepPlan | None = None  # once the chain has started
    # on the step size: halved at each refused draw while tuning, or led by the acceptance rate
    step_factor: float = 1.0
    position: Array | None = None  # the last one, and its coordinates
    coordinates: Array | None = None
    extra_state: dict[str, Array] = field(default_factory=dict)
    estimator_parameters: tuple[Array, ...] = ()
    learned: Averages | None = None  # over gradients, of a preconditioner that learns
    expected_squares: Array | None = None  # of the gradient, by coordinate, at the mode
    gradient_noise: Array | None = None  # by coordinate, where it is compensated
    # of an estimator that remembers: gradients by block (n_blocks, n_dim), the number of the order
    # of the rows they belong to, and blocks with gradients that are to come into the table
    gradient_table: Array | None = None
    table_shuffle: int = -1
    fresh_gradients: tuple[tuple[Array, Array], ...] = ()
    # the last point, as its variables are written, and its position
    handed_out: tuple[Array, Array] | None = None
    tune_draws: tuple[Array, ...] = ()  # of the second half of the tune phase, to centre among
    predicted_law: PredictedLaw | None = None
    mode_distance: float = np.nan  # from the mode that was found beforehand, in posterior sds
    unreported_passes: float = 0.0
    refused_in_a_row: int = 0
    moves: Any = None  # what moves between draws remember, or the latents of rows that are kept
    # positions and the log-density of all rows there, for rules with a test
    known_densities: tuple[tuple[Array, float], ...] = ()

    def coordinates_of(self, position: Array) -> Array:
        """Return the coordinates of a position; those it was reached by, where it is the last."""
        last, coordinates = self.position, self.coordinates
        if last is not None and coordinates is not None:
            if position is last or np.array_equal(position, last):
                return coordinates
        return self.metric.to_coordinates(position).astype(position.dtype, copy=False)

    @property
    def started(self) -> bool:
        """Whether the chain has had its start."""
        return self.plan is not None

    def count_draw(self, n_steps: int, data_passes: float) -> float:
        """Count a draw of so many steps; return its passes with those that nobody was told of."""
        self.step_number += n_steps
        self.draw_number += 1
        passes, self.unreported_passes = data_passes + self.unreported_passes, 0.0
        return passes

    @property
    def tuning(self) -> bool:
        """Whether the draw to come is one of the tune phase."""
        return self.draw_number < self.tune

    def snapshot(self) -> "ChainState":
        """Return a copy that no later step writes into; arrays that none writes into are shared."""
        table, moves = self.gradient_table, self.moves
        return replace(
            self,
            moves=moves.copy() if isinstance(moves, KeptLatents) else moves,
            extra_state=dict(self.extra_state),
            gradient_table=None if table is None else table.copy(),
        )


@dataclass(frozen=True)
class Draw:
    """A new position and what there is to say of it."""

    position: Array
    step_size: float
    temperature: float
    step_size_weight: float
    data_passes: float
    diverging: bool
    minibatch_logp: float
    statistics: dict[str, float]  # those of the rule, such as the acceptance rate
    cycle: int = -1  # of a sampler with cycles; -1 while tuning
    outside: bool = False  # refused because the log-density is not finite there
