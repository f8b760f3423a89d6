"""Which axes of a graph are the same axis: provenance of a length, not the number itself.

A table of groups, a layer of hidden units or a D x D matrix may happen to be as long as
the data. Whether an axis holds rows is decided by what it is connected to: elementwise
operations, products and reductions relate the axes of their inputs and outputs.
"""

from __future__ import annotations

import re

from collections.abc import Iterable, Sequence
from functools import singledispatch
from typing import Any

from pytensor.compile.builders import OpFromGraph
from pytensor.graph.basic import Apply, Variable
from pytensor.graph.op import Op
from pytensor.graph.traversal import io_toposort, toposort
from pytensor.raise_op import CheckAndRaise
from pytensor.sparse import math as sparse_math
from pytensor.tensor.basic import Alloc, Join
from pytensor.tensor.blockwise import Blockwise
from pytensor.tensor.elemwise import CAReduce, DimShuffle, Elemwise
from pytensor.tensor.extra_ops import CumOp
from pytensor.tensor.math import Argmax, Dot
from pytensor.tensor.reshape import JoinDims, SplitDims
from pytensor.tensor.shape import Reshape, SpecifyShape
from pytensor.tensor.sort import ArgSortOp, SortOp
from pytensor.tensor.subtensor import (
    AdvancedIncSubtensor,
    AdvancedSubtensor,
    IncSubtensor,
    Subtensor,
)

from pymc_sgld.model_graph.rewrite.index_layout import FULL, IndexLayout, is_full
from pymc_sgld.model_graph.rewrite.private_api import indices_from_subtensor

type Axis = tuple[Variable, int]


def ndim_of(var: Variable) -> int:
    """Return the number of axes; none for what is no array, such as a generator."""
    return len(getattr(var.type, "shape", ()))


class AxisClasses:
    """Axes joined into classes, and which class is made from entries of which other.

    Parameters
    ----------
    outputs : sequence of Variable
        The graph.
    """

    def __init__(self, outputs: Sequence[Variable]) -> None:
        self._parent: dict[Axis, Axis] = {}
        self._made_from: list[tuple[Axis, Axis]] = []
        for node in toposort(outputs):
            relate(node.op, node, self)

    def find(self, axis: Axis) -> Axis:
        """Return the representative of the class of an axis."""
        root = axis
        while (up := self._parent.get(root, root)) != root:
            root = up
        while axis != root:
            self._parent[axis], axis = root, self._parent.get(axis, axis)
        return root

    def join(self, one: Axis, other: Axis) -> None:
        """Make two axes the same, unless one is broadcast."""
        if one[0].type.shape[one[1]] == 1 or other[0].type.shape[other[1]] == 1:
            return
        a, b = self.find(one), self.find(other)
        if a != b:
            self._parent[a] = b

    def join_all(self, one: Variable, other: Variable) -> None:
        """Make the axes of two variables the same, aligned at the last one."""
        for i in range(min(ndim_of(one), ndim_of(other))):
            self.join((one, ndim_of(one) - 1 - i), (other, ndim_of(other) - 1 - i))

    def made_from(self, new: Axis, old: Axis) -> None:
        """Record that the entries along `new` are some of those along `old`."""
        self._made_from.append((new, old))

    def spread(self, seeds: Iterable[Axis]) -> set[Axis]:
        """Return the classes of the seeds and of all that is made from their entries."""
        marked = {self.find(axis) for axis in seeds}
        edges = {(self.find(new), self.find(old)) for new, old in self._made_from}
        while added := {new for new, old in edges if old in marked} - marked:
            marked |= added
        return marked


@singledispatch
def relate(op: Op, node: Apply, axes: AxisClasses) -> None:
    """Record how the axes of a node's inputs and outputs relate; dispatches on the `Op`.

    Of an unknown operation every output axis may be made from any input axis as long.
    """
    for out in node.outputs:
        for i, length in enumerate(_lengths(out)):
            for x in node.inputs:
                for j, other in enumerate(_lengths(x)):
                    if length == other and length > 1:
                        axes.made_from((out, i), (x, j))


def _lengths(var: Variable) -> tuple[int, ...]:
    """Return the static shape (0: unknown)."""
    shape = getattr(var.type, "shape", ())
    return tuple(0 if n is None else n for n in shape)


@relate.register(Elemwise)
@relate.register(CumOp)
@relate.register(SortOp)
@relate.register(ArgSortOp)
@relate.register(Alloc)
@relate.register(SpecifyShape)
@relate.register(CheckAndRaise)
def _(op: Any, node: Apply, axes: AxisClasses) -> None:
    inputs = node.inputs if isinstance(op, Elemwise) else node.inputs[:1]
    if isinstance(op, CumOp) and op.axis is None:
        return
    for out in node.outputs:
        for x in inputs:
            axes.join_all(x, out)


@relate.register(DimShuffle)
def _(op: DimShuffle, node: Apply, axes: AxisClasses) -> None:
    for i, old in enumerate(op.new_order):
        if old != "x":
            axes.join((node.outputs[0], i), (node.inputs[0], old))


@relate.register(CAReduce)
@relate.register(Argmax)
def _(op: Any, node: Apply, axes: AxisClasses) -> None:
    [x] = node.inputs
    reduced = range(x.type.ndim) if op.axis is None else op.axis
    for i, old in enumerate(j for j in range(x.type.ndim) if j not in reduced):
        axes.join((node.outputs[0], i), (x, old))


@relate.register(Dot)
@relate.register(sparse_math.Dot)
@relate.register(sparse_math.StructuredDot)
@relate.register(sparse_math.TrueDot)
def _(op: Any, node: Apply, axes: AxisClasses) -> None:
    left, right = node.inputs
    axes.join((left, 0), (node.outputs[0], 0))
    axes.join((left, 1), (right, 0))
    axes.join((right, 1), (node.outputs[0], 1))


@relate.register(Blockwise)
def _(op: Blockwise, node: Apply, axes: AxisClasses) -> None:
    n_batch = op.batch_ndim(node)
    names: dict[str, Axis] = {}
    for side, variables in zip(op.signature.split("->"), (node.inputs, node.outputs), strict=True):
        groups = re.findall(r"\(([^)]*)\)", side)
        for group, var in zip(groups, variables, strict=True):
            core = [name.strip() for name in group.split(",") if name.strip()]
            for i, name in enumerate(core):
                axis = (var, var.type.ndim - len(core) + i)
                axes.join(names.setdefault(name, axis), axis)
            for i in range(n_batch):
                own = var.type.ndim - len(core) - n_batch + i
                if own >= 0:
                    axes.join((var, own), (node.outputs[0], i))


@relate.register(Subtensor)
def _(op: Subtensor, node: Apply, axes: AxisClasses) -> None:
    x, *flat = node.inputs
    indices: list[Any] = [*indices_from_subtensor(flat, op.idx_list)]
    indices += [FULL] * (x.type.ndim - len(indices))
    kept = [i for i, entry in enumerate(indices) if isinstance(entry, slice)]
    for i, old in enumerate(kept):
        _slice(axes, (node.outputs[0], i), (x, old), indices[old])


def _slice(axes: AxisClasses, new: Axis, old: Axis, entry: slice) -> None:
    if is_full(entry):
        axes.join(new, old)
    else:
        axes.made_from(new, old)


@relate.register(AdvancedSubtensor)
def _(op: AdvancedSubtensor, node: Apply, axes: AxisClasses) -> None:
    x, *flat = node.inputs
    layout = IndexLayout(x, list(indices_from_subtensor(flat, op.idx_list)))
    for i in range(node.outputs[0].type.ndim):
        out = (node.outputs[0], i)
        old = layout.sliced_axis(i)
        if old is not None:
            _slice(axes, out, (x, old), layout.indices[old])
            continue
        for position in layout.arrays:
            own = layout.joint_axis(position, i)
            if own >= 0:
                axes.join(out, (layout.indices[position], own))


@relate.register(IncSubtensor)
@relate.register(AdvancedIncSubtensor)
def _(op: Any, node: Apply, axes: AxisClasses) -> None:
    axes.join_all(node.inputs[0], node.outputs[0])


@relate.register(Join)
def _(op: Join, node: Apply, axes: AxisClasses) -> None:
    for x in node.inputs:
        for i in range(x.type.ndim):
            if i == op.axis:
                axes.made_from((node.outputs[0], i), (x, i))
            else:
                axes.join((node.outputs[0], i), (x, i))


@relate.register(Reshape)
@relate.register(JoinDims)
@relate.register(SplitDims)
def _(op: Any, node: Apply, axes: AxisClasses) -> None:
    # Which axes merge is not worth finding out: the longest one may come from any.
    x, out = node.inputs[0], node.outputs[0]
    for i in range(out.type.ndim):
        for j in range(x.type.ndim):
            if x.type.shape[j] != 1 and out.type.shape[i] != 1:
                axes.made_from((out, i), (x, j))


@relate.register(OpFromGraph)
def _(op: OpFromGraph, node: Apply, axes: AxisClasses) -> None:
    inner = op.fgraph.bind(dict(zip(op.fgraph.inputs, node.inputs, strict=True)))
    for inside in io_toposort(node.inputs, inner):
        relate(inside.op, inside, axes)
    for out, bound in zip(node.outputs, inner, strict=True):
        axes.join_all(out, bound)
