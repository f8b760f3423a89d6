"""A row model in words: what is subsampled, what is not and why, what a step costs."""

from __future__ import annotations

from typing import Any

import numpy as np

from pytensor.compile.sharedvalue import SharedVariable

from pymc_sgld.model_graph.density.row_density import RowDensity, RowLeaf
from pymc_sgld.model_graph.rewrite.naming import listed
from pymc_sgld.validate import check_arguments

_DEFAULT_BATCH = 256


def describe(row_model: RowDensity, batch_size: int | None = None) -> str:
    """Return what `RowModel.describe` prints.

    Parameters
    ----------
    row_model : RowDensity
    batch_size : int, optional
        Rows of a step, of each group; 256, or all if there are fewer, if not given.
    """
    check_arguments(batch_size=batch_size)
    blocks = [
        [f"{row_model.n_dim} parameters: {listed(v.name for v in row_model.value_vars)}"],
        *(_group(row_model, index) for index in range(len(row_model.groups))),
        _whole(row_model),
        _folded(row_model),
        _recentred(row_model),
        _cost(row_model, _DEFAULT_BATCH if batch_size is None else batch_size),
    ]
    return "\n".join(line for block in blocks for line in block)


def _group(row_model: RowDensity, index: int) -> list[str]:
    group = row_model.groups[index]
    source = ", fed by the caller" if row_model.streamed[index] else ""
    lines = [f"Subsampled by the {group.total_size:,} rows of '{group.name}'{source}:"]
    for kind in ("observed", "potential", "local prior"):
        terms = [t.name for t in row_model.terms if t.group == index and t.kind == kind]
        lines += [f"  {kind} {listed(dict.fromkeys(terms))}"] if terms else []
    for leaf in row_model.leaves:
        if leaf.group == index:
            lines.append(f"  data '{leaf.name}': {_row(leaf)} a row{_origin(leaf)}")
    return lines


def _origin(leaf: RowLeaf) -> str:
    return ", evaluated once from data" if leaf.source is None else ""


def _row(leaf: RowLeaf) -> str:
    shape, dtype = row_type_of(leaf)
    count = int(np.prod(shape))
    return f"{count} x {dtype}, {_bytes(count * dtype.itemsize)}"


def _whole(row_model: RowDensity) -> list[str]:
    """Return what is evaluated in full at every step; priors are so by nature."""
    lines = [f"  prior of {listed(w.name for w in row_model.whole if w.kind == 'prior')}"]
    for whole in row_model.whole:
        if whole.kind != "prior":
            lines.append(f"  {whole.kind} '{whole.name}': {whole.reason}")
    return ["In full at every step:", *dict.fromkeys(lines)]


def _folded(row_model: RowDensity) -> list[str]:
    names: dict[str, None] = {}
    for folded in row_model.folded:
        shape = f" of shape {folded.shape}" if folded.shape else ""
        names[f"  {folded.operation} of {folded.name}: a constant{shape}"] = None
    for leaf in row_model.leaves:
        if leaf.source is None and leaf.derived is not None:
            names[f"  '{leaf.name}', one entry per row: taken by rows"] = None
    return ["Evaluated once, from all the data:", *names] if names else []


def _recentred(row_model: RowDensity) -> list[str]:
    lines = [f"  {effect.describe()}" for effect in row_model.effects]
    lines = ["Sampled as group effects, reported as written:", *lines] if lines else []
    return [*lines, *row_model.left]


def _cost(row_model: RowDensity, batch_size: int) -> list[str]:
    sizes = [min(batch_size, group.total_size) for group in row_model.groups]
    n_bytes = 0
    for leaf in row_model.leaves:
        shape, dtype = row_type_of(leaf)
        n_bytes += sizes[leaf.group] * int(np.prod(shape)) * dtype.itemsize
    if not sizes:
        return [f"A step takes the whole gradient and moves {row_model.n_dim} parameters."]
    total = sum(group.total_size for group in row_model.groups)
    share = sum(sizes) / total
    rows = " + ".join(f"{n:,}" for n in sizes)
    return [
        f"A step on a batch of {rows} rows reads {_bytes(n_bytes)}, {share:.2g} of all rows, "
        f"and moves {row_model.n_dim} parameters."
    ]


def _bytes(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} GB"


def row_type_of(leaf: RowLeaf) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return shape and type of one row of a leaf, without reading it."""
    value, axis = leaf.derived, 0
    if leaf.source is not None:
        is_shared = isinstance(leaf.source, SharedVariable)
        value = leaf.source.get_value(borrow=True) if is_shared else leaf.source.data
        axis = leaf.axis
    shape = tuple(int(n) for i, n in enumerate(value.shape) if i != axis)
    return shape, np.dtype(leaf.block.type.dtype)
