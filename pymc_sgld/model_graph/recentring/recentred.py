"""The change of coordinates to group effects: z becomes u = shift + scale * (matrix @ z).

Nothing is rewritten but the coordinate. z is replaced by ``matrix^-1 (u - shift) / scale``
everywhere, and the log-Jacobian ``-sum log|scale| - sum log|diag matrix|`` is added. For any shift,
and any scale that is never zero, that is the same posterior. Where shift and scale are those by
which z enters the rows, the gradient of every row by the parameters they are made of vanishes: they
feel the prior alone, which is evaluated exactly.

References
----------
.. [1] Papaspiliopoulos, O., Roberts, G. O. and Skold, M. (2007). A general framework for the
   parametrization of hierarchical models. Statistical Science 22.
   https://doi.org/10.1214/088342307000000014
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytensor.tensor as pt

from pytensor.compile.mode import Mode
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Apply, Variable
from pytensor.graph.traversal import ancestors

from pymc_sgld.model_graph.density.coordinates import Coordinates, Effect
from pymc_sgld.model_graph.density.modes import compile_function
from pymc_sgld.model_graph.density.row_density import RowDensity, RowLeaf, row_term, slices_of
from pymc_sgld.model_graph.density.row_model import RowModel
from pymc_sgld.model_graph.recentring.row_edits import rebuilt_with
from pymc_sgld.model_graph.rewrite.fold_and_cost import rebuild

_N_ROWS, _N_POINTS, _TOLERANCE = 5, 2, 1e-4  # to compare rows on, in single precision too
_UNROLLED = 6  # up to this size a triangular system is solved entry by entry


def recentred(row_model: RowModel) -> RowModel:
    """Return a row model in the coordinates of its effects; itself where there are none.

    Its `position` holds the group effects u in the place of z; `ravel` and `unravel` speak of z.

    Parameters
    ----------
    row_model : RowModel
        One without Jacobians is returned as it is: its mode is that of the variables as written.
    """
    plain = row_model.coordinates is None and row_model.jacobian is None
    if not (row_model.effects and plain):
        return row_model
    dtype = row_model.position.type.dtype
    position = pt.vector("position", shape=(row_model.n_dim,), dtype=dtype)
    sizes: dict[Variable, np.ndarray] = {
        var: np.empty(shape)
        for var, shape in zip(row_model.value_vars, row_model.layout.shapes, strict=True)
    }
    slices = slices_of(position, sizes)
    new: dict[Variable, Variable] = dict(zip(row_model.slices, slices, strict=True))
    log_jacobian: Variable = pt.zeros((), dtype=dtype)
    for effect in ordered(row_model):
        own = row_model.slices[effect.number]
        in_new = _on(effect, new)
        log_jacobian = log_jacobian + log_determinant(in_new)
        new[own] = pt.cast(from_effects(in_new, slices[effect.number]), own.type.dtype)
    kept = [whole.entries for whole in row_model.whole if whole.entries is not None]
    [prior, *of_whole] = rebuild([row_model.prior, *kept], new)
    values = [new[part] for part in row_model.slices]
    coordinates = _compiled(row_model, position, values)
    entries = _rows(row_model, position, new, slices, coordinates)
    return replace(
        row_model,
        position=position,
        slices=tuple(slices),
        values=tuple(values),
        prior=pt.cast(prior + log_jacobian, row_model.prior.type.dtype),
        terms=tuple(
            row_term(term.name, term.group, out, term.axis, term.kind)
            for term, out in zip(row_model.terms, entries, strict=True)
        ),
        whole=tuple(
            one if one.entries is None else replace(one, entries=of_whole.pop(0))
            for one in row_model.whole
        ),
        log_jacobian=log_jacobian,
        coordinates=coordinates,
        _compiled={},
    )


def _on(effect: Effect, new: dict[Variable, Variable]) -> Effect:
    """Return an effect with the parts of the position replaced."""
    graphs = dict(zip(effect.graphs, rebuild(effect.graphs, new), strict=True))
    return replace(
        effect,
        shift=None if effect.shift is None else graphs[effect.shift],
        scale=None if effect.scale is None else graphs[effect.scale],
        matrix=None if effect.matrix is None else graphs[effect.matrix],
    )


def _rows(
    row_model: RowDensity,
    position: Variable,
    new: dict[Variable, Variable],
    slices: Sequence[Variable],
    coordinates: Coordinates,
) -> list[Variable]:
    """Return the rows' log-likelihoods: of the effects where they take the place of z.

    That is looked at on a few rows. Where it were not the same as with z as a function of the
    effects, the latter is taken: it is right by construction.
    """
    entries = [term.entries for term in row_model.terms]
    certain = rebuild(entries, new)
    seen, edits = dict(new), defaultdict[Apply, set[Variable]](set)
    for effect in row_model.effects:
        if effect.edits is not None:
            seen[row_model.slices[effect.number]] = slices[effect.number]
        for node, operand in effect.edits or ():
            edits[node].add(operand)
    if not edits:
        return certain
    direct = rebuilt_with(entries, seen, edits)
    function = compile_function(
        [position, *(leaf.block for leaf in row_model.leaves)],
        [*direct, *certain],
        mode=Mode(linker="py", optimizer=None),
    )
    blocks = [_first_rows(leaf) for leaf in row_model.leaves]
    start = row_model.ravel(row_model.model.initial_point(random_seed=0))
    moves = np.random.default_rng(0).normal(size=(_N_POINTS, len(start)))
    for move in moves:
        found = function(coordinates.to_position((start + move).astype(start.dtype)), *blocks)
        pairs = zip(found[: len(direct)], found[len(direct) :], strict=True)
        if not all(np.allclose(a, b, rtol=_TOLERANCE, equal_nan=True) for a, b in pairs):
            return certain
    return direct


def _first_rows(leaf: RowLeaf) -> Any:
    value = leaf.derived
    if leaf.source is not None:
        shared = isinstance(leaf.source, SharedVariable)
        value = leaf.source.get_value(borrow=True) if shared else leaf.source.data
        value = value if leaf.axis == 0 else np.moveaxis(value, leaf.axis, 0)
    return value[:_N_ROWS]


def ordered(row_model: RowDensity) -> list[Effect]:
    """Return the effects such that the map of each depends on those of earlier ones only."""
    left, done = list(row_model.effects), []
    while left:
        free = [
            effect
            for effect in left
            if not any(
                row_model.slices[other.number] in set(ancestors(effect.graphs))
                for other in left
                if other is not effect
            )
        ]
        if not free:
            raise RuntimeError("The maps of the effects depend on each other in a circle.")
        done += free
        left = [effect for effect in left if effect not in free]
    return done


def to_effects(effect: Effect, z: Variable) -> Variable:
    """Return u = shift + scale * (matrix @ z)."""
    u = z
    if effect.matrix is not None:
        rows = pt.moveaxis(z, effect.mixed, 0)
        product = (effect.matrix @ rows.reshape((rows.shape[0], -1))).reshape(rows.shape)
        u = pt.moveaxis(product, 0, effect.mixed)
    u = u if effect.scale is None else effect.scale * u
    return u if effect.shift is None else effect.shift + u


def from_effects(effect: Effect, u: Variable) -> Variable:
    """Return z of u."""
    z = u if effect.shift is None else u - effect.shift
    z = z if effect.scale is None else z / effect.scale
    if effect.matrix is None:
        return z
    rows = pt.moveaxis(z, effect.mixed, 0)
    solved = _solved(effect, rows)
    return pt.moveaxis(solved, 0, effect.mixed)


def _solved(effect: Effect, rows: Variable) -> Variable:
    """Solve the triangular system of an effect."""
    size, matrix = effect.shape[effect.mixed], effect.matrix
    assert matrix is not None
    if size > _UNROLLED:
        flat = rows.reshape((rows.shape[0], -1))
        return pt.linalg.solve_triangular(matrix, flat, lower=effect.lower).reshape(rows.shape)
    found: dict[int, Variable] = {}
    for i in range(size) if effect.lower else reversed(range(size)):
        left = rows[i]
        for j, known in found.items():
            left = left - matrix[i, j] * known
        found[i] = left / matrix[i, i]
    return pt.stack([found[i] for i in range(size)], axis=0)


def log_determinant(effect: Effect) -> Variable:
    """Return the log of the absolute determinant of dz / du."""
    result: Variable = pt.zeros(())
    if effect.scale is not None:
        result = result - pt.broadcast_to(pt.log(pt.abs(effect.scale)), effect.shape).sum()
    if effect.matrix is not None:
        repeats = int(np.prod(effect.shape)) // effect.shape[effect.mixed]
        result = result - repeats * pt.log(pt.abs(pt.diagonal(effect.matrix))).sum()
    return result


def _compiled(row_model: RowDensity, position: Variable, values: Sequence[Variable]) -> Coordinates:
    """Compile both directions on the Python linker: small graphs, one call a draw."""
    dtype = row_model.position.type.dtype
    forward = list(row_model.slices)
    for effect in row_model.effects:
        forward[effect.number] = to_effects(effect, forward[effect.number])
    mode = Mode(linker="py", optimizer="fast_compile")

    def flat(parts: Sequence[Variable]) -> Variable:
        return pt.concatenate([pt.cast(part.reshape((-1,)), dtype) for part in parts])

    return Coordinates(
        compile_function([row_model.position], flat(forward), mode=mode),
        compile_function([position], flat(values), mode=mode),
    )
