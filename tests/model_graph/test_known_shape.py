"""Shapes that PyTensor asserts are known to compiled code, which does not check them."""

import numpy as np
import pytensor.tensor as pt

from pytensor.tensor.shape import SpecifyShape

from pymc_sgld.model_graph.density.known_shape import KnownShape
from pymc_sgld.model_graph.density.modes import compile_function


def operations(function):
    return [type(node.op) for node in function.maker.fgraph.apply_nodes]


def test_numba_compiles_no_assertion_of_a_shape():
    x = pt.matrix("x")
    y = pt.specify_shape(x, (None, 3)) * 2
    function = compile_function([x], [y, y.sum(axis=1)], mode="NUMBA")
    assert SpecifyShape not in operations(function) and KnownShape in operations(function)
    value = np.arange(6.0).reshape(2, 3)
    found = function(value)
    np.testing.assert_array_equal(found[0], 2 * value)
    np.testing.assert_array_equal(found[1], 2 * value.sum(axis=1))


def test_what_is_changed_in_place_is_not_the_argument():
    """A view, and declared as one: else the argument of the function would be overwritten."""
    x = pt.vector("x")
    y = pt.specify_shape(x, (3,))
    function = compile_function([x], [pt.set_subtensor(y[0], 7.0), x + y], mode="NUMBA")
    value = np.ones(3)
    changed, total = function(value)
    np.testing.assert_array_equal(value, 1)
    np.testing.assert_array_equal(changed, [7, 1, 1])
    np.testing.assert_array_equal(total, 2)


def test_the_python_linker_still_asserts():
    x = pt.matrix("x")
    function = compile_function([x], pt.specify_shape(x, (None, 3)), mode="FAST_COMPILE")
    assert SpecifyShape in operations(function)
