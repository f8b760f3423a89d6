"""Shapes that are known, without compiled code that says so where they are wrong.

PyTensor's ``SpecifyShape`` compiles the formatting of a message, of integers as strings, which
takes seconds. That the shapes of a row model are right is proven before sampling, on the graph with
its assertions: see :mod:`pymc_sgld.model_graph.density.verify`.
"""

from typing import Any

from pytensor.compile.mode import optdb
from pytensor.graph.basic import Apply, Variable
from pytensor.graph.op import Op
from pytensor.graph.rewriting.basic import copy_stack_trace, dfs_rewriter, node_rewriter
from pytensor.tensor.shape import SpecifyShape
from pytensor.tensor.type import TensorType

from pymc_sgld.model_graph.density.numba_rules import when_compiled

TAG = "known_shapes"


class KnownShape(Op):
    """Its argument, seen as a type of more static shape.

    An operation, because a graph puts ``SpecifyShape`` back where a variable is replaced by one
    of a less specific type.

    Parameters
    ----------
    out_type : TensorType
    """

    __props__ = ("out_type",)
    view_map = {0: [0]}  # noqa: RUF012, PyTensor's

    def __init__(self, out_type: TensorType) -> None:
        self.out_type = out_type

    def make_node(self, variable: Any) -> Apply:
        """Return the node of a variable."""
        return Apply(self, [variable], [self.out_type()])

    def perform(self, node: Apply, inputs: Any, output_storage: Any) -> None:
        """Hand on the argument."""
        output_storage[0][0] = inputs[0]

    def infer_shape(self, node: Apply, shapes: Any) -> Any:
        """Return the shape of the argument."""
        return shapes


@when_compiled
def _register() -> None:
    from pytensor.link.numba.dispatch.basic import numba_njit, register_funcify_and_cache_key

    @register_funcify_and_cache_key(KnownShape)
    def numba_known_shape(op: KnownShape, node: Apply, **kwargs: Any) -> Any:
        @numba_njit
        def known_shape(variable):  # type: ignore[no-untyped-def]
            return variable

        return known_shape, "pymc_sgld known_shape 1"


@node_rewriter([SpecifyShape])
def known_shape(fgraph: Any, node: Apply) -> list[Variable] | None:
    """Replace an assertion of a shape by what it says of the type."""
    variable, *_ = node.inputs
    if not isinstance(node.outputs[0].type, TensorType):
        return None
    out = KnownShape(node.outputs[0].type)(variable)
    copy_stack_trace(node.outputs[0], out)
    return [out]


# after all rewrites that read SpecifyShape, before those that work in place (50)
optdb.register(TAG, dfs_rewriter(known_shape), position=48.9)
