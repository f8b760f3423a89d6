"""Many steps in one function compiled by numba: a step from PyTensor, a loop written for it.

``pytensor.scan`` would compile the same step, and as much again for the handling of its inputs and
outputs. The loop around the step is written out as source, with an argument for each vector of the
state, each constant and each array of rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt

from pytensor.compile.mode import Mode
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.replace import graph_replace
from pytensor.graph.traversal import ancestors
from pytensor.sparse.type import SparseTensorType

from pymc_sgld.chain.loop import Loop, Recorded
from pymc_sgld.chain.step_graph import next_state, state_names, symbolic_constants, symbolic_state
from pymc_sgld.chain.transition import Kernel
from pymc_sgld.model_graph import RowModel
from pymc_sgld.model_graph.density.modes import compile_function, converted
from pymc_sgld.types import Array, Randomness

_SOURCE = """
def loop(starts, noise, step_sizes, temperatures, ends, limit, stops, remembered, fresh, refused,
         {state}, {kept}, {recorded}, sizes, {constants}):
    done = 0
    for t in range(step_sizes.shape[0]):
        {batch}
        {results} = step({state}, np.asarray(step_sizes[t]), np.asarray(temperatures[t]), noise[t],
                         {arguments})
        {remember}
        if ends[t]:
            size = 0.0
            fine = True
            for j in range(state_0.shape[0]):
                size += state_0[j] * state_0[j]
                fine = fine and {finite}
            fine = fine and size <= limit * temperatures[t]
            if fine:
                {keep}
            else:
                {restore}
            {record}
            refused[done] = not fine
            done += 1
            if stops and not fine:
                break
    return done, {state}
"""


@dataclass(frozen=True)
class _Shape:
    """What the source of a loop depends on.

    Parameters
    ----------
    n_state, n_constants, n_groups : int
        Numbers of vectors of the state, of constants between the sizes and the leaves, of groups.
    leaf_groups : tuple of int
        The group of each leaf.
    sparse : tuple of bool
        Whether a leaf is a sparse matrix, of which ``take`` returns rows.
    tabled, remembers : bool
        As of a gradient estimator.
    dtype : str
        Of the state.
    """

    n_state: int
    n_constants: int
    n_groups: int
    leaf_groups: tuple[int, ...]
    sparse: tuple[bool, ...]
    tabled: bool
    remembers: bool
    dtype: str

    def source(self) -> str:
        """Return the source of the loop."""
        numbers = range(self.n_state)
        leaves = range(len(self.leaf_groups))
        constants = [f"constant_{i}" for i in range(self.n_constants)]
        blocks = [self._block(leaf) for leaf in leaves]
        remembered = ["remembered[t]"] if self.tabled else []
        # in four bytes: what PyTensor types so, numba may return in eight
        widens = self.dtype != "float64"
        results = [f"{'result' if widens else 'state'}_{i}" for i in numbers]
        results += ["new"] * self.remembers
        after = [f"state_{i} = result_{i}.astype(np.{self.dtype})" for i in numbers if widens]
        after.append(_copied("new", "fresh", "t", 8) if self.remembers else "pass")
        batch = [
            f"first_{g} = starts[t, {g}]; end_{g} = first_{g} + sizes[{g}]"
            for g in range(self.n_groups)
        ]
        return _SOURCE.format(
            state=", ".join(f"state_{i}" for i in numbers),
            kept=", ".join(f"kept_{i}" for i in numbers),
            recorded=", ".join(f"recorded_{i}" for i in numbers),
            constants=", ".join([*constants, *(f"leaf_{i}" for i in leaves)]),
            batch="; ".join(batch) or "pass",
            results=", ".join(results) + ",",
            arguments=", ".join([*remembered, "sizes", *constants, *blocks]),
            remember=f"\n{' ' * 8}".join(after),
            finite=" and ".join(f"np.isfinite(state_{i}[j])" for i in numbers),
            keep="; ".join(f"kept_{i} = state_{i}" for i in numbers),
            restore="; ".join(f"state_{i} = kept_{i}" for i in numbers),
            record=f"\n{' ' * 12}".join(
                _copied(f"state_{i}", f"recorded_{i}", "done", 12) for i in numbers
            ),
        )

    def _block(self, leaf: int) -> str:
        rows = f"first_{self.leaf_groups[leaf]}", f"end_{self.leaf_groups[leaf]}"
        if self.sparse[leaf]:
            ends = ", ".join(f"np.asarray({end})" for end in rows)
            return f"take_{leaf}(leaf_{leaf}, {ends})[0]"
        return f"leaf_{leaf}[{':'.join(rows)}]"


@dataclass(frozen=True)
class GeneratedLoop(Loop):
    """A loop compiled by numba when it is first run.

    Parameters
    ----------
    state_names : tuple of str
    step : PyTensor function
        The step; of it the loop takes what numba compiles, and it is never called itself.
    takes : dict of int to PyTensor function
        By number of the leaf, what takes rows of a sparse one.
    shape : _Shape
    """

    step: Any
    takes: dict[int, Any]
    shape: _Shape

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
        """Run steps; see :meth:`pymc_sgld.chain.loop.Loop.run_draws`."""
        names, n_draws = self.state_names, int(np.count_nonzero(ends))
        vectors = [state[name] for name in names]
        recorded = [np.empty((n_draws, len(vector)), vector.dtype) for vector in vectors]
        refused = np.zeros(n_draws, dtype=bool)
        if remembered is None:
            remembered = np.empty((0, 0), vectors[0].dtype)
        fresh = np.empty_like(remembered)
        done, *last = self._compiled(
            *randomness, step_sizes, temperatures, ends, limit, stops, remembered, fresh, refused,
            *vectors, *(kept[name] for name in names), *recorded, *constants,
        )  # fmt: skip
        return Recorded(
            {name: rows[:done] for name, rows in zip(names, recorded, strict=True)},
            refused[:done],
            dict(zip(names, last, strict=True)),
            fresh if self.shape.remembers else None,
        )

    @cached_property
    def _compiled(self) -> Any:
        from pytensor.link.numba.cache import compile_numba_function_src
        from pytensor.link.numba.dispatch.basic import numba_njit

        source = self.shape.source()
        functions = {"step": self.step} | {f"take_{i}": one for i, one in self.takes.items()}
        inner = {name: converted(function) for name, function in functions.items()}
        keys = [key for _, key in inner.values()]
        cached = None not in keys
        loop = compile_numba_function_src(
            source,
            "loop",
            globals() | {name: function for name, (function, _) in inner.items()},
            cache_key=sha256(str((source, keys)).encode()).hexdigest() if cached else None,
        )
        with pytensor.config.change_flags(numba__fastmath=False):
            return numba_njit(loop, final_function=True, cache=cached, nogil=True)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what is compiled: another process takes it from the cache."""
        return {name: value for name, value in self.__dict__.items() if name != "_compiled"}


def compile_generated(row_model: RowModel, kernel: Kernel, mode: Mode) -> GeneratedLoop:
    """Return the loop of a model and a sampler; numbers of steps and batch sizes are its inputs.

    Parameters
    ----------
    row_model : RowModel
    kernel : Kernel
        Of the metric its kind and the shapes of its parameters matter, not their values.
    mode : Mode
        Of numba.
    """
    dtype, n_dim = row_model.position.type.dtype, row_model.n_dim
    state, constants = symbolic_state(row_model, kernel), symbolic_constants(row_model, kernel)
    step_size, temperature = (pt.scalar(name, dtype=dtype) for name in ("step_size", "temperature"))
    noise = pt.tensor("noise", shape=(kernel.rule.noise_vectors, n_dim), dtype=dtype)
    remembered = [pt.tensor("remembered", shape=(n_dim,), dtype=dtype)] * kernel.estimator.tabled
    after = next_state(
        row_model, kernel, state, step_size=step_size, temperature=temperature, noise=noise,
        remembered=remembered, constants=constants,
    )  # fmt: skip
    inputs = [*state, step_size, temperature, noise, *remembered, *constants]
    leaves = constants[len(constants) - len(row_model.leaves) :]
    sparse = tuple(isinstance(leaf.type, SparseTensorType) for leaf in leaves)
    shape = _Shape(
        len(state),
        len(constants) - 1 - len(leaves),
        len(row_model.groups),
        tuple(leaf.group for leaf in row_model.leaves),
        sparse,
        kernel.estimator.tabled,
        kernel.estimator.remembers,
        dtype,
    )
    takes = {i: _taking(leaf, mode) for i, leaf in enumerate(leaves) if sparse[i]}
    step = compile_function(inputs, _without_shared(after), mode=mode)
    return GeneratedLoop(state_names(kernel), step, takes, shape)


def _without_shared(outputs: Sequence[Any]) -> list[Any]:
    """Put the values of shared variables, such as lengths of dimensions, in their places.

    The loop calls what numba compiled of the step, which takes its inputs alone.
    """
    shared = {v: v.get_value() for v in ancestors(outputs) if isinstance(v, SharedVariable)}
    values = {v: v.type.filter_variable(value) for v, value in shared.items()}
    result: list[Any] = graph_replace(list(outputs), values, strict=False)
    return result


def _copied(vector: str, rows: str, row: str, indent: int) -> str:
    """Return the source that copies a vector to a row, entry by entry.

    For an assignment of arrays numba compiles what says in words which shapes differ: 1.7 s.
    """
    body = f"{rows}[{row}, j] = {vector}[j]"
    return f"for j in range({vector}.shape[0]):\n{' ' * (indent + 4)}{body}"


def _taking(leaf: Any, mode: Mode) -> Any:
    """Return the function that takes neighbouring rows of a sparse leaf."""
    first, end = pt.lscalar("first"), pt.lscalar("end")
    return compile_function([leaf, first, end], [leaf[first:end]], mode=mode)
