"""Requesting rows of an expression, and moving the request towards the data.

``op(x)[rows] == op(x[rows])`` holds for many operations along an axis they treat row by
row. Starting from the per-row log-likelihood, each operation's *rule* turns the request
for rows of its output into requests for rows of its inputs, until data arrays are reached.
Nothing is guessed about which arrays hold rows: an array becomes a block because rows of
it were asked for. Reductions of data (``X.mean(0)``) are never asked for rows, so they
stay on the full data.
"""

from __future__ import annotations

import sys

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import singledispatch
from typing import Any

import numpy as np
import pytensor.tensor as pt

from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Apply, Constant, Variable
from pytensor.graph.op import Op
from pytensor.sparse.type import SparseTensorType
from pytensor.tensor.elemwise import DimShuffle, Elemwise
from pytensor.tensor.subtensor import Subtensor
from pytensor.tensor.type import TensorType

from pymc_sgld.model_graph.density.row_density import RowGroup, RowLeaf
from pymc_sgld.model_graph.rewrite.errors import CannotTakeRows
from pymc_sgld.model_graph.rewrite.evaluator import Evaluator
from pymc_sgld.model_graph.rewrite.naming import name_of, names_below, op_name
from pymc_sgld.model_graph.rewrite.private_api import MinibatchOp

type RowRule = Callable[[Any, Apply, int, int, "RowRequest"], Variable]

# Four Python frames per level of the graph: room for about 10 000 nested operations.
_RECURSION_LIMIT = 40_000

# What is no longer than this is computed whole where only one entry of it is used.
_SHORT = 32


@singledispatch
def row_rule(op: Op, node: Apply, output: int, axis: int, rows: RowRequest) -> Variable:
    """Return rows of one output of `node`; dispatches on the class of `op`."""
    raise CannotTakeRows(
        f"no row rule for {op_name(node)} of {names_below(node.outputs[output])}. Evaluate it "
        f"beforehand if it depends on data only, or write one with "
        f"register_row_rule({type(op).__name__})"
    )


def register_row_rule(op_class: type[Op]) -> Callable[[RowRule], RowRule]:
    """Register how rows of an operation's output follow from rows of its inputs.

    Parameters
    ----------
    op_class : type
        A PyTensor `Op` class; subclasses inherit the rule.

    Returns
    -------
    callable
        A decorator for ``rule(op, node, output, axis, rows)``, which returns rows of
        ``node.outputs[output]`` along `axis`, built from `RowRequest.take` of the inputs. Rows
        stay on the same axis. Raise `CannotTakeRows` where the operation mixes rows.

    Examples
    --------
    >>> from pymc_sgld.model_graph import register_row_rule
    >>> @register_row_rule(MyElementwiseOp)  # doctest: +SKIP
    ... def rows_of_my_op(op, node, output, axis, rows):
    ...     return op(*(rows.take(x, axis) for x in node.inputs))
    """

    def decorate(rule: RowRule) -> RowRule:
        row_rule.register(op_class, rule)
        return rule

    return decorate


class RowRewriter:
    """Memory of one rewrite: row blocks made so far and requests already answered.

    Parameters
    ----------
    evaluator : Evaluator
        Supplies shapes and values of data.
    parameters : collection of Variable
        The model's value variables.
    """

    def __init__(self, evaluator: Evaluator, parameters: set[Variable]) -> None:
        self.evaluator = evaluator
        self.parameters = parameters
        self.groups: list[RowGroup] = []
        self.draws: list[Variable | None] = []
        self.counts: list[Variable] = []
        self.leaves: list[RowLeaf] = []
        self.origins: dict[Variable, tuple[Variable, int]] = {}
        # Inputs of the step of a loop, and who answers requests for rows of them.
        self.stand_ins: dict[Variable, Callable[[Variable, int, RowRequest], Variable]] = {}
        self.memo: dict[Any, Variable] = {}
        self._blocks: dict[Any, Variable] = {}
        self._requests: dict[Any, RowRequest] = {}

    def group_index(self, name: str, total_size: int, draw: Variable | None = None) -> int:
        """Return the position of a row group, made if it is new.

        Terms on different `pm.Minibatch` calls (`draw`) never share a group.
        """
        for i, group in enumerate(self.groups):
            same = group.total_size == total_size and self.draws[i] is draw
            if same and group.name.split("#")[0] == name:
                return i
        taken = sum(group.name.split("#")[0] == name for group in self.groups)
        self.groups.append(RowGroup(f"{name}#{taken + 1}" if taken else name, total_size))
        self.draws.append(draw)
        self.counts.append(pt.lscalar(f"n_{name}"))
        return len(self.groups) - 1

    def rows(
        self,
        group: int,
        *,
        minibatch: Apply | None = None,
        length: int | None = None,
        keep_parameters: bool = False,
    ) -> RowRequest:
        """Return the request for the rows of a group.

        `minibatch` and `length` are the `pm.Minibatch` node and its batch size where the
        graph was written on a minibatch; `keep_parameters` leaves parameters with one
        entry per row whole.
        """
        extent = self.groups[group].total_size if length is None else length
        return RowRequest(self, group, extent, extent, minibatch, keep_parameters)

    def request(self, base: RowRequest, index: np.ndarray, extent: int) -> RowRequest:
        """Return the request for positions `index` of an axis of length `extent`."""
        key = (base.key, extent, index.tobytes())
        if key not in self._requests:
            self._requests[key] = RowRequest(
                self, base.group, base.length, extent, base.minibatch, base.keep_parameters, index
            )
        return self._requests[key]

    def block(
        self,
        key: Any,
        group: int,
        name: str,
        *,
        source: Variable | None = None,
        axis: int = 0,
        derived: Any = None,
        of: Variable | None = None,
    ) -> Variable:
        """Return the block variable of a leaf, rows on axis 0, made if it is new.

        `of` is the expression that rows of its values along `axis` were requested of.
        """
        key = (group, *key)
        if key not in self._blocks:
            total_size = self.groups[group].total_size
            if source is not None and isinstance(source.type, SparseTensorType):
                kind = source.type.clone(shape=(None, source.type.shape[1]))
            elif source is not None:
                others = [s for i, s in enumerate(source.type.shape) if i != axis]
                kind = TensorType(source.type.dtype, shape=(None, *others))
            else:
                kind = TensorType(derived.dtype, shape=(None, *derived.shape[1:]))
            block = kind(name=f"{name}_rows")
            self.leaves.append(RowLeaf(name, group, block, total_size, source, axis, derived))
            self._blocks[key] = block
            of = source if of is None else of
            if of is not None:
                self.origins[block] = (of, axis)
        return self._blocks[key]


class RowRequest:
    """A request for rows: which group, and through which index if not directly.

    Rules receive one and call `take` on their inputs.

    Attributes
    ----------
    length : int
        Number of rows in the graph as written.
    extent : int
        Length of the requested axis: `length`, or the table's when `index` is set.
    index : ndarray or None
        For every row the position along the requested axis; None for the rows themselves.
    """

    def __init__(
        self,
        rewriter: RowRewriter,
        group: int,
        length: int,
        extent: int,
        minibatch: Apply | None,
        keep_parameters: bool,
        index: np.ndarray | None = None,
    ) -> None:
        self.rewriter = rewriter
        self.group = group
        self.length = length
        self.extent = extent
        self.minibatch = minibatch
        self.keep_parameters = keep_parameters
        self.index = index
        self.key = (group, length, minibatch, keep_parameters, None if index is None else id(self))

    @property
    def evaluator(self) -> Evaluator:
        """Shapes and values of data."""
        return self.rewriter.evaluator

    @property
    def count(self) -> Variable:
        """Symbolic number of rows in a batch."""
        return self.rewriter.counts[self.group]

    def take(self, var: Variable, axis: int) -> Variable:
        """Return rows of `var` along `axis`.

        The result has the batch's length on that axis, or length one where `var` is the
        same for all rows.
        """
        key = (var, axis, self.key)
        if key not in self.rewriter.memo:
            shared = var.type.shape[axis] == 1
            take = self._same_for_all if shared else self._checked_take
            self.rewriter.memo[key] = take(var, axis)
        return self.rewriter.memo[key]

    def _same_for_all(self, var: Variable, axis: int) -> Variable:
        """Return what all rows share; of one row picked from long work, only that row."""
        node = var.owner
        if node is None or self.evaluator.is_data(var):
            return var
        order = node.op.new_order if isinstance(node.op, DimShuffle) else None
        if isinstance(node.op, Elemwise) or (order and order[axis] != "x"):
            own = order[axis] if order else axis
            taken = [self.take(x, own) for x in node.inputs]
            changed = any(new is not old for new, old in zip(taken, node.inputs, strict=True))
            outputs = node.op(*taken, return_list=True) if changed else node.outputs
            return outputs[node.outputs.index(var)]
        if not isinstance(node.op, Subtensor) or node.inputs[0].owner is None:
            return var
        if max(self.evaluator.shape(node.inputs[0])) <= _SHORT:
            return var
        try:
            return row_rule(node.op, node, 0, axis, self)
        except CannotTakeRows:
            return var

    def _checked_take(self, var: Variable, axis: int) -> Variable:
        """Take rows of an axis that is as long as the rows, or of length one at run time only."""
        length = self.evaluator.length(var, axis)
        if length == 1 != self.extent:
            return pt.specify_broadcastable(var, axis)
        if length != self.extent:
            raise CannotTakeRows(
                f"{names_below(var)} has {length} entries where {self.extent} rows were expected"
            )
        taken = self._take(var, axis)
        if not isinstance(taken.type, TensorType):
            return taken
        # What is known to broadcast in the graph as written must broadcast here.
        lost = [
            i
            for i, (old, new) in enumerate(zip(var.type.shape, taken.type.shape, strict=True))
            if old == 1 != new and i != axis
        ]
        return pt.specify_broadcastable(taken, *lost) if lost else taken

    def take_full(self, var: Variable, axis: int) -> Variable:
        """Return rows of `var`, repeated to the batch's length where they are all equal."""
        taken = self.take(var, axis)
        if taken.type.shape[axis] != 1:
            return taken
        shape = [taken.shape[i] for i in range(taken.type.ndim)]
        shape[axis] = self.count
        return pt.alloc(taken, *shape)

    def at(self, index: np.ndarray, extent: int) -> RowRequest:
        """Return the request for positions `index` (one per entry of this request's axis).

        Parameters
        ----------
        index : ndarray of int, shape (self.extent,)
            For ``x[index]``: where along an axis of length `extent` each entry comes from.
        extent : int
            Length of that axis.
        """
        index = np.where(index < 0, index + extent, index).astype(np.int64)
        composed = index if self.index is None else index[self.index]
        if len(composed) == extent == self.length and np.array_equal(composed, np.arange(extent)):
            return self.rewriter.rows(
                self.group,
                minibatch=self.minibatch,
                length=self.length,
                keep_parameters=self.keep_parameters,
            )
        if self.minibatch is not None:
            raise CannotTakeRows("a pm.Minibatch is indexed by fixed positions in the batch")
        return self.rewriter.request(self, composed, extent)

    def positions(self) -> Variable:
        """Return the block of positions along the requested axis, one per row."""
        if self.minibatch is not None:
            raise CannotTakeRows(
                "the position of a row inside its pm.Minibatch is used as a number"
            )
        index = np.arange(self.length) if self.index is None else self.index
        key = ("positions", None if self.index is None else self.key)
        return self.rewriter.block(key, self.group, "row positions", derived=index)

    def refuse_mixing(self, node: Apply, output: int = 0) -> CannotTakeRows:
        """Return the error for an operation that combines different rows."""
        return CannotTakeRows(
            f"rows are mixed by {op_name(node)} of {names_below(node.outputs[output])}"
        )

    def _take(self, var: Variable, axis: int) -> Variable:
        node = var.owner
        if node is None:
            return self._take_leaf(var, axis)
        output = node.outputs.index(var)
        if isinstance(node.op, MinibatchOp):
            return self._take_minibatch(node, output, axis)
        try:
            return row_rule(node.op, node, output, axis, self)
        except CannotTakeRows:
            # Exact for data: evaluate it once for all rows and take rows of the result.
            if not self.evaluator.is_data(var) or not isinstance(var.type, TensorType):
                raise
        if self.minibatch is not None:
            raise self._fixed_in_minibatch(var)
        return self.derived(var, axis)

    def derived(self, var: Variable, axis: int) -> Variable:
        """Evaluate a data-only expression once; return the batch's rows of the result."""
        array = np.moveaxis(self.evaluator.array(var), axis, 0)
        if self.index is not None:
            array = array[self.index]
        name = var.name or f"derived from {names_below(var)}"
        key = (var, axis, None if self.index is None else self.key)
        array = np.ascontiguousarray(array)
        block = self.rewriter.block(key, self.group, name, axis=axis, derived=array, of=var)
        return _back_to(block, axis)

    def _take_leaf(self, var: Variable, axis: int) -> Variable:
        if var in self.rewriter.stand_ins:
            return self.rewriter.stand_ins[var](var, axis, self)
        if var in self.rewriter.parameters:
            return self._take_parameter(var, axis)
        if not isinstance(var, Constant | SharedVariable):
            raise CannotTakeRows(f"{name_of(var)} is an input without a value")
        if self.minibatch is not None:
            raise self._fixed_in_minibatch(var)
        length = self.evaluator.length(var, axis)
        if length != self.extent:
            raise CannotTakeRows(
                f"{name_of(var)} has length {length} on axis {axis}, not the {self.extent} rows"
            )
        sparse = isinstance(var.type, SparseTensorType)
        if sparse and axis != 0:
            raise CannotTakeRows(f"rows of sparse {name_of(var)} are on axis 1; transpose it")
        if self.index is None:
            name = var.name or name_of(var)
            block = self.rewriter.block((var, axis, None), self.group, name, source=var, axis=axis)
            return block if sparse else _back_to(block, axis)
        if sparse:
            raise CannotTakeRows(f"sparse {name_of(var)} is indexed a second time")
        if self.extent >= self.length:
            return self.derived(var, axis)
        return pt.take(var, self.positions(), axis=axis)

    def _take_parameter(self, var: Variable, axis: int) -> Variable:
        if self.index is not None:
            return pt.take(var, self.positions(), axis=axis)
        if self.keep_parameters:
            return var
        raise CannotTakeRows(
            f"parameter {name_of(var)} has one entry per row (local latent). "
            "Marginalise it: psg.sample does where a row has one or two, and psg.marginal_model "
            "returns the model; else write the density of a row with it integrated out"
        )

    def _take_minibatch(self, node: Apply, output: int, axis: int) -> Variable:
        source = node.inputs[output]
        if self.minibatch is None or node.inputs[-1] is not self.minibatch.inputs[-1]:
            raise CannotTakeRows(
                f"{names_below(source)} comes from another pm.Minibatch call, whose rows are "
                "drawn independently. Write X, y = pm.Minibatch(X, y, batch_size=...)"
            )
        if axis != 0 or self.index is not None:
            raise self.refuse_mixing(node, output)
        # The user's own rows replace the random ones: continue with the rows of the source.
        return self.rewriter.rows(self.group).take(source, 0)

    def _fixed_in_minibatch(self, var: Variable) -> CannotTakeRows:
        return CannotTakeRows(
            f"{names_below(var)} enters with one entry per batch position while other data come "
            "from pm.Minibatch. Pass it through the same pm.Minibatch call"
        )


def _back_to(block: Variable, axis: int) -> Variable:
    return block if axis == 0 else pt.moveaxis(block, 0, axis)


@contextmanager
def deep_recursion() -> Iterator[None]:
    """Allow rules to follow long chains of operations."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, _RECURSION_LIMIT))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)
