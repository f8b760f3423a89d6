"""What was asked of a chain."""

from dataclasses import dataclass
from typing import Any, Literal

from pymc_sgld.chain.cycles import Cycles
from pymc_sgld.chain.transition import Kernel
from pymc_sgld.model_graph.density.support import EVERYWHERE, Support
from pymc_sgld.preconditioners import PRECONDITIONERS
from pymc_sgld.samplers import TestedRule
from pymc_sgld.tuning import TARGET_BIAS
from pymc_sgld.types import Array, Schedule


@dataclass(frozen=True)
class Settings:
    """What the user asked for; None where it is to be chosen."""

    step_size: Schedule | None
    temperature: Schedule
    steps_per_draw: int | None
    kernel: Kernel  # of the metric its kind; its values are those of the identity
    cycles: Cycles | None = None
    target_bias: float = TARGET_BIAS
    purpose: Literal["sample", "anneal"] = "sample"
    preconditioner: Any = PRECONDITIONERS["identity"]
    preconditioner_given: bool = False  # else chosen by the number of parameters
    support: Support = EVERYWHERE  # of the log-density
    labels: tuple[str, ...] = ()  # of the parameters, for messages
    transformed: tuple[int, ...] = ()  # entries of the position that are variables with an end

    @property
    def anneals(self) -> bool:
        """Whether a mode is looked for: nothing is known of where, and no law is kept."""
        return self.purpose == "anneal"

    @property
    def needs_tuning(self) -> bool:
        """Whether a mode must be found before the first step."""
        kernel = self.kernel
        return (
            self.step_size is None
            or self.preconditioner.needs_mode
            or kernel.estimator.needs_mode
            or kernel.noise_compensation
        )

    @property
    def needs_tune_phase(self) -> bool:
        """Whether there is something to be found before sampling."""
        return self.needs_tuning or self.preconditioner.learns

    @property
    def trajectory(self) -> int:
        """Steps between two tests of a rule with one; 1 for the others."""
        return self.kernel.rule.trajectory

    @property
    def tested(self) -> bool:
        """Whether the rule stops to look at all rows."""
        return isinstance(self.kernel.rule, TestedRule)

    def clock(self, steps: Array) -> Array:
        """Return the steps that schedules are asked for: one for each trajectory.

        Its reverse must be as likely, and so have the same step sizes.
        """
        return steps - steps % self.trajectory if self.tested else steps

    @property
    def steps_per_piece(self) -> int | None:
        """The most steps that are run at once, if that is known."""
        return self.trajectory if self.tested else self.steps_per_draw

    @property
    def adapts_step_size(self) -> bool:
        """Whether the step size follows the acceptance rate while tuning."""
        rule = self.kernel.rule
        follows = isinstance(rule, TestedRule) and rule.target_acceptance is not None
        return self.step_size is None and follows
