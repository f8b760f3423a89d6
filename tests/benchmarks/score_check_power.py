"""False alarms of the score check, and what it finds, by number of parameters.

    python -m tests.benchmarks.score_check_power [REPETITIONS]

Draws of a Gaussian with correlations .9^|i - j|, four chains, from its own law: a repetition in
which any parameter is called inflated or too narrow is a false alarm. The same draws stretched by
a tenth in one parameter: its being called inflated is power, the mean over all parameters; and in
all parameters: that any is called inflated.
"""

import sys
import time

from typing import NamedTuple

import numpy as np

from pymc_sgld.diagnostics import ScoreMoments, score_moments
from pymc_sgld.posterior.verdicts import FINE, INFLATED, Measured, parameter_verdicts
from pymc_sgld.types import Array

CHAINS, TARGET_BIAS = 4, 0.05
EXCESS = 1.1


class Case(NamedTuple):
    """What is drawn, and how much of it is scored."""

    n_dim: int
    n_draws: int = 250  # of a chain
    kept: float = 0.0  # autocorrelation
    scored: int = 1  # every so many draws


CASES = (
    Case(100),
    Case(100, kept=0.5),
    Case(100, scored=2),
    Case(100, n_draws=1000, scored=10),
    Case(300),
    Case(300, kept=0.5),
    Case(300, scored=2),
    Case(300, n_draws=1000, scored=10),
    Case(1000),
    Case(1000, scored=2),
    Case(1000, n_draws=1000, scored=10),
    Case(1000, n_draws=1000, scored=4),
)


def gaussian_chains(case: Case, generator: np.random.Generator) -> Array:
    """Return stationary chains of the Gaussian, shape (chains, draws, n_dim)."""
    unit = generator.normal(size=(CHAINS, case.n_draws, case.n_dim))
    for t in range(1, case.n_draws):
        unit[:, t] = case.kept * unit[:, t - 1] + np.sqrt(1 - case.kept**2) * unit[:, t]
    apart = np.abs(np.subtract.outer(np.arange(case.n_dim), np.arange(case.n_dim)))
    return np.asarray(unit @ np.linalg.cholesky(0.9**apart).T)


def scores_of(draws: Array) -> Array:
    """Return minus the precision, which is tridiagonal, times the draws."""
    own = np.full(draws.shape[-1], 1 + 0.81)
    own[[0, -1]] = 1.0
    pulled = own * draws
    pulled[..., 1:] -= 0.9 * draws[..., :-1]
    pulled[..., :-1] -= 0.9 * draws[..., 1:]
    return np.asarray(-pulled / (1 - 0.81))


def verdicts_of(moments: ScoreMoments, excess: float = 1.0) -> Array:
    """Return the verdict on each parameter, if it is too wide by a factor and mixes well."""
    n_dim = len(moments.sd_ratio)
    nothing, many = np.zeros(n_dim), np.full(n_dim, 1000.0)
    measured = Measured(
        [f"x[{j}]" for j in range(n_dim)], nothing + 1, many, excess * moments.sd_ratio,
        excess * moments.standard_error, nothing, nothing, nothing, nothing > 0,
        moments.degrees_of_freedom, moments.of_scores,
    )  # fmt: skip
    return np.array(parameter_verdicts(measured, TARGET_BIAS))


def main(repetitions: int) -> None:
    """Print the table."""
    print(
        "parameters | draws | autocorrelation | scores | all fine | standard error | "
        "10 % in one parameter seen | 10 % in all seen | seconds"
    )
    for case in CASES:
        generator = np.random.default_rng(case.n_dim)
        fine, power, error, in_all, started = [], [], [], 0, time.perf_counter()
        for _ in range(repetitions):
            draws = gaussian_chains(case, generator)
            some = draws[:, :: case.scored]
            moments = score_moments(some, scores_of(some), draws=draws)
            fine.append((verdicts_of(moments) == FINE).all())
            wide = verdicts_of(moments, EXCESS) == INFLATED
            power.append(wide.mean())
            in_all += wide.any()
            error.append(np.median(moments.standard_error))
        seconds = (time.perf_counter() - started) / repetitions
        print(
            f"{case.n_dim} | {CHAINS * case.n_draws} | {case.kept} | {CHAINS * some.shape[1]} | "
            f"{sum(fine)} of {repetitions} | {np.mean(error):.3f} | {np.mean(power):.2f} | "
            f"{in_all} of {repetitions} | {seconds:.1f}",
            flush=True,
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
