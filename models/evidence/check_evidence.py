"""Whether ``psg.check`` reads the inflation of posterior sds as it is, and R-hat does not.

Plain SGLD on five models, for a grid of step sizes and batch sizes. Four chains are checked; others
of the same setting, eight times as many draws, and exact draws from NUTS, give the truth.
"""

import json
import logging

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import arviz as az
import numpy as np
import pymc as pm

from rich import box
from rich.console import Console
from rich.table import Table

import pymc_sgld as psg

from models.evidence.check_models import MODELS, N_ROWS, gaussian_mean
from pymc_sgld.comparison.files import written_aside
from pymc_sgld.posterior import parameter_labels, posterior_of, unconstrained_positions
from pymc_sgld.types import Array

BATCH_SIZES = (64, 512)
RATIOS = (0.1, 0.4, 1.0)  # of gradient noise to injected noise, about
CHAINS, DRAWS = 4, 1000
_TIMES_FOR_TRUTH = 8
_PRECISION = N_ROWS + 0.01  # of the Gaussian mean, with its prior


def cells(name: str, seed: int) -> Iterator[dict[str, Any]]:
    """Yield a row for each parameter, batch size and step size of a model."""
    model = MODELS[name]()
    labels = parameter_labels(model)
    exact, exact_error = _exact_sds(name, model, seed)
    for batch_size in BATCH_SIZES:
        for ratio in RATIOS:
            # the covariance of a batch's gradient is about N / n posterior precisions
            step_size = round(2 * ratio * batch_size / N_ROWS, 6)
            checked, truth = _runs(model, batch_size, step_size, seed)
            found = psg.check(checked, model)
            sds, errors = _moments(unconstrained_positions(model, posterior_of(truth)))
            true, error = sds / exact, sds / exact * np.hypot(errors / sds, exact_error / exact)
            measured = found.measured
            for j, label in enumerate(labels):
                both = float(np.hypot(error[j], measured.sd_ratio_error[j]))
                yield {
                    "model": name,
                    "batch_size": batch_size,
                    "step_size": step_size,
                    "parameter": label,
                    "measured": float(measured.sd_ratio[j]),
                    "measured_error": float(measured.sd_ratio_error[j]),
                    "true": float(true[j]),
                    "true_error": float(error[j]),
                    "off": float((measured.sd_ratio[j] - true[j]) / both),
                    "r_hat": float(measured.r_hat[j]),
                }


def _runs(model: pm.Model, batch_size: int, step_size: float, seed: int) -> tuple[Any, Any]:
    """Return the draws to check, and those that give the truth: other chains of one run."""
    with model:
        result = psg.sample(
            "sgld",
            DRAWS,
            tune=100,
            chains=CHAINS * (1 + _TIMES_FOR_TRUTH),
            cores=1,
            batch_size=batch_size,
            batches="independent",  # the noise of sweeps adds up to little, and is to be seen
            step_size=step_size,
            preconditioner="dense",
            steps_per_draw=int(np.ceil(1 / step_size)),
            random_seed=seed,
            progressbar=False,
            check=False,
            verify=False,
            compute_convergence_checks=False,
        )
    return result.isel(chain=slice(None, CHAINS)), result.isel(chain=slice(CHAINS, None))


def _exact_sds(name: str, model: pm.Model, seed: int) -> tuple[Array, Array]:
    """Return posterior sds in unconstrained space, and their errors."""
    if MODELS[name] is gaussian_mean:
        return np.full(2, _PRECISION**-0.5), np.zeros(2)
    with model:
        result = pm.sample(
            4000, tune=1000, chains=4, cores=1, nuts_sampler="nutpie", random_seed=seed,
            progressbar=False,
        )  # fmt: skip
    return _moments(unconstrained_positions(model, posterior_of(result)))


def _moments(draws: Array) -> tuple[Array, Array]:
    """Return sds by parameter, and their Monte Carlo errors."""
    error = az.mcse(draws, method="sd", chain_axis=0, draw_axis=1)
    return draws.std(axis=(0, 1)), np.asarray(error)


def render(rows: Sequence[dict[str, Any]]) -> Table:
    """Return the table, a line for each model, batch size and step size."""
    table = Table(box=box.SIMPLE_HEAD, title="Inflation of posterior sds: read and true")
    for heading in ("model", "n", "h", "read", "true", "within 2 SE", "worst", "R-hat"):
        table.add_column(heading, justify="left" if heading == "model" else "right")
    settings = dict.fromkeys((r["model"], r["batch_size"], r["step_size"]) for r in rows)
    for name, batch_size, step_size in settings:
        own = [
            r for r in rows if (r["model"], r["batch_size"], r["step_size"])
            == (name, batch_size, step_size)
        ]  # fmt: skip
        read = np.median([r["measured"] for r in own]) - 1
        error = np.median([r["measured_error"] for r in own])
        worst = max(own, key=lambda r: abs(r["off"]))
        table.add_row(
            name,
            str(batch_size),
            f"{step_size:g}",
            f"{read:+.1%} ± {error:.1%}",
            f"{np.median([r['true'] for r in own]) - 1:+.1%}",
            f"{sum(abs(r['off']) < 2 for r in own)} of {len(own)}",
            f"{worst['off']:+.1f} at {worst['parameter']}",
            f"{max(r['r_hat'] for r in own):.3f}",
        )
    return table


def summary(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return the count of cells within two standard errors, and the others one by one."""
    outside = [row for row in rows if not abs(row["off"]) < 2]
    share = 1 - len(outside) / len(rows)
    lines = [
        f"{len(rows) - len(outside)} of {len(rows)} cells within two standard errors: {share:.0%}"
    ]
    form = (
        "{model}, n={batch_size}, h={step_size:g}, {parameter}: read {measured:.3f} ± "
        "{measured_error:.3f}, true {true:.3f} ± {true_error:.3f}, {off:+.1f} standard errors"
    )
    return lines + [form.format(**row) for row in outside]


def chosen(names: str) -> list[str]:
    """Return the models that a command line names: "all", or names with commas."""
    found = list(MODELS) if names == "all" else names.split(",")
    wrong = [name for name in found if name not in MODELS]
    if wrong:
        raise ValueError(f"There is no model {', '.join(wrong)}. Choose from {', '.join(MODELS)}.")
    return found


def run(seed: int, folder: Path, names: Sequence[str]) -> list[dict[str, Any]]:
    """Run the grid, print table and summary, and write the cells."""
    logging.getLogger("pymc").setLevel(logging.ERROR)
    console = Console(width=140)
    rows: list[dict[str, Any]] = []
    for name in names:
        rows += cells(name, seed)
        console.print(f"{name}: done", highlight=False)
    console.print(render(rows))
    for line in summary(rows):
        console.print(line, markup=False, highlight=False)
    with written_aside(folder / "check.json") as aside:
        aside.write_text(json.dumps(rows, indent=1) + "\n")
    return rows
