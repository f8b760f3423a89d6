"""A preconditioner given as numbers: its law, and what is refused."""

import numpy as np
import pytest
import scipy.linalg

import pymc_sgld as psg

from tests.affine_law import AffineStep


@pytest.mark.parametrize("kind", ["variances", "covariance"])
def test_law_in_parameters(make_step, regression, kind):
    """The covariance solves the Lyapunov equation of h M, with M as it was given."""
    rng = np.random.default_rng(0)
    wrong = rng.normal(size=(3, 3))
    matrix = wrong @ wrong.T / 300 + regression.covariance
    given = np.diag(matrix) if kind == "variances" else matrix
    M = np.diag(given) if kind == "variances" else matrix
    with regression.model():
        step = psg.SGLD(step_size=0.05, preconditioner=given, batch_size=300, verify=False)
    step.chain.restart((1, 2), 0, 1)
    h, temperature = 0.05, 4.0
    _, found = AffineStep(step, h, temperature).stationary()
    L = step.chain.state.metric.matrix()
    decay = np.eye(3) - h * M @ regression.precision
    theory = scipy.linalg.solve_discrete_lyapunov(decay, 2 * h * temperature * M)
    np.testing.assert_allclose(L @ found @ L.T, theory, rtol=1e-8)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (np.ones(2), r"shape \(2,\), but the model has 3 parameters"),
        (np.eye(4), r"shape \(4, 4\), but the model has 3"),
        (np.ones((3, 2)), r"got an? ndarray of shape \(3, 2\)"),
        ([1.0, -1.0, 1.0], "the smallest variance in any direction is -1"),
        (np.ones((3, 3)), "positive definite"),
    ],
)
def test_wrong_shapes_and_signs_are_refused(regression, given, told):
    with pytest.raises(ValueError, match=told), regression.model():
        psg.SGLD(step_size=0.1, preconditioner=given, verify=False)
