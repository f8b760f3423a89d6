"""What the rows of each leaf are read from: the model's arrays, or the caller's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pymc_sgld.model_graph.density.describe import row_type_of
from pymc_sgld.model_graph.density.row_density import RowLeaf
from pymc_sgld.model_graph.rewrite.errors import RowError
from pymc_sgld.model_graph.rewrite.naming import listed
from pymc_sgld.row_sources import as_row_source
from pymc_sgld.validate import check_instance


def sources_of(
    leaves: Sequence[RowLeaf], streamed: Sequence[bool], data: Mapping[str, Any] | None
) -> list[Any]:
    """Return for every leaf its array or row source; None where nothing was given.

    Parameters
    ----------
    leaves : sequence of RowLeaf
    streamed : sequence of bool
        For each group whether its rows come from the caller.
    data : dict of str to array or other row source, or None
        For streamed leaves, by name.

    Raises
    ------
    RowError
        If `data` names other arrays than the streamed ones, or their rows do not fit.
    """
    names = {leaf.name for leaf in leaves if streamed[leaf.group]}
    if data is not None:
        check_instance("data", data, Mapping, "a dictionary from names of pm.Data to row sources")
        _check_names(set(data), names)
    arrays = []
    for leaf in leaves:
        if not streamed[leaf.group]:
            arrays.append(_plain(leaf.values()))
        elif data is None:
            arrays.append(None)
        else:
            arrays.append(_source(leaf, data[leaf.name]))
    return arrays


def _check_names(given: set[str], streamed: set[str]) -> None:
    if given - streamed:
        raise RowError(
            f"{listed(sorted(given - streamed))} in data is not streamed: "
            + (
                f"the model streams {listed(sorted(streamed))}. Leave the others out."
                if streamed
                else "the model holds its own rows. Leave data out, or give row_model total_size."
            )
        )
    if streamed - given:
        raise RowError(
            f"{listed(sorted(streamed - given))} is streamed but missing in data. Pass a row "
            "source for each streamed array."
        )


def _source(leaf: RowLeaf, given: Any) -> Any:
    """Return the row source of a streamed leaf, checked but not read."""
    try:
        source = as_row_source(leaf.name, given)
    except (TypeError, ValueError) as error:
        raise RowError(f"'{leaf.name}' cannot be read by rows: {error}") from None
    if leaf.axis != 0:
        if not isinstance(source, np.ndarray):
            raise RowError(
                f"'{leaf.name}' has its rows on axis {leaf.axis}, but they can be read along "
                "axis 0 only. Write the model on the transposed array."
            )
        source = np.moveaxis(source, leaf.axis, 0)
    shape, dtype = row_type_of(leaf)
    if source.shape[0] != leaf.total_size:
        raise RowError(
            f"'{leaf.name}' has {source.shape[0]} rows in data, but total_size is "
            f"{leaf.total_size}. Give row_model the number of rows that there are."
        )
    if tuple(source.shape[1:]) != shape:
        raise RowError(
            f"'{leaf.name}' has rows of shape {tuple(source.shape[1:])} in data, but of shape "
            f"{shape} in the model. Make the placeholder of the shape of the data."
        )
    if not np.can_cast(source.dtype, dtype, "same_kind"):
        raise RowError(
            f"'{leaf.name}' is of type {source.dtype} in data, but of type {dtype} in the model. "
            "Make the placeholder of the type of the data."
        )
    return source


def _plain(array: Any) -> Any:
    """Return a dense array as contiguous and writeable, copied only where it is not.

    Numba compiles a function anew for each memory layout of its arguments.
    """
    if not isinstance(array, np.ndarray):
        return array
    return np.require(array, requirements=["C_CONTIGUOUS", "WRITEABLE"])
