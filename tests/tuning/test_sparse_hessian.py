"""Hessians from few products: every entry is that of the matrix, and a wrong pattern is noticed."""

import numpy as np
import pytest

from pymc_sgld.model_graph import BlockFunction
from pymc_sgld.tuning import local_gaussian
from pymc_sgld.tuning.row_scores import gram, lean, pattern, pieces
from pymc_sgld.tuning.sparse_hessian import agrees, coloured, minus_hessian

RNG = np.random.default_rng(0)


def arrow(blocks, size, border):
    """Blocks along the diagonal, and parameters that go with all others."""
    inside = np.kron(np.eye(blocks), np.ones((size, size)))
    across = np.ones((blocks * size, border))
    return np.block([[inside, across], [across.T, np.ones((border, border))]]) > 0


def crossed(first, second):
    across = np.ones((first, second))
    return np.block([[np.eye(first), across], [across.T, np.eye(second)]]) > 0


@pytest.mark.parametrize(
    ("wanted", "products"),
    [
        (np.eye(30) > 0, 1),
        (arrow(60, 1, 3), 4),
        (arrow(20, 2, 1), 3),
        (crossed(50, 12), 13),
        (np.ones((20, 20)) > 0, 20),
        (RNG.random((60, 60)) < 0.02, None),
    ],
)
def test_a_matrix_is_read_from_few_products(wanted, products):
    order = RNG.permutation(len(wanted))
    wanted = (wanted | wanted.T | np.eye(len(wanted), dtype=bool))[np.ix_(order, order)]
    matrix = RNG.normal(size=wanted.shape)
    matrix = np.where(wanted, matrix + matrix.T, 0.0)
    position, sizes = RNG.normal(size=len(matrix)), RNG.uniform(0.5, 1, len(matrix))
    colouring = coloured(wanted)
    assert products in (None, colouring.n_products) and colouring.n_products <= len(matrix)

    def gradient(at):
        return -matrix @ at

    found = minus_hessian(gradient, position, sizes, colouring)
    np.testing.assert_allclose(found, matrix, atol=1e-12)
    assert agrees(found, gradient, position, sizes, RNG)


def test_a_pattern_that_lacks_entries_is_noticed():
    matrix = np.eye(40) + 0.2
    sizes = np.full(40, 0.1)
    colouring = coloured(np.eye(40) > 0)
    found = minus_hessian(lambda at: -matrix @ at, np.zeros(40), sizes, colouring)
    assert not agrees(found, lambda at: -matrix @ at, np.zeros(40), sizes, RNG)


def test_a_few_cells_that_no_sampled_row_is_in_are_noticed():
    """Two crossed factors of 50 and 12 levels; a sample of the rows misses 4 of the 600 cells."""
    weights = RNG.poisson(100, size=(50, 12)).astype(float)
    matrix = np.block([[np.diag(weights.sum(1)), weights], [weights.T, np.diag(weights.sum(0))]])
    seen = matrix > 0
    for first, second in zip(RNG.integers(0, 50, 4), RNG.integers(0, 12, 4), strict=True):
        seen[first, 50 + second] = seen[50 + second, first] = False
    sizes = 1e-3 / np.sqrt(np.diag(matrix))

    def gradient(at):
        return -matrix @ at

    for pattern_known, right in ((matrix > 0, True), (seen, False)):
        found = minus_hessian(gradient, np.zeros(62), sizes, coloured(pattern_known))
        assert agrees(found, gradient, np.zeros(62), sizes, np.random.default_rng(3)) == right


def test_products_of_sparse_scores_are_those_of_whole_ones():
    scores = np.where(RNG.random((200, 50)) < 0.03, RNG.normal(size=(200, 50)), 0.0)
    whole = RNG.normal(size=(200, 50))
    assert not isinstance(lean(scores), np.ndarray) and isinstance(lean(whole), np.ndarray)
    for one in (scores, whole):
        np.testing.assert_allclose(gram(lean(one)), one.T @ one, atol=1e-12)
        touched = (one != 0).astype(int)
        np.testing.assert_array_equal(pattern(lean(one)), touched.T @ touched > 0)
    rows = np.arange(10_000)
    assert np.concatenate(list(pieces(rows, 5000))).tolist() == rows.tolist()
    assert max(map(len, pieces(rows, 5000))) < 1000


def test_groups_that_a_sample_misses_have_their_curvature():
    """300 groups of 1 to 40 rows, of which a sample misses some; in closed form."""
    rng = np.random.default_rng(1)
    group = np.repeat(np.arange(300), np.linspace(1, 40, 300).round().astype(int))
    x = rng.normal(size=len(group))

    def value_and_gradient(position, prior_weight, weight, group, x):
        away = (x - position[group] - position[-1] * x) / 4
        slope = np.append(np.bincount(group, away, 300), x @ away)
        return -2 * away @ away, weight * slope - 2 * prior_weight * position

    of_columns = {"array_groups": (0, 0), "names": ("group", "x"), "dtypes": ("int64", "float64")}
    function = BlockFunction(
        value_and_gradient, (group, x), total_sizes=(len(x),), dtype="float64", **of_columns
    )
    design = np.zeros((len(group), 301))
    design[np.arange(len(group)), group] = 1
    design[:, -1] = x
    precision = design.T @ design / 4 + 2 * np.eye(301)
    picture = local_gaussian(function, np.zeros(301), rng)
    np.testing.assert_allclose(picture.precision, precision, rtol=1e-5, atol=1e-6)
    assert picture.data_passes < 10  # by differences of all parameters: 600
