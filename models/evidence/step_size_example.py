"""ESS prefers the largest step, the kernel Stein discrepancy does not.

The example of Nemeth and Fearnhead (2021): SGLD on a Gaussian with variances 3 and 1 along axes at
45 degrees, gradients with noise of sd 0.1, for step sizes over four decades.

References
----------
Nemeth, C. and Fearnhead, P. (2021). Stochastic gradient Markov chain Monte Carlo. Journal of the
American Statistical Association 116. https://doi.org/10.1080/01621459.2020.1847120
"""

from collections.abc import Sequence
from typing import Any

import arviz as az
import numpy as np

from rich import box
from rich.console import Console
from rich.table import Table

from pymc_sgld.diagnostics import kernel_stein_discrepancy, score_moments
from pymc_sgld.types import Array

STEPS = 10_000
REPETITIONS = 10
NOISE_SD = 0.1
STEP_SIZES = tuple(np.geomspace(1e-4, 1, 9) / 2)  # theirs, of which ours are half
_KEPT = 1000  # for the discrepancy


def target() -> Array:
    """Return the covariance."""
    turned = np.array([[1.0, -1.0], [1.0, 1.0]]) / np.sqrt(2)
    return np.asarray(turned.T @ np.diag([3.0, 1.0]) @ turned)


def chains(step_size: float, seed: int) -> Array:
    """Return SGLD from exact starts, shape (n_repetitions, n_steps, 2)."""
    rng = np.random.default_rng(seed)
    covariance = target()
    precision = np.linalg.inv(covariance)
    position = rng.multivariate_normal(np.zeros(2), covariance, size=REPETITIONS)
    found = np.empty((REPETITIONS, STEPS, 2))
    for step in range(STEPS):
        gradient = -position @ precision + NOISE_SD * rng.normal(size=position.shape)
        kick = np.sqrt(2 * step_size) * rng.normal(size=position.shape)
        position = position + step_size * gradient + kick
        found[:, step] = position
    return found


def measure(step_size: float, seed: int) -> dict[str, float]:
    """Return ESS, discrepancy and widths, averaged over the repetitions."""
    draws = chains(step_size, seed)
    covariance = target()
    precision = np.linalg.inv(covariance)
    each = [min(az.ess(one[None, :, j], method="mean") for j in range(2)) for one in draws]
    kept = draws[:, :: STEPS // _KEPT]
    stein = [kernel_stein_discrepancy(one, -one @ precision, covariance) for one in kept]
    moments = score_moments(draws, -draws @ precision, covariance)
    return {
        "step_size": step_size,
        "ess": float(np.mean(each)),
        "discrepancy": float(np.mean([one.value for one in stein])),
        "of_exact_draws": float(np.mean([one.of_exact_draws for one in stein])),
        "sd_ratio": float(moments.sd_ratio.max()),
        "true_sd_ratio": float(np.sqrt(np.diag(_settled(step_size)) / np.diag(covariance)).max()),
    }


def _settled(step_size: float) -> Array:
    """Return the covariance the chain settles in, direction by direction."""
    variances, vectors = np.linalg.eigh(target())
    forgotten = step_size / variances
    wide = (2 * step_size + (step_size * NOISE_SD) ** 2) / (1 - (1 - forgotten) ** 2)
    return np.asarray(vectors @ np.diag(wide) @ vectors.T)


def render(rows: Sequence[dict[str, float]]) -> Table:
    """Return the table, a line for each step size."""
    table = Table(box=box.SIMPLE_HEAD, title="ESS and kernel Stein discrepancy by step size")
    for heading in ("h", "ESS", "KSD", "KSD of exact draws", "sd ratio read", "sd ratio true"):
        table.add_column(heading, justify="right")
    best_ess = max(rows, key=lambda row: row["ess"])
    best_stein = min(rows, key=lambda row: row["discrepancy"])
    for row in rows:
        table.add_row(
            f"{row['step_size']:.2g}",
            f"{row['ess']:.0f}" + (" *" if row is best_ess else ""),
            f"{row['discrepancy']:.3f}" + (" *" if row is best_stein else ""),
            f"{row['of_exact_draws']:.3f}",
            f"{row['sd_ratio']:.3f}",
            f"{row['true_sd_ratio']:.3f}",
        )
    return table


def run(seed: int) -> list[dict[str, Any]]:
    """Measure at every step size, print the table, and return its rows."""
    rows = [measure(float(step_size), seed) for step_size in STEP_SIZES]
    Console(width=120).print(render(rows))
    return rows
