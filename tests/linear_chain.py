"""How a rule moves on a Gaussian target once it has settled: exact, by directions of curvature."""

import numpy as np

from pymc_sgld.tuning import LinearLaw
from pymc_sgld.tuning.sweep_law import solve_lyapunov


class SettledChain:
    """A rule on N(0, covariance) with the same gradient noise in all directions.

    Parameters
    ----------
    rule : UpdateRule
    covariance : array, shape (n_dim, n_dim)
        Of the target.
    step_size : float
    noise : float
        Variance of the gradient.
    known_noise : float, optional
        What the rule takes out of its injected noise.
    """

    def __init__(self, rule, covariance, step_size, noise, known_noise=None):
        self.variances, self.vectors = np.linalg.eigh(covariance)
        law = LinearLaw(rule)
        self.steps, self.states = [], []
        for variance in self.variances:
            step, injected, kick = law.matrices(step_size, 1 / variance, 1.0, known_noise)
            if np.abs(np.linalg.eigvals(step)).max() >= 1:
                raise ValueError(f"Unstable at step size {step_size}.")
            source = injected @ injected.T + noise * np.outer(kick, kick)
            self.steps.append(step)
            self.states.append(solve_lyapunov(step, step, source))

    @property
    def covariance(self):
        """Of the position, shape (n_dim, n_dim)."""
        return self.vectors @ np.diag([state[0, 0] for state in self.states]) @ self.vectors.T

    @property
    def autocorrelation_times(self):
        """1 + 2 times the sum of all autocorrelations, by coordinate."""
        later = []
        for step, state in zip(self.steps, self.states, strict=True):
            rest = np.eye(len(step)) - step
            later.append(np.linalg.solve(rest, step @ state)[0, 0])
        return 1 + 2 * self.vectors**2 @ later / np.diag(self.covariance)

    def autocovariances(self, n_lags):
        """Of each coordinate at the lags 0, 1, ..., shape (n_lags, n_dim)."""
        by_direction = []
        for step, state in zip(self.steps, self.states, strict=True):
            values, right = np.linalg.eig(step)
            loadings = right[0] * np.linalg.solve(right, state[:, 0])
            by_direction.append((values[None] ** np.arange(n_lags)[:, None] @ loadings).real)
        return np.transpose(by_direction) @ (self.vectors**2).T

    def variance_error(self, n_draws):
        """Root mean square error of each coordinate's variance estimated from a run, mean known."""
        lags = self.autocovariances(n_draws)
        weights = np.where(np.arange(n_draws) == 0, 1, 2) * (1 - np.arange(n_draws) / n_draws)
        sampling = 2 / n_draws * weights @ lags**2
        right = (self.vectors**2) @ self.variances
        return np.sqrt(sampling + (np.diag(self.covariance) - right) ** 2)
