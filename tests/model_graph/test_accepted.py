import numpy as np
import pytest

from pytensor.compile.sharedvalue import SharedVariable
from pytensor.graph.basic import Constant
from pytensor.graph.traversal import ancestors
from pytensor.tensor.random.op import RandomVariable

from pymc_sgld.chain.backends import sampling_mode
from pymc_sgld.model_graph import verify
from tests.model_graph import (  # the modules fill ACCEPTED
    accepted_coincident,
    accepted_special,  # noqa: F401
    accepted_structure,  # noqa: F401
)
from tests.model_graph.accepted_models import ACCEPTED

# Compiled with a backend that samples too; the others run on the Python linker only. A categorical
# likelihood takes numba most of a minute.
ON_NUMBA = [
    "group_intercepts_non_centred",
    "sparse_design",
    pytest.param("categorical_p", marks=pytest.mark.slow),
]


@pytest.mark.parametrize("name", ACCEPTED)
def test_value_and_gradient_by_rows_are_the_models_own(name, split, python_mode):
    # Random points, a random permutation of the rows, cut into three unequal parts.
    assert verify(split(name), python_mode, rng=np.random.default_rng(1)) < 1e-10


@pytest.mark.parametrize("name", ON_NUMBA)
def test_identity_holds_on_numba(name, split):
    assert verify(split(name), sampling_mode(), rng=np.random.default_rng(2)) < 1e-12


# Those of accepted_coincident hold arrays that are as long as the data by chance.
@pytest.mark.parametrize(
    "name", [n for n, make in ACCEPTED.items() if make.__module__ != accepted_coincident.__name__]
)
def test_terms_hold_no_array_as_long_as_the_data(name, split):
    row_model = split(name)
    lengths = {group.total_size for group in row_model.groups}
    arrays = [
        var
        for var in ancestors([term.logp for term in row_model.terms])
        if isinstance(var, Constant | SharedVariable) and hasattr(var.type, "shape")
    ]
    shapes = [
        np.shape(v.data if isinstance(v, Constant) else v.get_value(borrow=True)) for v in arrays
    ]
    assert not [shape for shape in shapes if lengths.intersection(shape)]


@pytest.mark.parametrize("name", ["missing_values", "missing_values_two_dimensional"])
def test_the_prior_of_missing_values_reads_their_rows_only(name, split):
    # In PyMC's graph the predictor is evaluated for all 60 rows, then three are picked.
    constants = [v for v in ancestors([split(name).prior]) if isinstance(v, Constant)]
    assert max(np.size(v.data) for v in constants if np.shape(v.data)) < 60


@pytest.mark.parametrize("name", ACCEPTED)
def test_terms_are_functions_of_position_and_blocks_alone(name, split):
    row_model = split(name)
    graph = list(ancestors([row_model.prior, *(term.logp for term in row_model.terms)]))
    free = {v for v in graph if v.owner is None and not isinstance(v, Constant | SharedVariable)}
    assert free <= {row_model.position, *(leaf.block for leaf in row_model.leaves)}
    assert not [v for v in graph if v.owner and isinstance(v.owner.op, RandomVariable)]
    assert all(leaf.block.type.shape[0] is None for leaf in row_model.leaves)
    assert all(term.logp.type.ndim == 1 for term in row_model.terms)
    assert row_model.prior.type.ndim == 0


@pytest.mark.parametrize("name", ["all_transforms", "two_likelihoods_different_rows"])
def test_unravel_undoes_ravel(name, split):
    row_model = split(name)
    position = np.arange(row_model.n_dim, dtype=float)
    point = row_model.unravel(position)
    assert list(point) == [v.name for v in row_model.model.value_vars]
    assert all(isinstance(value, np.ndarray) for value in point.values())
    np.testing.assert_array_equal(row_model.ravel(point), position)


def test_rows_of_one_dimension_are_shared(split):
    row_model = split("two_likelihoods_same_dim")
    assert [(g.name, g.total_size) for g in row_model.groups] == [("obs", 60)]
    # One block of X for both likelihoods.
    assert sorted(leaf.name for leaf in row_model.leaves) == ["X", "y", "z"]


def test_likelihoods_of_different_length_have_their_own_rows(split):
    row_model = split("two_likelihoods_different_rows")
    assert [(g.name, g.total_size) for g in row_model.groups] == [("rows_60", 60), ("rows_40", 40)]
