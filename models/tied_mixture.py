r"""Two Gaussians with tied means: the mixture on which SGLD was first shown, with two modes.

.. math:: \theta_1 \sim N(0, 10), \quad \theta_2 \sim N(0, 1), \quad
          x_i \sim \tfrac12 N(\theta_1, 2) + \tfrac12 N(\theta_1 + \theta_2, 2)

with 100 points made at (0, 1). The points say the same of (1, -1), where the two components have
changed places: often two modes, along a line on which the parameters are strongly correlated.
With two parameters a sum over a grid is the exact posterior.

What it shows: SGLD with batches of one point visits both modes, once its steps have come down to
where the noise it injects exceeds the noise of the batches; before, its draws are too wide. The
steps are those of the paper (its epsilon is twice our step size), 10,000 passes of 100 steps.

References
----------
.. [1] Welling, M. and Teh, Y. W. (2011). Bayesian learning via stochastic gradient Langevin
   dynamics. ICML, section 5.1. https://dl.acm.org/doi/10.5555/3104482.3104568
"""

from typing import Any

import numpy as np
import pandas as pd
import pymc as pm
import xarray as xr

from scipy import special

from models._datasets import Array
from pymc_sgld.schedules import polynomial_decay_between

VARIANCES = 10.0, 1.0  # of the priors of theta1 and theta2
VARIANCE = 2.0  # of a point about the mean of its component
SAMPLING: dict[str, Any] = {
    "sampler": "sgld",
    "batch_size": 1,
    "batches": "independent",
    "step_size": polynomial_decay_between(first=0.005, last=0.000_05, exponent=0.55),
    "steps_per_draw": 100,
    "draws": 10_000,
    "tune": 0,
    "chains": 2,
}
COMPARED: dict[str, Any] = {
    "SGLD, batches of 1": SAMPLING,
    "sgld": {},
    "auto": {},
    "nuts": {},
    "advi": {},
}
REJECTION_STEPS = np.geomspace(1e-8, 1e-2, 13)  # epsilon of the paper
# Of seeds 0 to 99, 35 make points that tell the modes apart (a density 5 % above that between
# them); this is one of those.
_SEED = 3
# Share of the draws that are left out as early: there the steps are large.
_LATE = 0.25


def load_data(rows: int | None = None) -> Array:
    """Make the points: 100, or as many as ``rows`` says."""
    n_rows = 100 if rows is None else rows
    rng = np.random.default_rng(_SEED)
    points: Array = rng.normal(rng.integers(0, 2, n_rows).astype(float), np.sqrt(VARIANCE))
    return points


def build_model(data: Array) -> pm.Model:
    """Declare the model."""
    with pm.Model(coords={"row": range(len(data))}) as model:
        theta1 = pm.Normal("theta1", 0, np.sqrt(VARIANCES[0]))
        theta2 = pm.Normal("theta2", 0, np.sqrt(VARIANCES[1]))
        means = pm.math.stack([theta1, theta1 + theta2])
        half = np.array([0.5, 0.5])
        pm.NormalMixture("y", w=half, mu=means, sigma=np.sqrt(VARIANCE), observed=data, dims="row")
    return model


def grid_posterior(data: Array, points: int = 401) -> xr.DataArray:
    """Return the posterior density on a grid of theta1 and theta2, which it covers."""
    theta1 = np.linspace(-2.5, 3.0, points)
    theta2 = np.linspace(-4.0, 4.0, points)
    theta = np.stack(np.meshgrid(theta1, theta2, indexing="ij"), axis=-1)
    logp: Array = log_prior(theta)
    for row in data:
        logp = logp + log_likelihood(theta, row)
    cell = (theta1[1] - theta1[0]) * (theta2[1] - theta2[0])
    density = np.exp(logp - special.logsumexp(logp)) / cell
    return xr.DataArray(density, coords={"theta1": theta1, "theta2": theta2})


def reference(data: Array) -> pd.DataFrame:
    """Return the moments of both parameters, by sums over the grid."""
    weights = grid_posterior(data)
    weights = weights / weights.sum()
    rows = {}
    for name in ("theta1", "theta2"):
        mean = float((weights * weights[name]).sum())
        variance = float((weights * (weights[name] - mean) ** 2).sum())
        rows[name] = {"mean": mean, "sd": np.sqrt(variance)}
    return pd.DataFrame.from_dict(rows, orient="index")


def log_prior(theta: Array) -> Array:
    """Return the log prior density, without constants, of positions of shape (..., 2)."""
    return np.asarray(-0.5 * (theta**2 / VARIANCES).sum(axis=-1))


def log_likelihood(theta: Array, row: Array) -> Array:
    """Return the log-likelihood of points, without constants, at positions of shape (..., 2)."""
    first, second = _distances(theta, row)
    return np.asarray(np.logaddexp(-(first**2), -(second**2)))


def scores(theta: Array, row: Array) -> Array:
    """Return the gradient of :func:`log_likelihood`, shape (..., 2)."""
    first, second = _distances(theta, row)
    of_second = special.expit(first**2 - second**2)  # probability of the second component
    pull = 2 * second * of_second / np.sqrt(2 * VARIANCE)
    return np.stack([pull + 2 * first * (1 - of_second) / np.sqrt(2 * VARIANCE), pull], axis=-1)


def _distances(theta: Array, row: Array) -> tuple[Array, Array]:
    scale = np.sqrt(2 * VARIANCE)
    return (row - theta[..., 0]) / scale, (row - theta[..., 0] - theta[..., 1]) / scale


def batch_variance(theta: Array, data: Array) -> Array:
    """Return the variance of the gradient estimated from one point, per parameter.

    Positions are of shape (..., 2), and so is the result.
    """
    return np.asarray(len(data) ** 2 * scores(theta[..., None, :], data).var(axis=-2))


def rejection(theta: Array, data: Array, epsilon: float, rng: np.random.Generator) -> float:
    """Return how often a Metropolis test on all points would reject steps with batches of one.

    Parameters
    ----------
    theta : array of shape (n, 2)
        Where the steps begin.
    data : array
    epsilon : float
        Twice the step size.
    rng : Generator

    Returns
    -------
    float
        The mean over ``theta`` of the probability of rejection. The step back, which the test
        weighs the step against, is taken with the same point.
    """
    row = data[rng.integers(len(data), size=len(theta))]
    drift = _estimate(theta, row, len(data))
    step = np.sqrt(epsilon) * rng.standard_normal(theta.shape)
    then = theta + epsilon / 2 * drift + step
    back = theta - then - epsilon / 2 * _estimate(then, row, len(data))
    log_ratio = _log_density(then, data) - _log_density(theta, data)
    log_ratio += ((step**2).sum(axis=-1) - (back**2).sum(axis=-1)) / (2 * epsilon)
    return float(np.mean(-np.expm1(np.minimum(log_ratio, 0))))


def rejection_of_small_steps(theta: Array, data: Array, epsilon: float) -> float:
    r"""Return what :func:`rejection` tends to: :math:`\sqrt{\epsilon / 2\pi}\,E|g - \hat g|`.

    The logarithm of the ratio is the step times the error of the gradient, to first order.
    """
    errors = len(data) * scores(theta[:, None, :], data)
    errors -= errors.mean(axis=1, keepdims=True)
    return float(np.sqrt(epsilon / (2 * np.pi)) * np.linalg.norm(errors, axis=-1).mean())


def _estimate(theta: Array, row: Array, n_rows: int) -> Array:
    return np.asarray(n_rows * scores(theta, row) - theta / VARIANCES)


def _log_density(theta: Array, data: Array) -> Array:
    return np.asarray(log_prior(theta) + log_likelihood(theta[:, None, :], data).sum(axis=1))


def positions(draws: Any, late: bool = True) -> Array:
    """Return the draws, shape (n, 2): the last three quarters of each chain, or all."""
    posterior = draws["posterior"]
    first = round(_LATE * posterior.sizes["draw"]) if late else 0
    kept = [posterior[name].to_numpy()[:, first:].ravel() for name in ("theta1", "theta2")]
    return np.stack(kept, axis=-1)


def tables(draws: Any, data: Array) -> dict[str, pd.DataFrame]:
    """Return moments and the share of a mode, of the late draws and of the grid."""
    late = positions(draws)
    exact = grid_posterior(data)
    nodes = np.stack(np.meshgrid(exact["theta1"], exact["theta2"], indexing="ij"), axis=-1)
    rows = {
        "draws": _summary(late, np.ones(len(late))),
        "grid": _summary(nodes.reshape(-1, 2), exact.to_numpy().ravel()),
    }
    return {"last three quarters of the draws": pd.DataFrame.from_dict(rows, orient="index")}


def _summary(theta: Array, weights: Array) -> dict[str, float]:
    mean = np.average(theta, axis=0, weights=weights)
    covariance = np.cov(theta.T, aweights=weights)
    sd = np.sqrt(np.diag(covariance))
    return {
        "mean theta1": mean[0],
        "mean theta2": mean[1],
        "sd theta1": sd[0],
        "sd theta2": sd[1],
        "correlation": covariance[0, 1] / sd.prod(),
        "P(theta2 > 0)": np.average(theta[:, 1] > 0, weights=weights),
    }


def show(draws: Any, data: Array) -> dict[str, Any]:
    """Return the histogram beside the grid, and the two panels of the paper's figure 2."""
    figures = {"posterior": _show_posterior(draws, data), "rejection": _show_rejection(draws, data)}
    if "batch_size" in draws["sample_stats"]:
        figures["noise"] = _show_noise(draws, data)
    return figures


def _show_posterior(draws: Any, data: Array) -> Any:
    import matplotlib.pyplot as plt

    exact = grid_posterior(data)
    figure, panels = plt.subplots(1, 3, figsize=(11, 3.8), sharex=True, sharey=True)
    figure.set_layout_engine("constrained")
    shades: dict[str, Any] = {"cmap": "Blues", "vmin": 0.0, "vmax": float(exact.max())}
    panels[0].pcolormesh(exact["theta1"], exact["theta2"], exact.T, rasterized=True, **shades)
    panels[0].set_title("exact, on a grid", fontsize=10)
    edges = np.linspace(-2.0, 3.0, 61), np.linspace(-3.5, 3.5, 61)
    for panel, late, title in (
        (panels[1], False, "histogram of all draws"),
        (panels[2], True, "histogram of the last three quarters"),
    ):
        counts, _ = np.histogramdd(positions(draws, late), bins=edges, density=True)
        image = panel.pcolormesh(*edges, counts.T, rasterized=True, **shades)
        panel.set_title(title, fontsize=10)
    for panel in panels:
        levels = exact.max().item() * np.array([0.05, 0.3, 0.7])
        panel.contour(
            exact["theta1"], exact["theta2"], exact.T, levels, colors="0.25", linewidths=0.7
        )
        panel.set(xlabel=r"$\theta_1$", xlim=(-1.5, 2.5), ylim=(-3, 3))
    panels[0].set_ylabel(r"$\theta_2$")
    figure.colorbar(image, ax=panels, label="posterior density; lines: grid")
    return figure


def _show_noise(draws: Any, data: Array) -> Any:
    import matplotlib.pyplot as plt

    posterior, statistics = draws["posterior"].isel(chain=0), draws["sample_stats"].isel(chain=0)
    theta = np.stack([posterior["theta1"], posterior["theta2"]], axis=-1)
    step_size, batch_size = (statistics[name].to_numpy() for name in ("step_size", "batch_size"))
    noise = (step_size**2 / batch_size)[:, None] * batch_variance(theta, data)
    passes = statistics["data_passes"].cumsum().to_numpy()
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    for j, colour in enumerate(("tab:blue", "tab:green")):
        label = rf"noise of the gradient, $\theta_{j + 1}$"
        axes.plot(passes, noise[:, j], ".", markersize=1.5, color=colour, alpha=0.5)
        axes.plot([], [], ".", color=colour, label=label)  # a mark that can be seen
    axes.plot(passes, 2 * step_size, color="tab:red", label="injected noise")
    axes.set(xscale="log", yscale="log", xlabel="passes through the data")
    axes.set_ylabel("variance that a step adds")
    axes.legend()
    return figure


def _show_rejection(draws: Any, data: Array) -> Any:
    import matplotlib.pyplot as plt

    rng = np.random.default_rng(0)
    late = positions(draws)
    theta = late[rng.integers(len(late), size=4000)]
    rates = [rejection(theta, data, epsilon, rng) for epsilon in REJECTION_STEPS]
    slowest = [rejection_of_small_steps(theta, data, epsilon) for epsilon in REJECTION_STEPS]
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    axes.plot(REJECTION_STEPS, rates, "o-", label="steps taken and tested")
    axes.plot(REJECTION_STEPS, slowest, "--", color="0.5", label="limit of small steps")
    axes.set(xscale="log", yscale="log", ylim=(None, 1.5))
    axes.set_xlabel(r"step size of the paper, $\epsilon = 2h$")
    axes.set_ylabel("mean probability of rejection")
    axes.legend()
    return figure
