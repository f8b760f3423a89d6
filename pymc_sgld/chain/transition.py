"""One step: the only place where the parts of a sampler meet.

rows -> gradient estimator -> preconditioner -> update rule(state, gradient, step size, ...)
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from pymc_sgld.gradient_estimators import BatchGradients, GradientEstimator
from pymc_sgld.preconditioners import Metric
from pymc_sgld.samplers import Rule
from pymc_sgld.types import Tensor

FRESH = "fresh gradient"


class Kernel(NamedTuple):
    """The parts of a sampler that make up a step."""

    rule: Rule
    estimator: GradientEstimator
    metric: Metric
    noise_compensation: bool = False


def transition(
    kernel: Kernel,
    batch: BatchGradients,
    state: Mapping[str, Tensor],
    *,
    estimator_parameters: Sequence[Tensor],
    metric_parameters: Sequence[Tensor],
    gradient_noise: Tensor | None,
    step_size: Tensor,
    temperature: Tensor,
    noise: Tensor,
) -> dict[str, Tensor]:
    """Return the symbolic next state, in the coordinates of the metric.

    Parameters
    ----------
    kernel : Kernel
    batch : BatchGradients
        Gradients on this step's rows.
    state : mapping
        Tensors of shape (n_dim,): ``position``, in coordinates, and what else the rule keeps.
    estimator_parameters, metric_parameters : sequences of tensors
        As the estimator and ``metric.parameters()`` name them; where the estimator has a table, its
        entry for the step's block comes last.
    gradient_noise : tensor, shape (n_dim,), or None
        Variance of the gradient in each coordinate, if it is to be compensated.
    step_size, temperature : scalar tensors
    noise : tensor, shape (noise_vectors, n_dim)

    Returns
    -------
    dict of tensors, shape (n_dim,)
        The state; where the estimator remembers also ``FRESH``, the gradient of the batch's rows
        at the position of the last gradient of the step.
    """
    fresh: dict[str, Tensor] = {}

    def gradient(coordinates: Tensor) -> Tensor:
        position = kernel.metric.to_position(coordinates, *metric_parameters)
        estimate = kernel.estimator.gradient(batch, position, estimator_parameters)
        if kernel.estimator.remembers:
            fresh[FRESH] = batch.rows(position)
        return kernel.metric.pull_back(estimate, *metric_parameters)

    known = {} if gradient_noise is None else {"gradient_noise": gradient_noise}
    new = kernel.rule.update(
        state, gradient, step_size=step_size, temperature=temperature, noise=noise, **known
    )
    return {**new, **fresh}
