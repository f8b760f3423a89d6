"""Sums of many terms as sums of sums, for evaluation by numpy, which takes few arrays at once.

A model of many likelihoods written in a loop has a log-density of as many terms. Without this it
would have to be compiled to be looked at once, which takes a minute for thirty of them.
"""

from typing import Any

import pytensor.tensor as pt

from pytensor.compile.mode import optdb
from pytensor.graph.basic import Apply, Variable
from pytensor.graph.rewriting.basic import copy_stack_trace, dfs_rewriter, node_rewriter
from pytensor.scalar.basic import Add
from pytensor.tensor.elemwise import Elemwise

TAG = "narrow_sums"
_MOST_TERMS = 30  # numpy takes 32 arrays at once, of which one is the result, and newer ones 64


@node_rewriter([Elemwise])
def narrow_sums(fgraph: Any, node: Apply) -> list[Variable] | None:
    """Replace a sum of more terms by one of sums."""
    terms = node.inputs
    if not isinstance(node.op.scalar_op, Add) or len(terms) <= _MOST_TERMS:
        return None
    parts = [terms[first : first + _MOST_TERMS] for first in range(0, len(terms), _MOST_TERMS)]
    out = pt.add(*(pt.add(*part) if len(part) > 1 else part[0] for part in parts))
    copy_stack_trace(node.outputs[0], out)
    return [out]


# after canonicalisation, which makes one sum of those written in a loop
optdb.register(TAG, dfs_rewriter(narrow_sums), position=48.8)
