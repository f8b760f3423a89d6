"""A part of the position that is indexed by a constant of eight bits, as a random walk's first."""

import numpy as np
import pytensor
import pytensor.tensor as pt
import pytest

from pytensor.tensor.subtensor import Subtensor

from pymc_sgld.model_graph.density.modes import strict_mode


@pytest.mark.parametrize("index", [0, -1, 100])
def test_parts_that_end_beyond_127_are_indexed_without_a_failed_rewrite(index, monkeypatch):
    position = pt.vector("position", shape=(200,), dtype="float64")
    part = position[1:151]
    node = Subtensor((0,)).make_node(part, _narrow(index))
    monkeypatch.setattr(pytensor.config, "on_opt_error", "raise")
    function = pytensor.function([position], node.outputs[0], mode=strict_mode("NUMBA"))
    assert function(np.arange(200.0)) == np.arange(1.0, 151.0)[index]


def _narrow(index):
    """Return the index as PyMC's graphs have it."""
    return pytensor.scalar.ScalarConstant(pytensor.scalar.int8, np.int8(index))
