"""Many steps in one ``pytensor.scan``, for JAX and whatever else is not numba."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt

from pytensor.compile.mode import Mode

from pymc_sgld.chain.loop import Loop, Recorded
from pymc_sgld.chain.step_graph import next_state, state_names, symbolic_constants, symbolic_state
from pymc_sgld.chain.transition import Kernel
from pymc_sgld.model_graph import RowModel
from pymc_sgld.model_graph.density.modes import compile_function
from pymc_sgld.types import Array, Randomness, Tensor


@dataclass(frozen=True)
class FixedShapes:
    """What JAX must know at compile time."""

    n_steps: int
    batch_sizes: Sequence[int]


@dataclass(frozen=True)
class ScanLoop(Loop):
    """A compiled block of steps.

    Parameters
    ----------
    state_names : tuple of str
    function : PyTensor function
    fixed : FixedShapes, optional
    remembers : bool
    """

    function: Any
    fixed: FixedShapes | None = None
    remembers: bool = False

    @property
    def survives_fork(self) -> bool:
        """Whether it runs in a fork of the process that compiled it: not on JAX."""
        return self.fixed is None

    def run_draws(
        self,
        state: dict[str, Array],
        kept: dict[str, Array],
        randomness: Randomness,
        step_sizes: Array,
        temperatures: Array,
        constants: Sequence[Array],
        *,
        ends: Array,
        remembered: Array | None = None,
        limit: float = np.inf,
        stops: bool = False,
    ) -> Recorded:
        """Run steps, draw by draw; see :meth:`pymc_sgld.chain.loop.Loop.run_draws`."""
        sequences = [*randomness, step_sizes, temperatures]
        sequences += [] if remembered is None else [remembered]
        cuts = np.flatnonzero(ends) + 1
        draws: list[dict[str, Array]] = []
        refused: list[bool] = []
        fresh: list[Array] = []
        for piece in zip(*(np.split(one, cuts) for one in sequences), strict=True):
            if not len(piece[0]):  # no step after the last draw
                continue
            state, beside = self._run(state, piece, constants)
            fresh += beside
            if len(draws) == len(cuts):
                continue
            position = state["position"]
            fine = all(np.isfinite(vector).all() for vector in state.values())
            fine = fine and bool(position @ position <= limit * piece[3][-1])
            kept = state if fine else kept
            state = kept
            draws.append(state)
            refused.append(not fine)
            if stops and not fine:
                break
        return Recorded(
            {name: _rows([draw[name] for draw in draws]) for name in self.state_names},
            np.array(refused, dtype=bool),
            state,
            np.concatenate(fresh) if self.remembers else None,
        )

    def _run(
        self, state: dict[str, Array], sequences: Sequence[Array], constants: Sequence[Array]
    ) -> tuple[dict[str, Array], list[Array]]:
        """Return the last state and, for each call, what there is beside it."""
        current = tuple(state[name] for name in self.state_names)
        beside = []
        for pieces, n_steps in self._pieces(sequences):
            found = self.function(*pieces, *current, *constants)
            current = tuple(found[: len(self.state_names)])
            beside += [np.asarray(one)[:n_steps] for one in found[len(self.state_names) :]]
        return dict(zip(self.state_names, map(np.asarray, current), strict=True)), beside

    def _pieces(self, sequences: Sequence[Array]) -> Iterator[tuple[Sequence[Array], int]]:
        """Cut the sequences to the fixed number of steps; a mask marks the steps that count."""
        if self.fixed is None:
            yield sequences, len(sequences[0])
            return
        length = self.fixed.n_steps
        for first in range(0, len(sequences[0]), length):
            pieces = [sequence[first : first + length] for sequence in sequences]
            filled = np.arange(length) < len(pieces[0])
            padding = np.where(filled, np.arange(length), 0)
            yield (*(piece[padding] for piece in pieces), filled), len(pieces[0])


def _rows(vectors: Sequence[Array]) -> Array:
    return np.stack(vectors) if vectors else np.empty((0, 0))


def compile_scan(
    row_model: RowModel, kernel: Kernel, mode: Mode, *, fixed: FixedShapes | None = None
) -> ScanLoop:
    """Compile the loop of a model and a sampler.

    Numbers of steps and batch sizes are inputs of the compiled function, except on JAX.

    Parameters
    ----------
    row_model : RowModel
    kernel : Kernel
        Of the metric its kind and the shapes of its parameters matter, not their values.
    mode : Mode
    fixed : FixedShapes, optional
        Needed on JAX.
    """
    sequences = _sequences(row_model, kernel, fixed)
    state, constants = symbolic_state(row_model, kernel), symbolic_constants(row_model, kernel)
    n_leaves, remembers = len(row_model.leaves), kernel.estimator.remembers
    tabled = kernel.estimator.tabled

    def step(*arguments: Tensor) -> Any:
        start, noise, step_size, temperature, *rest = arguments
        remembered = [rest.pop(0)] if tabled else []
        active = None if fixed is None else rest.pop(0)
        current, rest = rest[: len(state)], rest[len(state) :]
        leaves = rest[len(rest) - n_leaves :]
        blocks = _windows(row_model, leaves, start, rest[0], fixed)
        after = next_state(
            row_model, kernel, current, step_size=step_size, temperature=temperature, noise=noise,
            remembered=remembered, constants=[*rest[: len(rest) - n_leaves], *blocks],
        )  # fmt: skip
        if active is None:
            return after
        moved, fresh = after[: len(state)], after[len(state) :]
        kept = [pt.switch(active, new, now) for new, now in zip(moved, current, strict=True)]
        return [*kept, *fresh]

    outputs = pytensor.scan(
        step,
        sequences=sequences,
        outputs_info=[*state, *[None] * remembers],
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
    return ScanLoop(state_names(kernel), function, fixed, remembers)


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
    if kernel.estimator.tabled:
        sequences.append(pt.tensor("remembered", shape=(n_steps, row_model.n_dim), dtype=float_x))
    if fixed is not None:
        sequences.append(pt.tensor("active", shape=(n_steps,), dtype="bool"))
    return sequences


def _windows(
    row_model: RowModel,
    leaves: Sequence[Tensor],
    start: Tensor,
    sizes: Tensor,
    fixed: FixedShapes | None,
) -> list[Tensor]:
    """Return each leaf's block of the batch: the rows from ``start`` on."""
    blocks = []
    for leaf, full in zip(row_model.leaves, leaves, strict=True):
        first = start[leaf.group]
        if fixed is None:
            blocks.append(full[first : first + sizes[leaf.group]])
        else:
            blocks.append(full[first + pt.arange(fixed.batch_sizes[leaf.group])])
    return blocks
