r"""Stochastic gradient descent with a constant step, read as Langevin dynamics.

What it shows: descent on batches never stops at the optimum. The noise of the batches keeps it
moving, and what it settles in is a distribution whose width is set by step and batch, not by the
posterior. With H the curvature of the log-posterior and V the covariance of its estimated gradient,
Mandt, Hoffman and Blei (2017) take the steps for an Ornstein-Uhlenbeck process and find the
stationary covariance C from

.. math:: H C + C H = h V .

For the discrete steps :math:`\theta' = \theta + h \hat g`, with noise that is the same everywhere,
it is :math:`C = (I - hH)\, C\, (I - hH) + h^2 V`. The noise of least squares depends on where the
chain is, but its second moments still obey a linear equation, which is exact:

.. math:: C = (I - hH)\, C\, (I - hH)
    + h^2 \Big[V + \frac{N^2}{n} \big(\overline{H_i C H_i} - \bar H C \bar H\big)\Big]

with :math:`H_i` the curvature of a row's log-likelihood, :math:`\bar H` their mean and n rows of N
drawn with replacement. All three are held against draws of the sampler "constant_sgd". The first is
right for small steps; no step is right for all directions of the posterior.

The model is a regression of the progress of diabetes (Efron et al. 2004; scikit-learn) on four
covariates, with the sd of its noise given.

References
----------
.. [1] Mandt, S., Hoffman, M. D. and Blei, D. M. (2017). Stochastic gradient descent as approximate
   Bayesian inference. JMLR 18(134). https://jmlr.org/papers/v18/17-214.html
"""

from dataclasses import dataclass
from typing import Any

import arviz as az
import numpy as np
import pandas as pd
import pymc as pm

from scipy.linalg import solve_continuous_lyapunov

from models import linear_regression
from models._running import Options, Result
from pymc_sgld import sample
from pymc_sgld.types import Array

COMPARED = ("constant_sgd", "sgld", "nuts", "advi")
COVARIATES = ("sex", "bmi", "bp", "s5")
NOISE, PRIOR = 0.72, 3.0  # sds of the outcome's noise, and of a slope before the data
BATCH_SIZE = 10
STEPS = (2.5e-5, 5e-5, 1e-4, 2e-4, 4e-4, 8e-4)


def load_data(rows: int | None = None) -> pd.DataFrame:
    """Return four covariates and the outcome ``progress``, standardised; a row is a patient."""
    return linear_regression.load_data(rows)[[*COVARIATES, "progress"]]


def build_model(data: pd.DataFrame) -> pm.Model:
    """Declare the regression for data as :func:`load_data` returns them."""
    with pm.Model(coords={"covariate": COVARIATES}) as model:
        x = pm.Data("x", data[list(COVARIATES)].to_numpy(), dims=("patient", "covariate"))
        slope = pm.Normal("slope", 0, PRIOR, dims="covariate")
        mean = (x * slope).sum(axis=1)
        pm.Normal("progress", mean, NOISE, observed=data["progress"].to_numpy(), dims="patient")
    return model


@dataclass(frozen=True)
class Quadratic:
    """The log-posterior of the regression, which is quadratic.

    Attributes
    ----------
    design : ndarray, shape (n_rows, n_dim)
    outcome : ndarray, shape (n_rows,)
    """

    design: Array
    outcome: Array

    @property
    def curvature(self) -> Array:
        """H, shape (n_dim, n_dim): the inverse of the posterior's covariance."""
        return self.design.T @ self.design / NOISE**2 + np.eye(self.design.shape[1]) / PRIOR**2

    @property
    def mode(self) -> Array:
        """The mean of the posterior."""
        return np.linalg.solve(self.curvature, self.design.T @ self.outcome / NOISE**2)

    def gradient_noise(self, batch_size: int) -> Array:
        """Return V at the mode, for rows drawn with replacement."""
        residual = self.outcome - self.design @ self.mode
        scores = self.design * residual[:, None] / NOISE**2
        return np.asarray(len(scores) ** 2 / batch_size * np.cov(scores.T, bias=True))

    def of_the_text(self, step_size: float, batch_size: int) -> Array:
        """Return the covariance of Mandt et al., that of a process in continuous time."""
        noise = step_size * self.gradient_noise(batch_size)
        return np.asarray(solve_continuous_lyapunov(self.curvature, noise))

    def of_the_steps(self, step_size: float, batch_size: int, *, everywhere: bool) -> Array:
        """Return the covariance of the discrete steps.

        With ``everywhere`` the noise is taken to be that at the mode wherever the chain is.
        Infinite where the steps are too large for a second moment.
        """
        design, n_rows = self.design / NOISE, len(self.design)
        mean_curvature = design.T @ design / n_rows
        kept = np.eye(design.shape[1]) - step_size * self.curvature
        at_mode = step_size**2 * self.gradient_noise(batch_size)
        covariance = np.zeros_like(kept)
        for _ in range(200_000):
            new = kept @ covariance @ kept.T + at_mode
            if not everywhere:
                weight = np.einsum("ij,jk,ik->i", design, covariance, design)
                rows = (design.T * weight) @ design / n_rows
                spread = rows - mean_curvature @ covariance @ mean_curvature
                new = new + step_size**2 * n_rows**2 / batch_size * spread
            if np.abs(new - covariance).max() < 1e-12 * np.abs(new).max():
                break
            if np.abs(new).max() > 1e9 * np.abs(at_mode).max():
                return np.full_like(new, np.inf)
            covariance = new
        return np.asarray(covariance)


def quadratic(data: pd.DataFrame) -> Quadratic:
    """Return the log-posterior of the data."""
    return Quadratic(data[list(COVARIATES)].to_numpy(), data["progress"].to_numpy())


def simulate(data: pd.DataFrame, step_size: float, batch_size: int, **options: Any) -> Array:
    """Return draws of the slopes, shape (chains, draws, n_dim), after the chain has settled."""
    defaults = {"draws": 4000, "tune": 200, "chains": 2, "cores": 1, "steps_per_draw": 20}
    draws = sample(
        "constant_sgd",
        model=build_model(data),
        step_size=step_size,
        batch_size=batch_size,
        batches="replacement",
        compute_convergence_checks=False,
        check=False,  # it would say at every step size what the experiment is about
        **{**defaults, **options},
    )
    return np.asarray(draws.posterior["slope"].to_numpy())


# -- what ``python -m models run constant_sgd`` prints and draws ------------------------------


def run(options: Options) -> Result:
    """Hold the widths of the draws against the three formulas, for several steps."""
    data = load_data(options.rows)
    exact = quadratic(data)
    posterior = np.linalg.inv(exact.curvature)
    rows = {}
    for step_size in options.track(STEPS, "step sizes"):
        draws = simulate(
            data,
            step_size,
            BATCH_SIZE,
            draws=options.draws or 4000,
            chains=options.chains or 2,
            random_seed=options.seed,
            progressbar=False,
        )
        squares = ((draws - exact.mode) ** 2 / np.diag(posterior)).mean(axis=-1)
        formulas = {
            "of the text": exact.of_the_text(step_size, BATCH_SIZE),
            "of steps, noise as at the mode": exact.of_the_steps(
                step_size, BATCH_SIZE, everywhere=True
            ),
            "of steps, exact": exact.of_the_steps(step_size, BATCH_SIZE, everywhere=False),
        }
        rows[step_size] = {
            "measured": squares.mean(),
            "its error": float(az.mcse(squares)),
            **{key: (np.diag(one) / np.diag(posterior)).mean() for key, one in formulas.items()},
        }
    table = pd.DataFrame(rows).T.rename_axis("step size h")
    return Result(
        {"variance over the posterior's": table},
        {"constant_sgd": figure_of_widths(table)},
        [
            f"Batches of {BATCH_SIZE} of {len(data)} rows; means over the four slopes. The largest "
            f"curvature is {np.linalg.eigvalsh(exact.curvature)[-1]:.0f}."
        ],
    )


def figure_of_widths(table: pd.DataFrame) -> Any:
    """Return the variances against the step size, measured and by the formulas."""
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(5.5, 3.8), layout="constrained")
    steps = table.index.to_numpy()
    axis.errorbar(
        steps, table["measured"], 2 * table["its error"], fmt="o", color="k", markersize=4,
        label="measured",
    )  # fmt: skip
    for name, style in zip(table.columns[2:], ("--", "-.", "-"), strict=True):
        axis.plot(steps, table[name], style, label=f"formula {name}")
    axis.axhline(1, color="0.7", linewidth=0.8)
    axis.annotate(
        "as wide as the posterior", (steps[-1], 1.05), ha="right", color="0.4", fontsize=8
    )
    axis.set(xscale="log", yscale="log", xlabel="step size h")
    axis.set_xticks(steps, [f"{one:g}" for one in steps])
    axis.set_yticks(ticks := [0.5, 1, 2, 5, 10, 20], [f"{one:g}" for one in ticks])
    axis.minorticks_off()
    axis.set_ylabel("variance over that of the posterior")
    axis.legend(frameon=False, fontsize=8)
    return figure
