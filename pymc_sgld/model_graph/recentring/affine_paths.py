"""Follow a free vector through the rows' graph, for as long as it enters as ``shift + scale * z``.

The walk starts at the vector and goes towards the log-likelihood. What it learns is a proposal:
whatever is collected, the change of coordinates made of it is exact.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytensor.scalar as ps
import pytensor.tensor as pt

from pytensor.compile.ops import ViewOp
from pytensor.graph.basic import Apply, Constant, Variable, equal_computations
from pytensor.graph.traversal import ancestors, io_toposort
from pytensor.tensor.blockwise import Blockwise
from pytensor.tensor.elemwise import DimShuffle, Elemwise
from pytensor.tensor.math import Dot
from pytensor.tensor.shape import SpecifyShape
from pytensor.tensor.subtensor import AdvancedSubtensor, Subtensor

from pymc_sgld.model_graph.rewrite.fold_and_cost import rebuild
from pymc_sgld.model_graph.rewrite.index_layout import FULL, IndexLayout, is_full
from pymc_sgld.model_graph.rewrite.private_api import indices_from_subtensor
from pymc_sgld.model_graph.rewrite.ranges import has_zeros

_PASSED = (ps.Identity, ps.Cast)


@dataclass(frozen=True, eq=False)
class Path:
    """An expression ``rest + factors * sign * (shift + scale * (matrix @ z))[index]``.

    Attributes
    ----------
    var : TensorVariable
    axes : tuple of int or None
        For each axis of `var`, which axis of z it is; None where the bracket is constant.
    sign : int
    index : TensorVariable or None
        For each row, which entry along the axis `indexed` of z.
    columns : tuple of (int, int)
        Axes of z of which one position was picked.
    shift, scale : tuple of TensorVariable
        Summands and factors, tables over the axes of z.
    matrix : TensorVariable or None
        Applied along the axis `mixed` of z.
    factors : tuple of TensorVariable
        What differs by row and multiplies, such as a covariate.
    rest : bool
        Whether there are summands that are no tables over z.
    claimed : tuple of TensorVariable
        The summands that were taken into `shift`, as the graph has them.
    edits : tuple of (Apply, TensorVariable)
        What the operations on the way lose where u takes the place of z: a summand, a factor.
    """

    var: Variable
    axes: tuple[int | None, ...]
    sign: int = 1
    index: Variable | None = None
    indexed: int | None = None
    columns: tuple[tuple[int, int], ...] = ()
    shift: tuple[Variable, ...] = ()
    scale: tuple[Variable, ...] = ()
    matrix: Variable | None = None
    mixed: int = 0
    factors: tuple[Variable, ...] = ()
    rest: bool = False
    claimed: tuple[Variable, ...] = ()
    edits: tuple[tuple[Apply, Variable], ...] = ()


class Walk:
    """The paths of one vector through some graphs.

    Parameters
    ----------
    z : TensorVariable
    shape : tuple of int
    blocks : collection of Variable
        What differs from batch to batch.
    parameters : collection of Variable
        The free variables, z included.
    taken : collection of Variable
        Summands that other vectors have taken into their shift.
    """

    def __init__(
        self,
        z: Variable,
        shape: tuple[int, ...],
        blocks: Collection[Variable],
        parameters: Collection[Variable],
        taken: Collection[Variable],
    ) -> None:
        self.z, self.shape = z, shape
        self.blocks, self.parameters, self.taken = set(blocks), set(parameters), set(taken)
        self.with_zeros: list[Variable] = []  # data that multiply z but must not divide
        self._roots: dict[Variable, frozenset[Variable]] = {}

    def ends(self, outputs: Sequence[Variable]) -> list[Path]:
        """Return the paths of z as far as they lead."""
        first = Path(self.z, tuple(range(len(self.shape))))
        paths: dict[Variable, list[Path]] = {self.z: [first]}
        over = {var: True for var in outputs}
        for node in io_toposort([*self.blocks, *self.parameters], outputs):
            for position, x in enumerate(node.inputs):
                for path in paths.get(x, ()):
                    further = self._through(path, node, position)
                    if further is None:
                        over[x] = True
                    else:
                        paths.setdefault(further.var, []).append(further)
        return [path for var, above in paths.items() if var in over for path in above]

    def roots(self, var: Variable) -> frozenset[Variable]:
        """Return the parameters and blocks that an expression depends on."""
        if var not in self._roots:
            stop = self.blocks | self.parameters
            above = ancestors([var], blockers=list(stop))
            self._roots[var] = frozenset(v for v in above if v in stop)
        return self._roots[var]

    def has_parameters(self, var: Variable) -> bool:
        """Whether an expression depends on a free variable."""
        return bool(self.roots(var) & self.parameters)

    def _through(self, path: Path, node: Apply, position: int) -> Path | None:
        """Return the path behind a node, or None where it ends before."""
        op = node.op
        if len(node.outputs) != 1:
            return None
        if isinstance(op, Elemwise):
            return self._through_elemwise(path, node, position)
        if isinstance(op, SpecifyShape | ViewOp) and position == 0:
            return replace(path, var=node.outputs[0])
        if isinstance(op, DimShuffle):
            return _transposed(path, node)
        if isinstance(op, AdvancedSubtensor) and position == 0:
            return self._through_index(path, node)
        if isinstance(op, Subtensor) and position == 0:
            return _picked(path, node)
        core = op.core_op if isinstance(op, Blockwise) else op
        if isinstance(core, Dot) and node.outputs[0].type.ndim == 2:
            return self._through_matrix(path, node, position)
        return None

    def _through_elemwise(self, path: Path, node: Apply, position: int) -> Path | None:
        operation, out = node.op.scalar_op, node.outputs[0]
        others = [x for i, x in enumerate(node.inputs) if i != position]
        if any(self.z in self.roots(x) for x in others) and not isinstance(
            operation, ps.Add | ps.Sub
        ):
            return None
        if isinstance(operation, _PASSED):
            return replace(path, var=out)
        if isinstance(operation, ps.Neg):
            return replace(path, var=out, sign=-path.sign)
        if isinstance(operation, ps.Add):
            return self._plus(replace(path, var=out), node, [(1, x) for x in others])
        if isinstance(operation, ps.Sub):
            if position == 0:
                return self._plus(replace(path, var=out), node, [(-1, others[0])])
            return self._plus(replace(path, var=out, sign=-path.sign), node, [(1, others[0])])
        if path.rest:
            return None
        if isinstance(operation, ps.Mul):
            factors = [f for x in others for f in factors_of(x)]
            return self._times(replace(path, var=out), node, factors)
        if isinstance(operation, ps.TrueDiv) and position == 0:
            divisor = self.table(others[0], path)
            if divisor is None:
                return None
            path = replace(path, edits=(*path.edits, (node, others[0])))
            return self._scaled(path, out, 1 / divisor)
        return None

    def _plus(self, path: Path, node: Apply, summands: list[tuple[int, Variable]]) -> Path:
        """Take what is a table over z into the shift, and leave the rest."""
        apart = [one for outer, whole in summands for one in _summands_of(whole, outer)]
        for sign, x in apart:
            own = _without(x, path.factors)
            piece = None
            if own is not None and x not in self.taken:
                piece = self.table(own, path)
            if piece is None:
                path = replace(path, rest=True)
                continue
            signed = piece if sign == path.sign else -piece
            if path.columns:
                signed = signed * self._one_hot(path)
            path = replace(
                path,
                shift=(*path.shift, signed),
                claimed=(*path.claimed, x),
                edits=(*path.edits, (node, x)),
            )
        return path

    def _times(self, path: Path, node: Apply, factors: Iterable[Variable]) -> Path | None:
        for factor in factors:
            piece = self.table(factor, path)
            if piece is not None and not self.has_parameters(piece) and has_zeros(piece):
                self.with_zeros.append(factor)
                piece = None
            if piece is None:
                path = replace(path, factors=(*path.factors, factor))
            elif path.factors and path.shift:
                return None
            else:
                scaled = self._scaled(path, path.var, piece)
                if scaled is None:
                    return None
                path = replace(scaled, edits=(*path.edits, (node, factor)))
        return path

    def _scaled(self, path: Path, out: Variable, piece: Variable) -> Path | None:
        if path.columns:
            if path.shift:
                return None
            piece = pt.switch(self._one_hot(path) > 0, piece, 1.0)
        return replace(
            path,
            var=out,
            scale=(*path.scale, piece),
            shift=tuple(one * piece for one in path.shift),
        )

    def _one_hot(self, path: Path) -> np.ndarray:
        """Return 1 at the picked positions and 0 elsewhere, to multiply tables by."""
        result = np.ones((1,) * len(self.shape))
        for axis, position in path.columns:
            marks = np.zeros(self.shape[axis])
            marks[position] = 1
            others = tuple(i for i in range(len(self.shape)) if i != axis)
            result = result * np.expand_dims(marks, others)
        return result

    def table(self, other: Variable, path: Path) -> Variable | None:
        """Return an expression as a table over the axes of z; None where it is none.

        One that reads the same index as the path is such a table by this index.
        """
        if self.z in self.roots(other) or other.type.ndim != len(path.axes):
            return None
        by_index = False
        if path.index is not None and path.index in set(ancestors([other])):
            assert path.indexed is not None
            by_index = True
            everything = pt.arange(self.shape[path.indexed], dtype=path.index.type.dtype)
            [other] = rebuild([other], {path.index: everything})
        if self.roots(other) & self.blocks:
            return None
        where = {}
        for axis, own in enumerate(path.axes):
            constant = other.type.shape[axis] == 1
            if own is None or (own == path.indexed and not by_index):
                if not constant:
                    return None
            if own is not None:
                where[own] = axis
        return other.dimshuffle([where.get(axis, "x") for axis in range(len(self.shape))])

    def _through_index(self, path: Path, node: Apply) -> Path | None:
        x, *flat = node.inputs
        layout = IndexLayout(x, list(indices_from_subtensor(flat, node.op.idx_list)))
        vectors = [i for i in layout.arrays if layout.indices[i].type.ndim == 1]
        numbers = [i for i in layout.arrays if layout.indices[i].type.ndim == 0]
        known = all(is_full(layout.indices[i]) for i in layout.slices) and all(
            isinstance(layout.indices[i], Constant) for i in numbers
        )
        if len(vectors) != 1 or len(vectors) + len(numbers) != len(layout.arrays) or not known:
            return None
        [at], indexed = vectors, path.axes[vectors[0]]
        index = layout.indices[at]
        if path.factors or self.has_parameters(index) or indexed is None:
            return None
        if path.index is not None:
            if path.indexed != indexed:
                return None
            index = path.index[index]
        columns = _columns(path, [(i, int(layout.indices[i].data)) for i in numbers])
        sliced = [layout.sliced_axis(axis) for axis in range(node.outputs[0].type.ndim)]
        axes = tuple(indexed if own is None else path.axes[own] for own in sliced)
        return replace(
            path, var=node.outputs[0], axes=axes, index=index, indexed=indexed, columns=columns
        )

    def _through_matrix(self, path: Path, node: Apply, position: int) -> Path | None:
        """Follow z through a product with a square matrix of parameters."""
        other = node.inputs[1 - position]
        mixed = path.axes[1 if position == 0 else 0]
        busy = path.columns or path.shift or path.factors or path.rest or path.matrix is not None
        if busy or mixed is None or mixed == path.indexed or self.roots(other) & self.blocks:
            return None
        if self.z in self.roots(other) or not self.has_parameters(other):
            return None
        matrix = other.T if position == 0 else other
        for piece in path.scale:  # before the matrix: into its columns
            along = [i for i in range(len(self.shape)) if i != mixed]
            if any(piece.type.shape[i] != 1 for i in along):
                return None
            matrix = matrix * piece.squeeze(axis=along)[None, :]
        edits = (*path.edits, (node, other))
        return replace(path, var=node.outputs[0], scale=(), matrix=matrix, mixed=mixed, edits=edits)


def _transposed(path: Path, node: Apply) -> Path | None:
    order = node.op.new_order
    dropped = set(range(len(path.axes))) - {i for i in order if i != "x"}
    if path.factors or any(path.axes[i] is not None for i in dropped):
        return None
    axes = tuple(None if i == "x" else path.axes[i] for i in order)
    return replace(path, var=node.outputs[0], axes=axes)


def _picked(path: Path, node: Apply) -> Path | None:
    """Follow z where single positions of some axes are picked."""
    x, *flat = node.inputs
    entries: list[Any] = [*indices_from_subtensor(flat, node.op.idx_list)]
    entries += [FULL] * (x.type.ndim - len(entries))
    kept = [i for i, entry in enumerate(entries) if isinstance(entry, slice)]
    numbers = [i for i in range(len(entries)) if i not in kept]
    known = all(is_full(entries[i]) for i in kept) and all(
        isinstance(entries[i], Constant) and path.axes[i] != path.indexed for i in numbers
    )
    if path.factors or not known:
        return None
    columns = _columns(path, [(i, int(entries[i].data)) for i in numbers])
    axes = tuple(path.axes[i] for i in kept)
    return replace(path, var=node.outputs[0], axes=axes, columns=columns)


def _columns(path: Path, picked: list[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    own = [(path.axes[i], number) for i, number in picked]
    return (*path.columns, *((axis, number) for axis, number in own if axis is not None))


def _summands_of(var: Variable, sign: int) -> list[tuple[int, Variable]]:
    """Return the terms of a sum of sums."""
    node = var.owner
    if node is not None and isinstance(node.op, Elemwise):
        operation = node.op.scalar_op
        if isinstance(operation, ps.Add):
            return [one for x in node.inputs for one in _summands_of(x, sign)]
        if isinstance(operation, ps.Sub):
            left, right = node.inputs
            return [*_summands_of(left, sign), *_summands_of(right, -sign)]
        if isinstance(operation, ps.Neg):
            return _summands_of(node.inputs[0], -sign)
    return [(sign, var)]


def factors_of(var: Variable) -> list[Variable]:
    """Return the factors of a product of products."""
    node = var.owner
    if node is not None and isinstance(node.op, Elemwise) and isinstance(node.op.scalar_op, ps.Mul):
        return [one for x in node.inputs for one in factors_of(x)]
    return [var]


def _without(var: Variable, factors: Sequence[Variable]) -> Variable | None:
    """Return a product without some of its factors; None where it lacks one of them."""
    left = factors_of(var)
    for factor in factors:
        same = [i for i, one in enumerate(left) if is_same(one, factor)]
        if not same:
            return None
        del left[same[0]]
    if len(left) == 1:
        return left[0]
    return pt.mul(*left) if left else None


def is_same(one: Variable, other: Variable) -> bool:
    """Whether two expressions are the same computation."""
    return one is other or (one.type == other.type and equal_computations([one], [other]))
