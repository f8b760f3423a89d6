"""Proof at build time: the sum over a partition of the rows is the model's own log-density."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Variable
from pytensor.graph.traversal import ancestors
from pytensor.sparse.type import SparseTensorType
from pytensor.tensor.subtensor import AdvancedSubtensor

from pymc_sgld.model_graph.density.block_function import BlockFunction
from pymc_sgld.model_graph.density.by_numpy import AS_WRITTEN
from pymc_sgld.model_graph.density.finiteness import explain_nonfinite
from pymc_sgld.model_graph.density.layout import Layout
from pymc_sgld.model_graph.density.modes import is_jax
from pymc_sgld.model_graph.density.reference import Reference
from pymc_sgld.model_graph.density.row_model import RowModel
from pymc_sgld.model_graph.rewrite.errors import RowError

_TOLERANCE = {"float64": 1e-8, "float32": 1e-4}
_N_POINTS = 2
# Gradients below this fraction of the largest are rounding errors of it, as far as we know.
_SMALL = 1e-3
# Points ever nearer to the initial one; each costs at most two full gradients.
_N_TRIES = 10
_NEARER = 0.4
_SAMPLED = 50  # rows of a stream that the identity check compares


def verify(
    row_model: RowModel,
    mode: Any = None,
    *,
    rng: np.random.Generator,
    data: Mapping[str, Any] | None = None,
) -> float:
    """Compare value and gradient by rows with the untouched model, near the initial point.

    Parameters
    ----------
    row_model : RowModel
    mode : str or pytensor Mode, optional
        The mode that will sample; ``"NUMBA"`` if not given.
    rng : numpy.random.Generator
        Draws the points and the partition of the rows into unequal parts.
    data : dict of str to array or other row source, optional
        Of streamed data, see `RowModel.block_function`: a sample of its rows is compared. If
        not given, rows of the placeholders are.

    Returns
    -------
    float
        Worst relative error found.

    Raises
    ------
    RowError
        If they differ, or if no two points near the initial one have a finite value.
    """
    mode = "NUMBA" if mode is None else mode
    _refuse_sparse_on_jax(row_model, mode)
    function, sample = _sampled(row_model, mode, data, rng)
    reference = Reference(row_model, sample, function.total_sizes)
    start = row_model.ravel(row_model.model.initial_point(random_seed=0))
    tolerance = _TOLERANCE[row_model.position.type.dtype]
    if not any(row_model.streamed):
        _refuse_reading_outside(row_model, start)
    longest = function.default_chunk()
    cuts = [_unequal_cuts(n, longest, rng) for n in reference.lengths]
    worst, compared = 0.0, 0
    for attempt in range(_N_TRIES):
        scale = 0.3 * _NEARER**attempt
        position = start + scale * rng.normal(size=start.shape)
        rows = reference.draw_rows(cuts, rng)
        expected = reference(position, rows)
        if expected is None:
            continue
        try:
            actual = _by_parts(function, position, rows, cuts, reference.scales)
        except (TypeError, IndexError, NotImplementedError) as error:
            if not is_jax(mode):
                raise
            raise RowError(
                f"The model has no gradient by rows on JAX ({type(error).__name__} in PyTensor: "
                f'{str(error).splitlines()[0]}). Use backend="numba".'
            ) from error
        gap = _difference(actual, expected, row_model.layout)
        if gap > tolerance and (again := reference.stabilised(position, rows)) is not None:
            gap = _difference(actual, again, row_model.layout)
        worst = max(worst, gap)
        compared += 1
        if worst > tolerance or compared == _N_POINTS:
            break
    if compared < _N_POINTS and worst <= tolerance:
        explain_nonfinite(row_model.model)
        raise RowError(
            f"Identity check impossible: the log-density of the model is finite at {compared} of "
            f"{_N_TRIES} points near its initial point, and {_N_POINTS} are needed. Give initvals "
            "around which it is finite."
        )
    if worst > tolerance:
        raise RowError(
            f"Identity check failed: the log-density by rows differs from the model's by "
            f"{worst:.1e} (relative). This is a bug in pymc_sgld; please report the model. "
            "Until then use pm.sample()."
        )
    return worst


def _sampled(
    row_model: RowModel, mode: Any, data: Mapping[str, Any] | None, rng: np.random.Generator
) -> tuple[BlockFunction, dict[Variable, np.ndarray]]:
    """Return the block function on few rows of streamed data, and these rows.

    Parameters
    ----------
    row_model : RowModel
    mode : str or pytensor Mode
    data : dict of str to array or other row source, or None
        Rows of the placeholders are repeated if not given.
    rng : numpy.random.Generator

    Returns
    -------
    function : BlockFunction
        Of all rows where nothing is streamed.
    rows : dict of SharedVariable to ndarray
        What stands in for each placeholder, in its own layout.
    """
    function = row_model.block_function(mode, data=data)
    if not any(row_model.streamed):
        return function, {}
    chosen = [np.unique(rng.integers(0, group.total_size, _SAMPLED)) for group in row_model.groups]
    arrays, rows = [], {}
    for leaf, source in zip(row_model.leaves, function.arrays, strict=True):
        if not row_model.streamed[leaf.group]:
            arrays.append(source)
            continue
        assert isinstance(leaf.source, SharedVariable)  # all that is streamed is pm.Data
        if source is None:
            placeholder = np.moveaxis(leaf.source.get_value(borrow=True), leaf.axis, 0)
            block = placeholder[chosen[leaf.group] % len(placeholder)]
        else:
            block = np.asarray(source[chosen[leaf.group]])
        block = block.astype(leaf.block.type.dtype)
        arrays.append(block)
        rows[leaf.source] = np.moveaxis(block.astype(leaf.source.type.dtype), 0, leaf.axis)
    sizes = [
        len(picked) if streamed else total
        for picked, streamed, total in zip(
            chosen, row_model.streamed, function.total_sizes, strict=True
        )
    ]
    return replace(function, arrays=tuple(arrays), total_sizes=tuple(sizes)), rows


def _refuse_reading_outside(row_model: RowModel, position: np.ndarray) -> None:
    """Evaluate indexed graphs on the Python linker once, which checks every index.

    Compiled code does not: where a rewrite were wrong it would read, or write, foreign memory.
    """
    graphs = [row_model.prior, *(term.logp for term in row_model.terms)]
    nodes = (v.owner for v in ancestors(graphs) if v.owner is not None)
    if not any(isinstance(node.op, AdvancedSubtensor) for node in nodes):
        return
    checked = row_model.block_function(AS_WRITTEN)
    rows = [np.unique([0, n // 2, n - 1]) for n in checked.total_sizes]
    try:
        checked.batch(position, rows)
    except (IndexError, ValueError) as error:  # of an index, or of the shape that it gives
        raise RowError(
            "Identity check failed: the log-density by rows reads outside of an array "
            f"({str(error).splitlines()[0]}). This is a bug in pymc_sgld; please report the model. "
            "Until then use pm.sample()."
        ) from error


def _refuse_sparse_on_jax(row_model: RowModel, mode: Any) -> None:
    sparse = [
        leaf.name for leaf in row_model.leaves if isinstance(leaf.block.type, SparseTensorType)
    ]
    if sparse and is_jax(mode):
        raise RowError(
            f"'{sparse[0]}' is sparse, and PyTensor multiplies on JAX by constant sparse matrices "
            'only, not by rows of one. Use backend="numba", or pass the matrix as a dense array.'
        )


def _by_parts(
    function: BlockFunction,
    position: np.ndarray,
    rows: list[np.ndarray],
    cuts: list[list[int]],
    scales: list[float],
) -> tuple[float, np.ndarray]:
    """Sum value and gradient over a partition into parts of unequal size."""
    parts = _paired([np.split(r, c) for r, c in zip(rows, cuts, strict=True)])
    value, gradient = 0.0, np.zeros(position.shape)
    for k, pieces in enumerate(parts):
        blocks, weights = [], []
        for piece, scale, whole in zip(pieces, scales, rows, strict=True):
            # A part without rows is fed one row that does not count.
            blocks.append(piece if len(piece) else whole[:1])
            weights.append(scale if len(piece) else 0.0)
        v, g = function.batch(position, blocks, prior_weight=float(k == 0), weights=weights)
        value += v
        gradient += g
    return value, gradient


def _unequal_cuts(n_rows: int, longest: int, rng: np.random.Generator) -> list[int]:
    """Cut rows into at least three parts whose sizes differ, so that a leaked length shows.

    No part is longer than `longest`, to bound the memory.
    """
    if n_rows < 4:
        return []
    first = int(rng.integers(1, max(2, min(longest, n_rows // 8))))
    second = int(rng.integers(first + 1, max(first + 2, min(longest, n_rows // 4) + 1)))
    cuts = [first, first + second]
    # Few different sizes: JAX compiles anew for each.
    while n_rows - cuts[-1] > longest:
        cuts.append(cuts[-1] + longest)
    return [cut for cut in cuts if cut < n_rows]


def _paired(parts: list[list[np.ndarray]]) -> list[list[np.ndarray]]:
    """Return the k-th part of every group, empty where a group has fewer."""
    n_parts = max(map(len, parts), default=1)
    return [[p[k] if k < len(p) else p[0][:0] for p in parts] for k in range(n_parts)]


def _difference(
    actual: tuple[float, np.ndarray], expected: tuple[Any, np.ndarray], layout: Layout
) -> float:
    """Return the larger of the relative errors of value and gradient.

    The gradient of each variable is measured by its own size, so that an error in a small
    one shows beside a large one.
    """
    largest = float(np.max(np.abs(expected[1])))
    pairs = [(np.atleast_1d(actual[0]), np.atleast_1d(expected[0]), 0.0)]
    pairs += [
        (actual[1][part], expected[1][part], _SMALL * largest)
        for part in layout.slices.values()
        if part.start < part.stop
    ]
    errors = []
    for a, b, least in pairs:
        scale = max(float(np.max(np.abs(b))), least, 1e-10)
        error = float(np.max(np.abs(a - b))) / scale
        errors.append(error if np.isfinite(error) else np.inf)
    return max(errors)
