"""Small models whose posteriors, gradients and noise are known in closed form."""

from dataclasses import dataclass

import numpy as np
import pymc as pm


@dataclass(frozen=True)
class GaussianMean:
    """y_i ~ N(theta, noise_sd**2 I) with a flat-ish normal prior: every batch has one curvature."""

    rows: np.ndarray  # (n_rows, n_dim)
    noise_sd: float
    prior_sd: float

    def model(self):
        with pm.Model() as model:
            theta = pm.Normal("theta", 0, self.prior_sd, shape=self.rows.shape[1])
            pm.Normal("y", theta, self.noise_sd, observed=self.rows)
        return model

    @property
    def n_rows(self):
        return len(self.rows)

    @property
    def precision(self):
        """Of each coordinate of the posterior; a scalar."""
        return self.n_rows / self.noise_sd**2 + 1 / self.prior_sd**2

    @property
    def mean(self):
        return self.rows.sum(axis=0) / self.noise_sd**2 / self.precision

    def window_gradient(self, order, start, batch_size, theta):
        """The batch gradient of the window of a permutation, written out by hand."""
        chosen = self.rows[order[(start + np.arange(batch_size)) % self.n_rows]]
        scores = (chosen - theta) / self.noise_sd**2
        return self.n_rows / batch_size * scores.sum(axis=0) - theta / self.prior_sd**2


def gaussian_mean(n_rows=12, n_dim=2, seed=0):
    rng = np.random.default_rng(seed)
    return GaussianMean(rng.normal(size=(n_rows, n_dim)) * [1.0, 3.0][:n_dim] + 1, 2.0, 5.0)


@dataclass(frozen=True)
class LinearRegression:
    """y ~ N(X theta, 1), theta ~ N(0, prior_sd**2): Gaussian, with another curvature each batch."""

    design: np.ndarray
    outcome: np.ndarray
    prior_sd: float = 3.0

    def model(self):
        with pm.Model(coords={"feature": range(self.design.shape[1])}) as model:
            X = pm.Data("X", self.design, dims=("row", "feature"))
            theta = pm.Normal("theta", 0, self.prior_sd, dims="feature")
            pm.Normal("y", X @ theta, 1, observed=self.outcome, dims="row")
        return model

    @property
    def precision(self):
        n_dim = self.design.shape[1]
        return self.design.T @ self.design + np.eye(n_dim) / self.prior_sd**2

    @property
    def covariance(self):
        return np.linalg.inv(self.precision)

    @property
    def mean(self):
        return self.covariance @ self.design.T @ self.outcome


def linear_regression(n_rows=300, n_dim=3, seed=1):
    rng = np.random.default_rng(seed)
    design = rng.normal(size=(n_rows, n_dim)) @ rng.normal(size=(n_dim, n_dim))
    design *= np.geomspace(0.3, 5, n_dim)
    return LinearRegression(design, design @ rng.normal(size=n_dim) + rng.normal(size=n_rows))


def logistic_model(n_rows=500, n_dim=4, seed=2):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, n_dim))
    y = rng.random(n_rows) < 1 / (1 + np.exp(-X @ rng.normal(size=n_dim)))
    with pm.Model() as model:
        beta = pm.Normal("beta", 0, 1, shape=n_dim)
        alpha = pm.Normal("alpha", 0, 1)
        pm.Bernoulli("y", logit_p=alpha + X @ beta, observed=y.astype(int))
    return model
