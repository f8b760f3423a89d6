"""Decide which axis of each observed variable holds the rows, and which group they join."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

from pymc.model import Model

from pymc_sgld.model_graph.rewrite.errors import RowError
from pymc_sgld.model_graph.rewrite.evaluator import Evaluator
from pymc_sgld.model_graph.rewrite.factors import Observed, minibatch_length
from pymc_sgld.model_graph.rewrite.naming import listed

type RowsArgument = str | Mapping[str, int | None]

MAX_FULL = 32


@dataclass(frozen=True)
class Candidate:
    """One way to split an observed variable: along `axis`, as rows of a group."""

    axis: int
    group: str
    total_size: int
    length: int  # as written in the graph: the batch size under pm.Minibatch


def check_rows_argument(rows: Any, model: Model, observed: tuple[Observed, ...]) -> None:
    """Refuse what `rows` must not be, and names in it that the model does not have."""
    if isinstance(rows, str):
        dims = sorted({d for o in observed for d in o.dims if d is not None})
        if rows != "auto" and rows not in dims:
            raise RowError(
                f"Row dimension '{rows}' is unknown: no observed variable has it. Dimensions of "
                f"observed variables are {listed(dims) or '(none)'}; pass one of these, or "
                'rows="auto", or rows={"<observed>": <axis>}.'
            )
        return
    names = [o.name for o in observed]
    if not isinstance(rows, Mapping):
        if isinstance(rows, Sequence) and len(rows) > 1:
            raise _two_row_axes(listed(names), listed(map(str, rows)))
        raise RowError(
            f"rows={rows!r} is no way to name the rows of {listed(names)}. Pass the name of one "
            'dimension, or rows="auto", or rows={"<observed>": <axis>}.'
        )
    unknown = [name for name in rows if name not in names]
    if unknown:
        raise RowError(
            f"{listed(unknown)} in rows is no observed variable; these are {listed(names)}. "
            "Use their names."
        )
    for name, axis in rows.items():
        if isinstance(axis, Sequence) and not isinstance(axis, str) and len(axis) > 1:
            raise _two_row_axes(f"'{name}'", ", ".join(map(str, axis)))
        if axis is not None and (isinstance(axis, bool) or not isinstance(axis, Integral)):
            raise RowError(
                f"'{name}' has rows along {axis!r}, which is no axis. Pass its number, such as "
                f"rows={{'{name}': 0}}, or None to evaluate '{name}' in full, or rows= with the "
                "name of one dimension."
            )


def _two_row_axes(name: str, axes: str) -> RowError:
    return RowError(
        f"{name} cannot have rows along two axes at once ({axes}): a batch holds whole rows of one "
        "axis, each drawn independently. Pass one of them, or observe the entries as one long "
        "vector with an index for each axis (u[user] * v[item]), whose rows are the entries."
    )


def candidates(
    observed: Observed,
    rows: RowsArgument,
    evaluator: Evaluator,
    max_full: int,
    total_size: int | None = None,
) -> list[Candidate] | None:
    """Return the ways to split an observed variable, best first; None keeps it whole.

    `total_size` is the number of rows where they are streamed.
    """
    ndim = observed.logp.type.ndim
    if isinstance(rows, str) and rows != "auto":
        if rows not in observed.dims:
            return None
        axes = [observed.dims.index(rows)]
    elif not isinstance(rows, str) and observed.name in rows:
        axis = rows[observed.name]
        if axis is None:
            return None
        axes = [axis + ndim if axis < 0 else axis]
    elif observed.minibatch is not None or total_size is not None:
        axes = [0]
    else:
        axes = _automatic_axes(observed, evaluator, max_full)
    _check_axes(observed, axes)
    return [_candidate(observed, axis, evaluator, total_size) for axis in axes]


def _automatic_axes(observed: Observed, evaluator: Evaluator, max_full: int) -> list[int]:
    ndim = observed.logp.type.ndim
    lengths = [evaluator.length(observed.value, i) for i in range(ndim)]
    # The first axis, unless it is short; then the longest. Any choice is exact, but a short
    # axis saves nothing where there is a long one.
    long = [i for i in range(ndim) if lengths[i] > max_full]
    return sorted(long or range(ndim), key=lambda i: (i != 0, -lengths[i]))


def _check_axes(observed: Observed, axes: list[int]) -> None:
    ndim = observed.logp.type.ndim
    if ndim == 0:
        raise RowError(
            f"Cannot minibatch '{observed.name}': its log-density is one number for all rows "
            f"together ({observed.op_name}); the rows are not conditionally independent. Use "
            f"pm.sample() (NUTS), or a state-space form, or rows={{'{observed.name}': None}} to "
            "evaluate it in full at every step."
        )
    for axis in axes:
        if not 0 <= axis < ndim:
            raise RowError(
                f"Cannot minibatch '{observed.name}' along axis {axis}: its log-density "
                f"({observed.op_name}) has independent entries along {ndim} leading axes only. "
                f"Pass rows={{'{observed.name}': 0}} or another axis below {ndim}."
            )


def _candidate(
    observed: Observed, axis: int, evaluator: Evaluator, streamed: int | None
) -> Candidate:
    if observed.minibatch is not None:
        length, total_size = minibatch_length(observed.minibatch, evaluator)
        if axis != 0:
            raise RowError(
                f"Cannot minibatch '{observed.name}' along axis {axis}: pm.Minibatch draws along "
                f"axis 0. Pass rows={{'{observed.name}': 0}}."
            )
    else:
        length = evaluator.length(observed.value, axis)
        total_size = length if streamed is None else streamed
    _check_total_size(observed, axis, total_size)
    dim = observed.dims[axis] if axis < len(observed.dims) else None
    group = dim if dim is not None else f"rows_{total_size}"
    return Candidate(axis, group, total_size, length)


def _check_total_size(observed: Observed, axis: int, n_rows: int) -> None:
    given = observed.total_size
    if given is None:
        if observed.minibatch is not None:
            raise RowError(
                f"'{observed.name}' is observed on a pm.Minibatch without total_size, so PyMC "
                f"would not rescale its likelihood. Write total_size={n_rows} in "
                f"'{observed.name}', or pass the full data instead of a pm.Minibatch."
            )
        return
    others = [t for i, t in enumerate(given) if i != axis and t is not None]
    if others:
        raise RowError(
            f"total_size={list(given)} of '{observed.name}' scales another axis than the rows "
            f"(axis {axis}). Give total_size={n_rows} for the rows alone."
        )
    if given[axis] is None:
        raise RowError(
            f"total_size={list(given)} of '{observed.name}' says nothing of the rows (axis "
            f"{axis}). Write total_size={n_rows}."
        )
    if given[axis] != n_rows:
        raise RowError(
            f"total_size={given[axis]} of '{observed.name}' differs from the {n_rows} rows of its "
            f"data. Write total_size={n_rows}, or leave it out: row_model knows the length."
        )
