"""Whether the map of a group effect has an inverse: scales without zeros, triangular matrices."""

from collections.abc import Sequence

import numpy as np
import pytensor.tensor as pt

from pytensor.compile.mode import Mode
from pytensor.graph.basic import Variable

from pymc_sgld.model_graph.density.coordinates import Effect
from pymc_sgld.model_graph.density.modes import compile_function
from pymc_sgld.model_graph.density.row_density import RowDensity
from pymc_sgld.model_graph.rewrite.naming import listed
from pymc_sgld.model_graph.rewrite.ranges import surely_nonzero

_N_POINTS = 6  # at which a scale that is not positive by construction is looked at
_SPREAD = 2.0
_LARGEST_MATRIX = 200


def why_not_invertible(row_model: RowDensity, effect: Effect, lower: bool | None) -> str | None:
    """Return why an effect has no usable inverse, if that is so."""
    pieces = [] if effect.scale is None else [effect.scale]
    doubtful = [one for one in pieces if not surely_nonzero(one)]
    if effect.matrix is not None:
        if lower is None:
            return "its matrix is not triangular"
        doubtful.append(pt.diagonal(effect.matrix))
    values = [np.sign(one) for one in _values(row_model, doubtful)]
    for one in values:
        one = one.reshape(_N_POINTS, -1)
        if not ((np.abs(one) == 1).all() and (one == one[0]).all()):
            return f"its scale ({listed(effect.scale_of)}) can be zero or change its sign"
    return None


def lower_half(row_model: RowDensity, effect: Effect) -> bool | None:
    """Return whether a matrix is lower triangular; None where it is neither that nor upper."""
    if effect.matrix is None:
        return True
    [values] = _values(row_model, [effect.matrix])
    size = effect.shape[effect.mixed]
    if values.shape[1:] != (size, size) or size > _LARGEST_MATRIX:
        return None
    if not np.triu(values, 1).any():
        return True
    return None if np.tril(values, -1).any() else False


def _values(row_model: RowDensity, graphs: Sequence[Variable]) -> list[np.ndarray]:
    """Evaluate graphs at some points, the first axis of the results."""
    if not graphs:
        return []
    function = compile_function(
        [row_model.position], list(graphs), mode=Mode(linker="py", optimizer=None),
    )  # fmt: skip
    start = row_model.ravel(row_model.model.initial_point(random_seed=0))
    rng = np.random.default_rng(0)
    moves = _SPREAD * rng.standard_normal((_N_POINTS, len(start)))
    moves[0] = 0
    values = [function((start + move).astype(start.dtype)) for move in moves]
    return [np.array(one) for one in zip(*values, strict=True)]
