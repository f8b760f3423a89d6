"""Kernels of rows leave the law of every row as it is: by identities, and by exact draws."""

import numpy as np
import pytest
import scipy.special
import scipy.stats

from pymc_sgld.samplers.rows import ROW_KERNELS, Places, SliceRows
from pymc_sgld.samplers.rows.hmc import leapfrog
from pymc_sgld.samplers.rows.mala import drift, log_proposal

RNG = np.random.default_rng(1)
SHAPE = 2.5


def gumbel_like(values):
    """Return a skew density, log z of a Gamma variable for each of two latents, one correlated."""
    first, second = values[:, 0], values[:, 1] - 0.5 * values[:, 0]
    log_density = SHAPE * first - np.exp(first) + SHAPE * second - np.exp(second)
    by_first, by_second = SHAPE - np.exp(first), SHAPE - np.exp(second)
    return Places(values, log_density, np.stack([by_first - 0.5 * by_second, by_second], axis=1))


def exact_draws(n_rows):
    logs = np.log(RNG.gamma(SHAPE, size=(n_rows, 2)))
    logs[:, 1] += 0.5 * logs[:, 0]
    return logs


def test_gradient_of_the_density():
    values, small = exact_draws(5), 1e-6
    for j in range(2):
        aside = small * np.eye(2)[j]
        numeric = (
            gumbel_like(values + aside).log_density - gumbel_like(values - aside).log_density
        ) / (2 * small)
        np.testing.assert_allclose(gumbel_like(values).gradient[:, j], numeric, rtol=1e-5)


@pytest.mark.parametrize("name", ROW_KERNELS)
def test_exact_draws_stay_exact(name):
    """Each row by its own scale; 100,000 exact draws are exact draws after five moves.

    Planted once: no density of the proposals in mala's test, a leapfrog step with twice its last
    kick.
    """
    n_rows, generator = 100_000, np.random.default_rng(2)
    scales = np.repeat(generator.choice([0.3, 0.5, 0.8], size=(n_rows, 1)), 2, axis=1)
    at = gumbel_like(exact_draws(n_rows))
    before = at.values.copy()
    for _ in range(5):
        at, acceptance = ROW_KERNELS[name].move(gumbel_like, at, scales, generator)
    assert 0.5 < acceptance.mean() <= 1
    assert np.corrcoef(before[:, 0], at.values[:, 0])[0, 1] < 0.9
    apart = at.values.copy()
    apart[:, 1] -= 0.5 * apart[:, 0]
    cdf = scipy.special.gammainc(SHAPE, np.exp(apart))  # uniform, and independent
    assert all(scipy.stats.kstest(column, "uniform").pvalue > 1e-3 for column in cdf.T)
    assert abs(np.corrcoef(cdf.T)[0, 1]) < 4 / np.sqrt(n_rows)
    for scale in np.unique(scales):  # neither does it depend on how long a row's steps are
        of_scale = cdf[scales[:, 0] == scale]
        assert np.abs(of_scale.mean(axis=0) - 0.5).max() < 4 * np.sqrt(1 / 12 / len(of_scale))
    np.testing.assert_allclose(at.log_density, gumbel_like(at.values).log_density)
    np.testing.assert_allclose(at.gradient, gumbel_like(at.values).gradient)


def test_mala_is_in_detailed_balance():
    """p(z) q(z'|z) a(z, z') is symmetric; a is min(1, ratio), so the log ratios are opposite."""
    here, there = gumbel_like(exact_draws(200)), gumbel_like(exact_draws(200))
    scales = RNG.uniform(0.2, 1, size=(200, 2))

    def flow(one, other):
        forth, back = (log_proposal(b.values, a, scales) for a, b in ((one, other), (other, one)))
        ratio = other.log_density - one.log_density + back - forth
        return one.log_density + forth + np.minimum(ratio, 0)

    np.testing.assert_allclose(flow(here, there), flow(there, here))
    normal = RNG.standard_normal((200, 2))
    proposed = drift(here, scales) + scales * normal
    np.testing.assert_allclose(
        log_proposal(proposed, here, scales), scipy.stats.norm.logpdf(normal).sum(axis=1)
        + np.log(2 * np.pi), rtol=1e-10,
    )  # fmt: skip


def test_leapfrog_is_its_own_reverse_and_keeps_volume():
    at, momentum = gumbel_like(exact_draws(50)), RNG.standard_normal((50, 2))
    scales = RNG.uniform(0.1, 0.6, size=(50, 1))
    there, after = leapfrog(gumbel_like, at, momentum, scales, 3)
    back, before = leapfrog(gumbel_like, there, -after, scales, 3)
    np.testing.assert_allclose(back.values, at.values, atol=1e-10)
    np.testing.assert_allclose(before, -momentum, atol=1e-10)
    jacobian, small = np.empty((50, 4, 4)), 1e-6
    for j in range(4):
        ends = []
        for sign in (1, -1):
            aside = sign * small * np.eye(4)[j]
            moved = leapfrog(
                gumbel_like, gumbel_like(at.values + aside[:2]), momentum + aside[2:], scales, 3
            )
            ends.append(np.concatenate([moved[0].values, moved[1]], axis=1))
        jacobian[:, :, j] = (ends[0] - ends[1]) / (2 * small)
    np.testing.assert_allclose(np.linalg.det(jacobian), 1, atol=1e-5)


@pytest.mark.parametrize("name", ROW_KERNELS)
def test_rows_whose_density_ends_stay_within(name):
    def half_line(values):
        inside = values[:, 0] > 0
        value = np.where(inside, -values[:, 0], np.nan)
        return Places(values, value, np.where(inside[:, None], -1.0, np.nan))

    at, generator = half_line(np.full((2000, 1), 0.5)), np.random.default_rng(3)
    for _ in range(30):
        at, _ = ROW_KERNELS[name].move(half_line, at, np.ones((2000, 1)), generator)
    assert (at.values > 0).all()
    assert abs(at.values.mean() - 1) < 0.1


def test_slices_of_two_modes_stay_exact():
    """Intervals that may or may not reach the other mode: their random places and ends count.

    Planted once: an interval that is centred at the row, or half as wide again, and one end that
    may take all the steps. Each moves weight between the modes.
    """
    weights, means, sds = np.array([0.25, 0.75]), np.array([-2.0, 2.0]), np.array([0.4, 1.0])

    def mixture(values):
        parts = scipy.stats.norm.pdf(values, means, sds) * weights
        return Places(values, np.log(parts.sum(axis=1)), np.zeros_like(values))

    n_rows, generator = 100_000, np.random.default_rng(4)
    which = generator.choice(2, p=weights, size=n_rows)
    at = mixture((means[which] + sds[which] * generator.standard_normal(n_rows))[:, None])
    kernel = SliceRows(widest=3)
    for _ in range(4):
        at, _ = kernel.move(mixture, at, np.full((n_rows, 1), 1.3), generator)
    cdf = (scipy.stats.norm.cdf(at.values, means, sds) * weights).sum(axis=1)
    assert scipy.stats.kstest(cdf, "uniform").pvalue > 1e-3
