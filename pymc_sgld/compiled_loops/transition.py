"""One step: the only place where the axes of a sampler meet.

rows -> gradient estimator -> preconditioner -> update rule(state, gradient, step size, ...)
"""

from collections.abc import Callable, Mapping, Sequence

from pymc_sgld.preconditioners import Metric
from pymc_sgld.types import Tensor, UpdateRule


def transition(
    rule: UpdateRule,
    metric: Metric,
    gradient: Callable[[Tensor], Tensor],
    state: Mapping[str, Tensor],
    *,
    metric_parameters: Sequence[Tensor],
    step_size: Tensor,
    temperature: Tensor,
    noise: Tensor,
) -> dict[str, Tensor]:
    """Return the symbolic next state, in the coordinates of the metric.

    Parameters
    ----------
    rule, metric
        The update and the change of coordinates it acts in.
    gradient : callable
        Position to estimated gradient of the log-posterior on this step's batch.
    state : mapping
        Tensors of shape (n_dim,): ``position``, in coordinates, and what else the rule keeps.
    metric_parameters : sequence of tensors
        As given by ``metric.parameters()``.
    step_size, temperature : scalar tensors
    noise : tensor, shape (noise_vectors, n_dim)
    """

    def gradient_in_coordinates(coordinates: Tensor) -> Tensor:
        position = metric.to_position(coordinates, *metric_parameters)
        return metric.pull_back(gradient(position), *metric_parameters)

    return rule.update(
        state,
        gradient_in_coordinates,
        step_size=step_size,
        temperature=temperature,
        noise=noise,
    )
