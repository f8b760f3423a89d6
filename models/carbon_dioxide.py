r"""Carbon dioxide at Mauna Loa: a Gaussian process in weight space, and what it says of the future.

What it shows: a Gaussian process over all rows is no product over rows, but its approximations by
basis functions are. With columns :math:`b_k(t)` scaled so that
:math:`\sum_k b_k(t) b_k(t') \approx k(t, t')`,

.. math:: y_i \sim N\big(\textstyle\sum_k w_k b_k(t_i), \sigma^2\big), \qquad w_k \sim N(0, 1)

is a linear model that can be read in batches of weeks. The kernel is a sum of

- a level and a slope, and a smooth departure from them over decades;
- a season of one year, whose amplitude may grow or shrink with time;
- what lasts a year or two.

The smooth parts have two bases: Hilbert space functions (`pm.gp.HSGP`), and random Fourier
features. The kernel's parameters (:data:`KERNEL`) are those that maximise the marginal likelihood
of the exact Gaussian process on every third week before 1990, as :func:`fit_kernel` finds them.
With these fixed the posterior of the weights is normal: :func:`reference` is exact. On some 1,600
weeks the exact Gaussian process is within reach too (scikit-learn), and :func:`tables` holds all of
them against the twelve years after 1990, which none has seen, and against small neural networks.

The data are weekly means from March 1958 to December 2001, in parts per million, in statsmodels.

References
----------
.. [1] Keeling, C. D. and Whorf, T. P. (2004). Atmospheric CO2 concentrations derived from flask air
   samples at sites in the SIO network. Carbon Dioxide Information Analysis Center.
.. [2] Rasmussen, C. E. and Williams, C. K. I. (2006). Gaussian Processes for Machine Learning,
   section 5.4.3. MIT Press. http://gaussianprocess.org/gpml
.. [3] Riutort-Mayol, G. et al. (2023). Practical Hilbert space approximate Bayesian Gaussian
   processes. Statistics and Computing 33. https://doi.org/10.1007/s11222-022-10167-2
.. [4] Rahimi, A. and Recht, B. (2007). Random features for large-scale kernel machines. NeurIPS.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
import pymc as pm

from scipy import special, stats

from models._datasets import some_rows
from pymc_sgld.types import Array

SAMPLING = {"sampler": "baoa", "gradient": "control_variate", "batch_size": 512}
COMPARED = {"baoa": SAMPLING, "nuts": {}, "advi": {}}
FORECAST_FROM = 1990.0
MIDDLE, LEVEL = 1980.0, 340.0  # a year and parts per million, from where both are counted
HARMONICS = 5


@dataclass(frozen=True)
class Kernel:
    """Amplitudes in parts per million, lengths in years."""

    level: float = 60.0
    slope: float = 1.5  # a year
    trend: float = 28.3
    trend_length: float = 40.3
    season: float = 2.66
    season_smoothness: float = 1.22
    season_growth: float = 0.0052  # of the season, a year
    medium: float = 0.545
    medium_length: float = 1.2
    noise: float = 0.376


KERNEL = Kernel()


def load_data(rows: int | None = None) -> pd.DataFrame:
    """Return a row for each week: the time ``year`` and ``co2`` in parts per million."""
    from statsmodels.datasets import co2

    series = co2.load_pandas().data["co2"].dropna()
    year = series.index.year + (series.index.day_of_year - 0.5) / 365.25
    table = pd.DataFrame({"year": np.asarray(year), "co2": series.to_numpy()})
    return table.iloc[some_rows(len(table), rows)].reset_index(drop=True)


def seen(data: pd.DataFrame) -> pd.DataFrame:
    """Return the weeks before the forecast begins: those that the models are told."""
    return data[data["year"] < FORECAST_FROM]


# -- the basis ------------------------------------------------------------------------------


def hilbert_space(years: Array, amplitude: float, length: float) -> Array:
    """Return the columns of a squared-exponential kernel by `pm.gp.HSGP`."""
    reach = max(3.5 * length, 40.0)  # beyond 2012 on one side, and 1950 on the other
    n_columns = int(np.ceil(2.2 * reach / length)) + 4
    kernel = amplitude**2 * pm.gp.cov.ExpQuad(1, ls=length)
    process = pm.gp.HSGP(m=[n_columns], L=[reach], cov_func=kernel)
    process.prior_linearized(np.array([[-1.0], [1.0]]))  # it takes its centre from the first times
    columns, root_density = process.prior_linearized(years[:, None])
    return np.asarray((columns * root_density).eval(mode="FAST_COMPILE"))


def random_features(years: Array, amplitude: float, length: float) -> Array:
    """Return the columns of a squared-exponential kernel by random Fourier features."""
    n_pairs = 20 if length > 10 else 150
    frequencies = np.random.default_rng(0).normal(scale=1 / length, size=n_pairs)
    phase = years[:, None] * frequencies
    return np.asarray(amplitude * np.hstack([np.cos(phase), np.sin(phase)]) / np.sqrt(n_pairs))


Smooth = Callable[[Array, float, float], Array]


def basis(year: Any, smooth: Smooth = hilbert_space, kernel: Kernel | None = None) -> Array:
    """Return all columns at some times, shape (n_times, n_columns); weights are N(0, 1)."""
    kernel = kernel or KERNEL
    years = np.asarray(year, dtype=float) - MIDDLE
    line = np.stack([np.full_like(years, kernel.level), kernel.slope * years], axis=1)
    # the periodic kernel exp(-2 sin^2(pi d) / s^2) as a Fourier series
    order = np.arange(HARMONICS + 1)
    power = special.ive(order, kernel.season_smoothness**-2.0) * np.where(order, 2, 1)
    turns = 2 * np.pi * years[:, None] * order
    waves = np.hstack([np.sqrt(power) * np.cos(turns), np.sqrt(power[1:]) * np.sin(turns[:, 1:])])
    season = kernel.season * np.hstack([waves, kernel.season_growth * years[:, None] * waves])
    trend = smooth(years, kernel.trend, kernel.trend_length)
    medium = smooth(years, kernel.medium, kernel.medium_length)
    return np.hstack([line, season, trend, medium])


def build_model(data: pd.DataFrame, smooth: Smooth = hilbert_space) -> pm.Model:
    """Declare the linear model of the weeks before 1990, on a basis of either kind."""
    told = seen(data)
    columns = basis(told["year"], smooth)
    coords = {"column": np.arange(columns.shape[1]), "week": told.index.to_numpy()}
    with pm.Model(coords=coords) as model:
        b = pm.Data("basis", columns, dims=("week", "column"))
        weight = pm.Normal("weight", 0, 1, dims="column")
        pm.Normal(
            "co2",
            (b * weight).sum(axis=1),
            KERNEL.noise,
            observed=told["co2"].to_numpy() - LEVEL,
            dims="week",
        )
    return model


# -- what is known of the weights, and of the years to come ----------------------------------


def weights(data: pd.DataFrame, smooth: Smooth = hilbert_space) -> tuple[Array, Array]:
    """Return the exact mean and covariance of the weights."""
    told = seen(data)
    columns = basis(told["year"], smooth) / KERNEL.noise
    covariance = np.linalg.inv(columns.T @ columns + np.eye(columns.shape[1]))
    return covariance @ columns.T @ (told["co2"].to_numpy() - LEVEL) / KERNEL.noise, covariance


def reference(data: pd.DataFrame) -> pd.DataFrame:
    """Return the exact moments of the weights."""
    mean, covariance = weights(data)
    names = [f"weight[{number}]" for number in range(len(mean))]
    return pd.DataFrame({"mean": mean, "sd": np.sqrt(np.diag(covariance))}, index=names)


def forecast(mean: Array, covariance: Array, year: Any, smooth: Smooth) -> pd.DataFrame:
    """Return mean and sd of a week's observation, from moments of the weights."""
    columns = basis(year, smooth)
    variance = np.einsum("ij,jk,ik->i", columns, covariance, columns) + KERNEL.noise**2
    return pd.DataFrame({"mean": LEVEL + columns @ mean, "sd": np.sqrt(variance)})


def drawn_forecast(draws: Any, year: Any, smooth: Smooth = hilbert_space) -> pd.DataFrame:
    """Return mean and sd of a week's observation, from draws of the weights."""
    drawn = draws["posterior"]["weight"].to_numpy()
    drawn = drawn.reshape(-1, drawn.shape[-1])
    return forecast(drawn.mean(axis=0), np.cov(drawn.T), year, smooth)


def exact_kernel(kernel: Kernel) -> Any:
    """Return the kernel of scikit-learn that the bases approximate; of years since 1980."""
    from sklearn.gaussian_process import kernels as k

    line = k.ConstantKernel(kernel.slope**2, "fixed") * k.DotProduct(
        kernel.level / kernel.slope, "fixed"
    )
    growing = k.ConstantKernel((kernel.season * kernel.season_growth) ** 2) * k.DotProduct(
        1 / kernel.season_growth, (1e-5, 1e4)
    )
    periodic = k.ExpSineSquared(kernel.season_smoothness, 1.0, periodicity_bounds="fixed")
    trend = k.ConstantKernel(kernel.trend**2) * k.RBF(kernel.trend_length)
    medium = k.ConstantKernel(kernel.medium**2) * k.RBF(kernel.medium_length, "fixed")
    return line + growing * periodic + trend + medium + k.WhiteKernel(kernel.noise**2)


def exact_forecast(data: pd.DataFrame, year: Any) -> pd.DataFrame:
    """Return mean and sd of a week's observation, by the exact Gaussian process."""
    from sklearn.gaussian_process import GaussianProcessRegressor

    told = seen(data)
    process = GaussianProcessRegressor(exact_kernel(KERNEL), alpha=1e-9, optimizer=None)
    process.fit(told[["year"]].to_numpy() - MIDDLE, told["co2"].to_numpy() - LEVEL)
    mean, sd = process.predict(np.asarray(year)[:, None] - MIDDLE, return_std=True)
    return pd.DataFrame({"mean": LEVEL + mean, "sd": sd})


def fit_kernel(data: pd.DataFrame, start: Kernel | None = None) -> Kernel:
    """Maximise the marginal likelihood of every third week before 1990, with scikit-learn.

    What stays as it is: the wide priors of level and slope, and ``medium_length``. Left to itself
    that falls to four months, a noise that takes turns and nothing to forecast by; it is that of
    Rasmussen and Williams.
    """
    from sklearn.gaussian_process import GaussianProcessRegressor

    start = start or KERNEL
    told = seen(data).iloc[::3]
    process = GaussianProcessRegressor(exact_kernel(start), alpha=1e-9)
    process.fit(told[["year"]].to_numpy() - MIDDLE, told["co2"].to_numpy() - LEVEL)
    amplitude, width, smoothness, *others = np.exp(process.kernel_.theta)
    trend, trend_length, medium, noise = others
    return replace(
        start,
        season=float(np.sqrt(amplitude) * width),
        season_growth=float(1 / width),
        season_smoothness=float(smoothness),
        trend=float(np.sqrt(trend)),
        trend_length=float(trend_length),
        medium=float(np.sqrt(medium)),
        noise=float(np.sqrt(noise)),
    )


def network_forecast(data: pd.DataFrame, year: Any, networks: int = 5) -> pd.DataFrame:
    """Return mean and sd of small neural networks that were begun at different weights.

    Two hidden layers of 20 tanh units, told the time and the season; their sd is that between the
    networks, with the residuals' added.
    """
    from sklearn.neural_network import MLPRegressor

    told = seen(data)
    scale = float(told["co2"].std())

    def inputs(times: Any) -> Array:
        """Return the time over 10 years, and sine and cosine of the season."""
        times = np.asarray(times, dtype=float) - MIDDLE
        turn = 2 * np.pi * times
        return np.column_stack([times / 10, np.sin(turn), np.cos(turn)])

    found, residuals = [], []
    for seed in range(networks):
        network = MLPRegressor(
            hidden_layer_sizes=(20, 20),
            activation="tanh",
            solver="lbfgs",
            alpha=1e-3,
            max_iter=2000,
            random_state=seed,
        )
        network.fit(inputs(told["year"]), (told["co2"] - LEVEL) / scale)
        found.append(LEVEL + scale * network.predict(inputs(year)))
        residuals.append(LEVEL + scale * network.predict(inputs(told["year"])) - told["co2"])
    noise = float(np.mean(np.square(residuals)))
    sd = np.sqrt(np.var(found, axis=0, ddof=1) + noise)
    return pd.DataFrame({"mean": np.mean(found, axis=0), "sd": sd})


def forecasts(draws: Any, data: pd.DataFrame, year: Any) -> dict[str, pd.DataFrame]:
    """Return the forecasts of all methods, by name."""
    return {
        "HSGP, drawn": drawn_forecast(draws, year),
        "HSGP, closed form": forecast(*weights(data), year, hilbert_space),
        "random features": forecast(*weights(data, random_features), year, random_features),
        "exact GP": exact_forecast(data, year),
        "neural networks": network_forecast(data, year),
    }


def tables(draws: Any, data: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return how the methods did on the weeks from 1990 on, and how wide their bands are."""
    later = data[data["year"] >= FORECAST_FROM]
    rows = {}
    for name, found in forecasts(draws, data, later["year"]).items():
        error = later["co2"].to_numpy() - found["mean"]
        sd = found["sd"]
        covered = np.abs(error) < stats.norm.ppf(0.95) * sd
        first, last = later["year"] < FORECAST_FROM + 1, later["year"] > later["year"].max() - 1
        rows[name] = {
            "RMSE, ppm": np.sqrt((error**2).mean()),
            "share in the 90 % band": covered.mean(),
            "log density of a week": stats.norm.logpdf(error, 0, sd).mean(),
            "sd in the first year": sd[first.to_numpy()].mean(),
            "sd in the last year": sd[last.to_numpy()].mean(),
        }
    return {"weeks from 1990 on": pd.DataFrame(rows).T}


def show(draws: Any, data: pd.DataFrame) -> dict[str, Any]:
    """Return the forecasts with their 90 % bands over the weeks that were kept back."""
    import matplotlib.pyplot as plt

    year = np.arange(1984, 2012, 1 / 24)
    found = forecasts(draws, data, year)
    told, later = seen(data), data[data["year"] >= FORECAST_FROM]
    figure, axes = plt.subplots(
        2, 2, figsize=(10, 6), sharex=True, sharey=True, layout="constrained"
    )
    chosen = ("HSGP, drawn", "random features", "exact GP", "neural networks")
    for axis, name in zip(axes.ravel(), chosen, strict=True):
        mean, half = found[name]["mean"], stats.norm.ppf(0.95) * found[name]["sd"]
        axis.fill_between(year, mean - half, mean + half, alpha=0.3, label="90 % band")
        axis.plot(year, mean, linewidth=0.8, label="mean")
        axis.plot(told["year"], told["co2"], "k.", markersize=1.5, label="weeks seen")
        axis.plot(later["year"], later["co2"], ".", color="C3", markersize=1.5, label="kept back")
        axis.axvline(FORECAST_FROM, color="0.7", linewidth=0.8)
        axis.set_title(name, fontsize=10)
        axis.set(xlim=(1984, 2012), ylim=(335, 405))
    for axis in axes[:, 0]:
        axis.set_ylabel("CO₂, parts per million")
    for axis in axes[1]:
        axis.set_xlabel("year")
    axes[0, 0].legend(frameon=False, fontsize=8, loc="upper left", markerscale=4)
    return {"forecast": figure}
