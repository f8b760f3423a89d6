"""Range and sign of an expression: each says less than it could rather than more."""

import numpy as np
import pytensor.tensor as pt
import pytest

from pymc_sgld.model_graph.rewrite.evaluator import Evaluator
from pymc_sgld.model_graph.rewrite.ranges import always_true, range_of, surely_nonzero

X = pt.vector("x", shape=(3,))
EVALUATOR = Evaluator({X: np.zeros(3)})
DATA = pt.constant(np.array([1.0, 2.0, 3.0]))


# expression, whether its range is above zero, whether its sign is known
EXPRESSIONS = {
    "a parameter": (X, False, False),
    "exp": (pt.exp(X), True, True),
    "root of exp": (pt.sqrt(pt.exp(X)), True, True),
    "exp with another sign": (-pt.exp(X), False, True),
    "square": (pt.sqr(X), False, False),
    "hyperbolic cosine": (pt.cosh(X), False, True),
    "data": (DATA, True, True),
    "data with a zero": (DATA - DATA[0], False, False),
    "a sum with a number": (pt.sqr(X) + 1.0, True, False),
    "a positive sum": (pt.exp(X).sum(), True, False),
    "a difference": (pt.exp(X) - pt.exp(-X), False, False),
    "part of exp": (pt.exp(X)[1:], True, True),
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_what_is_known(name):
    var, positive, nonzero = EXPRESSIONS[name]
    assert range_of(var, EVALUATOR).is_positive == positive
    assert surely_nonzero(var) == nonzero
    assert always_true(pt.gt(var, 0.0), EVALUATOR) == positive
