"""When the Laplace approximation is enough, and when ADVI has converged.

Run with ``python -m tests.benchmarks.approximations laplace`` or ``... advi``.
"""

import sys

from pathlib import Path
from tempfile import gettempdir

import numpy as np
import pymc as pm

from models.evidence.moments import columns_of
from models.evidence.problems import chosen
from models.evidence.references import reference
from pymc_sgld.comparison.methods import run_laplace, variational

NAMES = "logistic-1e3x20,logistic-1e4x20,logistic-1e5x20,negative-binomial-visits"
DRAWS = 200_000  # of the approximation, so that its own Monte Carlo error is 0.002 sd


def laplace(names=NAMES):
    """Print the errors of the Laplace approximation against importance-weighted draws."""
    folder = Path(gettempdir()) / "approximations"
    for problem in chosen(names):
        known = reference(problem, folder)
        model = problem.build()
        found = run_laplace(model, draws=DRAWS, chains=1, random_seed=0)["posterior"]
        _, draws = columns_of(found.to_dataset(), problem.names_in(model))
        gap = np.abs(draws.mean(axis=(0, 1)) - known.mean) / known.sd
        error = (known.mean_error / known.sd).max()
        ratio = draws.std(axis=(0, 1)) / known.sd
        print(
            f"{problem.name:25} D={len(known.mean):4} mean {gap.max():.3f} (reference's error "
            f"{error:.3f}), sd {ratio.min():.3f} to {ratio.max():.3f}; {known.how}; "
            f"{found.attrs['tune_passes']:.0f} passes",
            flush=True,
        )


class Spoken(variational.Watch):
    """Prints each judgement."""

    def judge(self, approximation):
        super().judge(approximation)
        print(f"  {self.iterations:6} iterations: {self.verdict}", flush=True)


def advi():
    """Print how far ADVI is from the best fit of its family as it goes on."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20_000, 5))
    x[:, 1] += 0.8 * x[:, 0]
    y = rng.binomial(1, 1 / (1 + np.exp(-x @ [1.0, -1.0, 0.5, 0.0, 0.2])))
    with pm.Model() as model:
        slope = pm.Normal("slope", 0, 1, shape=5)
        pm.Bernoulli("y", logit_p=(x * slope).sum(-1), observed=y)
    variational.Watch = Spoken
    for method, size, iterations in (
        ("advi", 512, 50_000),
        ("fullrank_advi", 512, 50_000),
        ("advi", 20_000, 20_000),
    ):
        print(f"{method}, batches of {size:,} rows")
        variational.run_variational(
            model, method=method, batch_size=size, max_iterations=iterations,
            draws=10, chains=1, random_seed=1, progressbar=False,
        )  # fmt: skip


if __name__ == "__main__":
    {"laplace": laplace, "advi": advi}[sys.argv[1]]()
