"""The gradient of each of many rows, in one compiled function."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytensor
import pytensor.tensor as pt

from pytensor.graph.replace import graph_replace

from pymc_sgld.model_graph.density.modes import compile_function, is_jax
from pymc_sgld.model_graph.density.row_density import RowDensity

_WORTH_COMPILING = 100_000  # rows: one by one they take as long


@dataclass(eq=False)
class RowGradients:
    """Compiled when so many rows were asked for that it pays; not sent to other processes.

    Parameters
    ----------
    row_model : RowDensity
    mode : str or pytensor Mode
    """

    row_model: RowDensity | None
    mode: Any
    _asked: dict[int, int] = field(default_factory=dict, repr=False)  # rows, by group
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
        self._asked[group] = self._asked.get(group, 0) + n_rows
        if self.row_model is None or is_jax(self.mode) or self._asked[group] < _WORTH_COMPILING:
            return None
        if group not in self._compiled:
            self._compiled[group] = _compile(self.row_model, group, self.mode)
        return self._compiled[group]

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the model and what was compiled from it."""
        return {"row_model": None, "mode": None, "_asked": {}, "_compiled": {}, "_values": {}}


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

    def of_row(row: Any, position: Any, *blocks: Any) -> Any:
        replace = {
            leaf.block: block[row : row + 1] for leaf, block in zip(leaves, blocks, strict=True)
        }
        return graph_replace([gradient], {row_model.position: position, **replace}, strict=False)[0]

    n_rows = blocks[0].shape[0]
    gradients = pytensor.scan(
        of_row,
        sequences=[pt.arange(n_rows)],
        non_sequences=[position, *blocks],
        return_updates=False,
    )
    return compile_function(
        [position, *blocks],
        gradients,
        mode=mode,
    )
