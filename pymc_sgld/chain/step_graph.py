"""One step as a graph: what goes into it, and the state that comes out."""

from collections.abc import Sequence

import pytensor.tensor as pt

from pytensor.graph.replace import graph_replace

from pymc_sgld.chain.transition import FRESH, Kernel, transition
from pymc_sgld.model_graph import RowModel
from pymc_sgld.types import Array, Tensor


def state_names(kernel: Kernel) -> tuple[str, ...]:
    """Return the names of the vectors that a step moves, the position first."""
    return ("position", *kernel.rule.extra_state)


def symbolic_state(row_model: RowModel, kernel: Kernel) -> list[Tensor]:
    """Return a vector for each of ``state_names``."""
    dtype = row_model.position.type.dtype
    return [pt.tensor(name, shape=(row_model.n_dim,), dtype=dtype) for name in state_names(kernel)]


def loop_constants(
    *,
    batch_sizes: Array,
    scales: Array,
    gradient_noise: Array | None,
    estimator_parameters: Sequence[Array],
    metric_parameters: Sequence[Array],
    leaves: Sequence[Array],
) -> list[Array]:
    """Return the inputs of a loop that are the same at every step, in its order.

    Parameters
    ----------
    batch_sizes, scales : array, shape (n_groups,)
        Rows of a batch; total size over batch size.
    gradient_noise : array, shape (n_dim,), or None
        Variance of the gradient in each coordinate, where the loop compensates it.
    estimator_parameters, metric_parameters, leaves : sequences of arrays
    """
    known = [] if gradient_noise is None else [gradient_noise]
    return [batch_sizes, scales, *known, *estimator_parameters, *metric_parameters, *leaves]


def symbolic_constants(row_model: RowModel, kernel: Kernel) -> list[Tensor]:
    """Return a variable for each of ``loop_constants``."""
    float_x, n_dim = row_model.position.type.dtype, row_model.n_dim
    n_groups, metric = len(row_model.groups), kernel.metric
    vectors = ["gradient_noise"] * kernel.noise_compensation + [*kernel.estimator.parameters]
    return [
        pt.tensor("batch_sizes", shape=(n_groups,), dtype="int64"),
        pt.tensor("scales", shape=(n_groups,), dtype=float_x),
        *(pt.tensor(name, shape=(n_dim,), dtype=float_x) for name in vectors),
        *(
            pt.tensor(f"metric_{number}", shape=shape, dtype=float_x)
            for number, shape in enumerate(metric.symbolic_shapes)
        ),
        *(leaf.block.type(f"{leaf.name}_rows") for leaf in row_model.leaves),
    ]


def next_state(
    row_model: RowModel,
    kernel: Kernel,
    state: Sequence[Tensor],
    *,
    step_size: Tensor,
    temperature: Tensor,
    noise: Tensor,
    remembered: Sequence[Tensor],
    constants: Sequence[Tensor],
) -> list[Tensor]:
    """Return the state after a step, and what is to be remembered of it where anything is.

    Parameters
    ----------
    row_model : RowModel
    kernel : Kernel
    state : sequence of tensors, shape (n_dim,)
        In the order of ``state_names``.
    step_size, temperature : scalar tensors
    noise : tensor, shape (noise_vectors, n_dim)
    remembered : sequence of tensors, shape (n_dim,)
        The entry of the estimator's table for the step's block; empty where it has none.
    constants : sequence of tensors
        As ``symbolic_constants``, with the rows of the step's batch in place of the leaves.
    """
    names = state_names(kernel)
    rest = list(constants[1:])
    scales = rest.pop(0)
    gradient_noise = rest.pop(0) if kernel.noise_compensation else None
    of_estimator = [rest.pop(0) for _ in kernel.estimator.parameters]
    of_metric = [rest.pop(0) for _ in kernel.metric.parameters()]
    blocks = {leaf.block: block for leaf, block in zip(row_model.leaves, rest, strict=True)}
    new = transition(
        kernel,
        _Batch(row_model, blocks, scales, temperature),
        dict(zip(names, state, strict=True)),
        estimator_parameters=[*of_estimator, *remembered],
        metric_parameters=of_metric,
        gradient_noise=gradient_noise,
        step_size=step_size,
        temperature=temperature,
        noise=noise,
    )
    fresh = [new[FRESH]] if kernel.estimator.remembers else []
    return [*(new[name] for name in names), *fresh]


class _Batch:
    """Symbolic gradients of a row model on one step's blocks."""

    def __init__(
        self,
        row_model: RowModel,
        blocks: dict[Tensor, Tensor],
        scale: Tensor,
        temperature: Tensor,
    ) -> None:
        self.row_model, self.blocks = row_model, blocks
        self._known: dict[Tensor, Tensor] = {}  # of the rows, so that none is worked out twice
        self._prior = row_model.prior
        if row_model.jacobian is not None:
            # divided by T again, it is what it should be at any T: p(x)^(1/T) dx in the user's x
            self._prior = self._prior + temperature * row_model.jacobian
        self._rows = sum(
            (scale[term.group] * term.logp.sum() for term in row_model.terms), start=0.0
        )

    def posterior(self, position: Tensor) -> Tensor:
        """Return the gradient of the prior and of the scaled rows together."""
        return self._at(position, self._prior + self._rows)

    def prior(self, position: Tensor) -> Tensor:
        """Return the gradient of the prior."""
        return self._at(position, self._prior)

    def rows(self, position: Tensor) -> Tensor:
        """Return the gradient of the scaled rows."""
        if position not in self._known:
            self._known[position] = self._at(position, self._rows)
        return self._known[position]

    def _at(self, position: Tensor, value: Tensor) -> Tensor:
        gradient = self.row_model.gradient(value)
        replace = {self.row_model.position: position, **self.blocks}
        [moved] = graph_replace([gradient], replace, strict=False)
        return moved
