"""Constant indices as integers of 64 bits, before any rewrite reads them.

PyMC writes the first value of a random walk as ``x[0]`` with an index of eight bits. Where x is a
part of the position, PyTensor merges the two slices by arithmetic in these eight bits, which
overflows for parts that end beyond 127: the merge fails, and says so on the screen.
"""

from typing import Any

import numpy as np

from pytensor.compile.mode import optdb
from pytensor.graph.basic import Apply, Variable
from pytensor.graph.rewriting.basic import copy_stack_trace, dfs_rewriter, node_rewriter
from pytensor.scalar import ScalarConstant, int64
from pytensor.tensor.subtensor import Subtensor

TAG = "wide_indices"


@node_rewriter([Subtensor])
def wide_indices(fgraph: Any, node: Apply) -> list[Variable] | None:
    """Replace constant indices of fewer than 64 bits."""
    indices = [_wide(one) for one in node.inputs[1:]]
    if all(new is old for new, old in zip(indices, node.inputs[1:], strict=True)):
        return None
    out = node.op(node.inputs[0], *indices)
    copy_stack_trace(node.outputs[0], out)
    return [out]


def _wide(index: Any) -> Any:
    narrow = isinstance(index, ScalarConstant) and np.asarray(index.data).dtype.itemsize < 8
    return ScalarConstant(int64, np.int64(index.data)) if narrow else index


# before canonicalisation (1), and the merge of equal nodes (0), which would not find them equal
optdb.register(TAG, dfs_rewriter(wide_indices), position=-1)
