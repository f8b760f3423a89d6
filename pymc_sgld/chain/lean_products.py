"""Matrix-vector products as plain loops, for small batches in compiled numba code.

PyTensor's general matrix product compiles a BLAS path of 10 s and more for each orientation, and
its call overhead shows on products of a few thousand numbers. Inside the sampling loop a product
``X[batch] @ beta`` is that small, so two loops that LLVM vectorises are both quicker to compile and
at least as fast. Compile with ``mode.including("lean_products")`` to use them.
"""

from typing import Any

import numpy as np

from pytensor.compile.mode import optdb
from pytensor.graph.basic import Apply, Variable
from pytensor.graph.op import Op
from pytensor.graph.rewriting.basic import copy_stack_trace, dfs_rewriter, node_rewriter
from pytensor.tensor.elemwise import DimShuffle
from pytensor.tensor.math import Dot
from pytensor.tensor.type import TensorType

from pymc_sgld.model_graph.density.numba_rules import when_compiled

TAG = "lean_products"
# Beyond this many entries of the vector, BLAS wins over the loops below.
_LARGEST_VECTOR = 2048


class MatrixVector(Op):
    """``matrix @ vector`` as a loop over the rows of the matrix."""

    __props__ = ("dtype",)  # of the result: part of the key under which numba's code is kept

    def __init__(self, dtype: str) -> None:
        self.dtype = dtype

    def make_node(self, matrix: Any, vector: Any) -> Apply:
        """Shape (n, d) times shape (d,) gives shape (n,)."""
        out = TensorType(self.dtype, shape=(matrix.type.shape[0],))()
        return Apply(self, [matrix, vector], [out])

    def perform(self, node: Apply, inputs: Any, output_storage: Any) -> None:
        """Evaluate with numpy."""
        output_storage[0][0] = np.asarray(inputs[0] @ inputs[1], self.dtype)

    def infer_shape(self, node: Apply, shapes: Any) -> Any:
        """Return the number of rows."""
        return [(shapes[0][0],)]


class VectorMatrix(Op):
    """``vector @ matrix`` as a sum of scaled rows of the matrix."""

    __props__ = ("dtype",)  # of the result: part of the key under which numba's code is kept

    def __init__(self, dtype: str) -> None:
        self.dtype = dtype

    def make_node(self, vector: Any, matrix: Any) -> Apply:
        """Shape (n,) times shape (n, d) gives shape (d,)."""
        out = TensorType(self.dtype, shape=(matrix.type.shape[1],))()
        return Apply(self, [vector, matrix], [out])

    def perform(self, node: Apply, inputs: Any, output_storage: Any) -> None:
        """Evaluate with numpy."""
        output_storage[0][0] = np.asarray(inputs[0] @ inputs[1], self.dtype)

    def infer_shape(self, node: Apply, shapes: Any) -> Any:
        """Return the number of columns."""
        return [(shapes[1][1],)]


def matrix_vector(matrix: Any, vector: Any) -> Any:
    """Return ``matrix @ vector``, of the vector's type."""
    return MatrixVector(vector.type.dtype)(matrix, vector)


def vector_matrix(vector: Any, matrix: Any) -> Any:
    """Return ``vector @ matrix``, of the vector's type."""
    return VectorMatrix(vector.type.dtype)(vector, matrix)


@when_compiled
def _register() -> None:
    from pytensor.link.numba.dispatch.basic import (
        numba_njit,
        register_funcify_default_op_cache_key,
    )

    @register_funcify_default_op_cache_key(MatrixVector)
    def numba_matrix_vector(op: MatrixVector, node: Apply, **kwargs: Any) -> Any:
        # "reassoc" lets LLVM split the running sum over vector lanes.
        dtype = np.dtype(op.dtype)
        zero = dtype.type(0)

        @numba_njit(fastmath={"reassoc", "contract"})
        def matrix_vector(matrix, vector):  # type: ignore[no-untyped-def]
            n, d = matrix.shape
            out = np.empty(n, dtype)
            for i in range(n):
                total = zero
                for j in range(d):
                    total += matrix[i, j] * vector[j]
                out[i] = total
            return out

        return matrix_vector, 1

    @register_funcify_default_op_cache_key(VectorMatrix)
    def numba_vector_matrix(op: VectorMatrix, node: Apply, **kwargs: Any) -> Any:
        dtype = np.dtype(op.dtype)

        @numba_njit(fastmath={"contract"})
        def vector_matrix(vector, matrix):  # type: ignore[no-untyped-def]
            n, d = matrix.shape
            out = np.zeros(d, dtype)
            for i in range(n):
                weight = vector[i]
                for j in range(d):
                    out[j] += weight * matrix[i, j]
            return out

        return vector_matrix, 1


def _transposed(variable: Variable) -> Variable | None:
    """Return ``x`` where ``variable`` is ``x.T``."""
    node = variable.owner
    if node is not None and isinstance(node.op, DimShuffle) and node.op.new_order == (1, 0):
        source: Variable = node.inputs[0]
        return source
    return None


def _times_vector(matrix: Variable, vector: Variable) -> Variable:
    """Return ``matrix @ vector``, by rows of the matrix or of its transpose, as stored."""
    source = _transposed(matrix)
    if source is not None:
        return vector_matrix(vector, source)
    return matrix_vector(matrix, vector)


@node_rewriter([Dot])
def lean_products(fgraph: Any, node: Apply) -> list[Variable] | None:
    """Replace a product of a matrix and a vector (a matrix of one column or row) by a loop."""
    left, right = node.inputs
    dtype = node.outputs[0].type.dtype
    if not dtype.startswith("float"):
        return None
    if right.type.broadcastable[1]:
        matrix, vector, kept = left, right.dimshuffle(0), 0
    elif left.type.broadcastable[0]:
        matrix, vector, kept = right.T, left.dimshuffle(1), 1
    else:
        return None
    whole = matrix.type.numpy_dtype.kind in "bui"  # codes are multiplied as they are stored
    if vector.type.dtype != dtype or not (whole or matrix.type.dtype == dtype):
        return None
    length = matrix.type.shape[1]
    if length is not None and length > _LARGEST_VECTOR:
        return None
    product = _times_vector(matrix, vector)
    column_or_row = product.dimshuffle(0, "x") if kept == 0 else product.dimshuffle("x", 0)
    copy_stack_trace(node.outputs[0], column_or_row)
    return [column_or_row]


# before "specialize" (2), which then cleans up the DimShuffles
optdb.register(TAG, dfs_rewriter(lean_products), position=1.9)
