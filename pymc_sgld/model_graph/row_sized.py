"""Which deterministics have an entry for each row, however they are written."""

from __future__ import annotations

import logging
import math

import numpy as np
import pymc as pm
import pytensor.tensor as pt

from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Constant, Variable
from pytensor.tensor.shape import Shape, Shape_i

from pymc_sgld.model_graph.rewrite.evaluator import Evaluator
from pymc_sgld.model_graph.rewrite.named_dims import lowered
from pymc_sgld.model_graph.rewrite.row_axes import MAX_FULL

_log = logging.getLogger("pymc.sgld")


def row_sized_deterministics(model: pm.Model) -> dict[str, int]:
    """Return the deterministics with an entry for each row, and how many numbers a draw has.

    Known by their graph: a dim that an observed variable has its rows along; or data of as many
    rows as an observed variable that they are made of and that give them an axis of this length; or
    a `pm.Minibatch`, whose rows change from draw to draw.
    """
    if not model.deterministics or not model.observed_RVs:
        return {}
    point = model.initial_point(random_seed=0)
    evaluator = Evaluator({v: np.asarray(point[v.name]) for v in model.value_vars})
    lengths, dims = _rows_of(model, evaluator)
    replaced = model.replace_rvs_by_values(model.deterministics)
    graphs = lowered([pt.as_tensor(graph, allow_xtensor_conversion=True) for graph in replaced])
    found = {}
    for variable, graph in zip(model.deterministics, graphs, strict=True):
        shape = evaluator.shape(graph)
        named = dims & set(model.named_vars_to_dims.get(variable.name, ()) or ())
        common = lengths & set(shape)
        of_rows = common and any(common & set(s) for s in _shapes_of_data(graph, evaluator))
        if named or of_rows or evaluator.has_minibatch(graph):
            found[variable.name] = math.prod(shape)
    return found


def _rows_of(model: pm.Model, evaluator: Evaluator) -> tuple[set[int], set[str]]:
    """Return how many rows observed variables have, and the names of dims they lie along."""
    lengths, names = set(), set()
    for variable in model.observed_RVs:
        shape = evaluator.shape(model.rvs_to_values[variable])
        dims = model.named_vars_to_dims.get(variable.name, ()) or [None] * len(shape)
        for axis, (length, dim) in enumerate(zip(shape, dims, strict=False)):
            if axis == 0 or length > MAX_FULL:
                lengths.add(length)
                names |= {dim} - {None}
    return {length for length in lengths if length > 1}, names


def _shapes_of_data(graph: Variable, evaluator: Evaluator) -> list[tuple[int, ...]]:
    """Return the shapes of the arrays whose values an expression is made of."""
    seen: set[Variable] = set()
    stack, found = [graph], []
    while stack:
        var = stack.pop()
        if var in seen:
            continue
        seen.add(var)
        if var.owner is not None:
            if not isinstance(var.owner.op, Shape | Shape_i):
                stack.extend(var.owner.inputs)
        elif isinstance(var, Constant):
            found.append(tuple(np.shape(var.data)))
        elif isinstance(var, SharedVariable) and hasattr(var.type, "shape"):
            found.append(evaluator.shape(var))
    return found


def without_row_sized(model: pm.Model) -> list[str] | None:
    """Return the variables to store: all but deterministics with an entry for each row.

    None where that is all of them.
    """
    left_out = row_sized_deterministics(model)
    if not left_out:
        return None
    size = np.dtype(float).itemsize * sum(left_out.values()) / 1e6
    _log.info(
        f"Not stored, because they have an entry for each row: {', '.join(left_out)} ({size:,.2g} "
        "MB a draw). Use pm.compute_deterministics(idata), or name them in var_names."
    )
    return [str(var.name) for var in model.unobserved_RVs if var.name not in left_out]
