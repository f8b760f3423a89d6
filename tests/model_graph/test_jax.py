"""The identity on JAX: value and gradient by rows are those of the untouched model."""

import warnings

import numpy as np
import pytest

from pymc_sgld.model_graph import RowError, verify
from tests.model_graph import (  # the modules fill ACCEPTED
    accepted_coincident,  # noqa: F401
    accepted_special,  # noqa: F401
    accepted_structure,  # noqa: F401
)
from tests.model_graph.accepted_models import ACCEPTED

pytest.importorskip("jax")

REPRESENTATIVE = [
    "linear_data_dims_deterministic",
    "categorical_logit",
    "group_intercepts_non_centred",
    "missing_values",
    "mvnormal_rows_lkj",
    "autoregression_per_row_two_lags",
    "minibatch_linear",
    "long_format_by_flatten",
]
REFUSED = {
    "sparse_design": (
        "' is sparse, and PyTensor multiplies on JAX by constant sparse matrices only, not by "
        'rows of one. Use backend="numba", or pass the matrix as a dense array.'
    ),
    "repeated_table": "The model has no gradient by rows on JAX (IndexError in PyTensor: ",
}


def identity_error(split):
    with warnings.catch_warnings():
        # Nothing that JAX would skip is left in the graph.
        warnings.filterwarnings("error", message="Skipping")
        # Said of PyMC's own graph, where NUMBA then gives the reference.
        warnings.filterwarnings("ignore", message="Split node does not have constant split")
        return verify(split, "JAX", rng=np.random.default_rng(2))


def compare(split, python_mode):
    # PyMC's own value of an LKJ prior differs on JAX by 5e-10 of it, in single-precision constants.
    assert identity_error(split) < 1e-8
    on_jax, in_python = split.block_function("JAX"), split.block_function(python_mode)
    position = 0.1 * np.random.default_rng(3).normal(size=split.n_dim)
    start = split.ravel(split.model.initial_point(random_seed=0))
    # test_accepted compares the Python linker's with the model.
    found, expected = on_jax.full(start + position), in_python.full(start + position)
    # JAX takes the log gamma function of small integers, a constant here, in single precision.
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-6)
    largest = np.abs(expected[1]).max()
    np.testing.assert_allclose(found[1], expected[1], rtol=0, atol=1e-10 * largest)


@pytest.mark.parametrize("name", REPRESENTATIVE)
def test_identity_holds_on_jax(name, split, python_mode):
    compare(split(name), python_mode)


@pytest.mark.slow
@pytest.mark.parametrize("name", [n for n in ACCEPTED if n not in {*REPRESENTATIVE, *REFUSED}])
def test_identity_of_every_other_model_holds_on_jax(name, split, python_mode):
    compare(split(name), python_mode)


@pytest.mark.parametrize("name", REFUSED)
def test_what_jax_cannot_run_is_refused_with_the_reason(name, split):
    with pytest.raises(RowError) as error:
        identity_error(split(name))
    assert REFUSED[name] in str(error.value)
