"""Passes an effective draw, of batches that are independent and of reshuffled sweeps.

``python -m tests.benchmarks.sweeps``: logistic and Poisson regressions, plain gradients, every step
size left out, so that each run is held to the same bias, 5 %. Excess sds are against NUTS; their
Monte Carlo error is about 1.5 %. Passes are of the draws alone, without tuning; effective draws are
the fewest of any parameter. Seconds are of drawing, in one process.
"""

import sys

import arviz as az
import numpy as np
import pymc as pm

import pymc_sgld as psg

SAMPLERS = ("sgld", "leimkuhler_matthews", "sghmc", "baoab", "psgld")
SCHEMES = ("independent", "epochs", "symmetric_epochs")
QUIET = {"progressbar": False, "compute_convergence_checks": False, "cores": 1, "chains": 4}
DRAWS = 1000


def models():
    """Return models by name, with the rows of a batch."""
    rng = np.random.default_rng(0)
    for name, n_rows, n_dim, batch in (("logistic", 10**4, 5, 100), ("Poisson", 20_000, 10, 256)):
        X = rng.normal(size=(n_rows, n_dim))
        slopes = X @ rng.normal(0, 0.4, n_dim)
        with pm.Model() as model:
            beta = pm.Normal("beta", 0, 1, shape=n_dim)
            if name == "logistic":
                y = rng.random(n_rows) < 1 / (1 + np.exp(-slopes))
                pm.Bernoulli("y", logit_p=X @ beta, observed=y.astype(int))
            else:
                pm.Poisson("y", pm.math.exp(X @ beta), observed=rng.poisson(np.exp(slopes)))
        yield f"{name}, N={n_rows:,}, D={n_dim}, n={batch}", model, batch


def main(samplers):
    """Print the table."""
    print(
        "model | sampler | batches | step size | predicted excess | excess of sds: mean, largest | "
        "passes of a draw | passes of an effective draw | seconds of 1000 effective draws"
    )
    for name, model, batch in models():
        with model:
            exact = pm.sample(DRAWS, tune=500, random_seed=1, **QUIET)
        right = exact.posterior["beta"].to_numpy().std(axis=(0, 1))
        for sampler in samplers:
            for scheme in SCHEMES:
                idata = psg.sample(
                    sampler, DRAWS, model=model, batch_size=batch, batches=scheme, tune=200,
                    random_seed=2, check=False, **QUIET,
                )  # fmt: skip
                draws, stats = idata.posterior["beta"].to_numpy(), idata.sample_stats
                excess = draws.std(axis=(0, 1)) / right - 1
                effective = float(np.min(az.ess(draws, chain_axis=0, draw_axis=1)))
                passes = float(stats["data_passes"][:, 1:].mean()) * draws[..., 0].size
                seconds = idata.posterior.attrs["draw_seconds"]
                print(
                    f"{name} | {sampler} | {scheme} | {float(stats['step_size'][0, -1]):.3g} | "
                    f"{float(stats['predicted_sd_inflation'][0, -1]):+.1%} | {excess.mean():+.1%} "
                    f"{excess.max():+.1%} | {passes / draws[..., 0].size:.2f} | "
                    f"{passes / effective:.2f} | {seconds / effective * 1000:.1f}",
                    flush=True,
                )


if __name__ == "__main__":
    main(sys.argv[1:] or SAMPLERS)
