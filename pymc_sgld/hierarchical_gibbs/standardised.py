"""Hyperparameters given standardised effects, with a quadratic in place of the rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt

from pytensor.graph.basic import Variable
from pytensor.graph.replace import graph_replace

from pymc_sgld.model_graph.density.modes import compile_function
from pymc_sgld.model_graph.density.row_model import RowModel

STANDARDISED = "standardised effects"
STANDARDISED_ENTRIES = "which effects are standardised"
_NONE = np.zeros(0, dtype=np.int64)


class QuadraticRows(NamedTuple):
    """Log-likelihood of the rows near a centre: s'd - (own d^2)/2 - d'C e - e'B e / 2.

    Less, for pairs of d that have a row in common, their product times their entry.
    """

    centre: np.ndarray  # (n_dim,)
    score: np.ndarray  # (n_dim,), zero for hyperparameters
    single: np.ndarray  # entries d of the position that stand alone
    border: np.ndarray  # entries e that go with all others
    own: np.ndarray  # (n_single,)
    cross: np.ndarray  # (n_single, n_border)
    inner: np.ndarray  # (n_border, n_border)
    first: np.ndarray = _NONE  # (n_pairs,), places in ``single``
    second: np.ndarray = _NONE
    between: np.ndarray = _NONE  # (n_pairs,)
    # derivatives by the border, such as by the scale of errors, which all information goes with
    own_change: np.ndarray = _NONE  # (n_border, n_single)
    between_change: np.ndarray = _NONE  # (n_border, n_pairs)

    def value(self, position: Any) -> Any:
        """Return it at a position, numbers or a graph, but for a constant."""
        apart = position - self.centre
        alone, along = apart[self.single], apart[self.border]
        across = (alone * (self.cross * along).sum(axis=1)).sum()
        inside = (along * (self.inner * along).sum(axis=1)).sum()
        own, between = self.own, self.between
        if len(self.own_change):
            own = own + along @ self.own_change
            between = between + along @ self.between_change
        square = (own * alone**2).sum() + inside
        if len(self.first):
            across = across + (between * alone[self.first] * alone[self.second]).sum()
        return (self.score * apart).sum() - across - square / 2


def standardised_model(
    row_model: RowModel,
    names: Sequence[str],
    acted_on: np.ndarray,
    reference: np.ndarray,
    rows: QuadraticRows,
) -> tuple[pm.Model, Variable, Variable]:
    r"""Return a model of the hyperparameters and of what is left of the effects without them.

    With m and s the mode and the width of the effects' prior, that is
    :math:`z = (u - m(\phi)) / s(\phi)` for some of the entries ``acted_on``, all else as it is. The
    density is that of the position with the Jacobian :math:`\prod s(\phi)`, and no row is in it.

    Parameters
    ----------
    row_model : RowModel
    names : sequence of str
        Value variables that are hyperparameters.
    acted_on : array of int
        Entries of the position whose prior the hyperparameters change.
    reference : array, shape (n_dim,)
        Where the prior's slope and curvature are taken, but for the hyperparameters.
    rows : QuadraticRows

    Returns
    -------
    model : pm.Model
        Of the hyperparameters, of one vector ``STANDARDISED`` with all entries of the position,
        those of hyperparameters unused, and of ``STANDARDISED_ENTRIES``, which has 1 at the entries
        that are standardised and 0 at the others.
    shift, scale : TensorVariable, shape (n_dim,)
        Graphs of the model's hyperparameters and of ``STANDARDISED_ENTRIES``.
    """
    n_dim, moves = row_model.n_dim, np.zeros(row_model.n_dim, dtype=bool)
    moves[acted_on] = True
    gradient = row_model.gradient(row_model.prior)
    curved = -row_model.gradient((gradient * moves).sum())
    with pm.Model(model=None) as model:
        free = {
            name: pm.Flat(name, shape=shape) for name, shape in row_model.layout if name in names
        }
        standard, held = (
            pm.Flat(STANDARDISED, shape=n_dim),
            pm.Flat(STANDARDISED_ENTRIES, shape=n_dim),
        )
        there = _position(row_model, free, pt.constant(reference))
        slope, precision = graph_replace(
            [gradient, curved], {row_model.position: there}, strict=False
        )
        chosen = moves & pt.gt(held, 0.5)
        scale = pt.switch(chosen, 1 / pt.sqrt(pt.switch(moves, precision, 1.0)), 1.0)
        shift = pt.switch(chosen, reference + slope * scale**2, 0.0)
        position = _position(row_model, free, shift + scale * standard)
        [prior] = graph_replace([row_model.prior], {row_model.position: position}, strict=False)
        pm.Potential("density", prior + pt.log(scale).sum() + rows.value(position))
    return model, shift, scale


def _position(row_model: RowModel, free: dict[str, Variable], rest: Variable) -> Variable:
    """Return the position with hyperparameters in their places, and the rest elsewhere."""
    return pt.concatenate(
        [
            free[name].reshape((-1,)) if name in free else rest[part]
            for name, part in row_model.layout.slices.items()
        ]
    )


def compile_shift_and_scale(
    model: pm.Model, shift: Variable, scale: Variable, names: Sequence[str]
) -> pytensor.compile.Function:
    """Compile which entries are standardised and the hyperparameters to shift and scale."""
    given = [model[name] for name in (STANDARDISED_ENTRIES, *names)]
    inputs = [one.type() for one in given]
    replace = dict(zip(given, inputs, strict=True))
    outputs = graph_replace([shift, scale], replace, strict=False)
    return compile_function(
        inputs,
        outputs,
    )
