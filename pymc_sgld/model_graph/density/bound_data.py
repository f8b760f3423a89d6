"""Data for the placeholders of a model: opened, and put where batches of them can be read."""

from __future__ import annotations

import logging

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytensor.tensor as pt

from pymc.model import Model
from pytensor.graph.basic import Variable
from pytensor.graph.traversal import ancestors
from pytensor.tensor.type import TensorType
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from pymc_sgld.model_graph.density.row_density import RowDensity, row_term
from pymc_sgld.model_graph.density.sources import sources_of
from pymc_sgld.model_graph.rewrite.errors import RowError
from pymc_sgld.model_graph.rewrite.fold_and_cost import rebuild
from pymc_sgld.model_graph.rewrite.naming import listed
from pymc_sgld.model_graph.rewrite.streaming import TotalSize
from pymc_sgld.row_sources import (
    NumbersOf,
    RandomOrder,
    RowSourceError,
    Scratch,
    as_row_source,
    column_names,
    columns,
    in_random_order,
    is_table,
    row_bytes,
    size_of_file,
)
from pymc_sgld.validate import shown

type ScratchArgument = bool | str | Path

_log = logging.getLogger("pymc.sgld")
# Rows of a group that are read into memory, once, and sampled as those of any model.
_INTO_MEMORY = 2**28


def opened(model: Model, data: Any) -> dict[str, Any]:
    """Return the sources of rows that a user gives, by the name of their `pm.Data`.

    Parameters
    ----------
    model : pm.Model
    data : mapping of str to source, or a table
        Of a table the columns named as a `pm.Data` of the model.
    """
    names = [str(var.name) for var in model.data_vars]
    table = isinstance(data, str | Path) or is_table(data)
    try:
        if table:
            known = column_names("data", data)
            data = {name: columns(data, name) for name in names if name in known}
        elif not isinstance(data, Mapping):
            raise RowError(
                f"data is {shown(data)}. Pass a mapping from the name of each pm.Data "
                "whose rows come from elsewhere to where they are, or a table with such columns."
            )
        sources = {str(name): as_row_source(str(name), source) for name, source in data.items()}
    except (TypeError, RowSourceError) as error:
        raise RowError(f"data cannot be read by rows: {error}") from None
    unknown = [name for name in sources if name not in names]
    if unknown or not sources:
        raise RowError(
            f"data names {listed(unknown) or 'nothing of the model'}, but the model's pm.Data are "
            f"{listed(names) or '(none)'}. Use their names, or write the model on pm.Data of a row "
            "or two."
        )
    return sources


def sizes_of(sources: Mapping[str, Any], model: Model) -> dict[str, int]:
    """Return the number of rows of each observed variable whose values come from elsewhere."""
    sizes: dict[str, int] = {}
    for observed in model.observed_RVs:
        for var in ancestors([model.rvs_to_values[observed]]):
            if var.name in sources:
                sizes[observed.name] = int(sources[str(var.name)].shape[0])
    if not sizes:
        raise RowError(
            f"data gives {listed(sources)}, but no observed variable is one of them. Write "
            "observed=pm.Data(...), and give its rows in data as well."
        )
    return sizes


def opened_with_sizes(model: Model, data: Any, total_size: TotalSize) -> tuple[Any, TotalSize]:
    """Return sources as they are opened, and the numbers of rows, from them if not given.

    Parameters
    ----------
    model : pm.Model
    data
        As for :func:`opened`; None for rows of the model itself.
    total_size : int or dict, optional
    """
    if data is None or total_size is not None:
        return data, total_size
    sources = opened(model, data)
    return sources, sizes_of(sources, model)


def with_own_types(density: RowDensity, sources: Mapping[str, Any]) -> RowDensity:
    """Return the density with blocks of the types that the data have, where these are narrower.

    `pm.Data` makes 4-byte integers of codes of one byte, and doubles of floats: of a placeholder
    nothing is lost, of a billion rows memory.
    """
    new: dict[Variable, Variable] = {}
    leaves = []
    for leaf in density.leaves:
        own = np.dtype(sources[leaf.name].dtype).newbyteorder("=") if leaf.name in sources else None
        of_model = np.dtype(leaf.block.type.dtype)
        if own is None or own == of_model or not np.can_cast(own, of_model, "safe"):
            leaves.append(leaf)
            continue
        block = TensorType(str(own), shape=leaf.block.type.shape)(name=leaf.block.name)
        new[leaf.block] = pt.cast(block, str(of_model))
        leaves.append(replace(leaf, block=block))
    if not new:
        return density
    kept = [whole.entries for whole in density.whole if whole.entries is not None]
    outputs = rebuild([density.prior, *kept, *(term.entries for term in density.terms)], new)
    entries = outputs[1 + len(kept) :]
    of_whole = iter(outputs[1 : 1 + len(kept)])
    return replace(
        density,
        prior=outputs[0],
        leaves=tuple(leaves),
        terms=tuple(
            row_term(term.name, term.group, out, term.axis, term.kind)
            for term, out in zip(density.terms, entries, strict=True)
        ),
        whole=tuple(
            one if one.entries is None else replace(one, entries=next(of_whole))
            for one in density.whole
        ),
    )


def placed(
    density: RowDensity, sources: Mapping[str, Any], scratch: ScratchArgument, progressbar: Any
) -> dict[str, Any]:
    """Return what the rows of streamed leaves are read from while the chains run.

    Rows in memory stay there. Others are read into memory where that takes at most 256 MB for all
    that belong together, and are otherwise written once, in random order, to a scratch folder;
    rows in memory that belong to them are then put into the same order.

    Parameters
    ----------
    density : RowDensity
    sources : dict of str to row source
    scratch : bool or path
        A folder, to which all rows are written that are not in memory; True, the default one;
        False: nothing is written. More rows stay where they are: they can be evaluated, block by
        block, and not sampled.
    progressbar : bool
        While rows are written.

    Raises
    ------
    RowError
        Where rows cannot be read, or the disk is too small.
    """
    checked = sources_of(density.leaves, density.streamed, sources)
    result = dict(sources)
    for group, streamed in enumerate(density.streamed):
        if not streamed:
            continue
        own = {
            leaf.name: NumbersOf(leaf.name, source, leaf.block.type.dtype)
            for leaf, source in zip(density.leaves, checked, strict=True)
            if leaf.group == group and (leaf.axis == 0 or not isinstance(source, np.ndarray))
        }
        try:
            result |= _placed_group(own, scratch, progressbar)
        except RowSourceError as error:
            raise RowError(str(error)) from error
    return result


def _placed_group(
    own: Mapping[str, NumbersOf], scratch: ScratchArgument, progressbar: Any
) -> dict[str, Any]:
    elsewhere = {n: one for n, one in own.items() if not isinstance(one.source, np.ndarray)}
    size = sum(one.shape[0] * row_bytes(one) for one in elsewhere.values())
    if elsewhere and isinstance(scratch, bool) and size <= _INTO_MEMORY:
        return {name: np.concatenate(list(one.blocks())) for name, one in own.items()}
    if not elsewhere or scratch is False:
        return {n: one[:] for n, one in own.items() if n not in elsewhere} | elsewhere
    total = next(iter(own.values())).shape[0]
    order = RandomOrder.of(total, max(row_bytes(one) for one in own.values()))
    folder = Scratch.at(None if scratch is True else scratch)
    paths = {name: folder.path_of(one, order) for name, one in elsewhere.items()}
    missing = {name: one for name, one in elsewhere.items() if not paths[name].exists()}
    needed = sum(size_of_file(one) for one in missing.values())
    folder.check_space(needed)
    if missing:
        _log.info(
            f"Writing the {total:,} rows of {listed(missing)} in random order to {folder.folder}, "
            f"{needed / 1e9:.3g} GB; a run with the same data takes them from there."
        )
    else:
        _log.info(f"Rows in random order are taken from {folder.folder}.")
    with _bar(bool(progressbar) and bool(missing), 2 * needed) as progress:
        files = {
            name: folder.file_of(one, order, paths[name], progress)
            for name, one in elsewhere.items()
        }
    in_memory = {n: in_random_order(one, order) for n, one in own.items() if n not in elsewhere}
    return files | in_memory


@contextmanager
def _bar(shown: bool, total: int) -> Iterator[Any]:
    """Show how many bytes were written, and pass on what tells it."""
    if not shown:
        yield None
        return
    parts = TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
    with Progress(*parts) as progress:
        task = progress.add_task("Rows in random order", total=total)
        yield lambda count: progress.advance(task, count)
