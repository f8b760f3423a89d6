"""The reference of two crossed groupings against dense matrices."""

import numpy as np

from scipy import stats

from models.evidence.crossed import Crossed

ROWS, FIRST, SECOND, SCALES, MEAN = 40, 5, 3, (1.0, 0.7, 2.0), 3.0


def small():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, FIRST - 1, ROWS), rng.integers(0, SECOND, ROWS)  # one without rows
    y = MEAN + rng.normal(size=FIRST)[a] + rng.normal(size=SECOND)[b] + rng.normal(size=ROWS)
    design = np.column_stack([np.ones(ROWS), np.eye(FIRST)[a], np.eye(SECOND)[b]])
    return y, a, b, design


def test_density_and_moments_given_scales_are_those_of_dense_matrices():
    y, a, b, design = small()
    crossed = Crossed(y, a, b, (FIRST, SECOND), MEAN, SCALES)
    gaps = []
    for logs in np.log([[0.4, 0.6, 1.1], [1.3, 0.2, 0.8]]):
        tau_a, tau_b, s = np.exp(logs)
        unit = np.r_[1.0, np.full(FIRST, tau_a), np.full(SECOND, tau_b)]
        scaled = design * unit
        marginal = stats.multivariate_normal(
            np.full(ROWS, MEAN), scaled @ scaled.T + s**2 * np.eye(ROWS)
        )
        prior = stats.halfnorm(scale=SCALES).logpdf([tau_a, tau_b, s]).sum() + logs.sum()
        found = crossed.given(logs, moments=True)
        gaps.append(found.logp - marginal.logpdf(y) - prior)
        covariance = np.linalg.inv(scaled.T @ scaled / s**2 + np.eye(design.shape[1]))
        mean = covariance @ scaled.T @ (y - MEAN) / s**2 + np.r_[MEAN, np.zeros(FIRST + SECOND)]
        np.testing.assert_allclose(found.mean, mean, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(found.variance, np.diag(covariance), rtol=1e-9)
    assert abs(gaps[0] - gaps[1]) < 1e-9  # a constant


def test_moments_of_a_level_without_rows_are_those_of_its_prior():
    y, a, b, _ = small()
    found = Crossed(y, a, b, (FIRST, SECOND), MEAN, SCALES).moments()
    level = found.labels.index(f"z_a[{FIRST - 1}]")
    np.testing.assert_allclose([found.mean[level], found.sd[level]], [0, 1], atol=1e-9)
    assert len(found.labels) == len(found.mean) == 4 + FIRST + SECOND
    assert (found.mean_error < 0.1 * found.sd).all()
