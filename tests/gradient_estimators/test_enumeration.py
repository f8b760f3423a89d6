"""Every batch a chain can see, enumerated: mean and variance of the gradient, to 1e-10."""

import itertools

import numpy as np
import pytest

from pymc_sgld.tuning import local_gaussian
from tests.targets import gaussian_mean, logistic_model


@pytest.mark.parametrize("batch_size", [1, 3, 7])
def test_windows_of_one_permutation_are_unbiased(make_step, batch_size):
    """The average over all window starts is the full gradient, for any permutation."""
    step = make_step(
        "logistic-small", logistic_model(n_rows=11), step_size=0.1, batch_size=batch_size
    )
    chain = step.chain
    position = np.random.default_rng(0).normal(size=chain.n_dim)
    leaves = chain.windows.arrays(
        batch_size, lambda group: np.random.default_rng(3).permutation(11)
    )
    gradients = [
        chain.block_function.on_blocks(
            position,
            [leaf[start : start + batch_size] for leaf in leaves],
            prior_weight=1,
            weights=[11 / batch_size],
        )[1]
        for start in range(11)
    ]
    full = chain.block_function.full(position)[1]
    np.testing.assert_allclose(np.mean(gradients, axis=0), full, rtol=1e-10, atol=1e-10)


def test_variance_of_batches_without_replacement(make_step):
    """Over all subsets, the covariance of the batch gradient is the one tuning works with."""
    target = gaussian_mean(n_rows=6)
    step = make_step("gaussian-6", target.model(), step_size=0.1, batch_size=2)
    chain = step.chain
    position = np.array([0.3, -1.0])
    gradients = [
        chain.block_function.batch(position, [np.array(rows)])[1]
        for rows in itertools.combinations(range(6), 2)
    ]
    picture = local_gaussian(chain.block_function, position, np.random.default_rng(0))
    expected = picture.gradient_noise(np.array([6]), np.array([2]))
    np.testing.assert_allclose(np.cov(np.transpose(gradients), bias=True), expected, rtol=1e-10)
    full = chain.block_function.full(position)[1]
    np.testing.assert_allclose(np.mean(gradients, axis=0), full, rtol=1e-10)


def test_a_batch_of_all_rows_has_no_noise(make_step):
    target = gaussian_mean(n_rows=6)
    step = make_step("gaussian-6", target.model(), step_size=0.1, batch_size=2)
    picture = local_gaussian(step.chain.block_function, np.zeros(2), np.random.default_rng(0))
    assert (picture.gradient_noise(np.array([6]), np.array([6])) == 0).all()
