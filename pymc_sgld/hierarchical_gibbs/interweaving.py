r"""Hyperparameters given standardised effects, between draws of them given the effects.

Where a group has few rows its effect is what its hyperparameters make of it: given the effects a
scale then hardly moves. Given :math:`z = (u - m(\phi)) / s(\phi)` it moves freely, and effects with
it, but the rows must be asked. They are asked by a quadratic that stands for them, so that no row
is read; where that is not good enough a Metropolis test against all rows corrects it now and then.

Where some effects are known from their rows and others are not, as the first and the last terms of
a smooth curve, neither is of use alone: the former hold the hyperparameters fast if they are
standardised, the latter if they are not. Then moves with only the latter standardised are made too.

References
----------
.. [1] Yu, Y. and Meng, X.-L. (2011). To center or not to center: that is not the question. JCGS 20.
   https://doi.org/10.1198/jcgs.2011.203main
.. [2] Christen, J. A. and Fox, C. (2005). Markov chain Monte Carlo using an approximation.
   JCGS 14. https://doi.org/10.1198/106186005X76983
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pymc as pm

from pymc_sgld.hierarchical_gibbs.hierarchy import TunedHierarchy
from pymc_sgld.hierarchical_gibbs.standardised import (
    STANDARDISED,
    STANDARDISED_ENTRIES,
    QuadraticRows,
    compile_shift_and_scale,
    standardised_model,
)
from pymc_sgld.model_graph import BlockFunction, Layout, RowModel
from pymc_sgld.model_graph.density.modes import strict_mode
from pymc_sgld.types import Array

_MOVES = 4  # of one hyperparameter each, chosen at random, so that their reverse is as likely
_KNOWN_BY_ROWS = 0.5  # share of the precision of an effect
_TIED = 0.1  # precision of an effect that moves with its neighbours, over that of one alone
_WIDTH = 2.0  # of a slice, in sds
_TRIALS = 20  # tests on draws of the run without data
_ROWS_IN_THE_TIME_OF_A_DRAW = 20_000  # a test of all rows comes so rarely that it takes as long


@dataclass
class Interweaving:
    """Moves of the hyperparameters with the standardised effects held fixed.

    Parameters
    ----------
    slices : sequence of pm.Slice
        One for each hyperparameter that is a number, on the standardised model.
    names : sequence of str
        All hyperparameters.
    layout : Layout
        Of all value variables in the position.
    held : array, shape (n_sets, n_dim)
        1 at the effects that are standardised, 0 elsewhere; a move takes one of these sets.
    shift_and_scale : callable
        One of these, and hyperparameters, to m and s, arrays of shape (n_dim,).
    rows : QuadraticRows
    every : int
        Draws between two moves, 1 if they are not tested.
    tested : bool
        Whether the quadratic is corrected by a test against all rows.
    error : float
        Root mean square of the log of the ratio that is tested, over some moves.
    """

    slices: Sequence[Any]
    names: Sequence[str]
    layout: Layout
    held: Array
    shift_and_scale: Any
    rows: QuadraticRows
    every: int = 1
    tested: bool = False
    error: float = 0.0

    def propose(self, position: Array, generator: np.random.Generator) -> Array:
        """Return a position of the same standardised effects, in balance by the quadratic."""
        parts = self.layout.split(position)
        point = {name: np.array(parts[name]) for name in self.names}
        moved = np.array(position)
        for _ in range(_MOVES):
            held = self.held[int(generator.integers(len(self.held)))]
            shift, scale = self.shift_and_scale(held, *(point[name] for name in self.names))
            point |= {STANDARDISED_ENTRIES: held, STANDARDISED: (moved - shift) / scale}
            chosen = self.slices[int(generator.integers(len(self.slices)))]
            chosen.setup_chain(generator, 0, 1)
            point, _ = chosen.step(point)
            hyperparameters = [point[name] for name in self.names]
            shift, scale = self.shift_and_scale(held, *hyperparameters)
            moved = shift + scale * point[STANDARDISED]
            for name, value in zip(self.names, hyperparameters, strict=True):
                moved[self.layout.slices[name]] = np.ravel(value)
        return np.asarray(moved.astype(position.dtype))

    def log_ratio(self, function: BlockFunction, prior: Any, old: Array, new: Array) -> float:
        """Return by how much the rows prefer the new position more than the quadratic does.

        Two passes through the data.
        """
        found = []
        for at in (new, old):
            of_rows = function.full(at)[0] - prior(at)
            found.append(of_rows - float(self.rows.value(at)))
        return float(found[0] - found[1])

    def move(
        self, position: Array, function: BlockFunction, prior: Any, generator: np.random.Generator
    ) -> tuple[Array, float]:
        """Return the next position, and data passes."""
        moved = self.propose(position, generator)
        if not np.isfinite(moved).all():
            return position, 0.0
        if not self.tested:
            return moved, 0.0
        ratio = self.log_ratio(function, prior, position, moved)
        accepted = np.log(generator.random()) < ratio
        return (moved if accepted else position), 2.0


def interweaving(
    row_model: RowModel, names: Sequence[str], tuned: TunedHierarchy, rows: QuadraticRows
) -> Interweaving | None:
    """Compile the moves; None where no hyperparameter is a number, or no effect has a scale.

    Parameters
    ----------
    row_model : RowModel
    names : sequence of str
        Value variables that are hyperparameters.
    tuned : TunedHierarchy
    rows : QuadraticRows
    """
    acted_on = _own_scales(tuned)
    layout = row_model.layout
    shapes = {name: shape for name, shape in layout if name in names}
    numbers = [name for name in shapes if shapes[name] == ()]
    if not numbers or not len(acted_on):
        return None
    model, shift, scale = standardised_model(row_model, list(shapes), acted_on, tuned.mode, rows)
    spread = tuned.sds
    with model:
        slices = [
            pm.Slice(
                [model[name]],
                model=model,
                w=np.full(1, _WIDTH * spread[layout.slices[name].start]),
                tune=False,
                blocked=True,
                rng=0,
                compile_kwargs={"mode": strict_mode()},
            )
            for name in numbers
        ]
    function = compile_shift_and_scale(model, shift, scale, list(shapes))
    held = _sets(tuned)
    return Interweaving(slices, list(shapes), layout, held, function, rows)


def _own_scales(tuned: TunedHierarchy) -> Array:
    """Return the effects that hyperparameters act on and that are not tied to their neighbours.

    Of a random walk each value is the mean of its neighbours, and has no scale of its own.
    """
    curvature, draws = tuned.curvature, tuned.draws
    row, column = curvature.entries.row, curvature.entries.column
    tied = np.zeros(len(tuned.mode), dtype=bool)
    for draw in (tuned.mode, draws[0], draws[-1]):
        values = curvature.of_prior(draw)
        sums = np.bincount(row, values, len(curvature.moving))
        diagonal = np.bincount(row[row == column], values[row == column], len(curvature.moving))
        tied[curvature.moving[sums <= _TIED * diagonal]] = True
    return np.asarray(tuned.acted_on[~tied[tuned.acted_on]])


def _sets(tuned: TunedHierarchy) -> Array:
    """Return all effects that have a scale, and those of them that rows say little of."""
    curvature, acted_on = tuned.curvature, _own_scales(tuned)
    shares, every = np.ones(len(tuned.mode)), np.zeros_like(tuned.mode)
    shares[curvature.moving] = curvature.shares(tuned.mode)
    every[acted_on] = 1.0
    few = every * (shares < _KNOWN_BY_ROWS).astype(every.dtype)
    return np.array([every, few] if 0 < few.sum() < every.sum() else [every])


def judged(
    moves: Interweaving,
    function: BlockFunction,
    prior: Any,
    draws: Array,
    target_bias: float,
    generator: np.random.Generator,
) -> tuple[Interweaving, float]:
    """Return the moves, tested where their quadratic is off by more than the target; and passes.

    Parameters
    ----------
    moves : Interweaving
    function : BlockFunction
    prior : callable
        Position to the log-density of the prior part.
    draws : array, shape (n_draws, n_dim)
    target_bias : float
    generator : numpy.random.Generator
    """
    ratios = []
    for number in generator.choice(len(draws), min(_TRIALS, len(draws)), replace=False):
        old = draws[number].astype(function.dtype)
        new = moves.propose(old, generator)
        ratios.append(moves.log_ratio(function, prior, old, new))
    moves.error = float(np.sqrt(np.mean(np.square(ratios))))
    moves.tested = not moves.error <= target_bias
    if moves.tested:
        total = sum(function.total_sizes)
        moves.every = int(np.ceil(2 * total / _ROWS_IN_THE_TIME_OF_A_DRAW))
    return moves, 2.0 * len(ratios)
