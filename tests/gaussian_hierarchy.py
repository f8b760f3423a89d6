"""A hierarchy of Gaussians: given the scale everything is in closed form, the scale by a sum."""

from dataclasses import dataclass

import numpy as np
import pymc as pm

# Of smaller scales there are few draws, far away: no sample has their part of the variance.
LEAST_LOG_SCALE = -6.0


@dataclass(frozen=True)
class GaussianHierarchy:
    """y_i ~ N(u[g_i] + x_i b, 1), u_g ~ N(mu, tau), mu and b ~ N(0, 1), tau ~ HalfNormal(1)."""

    group: np.ndarray  # (n_rows,)
    column: np.ndarray  # (n_rows,)
    outcome: np.ndarray  # (n_rows,)
    known_scale: float | None = None

    @property
    def n_groups(self):
        return int(self.group.max()) + 1

    def model(self):
        with pm.Model() as model:
            mu = pm.Normal("mu", 0, 1)
            tau = self.known_scale or pm.HalfNormal("tau", 1)
            u = pm.Normal("u", mu, tau, shape=self.n_groups)
            b = pm.Normal("b", 0, 1)
            pm.Normal("y", u[self.group] + self.column * b, 1, observed=self.outcome)
        return model

    def given_scale(self, scale):
        """Mean and covariance of (mu, u, b), and the log of the density of the data."""
        n = self.n_groups
        design = np.zeros((len(self.group), n + 2))
        design[np.arange(len(self.group)), 1 + self.group] = 1
        design[:, -1] = self.column
        prior = np.eye(n + 2)
        prior[0, 0] += n / scale**2
        prior[0, 1:-1] = prior[1:-1, 0] = -1 / scale**2
        prior[1:-1, 1:-1] = np.eye(n) / scale**2
        precision = prior + design.T @ design
        covariance = np.linalg.inv(precision)
        slope = design.T @ self.outcome
        mean = covariance @ slope
        # the prior's precision has determinant scale**(-2 n)
        evidence = (slope @ mean - np.linalg.slogdet(precision)[1]) / 2 - n * np.log(scale)
        return mean, covariance, evidence

    def posterior(self):
        """Mean and sd of (mu, u, b) and of log tau, clipped from below, by quadrature over it."""
        if self.known_scale:
            mean, covariance, _ = self.given_scale(self.known_scale)
            return mean, np.sqrt(np.diag(covariance)), np.nan, np.nan
        grid = np.linspace(-12, 2, 600)
        found = [self.given_scale(scale) for scale in np.exp(grid)]
        log_weight = np.array([one[2] for one in found]) - np.exp(2 * grid) / 2 + grid
        weight = np.exp(log_weight - log_weight.max())
        weight /= weight.sum()
        means = np.array([one[0] for one in found])
        squares = np.array([np.diag(one[1]) for one in found]) + means**2
        mean = weight @ means
        grid = np.maximum(grid, LEAST_LOG_SCALE)
        log_tau = weight @ grid
        return (
            mean,
            np.sqrt(weight @ squares - mean**2),
            log_tau,
            np.sqrt(weight @ (grid - log_tau) ** 2),
        )


def gaussian_hierarchy(n_groups=8, rows=100, scale=0.1, known_scale=None, seed=0):
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(n_groups), rows)
    column = rng.normal(size=len(group))
    effects = 0.5 + scale * rng.normal(size=n_groups)
    outcome = effects[group] - 0.3 * column + rng.normal(size=len(group))
    return GaussianHierarchy(group, column, outcome, known_scale)
