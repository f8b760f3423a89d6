"""Many steps in one compiled function; the only file that names a backend."""

from collections.abc import Iterator, Sequence
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
class FixedShapes:
    """What JAX must know at compile time."""

    n_steps: int
    batch_sizes: Sequence[int]


@dataclass(frozen=True)
class Loop:
    """A compiled block of steps."""

    function: Any
    state_names: tuple[str, ...]
    fixed: FixedShapes | None = None

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
        constants = (batch_sizes, scales, *metric_parameters, *leaves)
        current = tuple(state[name] for name in self.state_names)
        for sequences in self._pieces((*randomness, step_sizes, temperatures)):
            current = tuple(self.function(*sequences, *current, *constants))
        return dict(zip(self.state_names, map(np.asarray, current), strict=True))

    def _pieces(self, sequences: Sequence[Array]) -> Iterator[Sequence[Array]]:
        """Cut the sequences to the fixed number of steps; a mask marks the steps that count."""
        if self.fixed is None:
            yield sequences
            return
        length = self.fixed.n_steps
        for first in range(0, len(sequences[0]), length):
            pieces = [sequence[first : first + length] for sequence in sequences]
            filled = np.arange(length) < len(pieces[0])
            padding = np.where(filled, np.arange(length), 0)
            yield (*(piece[padding] for piece in pieces), filled)


def compile_loop(
    row_model: RowModel,
    rule: UpdateRule,
    metric: Metric,
    mode: Mode,
    *,
    fixed: FixedShapes | None = None,
) -> Loop:
    """Compile the loop of a model, a rule and a kind of metric.

    Numbers of steps and batch sizes are inputs of the compiled function, except on JAX.

    Parameters
    ----------
    row_model : RowModel
    rule : UpdateRule
    metric : Metric
        Its kind and the shapes of its parameters matter here, not their values.
    mode : Mode
        See :func:`sampling_mode`.
    fixed : FixedShapes, optional
        Needed on JAX.
    """
    sequences = _sequences(row_model, rule, fixed)
    constants = _constants(row_model, metric)
    float_x, n_dim = row_model.position.type.dtype, row_model.n_dim
    state_names = ("position", *rule.extra_state)
    state = [pt.tensor(name, shape=(n_dim,), dtype=float_x) for name in state_names]
    n_parameters = len(metric.parameters())

    def step(*arguments: Tensor) -> Any:
        start, noise, step_size, temperature, *rest = arguments
        active = None if fixed is None else rest.pop(0)
        current, (sizes, scales, *rest) = rest[: len(state)], rest[len(state) :]
        blocks = _windows(row_model, rest[n_parameters:], start, sizes, fixed)
        new = transition(
            rule,
            metric,
            lambda position: _gradient_at(row_model, position, blocks, scales),
            dict(zip(state_names, current, strict=True)),
            metric_parameters=rest[:n_parameters],
            step_size=step_size,
            temperature=temperature,
            noise=noise,
        )
        moved = [new[name] for name in state_names]
        if active is None:
            return moved
        return [pt.switch(active, after, now) for after, now in zip(moved, current, strict=True)]

    outputs = pytensor.scan(
        step,
        sequences=sequences,
        outputs_info=state,
        non_sequences=constants,
        n_steps=None if fixed is None else fixed.n_steps,
        return_list=True,
        return_updates=False,
    )
    function = pytensor.function(
        [*sequences, *state, *constants],
        [output[-1] for output in outputs],
        mode=mode,
        on_unused_input="ignore",
    )
    function.trust_input = True
    return Loop(function, state_names, fixed)


def _sequences(row_model: RowModel, rule: UpdateRule, fixed: FixedShapes | None) -> list[Tensor]:
    """Return the inputs with one entry for each step."""
    float_x = row_model.position.type.dtype
    n_steps = None if fixed is None else fixed.n_steps
    shape = (n_steps, rule.noise_vectors, row_model.n_dim)
    sequences = [
        pt.tensor("starts", shape=(n_steps, len(row_model.groups)), dtype="int64"),
        pt.tensor("noise", shape=shape, dtype=float_x),
        pt.tensor("step_sizes", shape=(n_steps,), dtype=float_x),
        pt.tensor("temperatures", shape=(n_steps,), dtype=float_x),
    ]
    if fixed is not None:
        sequences.append(pt.tensor("active", shape=(n_steps,), dtype="bool"))
    return sequences


def _constants(row_model: RowModel, metric: Metric) -> list[Tensor]:
    """Return the inputs that are the same at every step."""
    float_x = row_model.position.type.dtype
    n_groups = len(row_model.groups)
    return [
        pt.tensor("batch_sizes", shape=(n_groups,), dtype="int64"),
        pt.tensor("scales", shape=(n_groups,), dtype=float_x),
        *(
            pt.tensor(f"metric_{number}", shape=value.shape, dtype=float_x)
            for number, value in enumerate(metric.parameters())
        ),
        *(leaf.block.type(f"{leaf.name}_rows") for leaf in row_model.leaves),
    ]


def _windows(
    row_model: RowModel,
    leaves: Sequence[Tensor],
    start: Tensor,
    sizes: Tensor,
    fixed: FixedShapes | None,
) -> dict[Tensor, Tensor]:
    """Return each leaf's block of the batch: the rows from ``start`` on."""
    blocks = {}
    for leaf, full in zip(row_model.leaves, leaves, strict=True):
        first = start[leaf.group]
        if fixed is None:
            blocks[leaf.block] = full[first : first + sizes[leaf.group]]
        else:
            blocks[leaf.block] = full[first + pt.arange(fixed.batch_sizes[leaf.group])]
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
