"""Many steps in one compiled function; the only file that names a backend."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt

from pytensor.compile.mode import Mode, get_mode
from pytensor.graph.replace import graph_replace

from pymc_sgld.chain import lean_products
from pymc_sgld.chain.transition import FRESH, Kernel, transition
from pymc_sgld.model_graph import RowModel
from pymc_sgld.model_graph.density.modes import compile_function, is_jax, without_assertions
from pymc_sgld.types import Array, Randomness, Tensor


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
    return without_assertions(chosen) if is_jax(chosen) else chosen.including(lean_products.TAG)


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
        constants: Sequence[Array],
    ) -> dict[str, Array]:
        """Run one step for each row of ``randomness`` and return the last state.

        Parameters
        ----------
        state : dict of arrays, shape (n_dim,)
            ``position`` in the coordinates of the metric, and the rule's extra state.
        randomness : Randomness
        step_sizes, temperatures : array, shape (n_steps,)
        constants : sequence of arrays
            In the order of :func:`loop_constants`.
        """
        sequences = (*randomness, step_sizes, temperatures)
        return self._run(state, sequences, constants)[0]

    def run_remembering(
        self,
        state: dict[str, Array],
        randomness: Randomness,
        step_sizes: Array,
        temperatures: Array,
        constants: Sequence[Array],
        remembered: Array,
    ) -> tuple[dict[str, Array], Array]:
        """Run steps as :meth:`run` does, for an estimator that remembers.

        Parameters
        ----------
        remembered : array, shape (n_steps, n_dim)
            What is remembered of the block of each step.

        Returns
        -------
        state : dict of arrays, shape (n_dim,)
        fresh : array, shape (n_steps, n_dim)
            What is to be remembered of it from now on.
        """
        sequences = (*randomness, step_sizes, temperatures, remembered)
        last, fresh = self._run(state, sequences, constants)
        return last, np.concatenate(fresh)[: len(step_sizes)]

    def _run(
        self, state: dict[str, Array], sequences: Sequence[Array], constants: Sequence[Array]
    ) -> tuple[dict[str, Array], list[Array]]:
        """Return the last state and, for each call, what there is beside it."""
        current = tuple(state[name] for name in self.state_names)
        beside = []
        for pieces in self._pieces(sequences):
            found = self.function(*pieces, *current, *constants)
            current = tuple(found[: len(self.state_names)])
            beside += [np.asarray(one) for one in found[len(self.state_names) :]]
        return dict(zip(self.state_names, map(np.asarray, current), strict=True)), beside

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


def compile_loop(
    row_model: RowModel, kernel: Kernel, mode: Mode, *, fixed: FixedShapes | None = None
) -> Loop:
    """Compile the loop of a model and a sampler.

    Numbers of steps and batch sizes are inputs of the compiled function, except on JAX.

    Parameters
    ----------
    row_model : RowModel
    kernel : Kernel
        Of the metric its kind and the shapes of its parameters matter, not their values.
    mode : Mode
        See :func:`sampling_mode`.
    fixed : FixedShapes, optional
        Needed on JAX.
    """
    sequences = _sequences(row_model, kernel, fixed)
    constants = _constants(row_model, kernel)
    float_x, n_dim = row_model.position.type.dtype, row_model.n_dim
    state_names = ("position", *kernel.rule.extra_state)
    state = [pt.tensor(name, shape=(n_dim,), dtype=float_x) for name in state_names]
    counts = [1, 1, int(kernel.noise_compensation), len(kernel.estimator.parameters)]
    counts += [len(kernel.metric.parameters()), len(row_model.leaves)]

    def step(*arguments: Tensor) -> Any:
        start, noise, step_size, temperature, *rest = arguments
        remembered = [rest.pop(0)] if kernel.estimator.remembers else []
        active = None if fixed is None else rest.pop(0)
        current, rest = rest[: len(state)], rest[len(state) :]
        [sizes], [scales], known, of_estimator, of_metric, leaves = _cut(rest, counts)
        blocks = _windows(row_model, leaves, start, sizes, fixed)
        new = transition(
            kernel,
            _Batch(row_model, blocks, scales, temperature),
            dict(zip(state_names, current, strict=True)),
            estimator_parameters=[*of_estimator, *remembered],
            metric_parameters=of_metric,
            gradient_noise=known[0] if known else None,
            step_size=step_size,
            temperature=temperature,
            noise=noise,
        )
        moved = [new[name] for name in state_names]
        fresh = [new[FRESH]] if kernel.estimator.remembers else []
        if active is None:
            return [*moved, *fresh]
        kept = [pt.switch(active, after, now) for after, now in zip(moved, current, strict=True)]
        return [*kept, *fresh]

    outputs = pytensor.scan(
        step,
        sequences=sequences,
        outputs_info=[*state, *[None] * kernel.estimator.remembers],
        non_sequences=constants,
        n_steps=None if fixed is None else fixed.n_steps,
        return_list=True,
        return_updates=False,
    )
    function = compile_function(
        [*sequences, *state, *constants],
        [*(output[-1] for output in outputs[: len(state)]), *outputs[len(state) :]],
        mode=mode,
    )
    function.trust_input = True
    return Loop(function, state_names, fixed)


def _cut(values: Sequence[Tensor], counts: Sequence[int]) -> list[list[Tensor]]:
    """Cut a list into pieces of the given lengths."""
    ends = np.cumsum(counts).tolist()
    return [list(values[end - count : end]) for count, end in zip(counts, ends, strict=True)]


def _sequences(row_model: RowModel, kernel: Kernel, fixed: FixedShapes | None) -> list[Tensor]:
    """Return the inputs with one entry for each step."""
    float_x = row_model.position.type.dtype
    n_steps = None if fixed is None else fixed.n_steps
    shape = (n_steps, kernel.rule.noise_vectors, row_model.n_dim)
    sequences = [
        pt.tensor("starts", shape=(n_steps, len(row_model.groups)), dtype="int64"),
        pt.tensor("noise", shape=shape, dtype=float_x),
        pt.tensor("step_sizes", shape=(n_steps,), dtype=float_x),
        pt.tensor("temperatures", shape=(n_steps,), dtype=float_x),
    ]
    if kernel.estimator.remembers:
        sequences.append(pt.tensor("remembered", shape=(n_steps, row_model.n_dim), dtype=float_x))
    if fixed is not None:
        sequences.append(pt.tensor("active", shape=(n_steps,), dtype="bool"))
    return sequences


def _constants(row_model: RowModel, kernel: Kernel) -> list[Tensor]:
    """Return the inputs that are the same at every step, in the order of ``loop_constants``."""
    float_x, n_dim = row_model.position.type.dtype, row_model.n_dim
    n_groups, metric = len(row_model.groups), kernel.metric
    shapes = metric.symbolic_shapes
    vectors = ["gradient_noise"] * kernel.noise_compensation + [*kernel.estimator.parameters]
    return [
        pt.tensor("batch_sizes", shape=(n_groups,), dtype="int64"),
        pt.tensor("scales", shape=(n_groups,), dtype=float_x),
        *(pt.tensor(name, shape=(n_dim,), dtype=float_x) for name in vectors),
        *(
            pt.tensor(f"metric_{number}", shape=shape, dtype=float_x)
            for number, shape in enumerate(shapes)
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
