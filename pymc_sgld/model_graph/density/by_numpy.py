"""Graphs evaluated by numpy, operation by operation: nothing is compiled, by whatever data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from pytensor.compile.builders import OpFromGraph
from pytensor.compile.mode import Mode, get_mode
from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Apply, Constant, Variable
from pytensor.graph.traversal import ancestors, io_toposort, toposort
from pytensor.scalar.loop import ScalarLoop
from pytensor.scan.op import Scan
from pytensor.tensor.blockwise import Blockwise
from pytensor.tensor.elemwise import Elemwise

from pymc_sgld.model_graph.density import narrow_sums
from pymc_sgld.model_graph.density.modes import compile_function

AS_WRITTEN = Mode(linker="py", optimizer="minimum_compile").including(narrow_sums.TAG)
STABILISED = AS_WRITTEN.including("canonicalize", "stabilize")
QUICKLY_COMPILED = get_mode("FAST_COMPILE").including(narrow_sums.TAG)
_MOST_IN_LOOPS = 20_000  # numbers of data: numpy takes a second over them, entry by entry


def numpy_function(
    inputs: Sequence[Variable],
    outputs: Sequence[Variable],
    mode: Mode = AS_WRITTEN,
    givens: Mapping[Variable, Variable] | None = None,
) -> Any:
    """Return a function that numpy evaluates.

    Graphs within operations, such as that of a softmax, become part of the graph: PyTensor would
    compile them by themselves, for seconds each.

    Parameters
    ----------
    inputs, outputs : sequence of Variable
    mode : pytensor Mode
        ``AS_WRITTEN`` or ``STABILISED``.
    givens : dict of Variable to Variable, optional
    """
    return compile_function(inputs, _without_inner_graphs(outputs), mode=mode, givens=givens)


def takes_long_by_numpy(graphs: Sequence[Variable]) -> bool:
    """Whether expressions have loops that numpy runs in Python, over much data."""
    variables = list(ancestors(graphs))
    if not any(v.owner is not None and _is_loop(v.owner) for v in variables):
        return False
    return max((np.size(value_of(v)) for v in variables), default=0) > _MOST_IN_LOOPS


def value_of(variable: Variable) -> Any:
    """Return what a variable holds, if it is data; else None."""
    if isinstance(variable, SharedVariable):
        return variable.get_value(borrow=True)
    return variable.data if isinstance(variable, Constant) else None


def _without_inner_graphs(outputs: Sequence[Variable]) -> list[Variable]:
    copies: dict[Variable, Variable] = {}
    _copy_nodes(toposort(outputs), copies)
    return [copies.get(out, out) for out in outputs]


def _copy_nodes(nodes: Iterable[Apply], copies: dict[Variable, Variable]) -> None:
    """Add the copies of the outputs of nodes, in topological order, to those of their inputs."""
    for node in nodes:
        inputs = [copies.get(v, v) for v in node.inputs]
        if isinstance(node.op, OpFromGraph):
            bound = node.op.fgraph.bind(dict(zip(node.op.fgraph.inputs, inputs, strict=True)))
            inner: dict[Variable, Variable] = {}
            _copy_nodes(io_toposort(inputs, bound), inner)
            outputs = [inner.get(v, v) for v in bound]
        elif all(new is old for new, old in zip(inputs, node.inputs, strict=True)):
            continue
        else:
            outputs = node.clone_with_new_inputs(inputs, strict=False).outputs
        copies.update(zip(node.outputs, outputs, strict=True))


def _is_loop(node: Apply) -> bool:
    if isinstance(node.op, Blockwise):  # one at a time, such as a matrix for each row
        n_batch = node.op.batch_ndim(node)
        return any(length != 1 for length in node.outputs[0].type.shape[:n_batch])
    of_scalars = isinstance(node.op, Elemwise) and isinstance(node.op.scalar_op, ScalarLoop)
    return of_scalars or isinstance(node.op, Scan)
