"""The gradient of each of many rows, in one compiled function."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import pytensor
import pytensor.tensor as pt

from pytensor.graph.replace import graph_replace

from pymc_sgld.model_graph.density.modes import compile_function, is_jax
from pymc_sgld.model_graph.density.row_density import RowDensity

_WORTH_COMPILING = 100_000  # rows: one by one they take as long


@dataclass(eq=False)
class RowGradients:
    """Compiled when so many rows were asked for that it pays; not pickled, but see ``sent``.

    Parameters
    ----------
    row_model : RowDensity
    mode : str or pytensor Mode

    Attributes
    ----------
    asked : dict of int to int
        Rows that were asked for, by group. Gradients that are compiled for many rows differ in
        their last bits from those one by one, so that a chain begins with the same count wherever
        it runs.
    """

    row_model: RowDensity | None
    mode: Any
    asked: dict[int, int] = field(default_factory=dict, repr=False)
    _compiled: dict[int, Any] = field(default_factory=dict, repr=False)
    _values: dict[int, Any] = field(default_factory=dict, repr=False)

    def values_of_group(self, group: int) -> Any | None:
        """Return ``f(position, *blocks) -> log-likelihoods``, shape (n_rows,), or None.

        The blocks are those of the group's leaves. None in other processes.
        """
        if self.row_model is None:
            return None
        if group not in self._values:
            leaves, terms = _of_group(self.row_model, group)
            position = self.row_model.position
            values = sum((term.logp for term in terms), start=0.0)
            blocks = [leaf.block for leaf in leaves]
            self._values[group] = compile_function([position, *blocks], values, mode=self.mode)
        return self._values[group]

    def of_group(self, group: int, n_rows: int) -> Any | None:
        """Return ``f(position, *blocks) -> gradients``, shape (n_rows, n_dim), or None.

        The blocks are those of the group's leaves. None where one by one is quicker: until rows
        enough were asked for, in other processes, and on JAX, which would compile anew for each
        number of rows.
        """
        self.asked[group] = self.asked.get(group, 0) + n_rows
        if self.row_model is None or is_jax(self.mode) or self.asked[group] < _WORTH_COMPILING:
            return None
        if group not in self._compiled:
            self._compiled[group] = _compile(self.row_model, group, self.mode)
        return self._compiled[group]

    def sent(self) -> dict[str, Any]:
        """Return what another process needs to do the same: the graphs of rows, without data."""
        model = self.row_model
        graphs = None if model is None else _without_data(model)
        return {"row_model": graphs, "mode": self.mode, "asked": dict(self.asked)}

    def take(self, sent: dict[str, Any]) -> None:
        """Take over what another process has sent."""
        self.row_model, self.mode = sent["row_model"], sent["mode"]
        self.asked = dict(sent["asked"])

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the model and what was compiled from it."""
        return {"row_model": None, "mode": None, "asked": {}, "_compiled": {}, "_values": {}}


def rows_asked(function: Any) -> dict[int, int]:
    """Return how many rows a block function was asked for by one, by group."""
    return dict(getattr(function.by_row, "asked", {}))


def count_rows_from(function: Any, asked: dict[int, int]) -> None:
    """Let a block function go on from a count of rows."""
    if hasattr(function.by_row, "asked"):
        function.by_row.asked = dict(asked)


def _without_data(row_model: RowDensity) -> RowDensity:
    """Return what the gradients of rows are compiled from, and nothing else."""
    kept = ("layout", "position", "slices", "groups", "terms", "streamed")
    left_out: Any = None
    leaves = tuple(replace(leaf, source=None, derived=None) for leaf in row_model.leaves)
    return RowDensity(
        **{name: getattr(row_model, name) for name in kept},
        model=left_out, value_vars=(), prior=row_model.position, leaves=leaves, whole=(),
        folded=(), notes=(), draws=(), evaluator=left_out,
    )  # fmt: skip


def _of_group(row_model: RowDensity, group: int) -> tuple[list[Any], list[Any]]:
    """Return the leaves and the terms of a group of rows."""
    leaves = [leaf for leaf in row_model.leaves if leaf.group == group]
    return leaves, [term for term in row_model.terms if term.group == group]


def _compile(row_model: RowDensity, group: int, mode: Any) -> Any:
    position = row_model.position.type("position")
    leaves, terms = _of_group(row_model, group)
    blocks = [leaf.block.type(f"{leaf.name}_rows") for leaf in leaves]
    logp = sum((term.logp.sum() for term in terms), start=0.0)
    gradient = row_model.gradient(logp)

    def of_one(row: Any, position: Any, *blocks: Any) -> Any:
        of_row = {
            leaf.block: block[row : row + 1] for leaf, block in zip(leaves, blocks, strict=True)
        }
        return graph_replace([gradient], {row_model.position: position, **of_row}, strict=False)[0]

    n_rows = blocks[0].shape[0]
    gradients = pytensor.scan(
        of_one,
        sequences=[pt.arange(n_rows)],
        non_sequences=[position, *blocks],
        return_updates=False,
    )
    return compile_function(
        [position, *blocks],
        gradients,
        mode=mode,
    )
