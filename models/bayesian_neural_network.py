r"""A Bayesian neural network on three regressions: predictions with intervals, and honest checks.

What it shows: how networks are declared and sampled, and what of the draws can be trusted. One or
two layers of tanh units, all weights in units of their prior sd, so that the prior is a standard
normal one:

.. math:: f(x) = b_2 + W_2 \tanh(b_1 + W_1 x), \quad W_1 \sim N(0, 1 / d), \;
          W_2 \sim N(0, 1 / 50), \; b \sim N(0, 1), \; \sigma \sim |N(0, 1)|

on standardised inputs and targets. Weights are not identified: units may change places and signs.
Only functions of the inputs are compared and checked, at held-out points.

The step size is ``sqrt(rate / rows)`` for samplers with momentum, with a learning rate per mean
loss that grows with the batch, and the friction keeps nine tenths of the momentum a step. No mode
is looked for: chains start at draws from the prior, and the first quarter of the passes is left
out. Results are in the units of the target.

References
----------
.. [1] Hernandez-Lobato, J. M. and Adams, R. P. (2015). Probabilistic backpropagation for scalable
   learning of Bayesian neural networks. ICML. https://doi.org/10.48550/arXiv.1502.05336
.. [2] Chen, T., Fox, E. B. and Guestrin, C. (2014). Stochastic gradient Hamiltonian Monte Carlo.
   ICML. https://doi.org/10.48550/arXiv.1402.4102
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import arviz as az
import numpy as np
import pandas as pd
import pymc as pm

from scipy import special, stats

import pymc_sgld as psg

from models._datasets import Array, held_out, load, some_rows, standardised
from models._running import Options, Result

VARIABLES = ("prediction", "sigma")
HIDDEN = (50,)
DRAWS = 150  # a chain
CHECKED = 60  # held-out points whose predictions are in the draws
EPOCHS = {"concrete": 1000, "power_plant": 200, "protein": 60}
TARGETS = {"concrete": "strength, MPa", "power_plant": "output, MW", "protein": "deviation, Å"}
MOMENTUM_KEPT = 0.9
RATE, RATE_SGLD, RATE_CYCLES = 0.01, 0.1, 0.03


class Regression(NamedTuple):
    """Standardised data to learn from, and held-out data on the same scale."""

    x: Array
    y: Array
    x_test: Array
    y_test: Array
    target_mean: float
    target_sd: float
    target: str  # its name and unit


def load_data(rows: int | None = None, name: str = "concrete", split: int = 0) -> Regression:
    """Return a data set by one of its standard splits; with ``rows``, by a split of our own.

    Parameters
    ----------
    rows : int, optional
        Rows to learn from and to test on together; a tenth are held out.
    name : {"concrete", "power_plant", "protein"}
    split : int
        Of 20; of 5 for protein.
    """
    arrays = load(name)
    n_rows = len(arrays["y"])
    if rows is None:
        test = np.zeros(n_rows, dtype=bool)
        test[arrays["test_idx"][split]] = True
        kept = np.arange(n_rows)
    else:
        kept = some_rows(n_rows, rows)
        test = held_out(rows, 0.1, split)
    x, y = arrays["X"][kept], arrays["y"][kept]
    columns = (x, x[~test]), (y, y[~test])
    x, y = (standardised(*pair) for pair in columns)
    scale = columns[1][1]
    mean, sd = float(scale.mean()), float(scale.std())
    return Regression(x[~test], y[~test], x[test], y[test], mean, sd, TARGETS[name])


def build_model(data: Regression, hidden: Sequence[int] = HIDDEN) -> pm.Model:
    """Declare a network with layers of so many tanh units."""
    shown = data.x_test[:CHECKED]
    with pm.Model(coords={"test_row": range(len(shown))}) as model:
        x = pm.Data("x", data.x, dims=("row", "column"))
        sizes = [data.x.shape[1], *hidden]
        layers = []
        for number, (fan_in, units) in enumerate(zip(sizes, hidden, strict=False)):
            weights = pm.Normal(f"weights_{number}", 0, 1, shape=(fan_in, units))
            biases = pm.Normal(f"biases_{number}", 0, 1, shape=units)
            layers.append((weights / np.sqrt(fan_in), biases))
        outward = pm.Normal("outward", 0, 1, shape=hidden[-1]) / np.sqrt(hidden[-1])
        level = pm.Normal("level", 0, 1)
        sigma = pm.HalfNormal("sigma", 1)

        def network(at: Any) -> Any:
            for weights, biases in layers:
                at = pm.math.tanh(pm.math.dot(at, weights) + biases)
            return (at * outward).sum(axis=1) + level

        pm.Deterministic("prediction", network(shown), dims="test_row")
        pm.Normal("y", network(x), sigma, observed=data.y, dims="row")
    return model


def settings(method: str, model: pm.Model, n_rows: int, epochs: float) -> dict[str, Any]:
    """Return arguments of :func:`pymc_sgld.sample` for so many passes through the data a chain.

    Parameters
    ----------
    method : {"baoa", "sghmc", "cyclical_sghmc", "sgld"}
    model : pm.Model
    n_rows : int
        Rows to learn from.
    epochs : float
        A quarter of them is the tune phase.
    """
    batch_size = min(32 if n_rows < 5000 else 128 if n_rows < 20_000 else 512, n_rows)
    rate = (RATE_CYCLES if method == "cyclical_sghmc" else RATE) * batch_size / 32
    step_size = np.sqrt(min(rate, 0.1) / n_rows)
    steps = max(round(epochs * 0.75 * n_rows / batch_size / DRAWS), 1)
    own: dict[str, Any] = {
        "sampler": method,
        "batch_size": batch_size,
        "step_size": step_size,
        "steps_per_draw": steps,
        "draws": DRAWS,
        "tune": DRAWS // 3,
        "initvals": {variable.name: "prior" for variable in model.free_RVs},
    }
    if method == "sgld":
        own["step_size"] = RATE_SGLD / n_rows
    elif method == "baoa":
        own["friction"] = -np.log(MOMENTUM_KEPT) / step_size
    else:
        own["friction"] = (1 - MOMENTUM_KEPT) / step_size
    if method == "cyclical_sghmc":
        # half of a cycle's steps explore and give no draw
        own |= {"cycles": 5, "tune": DRAWS // 5, "steps_per_draw": max(steps // 2, 1)}
    return own


def predictions(draws: Any, x: Array) -> tuple[Array, Array]:
    """Return the network's values of shape (n_draws, n_rows) and sigma of shape (n_draws,)."""
    posterior = draws["posterior"].to_dataset().stack(sample=("chain", "draw"))
    at = {name: np.moveaxis(one.to_numpy(), -1, 0) for name, one in posterior.items()}
    n_layers = sum(str(name).startswith("weights_") for name in at)
    values = np.empty((len(at["sigma"]), len(x)))
    for draw in range(len(values)):
        hidden = x
        for layer in range(n_layers):
            weights = at[f"weights_{layer}"][draw] / np.sqrt(hidden.shape[1])
            hidden = np.tanh(hidden @ weights + at[f"biases_{layer}"][draw])
        outward = at["outward"][draw] / np.sqrt(hidden.shape[1])
        values[draw] = hidden @ outward + at["level"][draw]
    return values, at["sigma"]


def scores(values: Array, sigma: Array, data: Regression) -> dict[str, float]:
    """Return RMSE and log-likelihood on held-out rows, in the target's units, and coverage.

    The log-likelihood is the mean logarithm of the mean density over draws; the coverage is that of
    the central 90 % of the predictive distribution.
    """
    error = values.mean(axis=0) - data.y_test
    density = stats.norm.logpdf(data.y_test, values, sigma[:, None])
    logarithm = special.logsumexp(density, axis=0) - np.log(len(sigma)) - np.log(data.target_sd)
    rank = ranks(values, sigma, data)
    return {
        "RMSE": float(np.sqrt(np.mean(error**2)) * data.target_sd),
        "log-likelihood": float(logarithm.mean()),
        "coverage of 90 %": float(np.mean((rank > 0.05) & (rank < 0.95))),
    }


def ranks(values: Array, sigma: Array, data: Regression) -> Array:
    """Return the predictive probability of less than what was observed, shape (n_test,)."""
    return np.asarray(stats.norm.cdf(data.y_test, values, sigma[:, None]).mean(axis=0))


def mixing(draws: Any) -> dict[str, float]:
    """Return R-hat and effective numbers of predictions at held-out points."""
    if draws["posterior"].attrs.get("independent_draws"):
        return {}
    r_hat = az.rhat(draws["posterior"]["prediction"])
    ess = az.ess(draws["posterior"]["prediction"])
    return {
        "R-hat of f, median": float(r_hat.median()),
        "R-hat, max": float(r_hat.max()),
        "ESS of f, median": float(ess.median()),
    }


def point_estimate(model: pm.Model, seed: int) -> Any:
    """Return the mode that is nearest to a draw from the prior, in the form of draws."""
    start = pm.draw(model.free_RVs, random_seed=seed)
    names = [variable.name for variable in model.free_RVs]
    return pm.find_MAP(
        initvals=dict(zip(names, start, strict=True)),
        maxiter=5000,
        jitter=False,
        return_inferencedata=True,
        progressbar=False,
        model=model,
    )


def evaluate(results: dict[str, Any], data: Regression) -> pd.DataFrame:
    """Return a row of figures for each method."""
    rows = {}
    for name, draws in results.items():
        rows[name] = scores(*predictions(draws, data.x_test), data)
        if draws["posterior"].sizes["chain"] > 1:
            rows[name] |= mixing(draws)
            seconds = [draws["posterior"].attrs[f"{phase}_seconds"] for phase in ("tune", "draw")]
            rows[name]["seconds"] = sum(seconds)
        if "data_passes" in draws.get("sample_stats", {}):
            passes = draws["sample_stats"]["data_passes"].sum("draw")
            rows[name]["passes, drawing"] = float(passes.mean())
    return pd.DataFrame.from_dict(rows, orient="index")


def sample_all(
    model: pm.Model,
    n_rows: int,
    epochs: float,
    methods: Sequence[str] = ("sghmc", "cyclical_sghmc", "sgld"),
    seed: int = 1,
    **options: Any,
) -> dict[str, Any]:
    """Return draws of each method, of ADVI, and the point estimate."""
    runs: dict[str, Any] = {name: settings(name, model, n_rows, epochs) for name in methods}
    comparison = psg.compare(
        runs | {"advi": {"draws": DRAWS}},
        model,
        random_seed=seed,
        reference=methods[0],
        var_names=["sigma"],
        elpd=False,
        stein=False,
        **options,
    )
    return comparison.results | {"mode": point_estimate(model, seed)}


def run(options: Options) -> Result:
    """Compare the methods on a split of each of the three data sets."""
    tables: dict[str, pd.DataFrame] = {}
    figures: dict[str, Any] = {}
    for name in options.track(EPOCHS, "data sets"):
        data = load_data(options.rows, name)
        model = build_model(data)
        methods = [options.sampler] if options.sampler else ("sghmc", "cyclical_sghmc", "sgld")
        results = sample_all(
            model,
            len(data.y),
            EPOCHS[name],
            methods,
            options.seed,
            chains=options.chains or 4,
            cores=options.cores,
            progressbar=False,
        )
        tables[name] = evaluate(results, data)
        figures |= {f"{name}_{key}": one for key, one in show_methods(results, data).items()}
    return Result(tables, figures, NOTES)


NOTES = [
    "Predictions are sampled if R-hat of f is at most 1.05 (median) and 1.2 (largest) over chains "
    "that started apart, with 100 effective draws; else they are those of a neighbourhood of what "
    "the chains have found.",
    "Single weights are not identified: no interval of theirs means anything.",
]


def show(draws: Any, data: Regression) -> dict[str, Any]:
    """Return held-out targets against predictions, and the calibration."""
    return show_methods({"draws": draws}, data)


def show_methods(results: dict[str, Any], data: Regression) -> dict[str, Any]:
    """Return predictions of the first method, and the calibration of all, on held-out rows."""
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4.3), layout="constrained")
    first = next(iter(results))
    for name, draws in results.items():
        values, sigma = predictions(draws, data.x_test)
        rank = np.sort(np.abs(2 * ranks(values, sigma, data) - 1))
        right.step(rank, np.arange(1, len(rank) + 1) / len(rank), where="post", label=name)
        if name != first:
            continue
        mean = values.mean(axis=0)
        wide = np.sqrt(values.var(axis=0) + (sigma**2).mean())
        some = slice(None, None, max(len(mean) // 200, 1))
        observed, centre = (data.target_mean + data.target_sd * one for one in (data.y_test, mean))
        bars: dict[str, Any] = {"fmt": "o", "markersize": 3, "linewidth": 0.6, "alpha": 0.8}
        half = 1.645 * wide * data.target_sd
        left.errorbar(centre[some], observed[some], xerr=half[some], **bars)
        ends = [observed.min(), observed.max()]
        left.plot(ends, ends, color="0.4", linewidth=0.8)
    left.set(xlabel=f"predicted {data.target}, 90 % interval", ylabel=f"held-out {data.target}")
    left.set_title(first, fontsize=10)
    right.plot([0, 1], [0, 1], color="0.4", linewidth=0.8)
    right.set(xlabel="central predictive interval", ylabel="share of held-out targets inside")
    right.legend()
    return {"predictions": figure}
