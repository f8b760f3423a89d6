"""Curvature, noise and mode against closed forms."""

import numpy as np
import pytest

from pymc_sgld.tuning import find_mode, local_gaussian
from tests.targets import gaussian_mean, linear_regression


@pytest.fixture(scope="module")
def block_function(make_step, regression):
    step = make_step("regression", regression.model(), preconditioner="dense", batch_size=300)
    return step.chain.block_function


@pytest.mark.parametrize("distance", [0.0, 1.0, 100.0])
def test_mode_of_a_linear_regression(block_function, regression, distance):
    rng = np.random.default_rng(0)
    found = find_mode(block_function, distance * rng.normal(size=3), rng)
    sd = np.sqrt(np.diag(regression.covariance))
    assert np.abs((found.position - regression.mean) / sd).max() < 0.05
    assert found.logp == pytest.approx(block_function.full(found.position)[0])


def test_mode_on_more_rows_than_a_sample(make_step, monkeypatch):
    """A sample of 50 of 300 rows is finished on all rows: the mode is that of all rows."""
    from pymc_sgld.tuning import mode_search

    monkeypatch.setattr(mode_search, "ROWS_OF_A_SAMPLE", 50)
    target = linear_regression()
    step = make_step("regression", target.model(), preconditioner="dense", batch_size=300)
    found = find_mode(step.chain.block_function, np.zeros(3), np.random.default_rng(0))
    sd = np.sqrt(np.diag(target.covariance))
    assert np.abs((found.position - target.mean) / sd).max() < 0.05
    assert found.data_passes > 2


def test_precision_of_a_linear_regression(block_function, regression):
    picture = local_gaussian(block_function, regression.mean, np.random.default_rng(0))
    np.testing.assert_allclose(picture.precision, regression.precision, rtol=1e-6)


def test_precision_of_a_model_without_rows():
    """Forty parameters, whose curvature would be taken from the rows if there were any."""
    import pymc as pm

    from pytensor.compile.mode import Mode

    from pymc_sgld.model_graph import row_model

    variances = np.geomspace(0.1, 10, 40)
    with pm.Model() as model:
        x = pm.Flat("x", shape=40)
        pm.Potential("f", -(x**2 / variances).sum() / 2)
    function = row_model(model, rows="auto", allow_no_rows=True).block_function(
        Mode(linker="py", optimizer=None)
    )
    picture = local_gaussian(function, np.zeros(40), np.random.default_rng(0))
    np.testing.assert_allclose(picture.precision, np.diag(1 / variances), rtol=1e-6, atol=1e-8)


def test_row_noise_is_the_covariance_of_the_scores(block_function, regression):
    position = np.array([0.1, -0.4, 0.2])
    picture = local_gaussian(block_function, position, np.random.default_rng(0))
    residual = regression.outcome - regression.design @ position
    scores = residual[:, None] * regression.design
    np.testing.assert_allclose(picture.row_noise[0], np.cov(scores.T, bias=True), rtol=1e-10)


def test_where_the_hessian_is_not_positive_the_scores_serve(make_step):
    """A flat direction has a singular Hessian; the fallback adds a standard normal prior's."""
    import pymc as pm

    from pymc_sgld.step_methods.registry import SGLD

    target = gaussian_mean(n_rows=30)
    with pm.Model():
        theta = pm.Flat("theta", shape=2)
        pm.Normal("y", theta[0] + theta[1], 1, observed=target.rows[:, 0])
        step = SGLD(step_size=0.1, batch_size=5, verify=False)
    picture = local_gaussian(step.chain.block_function, np.zeros(2), np.random.default_rng(0))
    scores = target.rows[:, 0]
    information = 30 * scores.var() * np.ones((2, 2))
    np.testing.assert_allclose(picture.precision, information + np.eye(2), rtol=1e-8)
