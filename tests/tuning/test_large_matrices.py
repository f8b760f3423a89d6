"""What stands in for all eigenvalues of large matrices, against these."""

import numpy as np
import pytest

from pymc_sgld.tuning import large_matrices, row_curvature
from pymc_sgld.tuning.large_matrices import is_above, is_nearly_positive, largest_eigenvector


def with_eigenvalues(values, seed=0):
    normal = np.random.default_rng(seed).standard_normal((len(values), len(values)))
    basis, _ = np.linalg.qr(normal)
    return (basis * values) @ basis.T


@pytest.mark.parametrize(("smallest", "expected"), [(1e-3, True), (1e-12, False), (-0.1, False)])
def test_is_above(smallest, expected):
    assert is_above(with_eigenvalues([smallest, 0.5, 1.0]), 1e-8) == expected


@pytest.mark.parametrize(("smallest", "expected"), [(0.0, True), (-1e-9, True), (-1e-3, False)])
def test_is_nearly_positive(smallest, expected):
    assert is_nearly_positive(with_eigenvalues([smallest, 0.5, 1.0])) == expected


def test_largest_eigenvector_of_many(monkeypatch):
    rng = np.random.default_rng(1)
    factor, noise = rng.standard_normal((30, 30)), with_eigenvalues(np.arange(30.0), 2)
    value, vector = largest_eigenvector(factor, noise)
    monkeypatch.setattr(large_matrices, "MANY", 10)
    by_iterations, other = largest_eigenvector(factor, noise)
    assert by_iterations == pytest.approx(value, rel=1e-4)
    assert abs(other @ vector) == pytest.approx(1, rel=1e-3)


def test_sum_of_sparse_rows_is_that_of_dense_ones():
    rng = np.random.default_rng(3)
    products = np.zeros((5, 2, 40))
    for row in products:
        row[:, rng.choice(40, 3, replace=False)] = rng.standard_normal((2, 3))
    middle = with_eigenvalues([1.0, 2.0]) + np.zeros((5, 2, 2))
    scales = rng.uniform(0.5, 2, 40)
    expected = np.einsum("iad,iab,ibe->de", products, middle, products) / np.outer(scales, scales)
    flat = row_curvature.lean(products.reshape(-1, 40))
    summed = row_curvature._sparse_sum(flat, middle, scales)
    np.testing.assert_allclose(summed.toarray(), expected, atol=1e-12)
