"""Many steps in one compiled function; the only file that names a backend."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt

from pytensor.compile.mode import Mode, get_mode
from pytensor.graph.replace import graph_replace

from pymc_sgld.compiled_loops import lean_products
from pymc_sgld.compiled_loops.transition import transition
from pymc_sgld.gradient_estimators import minibatch_gradient
from pymc_sgld.model_graph import RowModel
from pymc_sgld.preconditioners import Metric
from pymc_sgld.types import Array, Randomness, Tensor, UpdateRule


def sampling_mode(backend: str | None = None, mode: Any = None) -> Mode:
    """Return the PyTensor mode that everything of a sampler is compiled with.

    Parameters
    ----------
    backend : {"numba", "jax"}, optional
        Default "numba".
    mode : optional
        A PyTensor mode of the user's, instead of a backend.
    """
    chosen = get_mode(mode if mode is not None else (backend or "numba").upper())
    return chosen if is_jax(chosen) else chosen.including(lean_products.TAG)


def is_jax(mode: Mode) -> bool:
    """Whether a mode compiles with JAX, which needs every shape to be fixed."""
    return type(mode.linker).__name__ == "JAXLinker"


@dataclass(frozen=True)
class Loop:
    """A compiled block of steps."""

    function: Any
    state_names: tuple[str, ...]

    def run(
        self,
        state: dict[str, Array],
        randomness: Randomness,
        step_sizes: Array,
        temperatures: Array,
        *,
        batch_sizes: Array,
        scales: Array,
        metric_parameters: Sequence[Array],
        leaves: Sequence[Array],
    ) -> dict[str, Array]:
        """Run one step for each row of ``randomness`` and return the last state.

        Parameters
        ----------
        state : dict of arrays, shape (n_dim,)
            ``position`` in the coordinates of the metric, and the rule's extra state.
        randomness : Randomness
        step_sizes, temperatures : array, shape (n_steps,)
        batch_sizes, scales : array, shape (n_groups,)
            Rows of a batch; total size over batch size.
        metric_parameters, leaves : sequences of arrays
        """
        last = self.function(
            randomness.starts,
            randomness.noise,
            step_sizes,
            temperatures,
            *(state[name] for name in self.state_names),
            batch_sizes,
            scales,
            *metric_parameters,
            *leaves,
        )
        return dict(zip(self.state_names, map(np.asarray, last), strict=True))


def compile_loop(
    row_model: RowModel,
    rule: UpdateRule,
    metric: Metric,
    mode: Mode,
    *,
    batch_sizes: Sequence[int] | None = None,
) -> Loop:
    """Compile the loop of a model, a rule and a kind of metric.

    Batch sizes are inputs of the compiled function, except on JAX, whose slices have fixed lengths.

    Parameters
    ----------
    row_model : RowModel
    rule : UpdateRule
    metric : Metric
        Its kind and the shapes of its parameters matter here, not their values.
    mode : Mode
        See :func:`sampling_mode`.
    batch_sizes : sequence of ints, optional
        Needed on JAX.
    """
    float_x = row_model.position.type.dtype
    n_dim = row_model.n_dim
    starts = pt.tensor("starts", shape=(None, len(row_model.groups)), dtype="int64")
    noise = pt.tensor("noise", shape=(None, rule.noise_vectors, n_dim), dtype=float_x)
    step_sizes = pt.vector("step_sizes", dtype=float_x)
    temperatures = pt.vector("temperatures", dtype=float_x)
    state_names = ("position", *rule.extra_state)
    state = [pt.tensor(name, shape=(n_dim,), dtype=float_x) for name in state_names]
    sizes = pt.vector("batch_sizes", dtype="int64")
    scales = pt.vector("scales", dtype=float_x)
    parameters = [
        pt.tensor(f"metric_{number}", shape=value.shape, dtype=float_x)
        for number, value in enumerate(metric.parameters())
    ]
    leaves = [leaf.block.type(f"{leaf.name}_rows") for leaf in row_model.leaves]

    def step(start: Tensor, xi: Tensor, h: Tensor, temperature: Tensor, *rest: Tensor) -> Any:
        current, others = rest[: len(state)], rest[len(state) :]
        size, scale = others[0], others[1]
        metric_values = others[2 : 2 + len(parameters)]
        rows = _windows(row_model, others[2 + len(parameters) :], start, size, batch_sizes)
        new = transition(
            rule,
            metric,
            lambda position: _gradient_at(row_model, position, rows, scale),
            dict(zip(state_names, current, strict=True)),
            metric_parameters=metric_values,
            step_size=h,
            temperature=temperature,
            noise=xi,
        )
        return [new[name] for name in state_names]

    outputs = pytensor.scan(
        step,
        sequences=[starts, noise, step_sizes, temperatures],
        outputs_info=state,
        non_sequences=[sizes, scales, *parameters, *leaves],
        return_list=True,
        return_updates=False,
    )
    inputs = [starts, noise, step_sizes, temperatures, *state, sizes, scales, *parameters, *leaves]
    function = pytensor.function(
        inputs, [output[-1] for output in outputs], mode=mode, on_unused_input="ignore"
    )
    function.trust_input = True
    return Loop(function, state_names)


def _windows(
    row_model: RowModel,
    leaves: Sequence[Tensor],
    start: Tensor,
    sizes: Tensor,
    fixed_sizes: Sequence[int] | None,
) -> dict[Tensor, Tensor]:
    """Return each leaf's block of the batch: the rows from ``start`` on."""
    blocks = {}
    for leaf, full in zip(row_model.leaves, leaves, strict=True):
        first = start[leaf.group]
        if fixed_sizes is None:
            blocks[leaf.block] = full[first : first + sizes[leaf.group]]
        else:
            blocks[leaf.block] = full[first + pt.arange(fixed_sizes[leaf.group])]
    return blocks


def _gradient_at(
    row_model: RowModel, position: Tensor, blocks: dict[Tensor, Tensor], scale: Tensor
) -> Tensor:
    """Return the minibatch gradient as a graph of a position and of one batch's blocks."""
    groups = range(len(row_model.groups))
    sums = [
        sum((term.logp.sum() for term in row_model.terms if term.group == group), start=0.0)
        for group in groups
    ]
    scales = [scale[group] for group in groups]
    gradient = minibatch_gradient(row_model.gradient, row_model.prior, sums, scales)
    [moved] = graph_replace([gradient], {row_model.position: position, **blocks}, strict=False)
    return moved
