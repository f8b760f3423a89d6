"""What a chain is told, what changes as it runs, and what it says of a draw."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pymc_sgld.chain.cycles import CyclePlan, Cycles
from pymc_sgld.compiled_loops.transition import Axes
from pymc_sgld.preconditioners import PRECONDITIONERS, Averages, Metric
from pymc_sgld.samplers import TestedRule
from pymc_sgld.tuning import TARGET_BIAS, SamplerPicture
from pymc_sgld.types import Array, Schedule

LARGEST_MEASURED = 2000  # parameters; beyond, no n_dim x n_dim matrix is made


@dataclass(frozen=True)
class Settings:
    """What the user asked for; None where it is to be chosen."""

    step_size: Schedule | None
    temperature: Schedule
    steps_per_draw: int | None
    axes: Axes  # of the metric its kind; its values are those of the identity
    cycles: Cycles | None = None
    target_bias: float = TARGET_BIAS
    annealing: bool = False  # a mode is looked for: nothing is known of where, and no law is kept
    preconditioner: Any = PRECONDITIONERS["identity"]
    preconditioner_given: bool = (
        False  # by the user; else it was chosen by the number of parameters
    )

    @property
    def needs_tuning(self) -> bool:
        """Whether a mode must be found before the first step."""
        axes = self.axes
        return (
            self.step_size is None
            or self.preconditioner.needs_mode
            or axes.estimator.needs_mode
            or axes.noise_compensation
        )

    @property
    def needs_tune_phase(self) -> bool:
        """Whether there is something to be found before sampling."""
        return self.needs_tuning or self.preconditioner.learns

    @property
    def trajectory(self) -> int:
        """Steps between two tests of a rule with one; 1 for the others."""
        return self.axes.rule.trajectory

    @property
    def tested(self) -> bool:
        """Whether the rule stops to look at all rows."""
        return isinstance(self.axes.rule, TestedRule)

    @property
    def steps_per_piece(self) -> int | None:
        """The most steps that are run at once, if that is known."""
        return self.trajectory if self.tested else self.steps_per_draw

    @property
    def adapts_step_size(self) -> bool:
        """Whether the step size follows the acceptance rate while tuning."""
        rule = self.axes.rule
        follows = isinstance(rule, TestedRule) and rule.target_acceptance is not None
        return self.step_size is None and follows


@dataclass(frozen=True)
class Tuned:
    """What is worked out at a mode before the first step."""

    mode: Array  # (n_dim,)
    covariance: Array | None  # (n_dim, n_dim), of the Gaussian picture; none where too large
    metric: Metric
    picture: SamplerPicture | None
    estimator_parameters: tuple[Array, ...] = ()
    gradient_noise: Array | None = None  # by coordinate, where it is compensated
    learned: Averages | None = None  # what a preconditioner that learns begins with
    expected_squares: Array | None = None  # of the gradient, by coordinate
    score: float = 0.0  # root mean square of the gradient at the mode, in posterior sds
    data_passes: float = 0.0


@dataclass
class ChainState:
    """All that changes as a chain runs; saved and restored as a whole."""

    key: tuple[int, int]
    tune: int
    draws: int
    metric: Metric
    step_number: int = 0
    draw_number: int = 0  # tuning included
    begun: bool = False
    steps_per_draw: int = 1
    step_size: Any = None  # schedules, once the chain has begun
    temperature: Any = None
    plan: CyclePlan | None = None  # of a sampler with cycles, once the chain has begun
    # on the step size: halved at each refused draw while tuning, or led by the acceptance rate
    step_factor: float = 1.0
    extra_state: dict[str, Array] = field(default_factory=dict)
    estimator_parameters: tuple[Array, ...] = ()
    learned: Averages | None = None  # over gradients, of a preconditioner that learns
    expected_squares: Array | None = None  # of the gradient, by coordinate, at the mode
    gradient_noise: Array | None = None  # by coordinate, where it is compensated
    # of an estimator that remembers: gradients by block (n_blocks, n_dim), the number of the order
    # of the rows they belong to, and blocks with gradients that are to come into the table
    gradient_table: Array | None = None
    table_copy: int = -1
    fresh_gradients: tuple[tuple[Array, Array], ...] = ()
    # the last point, as its variables are written, and its position
    handed_out: tuple[Array, Array] | None = None
    tune_draws: tuple[Array, ...] = ()  # of the second half of the tune phase, to centre among
    picture: SamplerPicture | None = None
    mode_distance: float = np.nan  # from the mode that was found beforehand, in posterior sds
    unreported_passes: float = 0.0
    refused_in_a_row: int = 0
    # of hyperparameters that are drawn given the rest: what their step method has learned, and the
    # variance of the gradient by parameter, with that of the coordinates of the border
    hyperparameter_state: Any = None
    conditional_noise: tuple[Array, Array] | None = None
    # positions and the log-density of all rows there, for rules with a test
    known_densities: tuple[tuple[Array, float], ...] = ()

    @property
    def tuning(self) -> bool:
        """Whether the draw to come is one of the tune phase."""
        return self.draw_number < self.tune


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
