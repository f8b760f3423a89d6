"""After the push: fold what is constant, refuse what would still cost O(N) at every step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pytensor.scalar as ps
import pytensor.tensor as pt

from pytensor.compile.builders import OpFromGraph, SymbolicOp
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Apply, Constant, Variable
from pytensor.graph.traversal import ancestors, io_toposort, toposort, walk
from pytensor.scalar.basic import ScalarType
from pytensor.sparse.type import SparseTensorType
from pytensor.tensor.shape import Shape, Shape_i
from pytensor.tensor.subtensor import AdvancedSubtensor
from pytensor.tensor.type import TensorType

from pymc_sgld.model_graph.rewrite.axis_classes import AxisClasses, ndim_of
from pymc_sgld.model_graph.rewrite.errors import CannotTakeRows
from pymc_sgld.model_graph.rewrite.evaluator import Evaluator
from pymc_sgld.model_graph.rewrite.factors import minibatch_nodes
from pymc_sgld.model_graph.rewrite.naming import name_of, names_below, op_name
from pymc_sgld.model_graph.rewrite.private_api import MinibatchOp
from pymc_sgld.model_graph.rewrite.row_axes import MAX_FULL
from pymc_sgld.model_graph.rewrite.take_rows import RowRewriter


class Liveness:
    """Which variables of a pushed graph change from step to step.

    A variable is live if it depends on a block or on a parameter; the shape of a parameter
    expression is fixed, that of a block expression is not.
    """

    def __init__(
        self, outputs: Sequence[Variable], parameters: set[Variable], blocks: set[Variable]
    ) -> None:
        self.on_block: dict[Variable, bool] = {}
        self.live: dict[Variable, bool] = {}
        self.nodes = list(toposort(outputs))
        for var in ancestors(outputs):
            if var.owner is None:
                self.on_block[var] = var in blocks
                self.live[var] = var in blocks or var in parameters
        for node in self.nodes:
            block = any(self.on_block[x] for x in node.inputs)
            is_shape = isinstance(node.op, Shape | Shape_i)
            live = block or (not is_shape and any(self.live[x] for x in node.inputs))
            for out in node.outputs:
                self.on_block[out] = block
                self.live[out] = live


def frontier(outputs: Sequence[Variable], liveness: Liveness) -> list[Variable]:
    """Return the largest expressions that are the same at every step."""

    def expand(var: Variable) -> list[Variable] | None:
        # What lies below a dead variable is never evaluated by itself.
        return list(var.owner.inputs) if var.owner is not None and liveness.live[var] else None

    reached = walk(outputs, expand)
    return [v for v in reached if not liveness.live[v] and v.owner is not None]


def _is_live(node: Apply, liveness: Liveness) -> bool:
    return any(liveness.live[out] for out in node.outputs)


def fold(
    outputs: Sequence[Variable],
    parameters: set[Variable],
    blocks: set[Variable],
    evaluator: Evaluator,
) -> tuple[list[Variable], dict[Variable, Variable]]:
    """Evaluate once what is the same at every step, and put the values in as constants.

    Returns
    -------
    outputs : list of Variable
    origin : dict
        Constant to the expression it stands for.

    Raises
    ------
    CannotTakeRows
        If a folded expression depends on a `pm.Minibatch`, whose values or length a step
        must not freeze.
    """
    liveness = Liveness(outputs, parameters, blocks)
    dead = [v for v in frontier(outputs, liveness) if isinstance(v.type, TensorType | ScalarType)]
    dead = [v for v in dead if not isinstance(v.type, SparseTensorType)]
    if minibatch_nodes(dead):
        raise CannotTakeRows(
            "a statistic of the pm.Minibatch rows (such as their mean) enters; it would differ "
            "from the statistic of all rows. Compute it beforehand from the full data"
        )
    values = evaluator.values(dead)
    _refuse_batch_lengths(dead, values, evaluator)
    constants = {var: _constant(var, value) for var, value in zip(dead, values, strict=True)}
    return rebuild(outputs, constants), {new: old for old, new in constants.items()}


def _constant(var: Variable, value: np.ndarray) -> Variable:
    if isinstance(var.type, ScalarType):
        return ps.constant(value, dtype=var.type.dtype)
    return pt.constant(np.asarray(value, dtype=var.type.dtype))


def _refuse_batch_lengths(
    dead: Sequence[Variable], values: Sequence[np.ndarray], evaluator: Evaluator
) -> None:
    """Refuse numbers that would differ if the `pm.Minibatch` had one row more."""
    suspects = [(v, x) for v, x in zip(dead, values, strict=True) if evaluator.has_minibatch(v)]
    if not suspects:
        return
    variables = [v for v, _ in suspects]
    nodes = {
        v.owner
        for v in ancestors(variables)
        if v.owner is not None and isinstance(v.owner.op, MinibatchOp)
    }
    longer = {
        out: source[np.zeros(out.type.shape[0] + 1, dtype=int)]
        for node in nodes
        for out, source in zip(node.outputs, node.inputs[:-1], strict=False)
    }
    try:
        altered = evaluator.values(rebuild(variables, longer))
    except (ValueError, TypeError, AssertionError, IndexError):
        altered = [None] * len(variables)
    for (var, value), other in zip(suspects, altered, strict=True):
        if other is None or not np.array_equal(value, other):
            raise CannotTakeRows(
                f"the length of a pm.Minibatch enters as a number (shape of {names_below(var)}). "
                "Write the number of rows that is meant"
            )


def rebuild(
    outputs: Sequence[Variable],
    replace: dict[Variable, Variable],
    instead: Callable[[Apply, dict[Variable, Variable]], Variable | None] | None = None,
) -> list[Variable]:
    """Copy a graph with variables replaced; types may become more specific.

    Parameters
    ----------
    outputs : sequence of Variable
    replace : dict of Variable to Variable
    instead : callable, optional
        Of a node and what has been copied so far; returns the copy of the node's output where it
        is to be another operation.
    """
    memo = dict(replace)
    leaves = [v for v in ancestors(outputs, blockers=list(replace)) if v.owner is None]
    inputs = list(dict.fromkeys([*replace, *leaves]))
    for node in io_toposort(inputs, outputs):
        new_inputs = [memo.get(x, x) for x in node.inputs]
        if all(new is old for new, old in zip(new_inputs, node.inputs, strict=True)):
            continue
        other = None if instead is None else instead(node, memo)
        remade = _remade(node, new_inputs) if other is None else [other]
        for old, new in zip(node.outputs, remade, strict=True):
            if old not in memo:
                new.name = old.name
                memo[old] = new
    return [memo.get(out, out) for out in outputs]


def _remade(node: Apply, inputs: list[Variable]) -> list[Variable]:
    """Return the outputs of a node's operation on other inputs."""
    same = all(new.type == old.type for new, old in zip(inputs, node.inputs, strict=True))
    if not same and isinstance(node.op, SymbolicOp):
        # The inner graph is typed by its inputs: let the operation build it anew.
        return list(node.op(*inputs, return_list=True))
    if not same and isinstance(node.op, OpFromGraph):
        return list(node.op.fgraph.bind(dict(zip(node.op.fgraph.inputs, inputs, strict=True))))
    return list(node.clone_with_new_inputs(inputs, strict=False).outputs)


class RowAxes:
    """Which axes of a pushed graph are rows of data that were not replaced by a block.

    Parameters
    ----------
    outputs : sequence of Variable
        The pushed and folded graph.
    parameters : set of Variable
    blocks : set of Variable
        Blocks of rows and their lengths.
    origin : dict
        Folded constant to the expression it stands for.
    rewriter : RowRewriter
        Knows which axes rows were requested of.
    """

    def __init__(
        self,
        outputs: Sequence[Variable],
        parameters: set[Variable],
        blocks: set[Variable],
        origin: dict[Variable, Variable],
        rewriter: RowRewriter,
    ) -> None:
        self.liveness = Liveness(outputs, parameters, blocks)
        self.origin = origin
        self._classes = classes = AxisClasses([*outputs, *origin.values()])
        for constant, expression in origin.items():
            classes.join_all(constant, expression)
        for block, (source, axis) in rewriter.origins.items():
            others = [i for i in range(source.type.ndim) if i != axis]
            for i, other in enumerate(others, start=1):
                classes.join((block, i), (source, other))
        batches = [(v, 0) for v in blocks if ndim_of(v)]
        requested = [*rewriter.origins.values(), *batches]
        self._exact = {classes.find(axis) for axis in requested}
        self._rows = classes.spread(requested)
        features = [v for v, on_block in self.liveness.on_block.items() if on_block]
        features += [v for v in parameters if v in self.liveness.live]
        seeds = [(v, i) for v in features for i in range(ndim_of(v))]
        self._features = classes.spread(seeds)

    def costs_all_rows(self, var: Variable, shape: tuple[int, ...], n_rows: int) -> bool:
        """Whether work on `var` takes a time proportional to the number of rows.

        An axis of data counts if rows were requested of it elsewhere, or if it is about as
        long as the data and is no axis of a parameter, nor of anything computed for each row.
        """
        for i, length in enumerate(shape):
            axis = self._classes.find((var, i))
            if axis in self._rows and length > 1:
                # A few of the rows are data like any other.
                if axis in self._exact or length > max(MAX_FULL, n_rows // 10):
                    return True
            elif 2 * length >= n_rows and length > MAX_FULL and axis not in self._features:
                return True
        return False


def refuse_whole_rows(
    outputs: Sequence[Variable], row_axes: RowAxes, lengths: Iterable[int], evaluator: Evaluator
) -> None:
    """Raise if an array with one entry per row still enters the work of every step.

    An indexed table is exempt: picking rows of it costs the rows picked.
    """
    shortest = min((n for n in lengths if n > 1), default=None)
    live = row_axes.liveness.live
    for node in toposort(outputs):
        if not _is_live(node, row_axes.liveness) or isinstance(node.op, Shape | Shape_i):
            continue
        for position, x in enumerate(node.inputs):
            is_table = position == 0 and isinstance(node.op, AdvancedSubtensor)
            if live[x] or is_table or not isinstance(x.type, TensorType) or shortest is None:
                continue
            if x.owner is None and not isinstance(x, Constant | SharedVariable):
                continue
            if row_axes.costs_all_rows(x, evaluator.shape(x), shortest):
                source = row_axes.origin.get(x, x)
                what = name_of(source) if source.owner is None else names_below(source)
                raise CannotTakeRows(
                    f"{what} still enters in full through {op_name(node)}, "
                    f"so every step would cost O(N). If this "
                    "is a mean over rows of X @ b, write X.mean(0) @ b. "
                    "row_model(..., allow_full_terms=True) keeps it (exact, slow)"
                )
