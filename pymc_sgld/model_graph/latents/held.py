"""Parts of a graph that are constants to whoever takes its gradient."""

from __future__ import annotations

from typing import Any

from pytensor.gradient import disconnected_type
from pytensor.graph.basic import Apply, Variable
from pytensor.graph.op import Op
from pytensor.graph.rewriting.basic import node_rewriter
from pytensor.tensor.rewriting.basic import register_specialize

from pymc_sgld.model_graph.rewrite.take_rows import RowRequest, register_row_rule


class Held(Op):
    """Its argument, which derivatives do not reach.

    An operation of its own, because PyTensor drops ``disconnected_grad`` when a graph is
    canonicalised, which models of rows are before their gradient is taken. This one stays until
    graphs are specialised, after that.
    """

    __props__ = ()
    view_map = {0: [0]}  # noqa: RUF012, PyTensor's

    def make_node(self, variable: Any) -> Apply:
        """Return the node of a variable."""
        return Apply(self, [variable], [variable.type()])

    def perform(self, node: Apply, inputs: Any, output_storage: Any) -> None:
        """Hand on the argument."""
        output_storage[0][0] = inputs[0]

    def infer_shape(self, node: Apply, shapes: Any) -> Any:
        """Return the shape of the argument."""
        return shapes

    def pullback(self, inputs: Any, outputs: Any, output_gradients: Any) -> Any:
        """Return that there is no gradient."""
        return [disconnected_type()]

    def pushforward(self, inputs: Any, outputs: Any, tangents: Any) -> Any:
        """Return that there is no derivative."""
        return [disconnected_type()]

    def connection_pattern(self, node: Apply) -> Any:
        """Return that the output is connected to nothing."""
        return [[False]]


_held = Held()


def held(variable: Variable) -> Variable:
    """Return a variable that is a constant to whoever takes a gradient."""
    result: Variable = _held(variable)
    return result


@register_row_rule(Held)
def rows_of_held(op: Held, node: Apply, output: int, axis: int, rows: RowRequest) -> Variable:
    """Hold rows of the argument."""
    return held(rows.take(node.inputs[0], axis))


@register_specialize
@node_rewriter([Held])
def let_go(fgraph: Any, node: Apply) -> list[Variable]:
    """Drop the operation where a graph is compiled."""
    return [node.inputs[0]]
