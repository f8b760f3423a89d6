"""Who earns more than 50,000: logistic regression on the Adult data (a9a), learnt in one pass.

The second experiment of Welling and Teh (2011): 32,561 persons, 123 indicators, a Laplace prior of
scale 1 on every coefficient, a random four fifths to learn from, batches of ten persons. SGLD
starts at a draw from the prior. What it shows: predictions are as good as they get within a pass
or two through the data, with no tuning but a schedule of steps; and that this says little about
the posterior, which so few steps do not explore.

The paper does not state its steps. Here they fall from 1e-4 to 3e-6 within ten passes; larger
ones throw the chain far off at the start.

References
----------
.. [1] Welling, M. and Teh, Y. W. (2011). Bayesian learning via stochastic gradient Langevin
   dynamics. ICML, section 5.2. https://dl.acm.org/doi/10.5555/3104482.3104568
"""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pymc as pm
import xarray as xr

from scipy import special

import pymc_sgld as psg

from models._datasets import Array, load, some_rows
from models._running import Options, Result
from pymc_sgld.schedules import polynomial_decay_between

PASSES, DRAWS_A_PASS, RUNS = 10, 40, 5
FIRST_STEP, LAST_STEP = 1e-4, 3e-6
SAMPLING: dict[str, Any] = {"sampler": "auto"}


class Split(NamedTuple):
    """Indicators and outcomes: those to learn from, and those held out."""

    x: Array  # (n_rows, 123)
    y: Array
    x_test: Array
    y_test: Array


def load_data(rows: int | None = None, split: int = 0) -> Split:
    """Return four fifths of the persons to learn from and a fifth held out, at random."""
    arrays = load("adult_income")
    kept = some_rows(len(arrays["y_train"]), rows)
    kept = kept[np.random.default_rng(split).permutation(len(kept))]
    learn, test = np.split(kept, [round(0.8 * len(kept))])
    x, y = arrays["X_train"], arrays["y_train"].astype(int)
    return Split(x[learn].astype(float), y[learn], x[test].astype(float), y[test])


def build_model(data: Split, prior: Any = pm.Laplace) -> pm.Model:
    """Declare the model; the coefficients' prior is of mean 0 and scale 1."""
    with pm.Model(coords={"feature": range(data.x.shape[1])}) as model:
        x = pm.Data("x", data.x, dims=("row", "feature"))
        intercept = prior("intercept", 0, 1)
        slope = prior("slope", 0, 1, dims="feature")
        # as x @ slope, but quicker to compile
        logit = intercept + (x * slope).sum(axis=1)
        pm.Bernoulli("y", logit_p=logit, observed=data.y, dims="row")
    return model


def log_joint(intercept: Array, slope: Array, data: Split) -> Array:
    """Return the log joint density of draws over the number of rows, shape (n_draws,)."""
    signed = (2 * data.y - 1)[:, None] * _logits(intercept, slope, data.x)
    likelihood = -np.logaddexp(0, -signed).sum(axis=0)
    prior = -np.abs(slope).sum(axis=1) - np.abs(intercept) - (slope.shape[1] + 1) * np.log(2)
    return np.asarray((likelihood + prior) / len(data.y))


def accuracies(intercept: Array, slope: Array, data: Split) -> tuple[Array, Array]:
    """Return the share of held-out persons told right: by each draw, by the mean of all so far."""
    logits = _logits(intercept, slope, data.x_test)
    truth = data.y_test[:, None] > 0
    so_far = special.expit(logits).cumsum(axis=1) / np.arange(1, logits.shape[1] + 1)
    return ((logits > 0) == truth).mean(axis=0), ((so_far > 0.5) == truth).mean(axis=0)


def _logits(intercept: Array, slope: Array, x: Array) -> Array:
    return np.asarray(x @ slope.T + intercept)


def learn(data: Split, seed: int, **options: Any) -> tuple[xr.Dataset, Any]:
    """Run SGLD in batches of ten once; return what it has learnt by then, and the draws."""
    steps_per_draw = max(len(data.y) // (10 * DRAWS_A_PASS), 1)
    settings: dict[str, Any] = {
        "sampler": "sgld",
        "batch_size": 10,
        "batches": "independent",
        "step_size": polynomial_decay_between(FIRST_STEP, LAST_STEP),
        "steps_per_draw": steps_per_draw,
        "draws": PASSES * DRAWS_A_PASS,
        "initvals": {"slope": "prior", "intercept": "prior"},
    }
    with build_model(data):
        draws = psg.sample(
            **(settings | options),
            tune=0,
            chains=1,
            cores=1,
            random_seed=seed,
            compute_convergence_checks=False,
        )
    posterior, statistics = draws["posterior"].isel(chain=0), draws["sample_stats"].isel(chain=0)
    intercept, slope = posterior["intercept"].to_numpy(), posterior["slope"].to_numpy()
    accuracy, averaged = accuracies(intercept, slope, data)
    passes = np.arange(1, len(intercept) + 1) * steps_per_draw * 10 / len(data.y)
    inflation = statistics["predicted_sd_inflation"].to_numpy()
    found = {
        "accuracy": accuracy,
        "accuracy of the mean so far": averaged,
        "log joint": log_joint(intercept, slope, data),
        "noise ratio": statistics["gradient_noise_ratio"].to_numpy(),
        "sd inflation": np.where(np.isinf(inflation), np.nan, inflation),  # inf: unstable
    }
    curves = {name: ("passes", values) for name, values in found.items()}
    return xr.Dataset(curves, coords={"passes": passes}), draws


def run(options: Options) -> Result:
    """Learn several times, each time from another split, and hold the last against auto."""
    runs = options.chains or RUNS
    curves = []
    own = {} if options.draws is None else {"draws": options.draws}
    for split in options.track(range(runs), "splits"):
        data = load_data(options.rows, split)
        found, draws = learn(data, options.seed + split, progressbar=False, **own)
        curves.append(found)
    history = xr.concat(curves, dim="run")
    tables = {"held-out accuracy and log joint": milestones(history)}
    with build_model(data):
        right = psg.sample(
            "auto",
            cores=options.cores,
            random_seed=options.seed,
            progressbar=options.progress,
            target_bias=0.05,  # an argument of a sampler: small data are not left to NUTS
        )
    tables["the last half of a run against auto"] = against(draws, right)
    said = [*notes(history), _of_auto(right, data)]
    return Result(tables, {"learning": show_learning(history)}, said, right)


def milestones(history: xr.Dataset) -> pd.DataFrame:
    """Return means and sds over the runs after so many passes."""
    rows = {}
    for passes in (0.25, 0.5, 1, 2, 5, PASSES):
        if passes > float(history["passes"][-1]) * 1.01:
            continue
        at = history.sel(passes=passes, method="nearest")
        rows[f"{passes:g}"] = {
            "accuracy": float(at["accuracy"].mean()),
            "its sd": float(at["accuracy"].std()),
            "of the mean so far": float(at["accuracy of the mean so far"].mean()),
            "log joint / N": float(at["log joint"].mean()),
            "noise ratio": float(at["noise ratio"].mean()),
            "predicted sd inflation": float(at["sd inflation"].mean()),
        }
    table = pd.DataFrame.from_dict(rows, orient="index")
    table.index.name = "passes"
    return table


def against(draws: Any, right: Any) -> pd.DataFrame:
    """Return how the last half of a run differs from draws that are right, over coefficients."""
    middle = draws["posterior"].sizes["draw"] // 2
    late = draws["posterior"]["slope"][:, middle:]
    other = right["posterior"]["slope"]
    mean, sd = (getattr(other, what)(("chain", "draw")) for what in ("mean", "std"))
    gap = np.abs(late.mean(("chain", "draw")) - mean) / sd
    ratio = late.std(("chain", "draw")) / sd
    quantiles = [0.1, 0.5, 0.9]
    return pd.DataFrame(
        {
            "gap of means, in sds of auto": np.quantile(gap, quantiles),
            "sd / sd of auto": np.quantile(ratio, quantiles),
        },
        index=pd.Index(["10 %", "median", "90 %"], name="of the coefficients"),
    )


def notes(history: xr.Dataset) -> list[str]:
    """Return what is to be said of the sampling threshold."""
    ratio = history["noise ratio"].mean("run")
    below = history["passes"].where(ratio < 1, drop=True)
    if below.size:
        return [f"The sampling threshold (a noise ratio of 1) is at {float(below[0]):.1f} passes."]
    needed = LAST_STEP / float(ratio[-1])
    return [
        f"The sampling threshold (a noise ratio of 1, in the stiffest direction) is not reached: "
        f"batches of ten would need a step size of {needed:.1g}, the last is {LAST_STEP:g}."
    ]


def _of_auto(right: Any, data: Split) -> str:
    posterior = right["posterior"].to_dataset().stack(sample=("chain", "draw"))
    slope = posterior["slope"].transpose("sample", "feature").to_numpy()
    _, so_far = accuracies(posterior["intercept"].to_numpy(), slope, data)
    return f"The posterior mean of auto tells {so_far[-1]:.4f} of the last held-out part right."


def show_learning(history: xr.Dataset) -> Any:
    """Return the curves of accuracy, log joint and noise ratio: means and bands of one sd."""
    import matplotlib.pyplot as plt

    figure, panels = plt.subplots(1, 3, figsize=(12, 3.8), layout="constrained")
    passes = history["passes"].to_numpy()
    for panel, name, colour, label in (
        (panels[0], "log joint", "tab:blue", ""),
        (panels[1], "accuracy", "tab:blue", "of each draw"),
        (panels[1], "accuracy of the mean so far", "tab:green", "of the mean so far"),
        (panels[2], "noise ratio", "tab:blue", "noise ratio, stiffest direction"),
        (panels[2], "sd inflation", "tab:green", "predicted excess of an sd"),
    ):
        mean, sd = history[name].mean("run"), history[name].std("run")
        panel.plot(passes, mean, color=colour, label=label, linewidth=1.2)
        panel.fill_between(passes, mean - sd, mean + sd, color=colour, alpha=0.25, linewidth=0)
    panels[0].set(xscale="log", ylabel="log joint density / rows", ylim=(None, 0))
    panels[1].axhline(0.85, color="0.5", linestyle="--", linewidth=0.9, label="0.85")
    panels[1].set(xscale="log", ylabel="held-out accuracy", ylim=(0.65, 0.87))
    panels[2].axhline(1.0, color="tab:red", linestyle="--", linewidth=0.9)
    panels[2].annotate("sampling threshold", (passes[-1], 1.15), ha="right", color="tab:red")
    panels[2].set(yscale="log", ylabel="ratio")
    panels[1].legend(loc="lower right")
    panels[2].legend()
    for panel in panels:
        panel.set_xlabel("passes through the data")
    runs = history.sizes["run"]
    figure.suptitle(f"Mean and one sd over {runs} splits; batches of ten", fontsize=10)
    return figure
