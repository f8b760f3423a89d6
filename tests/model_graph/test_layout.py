import numpy as np
import pytensor.tensor as pt

from pymc_sgld.model_graph import Layout

LAYOUT = Layout(("mu", "z", "none", "tau"), ((), (2, 3), (0,), (2,)))
POINT = {
    "tau": np.array([8.0, 9.0]),
    "z": np.arange(1.0, 7.0).reshape(2, 3),
    "none": np.zeros(0),
    "mu": np.array(0.5),
}


def test_a_point_comes_back_from_its_vector():
    vector = LAYOUT.ravel(POINT)
    np.testing.assert_array_equal(vector, [0.5, 1, 2, 3, 4, 5, 6, 8, 9])
    assert LAYOUT.n_dim == 9 and LAYOUT.sizes == (1, 6, 0, 2)
    parts = LAYOUT.split(vector)
    assert list(parts) == list(LAYOUT.names)
    for name, value in POINT.items():
        np.testing.assert_array_equal(parts[name], value)
        assert parts[name].shape == value.shape


def test_a_graph_is_split_as_numbers_are():
    vector = LAYOUT.ravel(POINT)
    for name, part in LAYOUT.split(pt.constant(vector)).items():
        np.testing.assert_array_equal(part.eval(), POINT[name])


def test_entries_are_in_the_order_of_the_vector():
    np.testing.assert_array_equal(LAYOUT.entries(("tau", "mu")), [0, 7, 8])
    assert LAYOUT.entries(()).tolist() == [] == LAYOUT.entries(("none",)).tolist()
