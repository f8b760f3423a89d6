"""Factors of sparse precisions against dense algebra."""

import numpy as np
import pytest

from scipy.sparse import csr_array, eye_array, vstack

from pymc_sgld.preconditioners import sparse_factor as module
from pymc_sgld.preconditioners.sparse_factor import (
    EliminatedFactor,
    GeneralFactor,
    elimination,
    general_factor,
    sparse_factor,
)

SEED = 20261127


def crossed(rng, first=60, second=23, rows=400):
    """Two crossed factors and two coefficients: the first is to be eliminated."""
    a, b = rng.integers(0, first, rows), rng.integers(0, second, rows)
    design = np.zeros((rows, first + second + 2))
    design[np.arange(rows), a] = 1
    design[np.arange(rows), first + b] = 1
    design[:, -2:] = rng.normal(size=(rows, 2))
    matrix = design.T @ (rng.gamma(2, size=rows)[:, None] * design) + np.eye(design.shape[1])
    return csr_array(matrix), np.repeat([0, 1, 2], [first, second, 2])


def slopes(rng, groups=40, columns=3):
    """Blocks of correlated effects of each group, unequal in number, and a coefficient."""
    n_dim = groups * columns + 1
    matrix = np.zeros((n_dim, n_dim))
    for group in range(groups):
        mine = group * columns + np.arange(columns if group else 1)
        root = rng.normal(size=(len(mine), len(mine) + 2))
        matrix[np.ix_(mine, mine)] += root @ root.T + np.eye(len(mine))
        matrix[mine, -1] = matrix[-1, mine] = rng.normal(size=len(mine))
    alone = np.flatnonzero(np.diag(matrix) == 0)
    matrix[alone, alone] = 1.0
    matrix[-1, -1] = 1e3
    return csr_array(matrix), np.repeat([0, 1], [groups * columns, 1])


def walk(n_dim=200):
    """A random walk: nothing can be eliminated."""
    step = csr_array(np.diff(np.eye(n_dim), axis=0))
    matrix = csr_array(30 * (step.T @ step) + 0.5 * eye_array(n_dim))
    return matrix, np.zeros(n_dim, dtype=int)


CASES = {
    "crossed": lambda: crossed(np.random.default_rng(SEED)),
    "slopes": lambda: slopes(np.random.default_rng(SEED)),
    "walk": walk,
    "all alone": lambda: (csr_array(np.diag([1.0, 4.0, 9.0])), np.zeros(3, dtype=int)),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("general", [False, True])
def test_factor_is_that_of_dense_algebra(case, general):
    matrix, variable = CASES[case]()
    factor = general_factor(matrix) if general else sparse_factor(matrix, variable)
    dense, n_dim = matrix.toarray(), matrix.shape[0]
    covariance = np.linalg.inv(dense)
    root = np.array([factor.coloured(unit) for unit in np.eye(n_dim)]).T
    vector = np.random.default_rng(1).normal(size=n_dim)
    np.testing.assert_allclose(root @ root.T, covariance, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(factor.solve(vector), covariance @ vector, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(factor.pulled_back(vector), root.T @ vector, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(root @ factor.whitened(vector), vector, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(factor.log_determinant, np.linalg.slogdet(dense)[1], rtol=1e-10)
    np.testing.assert_allclose(factor.inverse_diagonal(), np.diag(covariance), rtol=1e-10)


def test_larger_of_crossed_factors_is_eliminated():
    matrix, variable = CASES["crossed"]()
    chosen = elimination(matrix, variable)
    np.testing.assert_array_equal(chosen.single, np.flatnonzero(variable == 0))
    assert chosen.dense
    assert isinstance(chosen.factor(matrix), EliminatedFactor)


def test_blocks_of_effects_are_eliminated_up_to_a_size():
    rng = np.random.default_rng(SEED)
    for columns, n_eliminated in ((module.LARGEST_BLOCK, 41), (module.LARGEST_BLOCK + 1, 1)):
        matrix, variable = slopes(rng, 5, columns)
        chosen = elimination(matrix, variable)
        assert (len(chosen.single) > 1) == (n_eliminated == 41)


@pytest.mark.parametrize(("size", "dense"), [(0, True), (1, False)])
def test_what_is_left_is_factorised_as_sparse_only_where_large_and_sparse(monkeypatch, size, dense):
    matrix, variable = walk()
    monkeypatch.setattr(module, "ALWAYS_DENSE", matrix.shape[0] - size)
    chosen = elimination(matrix, variable)
    assert chosen.dense == dense
    assert isinstance(chosen.factor(matrix), EliminatedFactor if dense else GeneralFactor)


@pytest.mark.parametrize("dense", [True, False])
def test_large_rest_is_dense_where_it_fills_in(monkeypatch, dense):
    matrix, variable = CASES["crossed"]()
    monkeypatch.setattr(module, "ALWAYS_DENSE", 0)
    chosen = elimination(matrix, variable)
    share = module._filled(matrix, chosen.single, chosen.border)
    monkeypatch.setattr(module, "DENSE_SHARE", share * (0.99 if dense else 1.01))
    assert elimination(matrix, variable).dense == dense


@pytest.mark.parametrize("case", ["crossed", "slopes", "walk"])
@pytest.mark.parametrize("general", [False, True])
def test_matrix_that_is_not_positive_is_refused(case, general):
    matrix, variable = CASES[case]()
    n_dim = matrix.shape[0]
    indefinite = csr_array(
        matrix - 1.2 * np.linalg.eigvalsh(matrix.toarray())[0] * eye_array(n_dim)
    )
    with pytest.raises(np.linalg.LinAlgError):
        general_factor(indefinite) if general else sparse_factor(indefinite, variable)


def test_pattern_serves_other_values():
    matrix, variable = CASES["slopes"]()
    chosen = elimination(matrix, variable)
    other = csr_array(matrix + eye_array(matrix.shape[0]))
    expected = np.linalg.slogdet(other.toarray())[1]
    np.testing.assert_allclose(chosen.factor(other).log_determinant, expected, rtol=1e-12)


def test_rows_that_are_not_square_are_no_matrix():
    with pytest.raises(ValueError, match=r"square|inconsistent|shape|N, N"):
        general_factor(vstack([eye_array(3), eye_array(3)]))
