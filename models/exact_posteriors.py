"""Every sampler of the library held against posteriors that are known exactly.

What it shows: how far each is off, by its name alone, with nothing else given but the batch size.
The posteriors are those of the models ``coin``, ``normal_gamma`` and ``linear_regression``: one
parameter and ten thousand rows, two and 150, twelve that are correlated and 442. For each sampler
and model the table has the largest error of a mean, in the posterior's sds, with the Monte Carlo
error of that mean beside it, and the smallest and largest ratio of a sd to the exact one.

The library promises sds that are at most about 5 % too wide. It does so on a Gaussian picture of
the posterior; the precision of 150 sepals is skewed, and the samplers of low order show it.
"""

from typing import Any

import numpy as np
import pandas as pd

import models
import pymc_sgld as psg

from models._running import Options, Result, parameters

EXACT = {"coin": 100, "normal_gamma": 32, "linear_regression": 64}  # rows of a batch
SKIPPED = ("auto",)  # takes a sampler by itself


def measure(name: str, sampler: str, **options: Any) -> dict[str, float]:
    """Return the errors of a sampler's draws from the posterior of a model."""
    module = models.load(name)
    data = module.load_data()
    if sampler not in ("ula", "mala"):  # on all rows
        options = {"batch_size": EXACT[name], **options}
    with module.build_model(data):
        draws = psg.sample(sampler, **options)
    table = parameters(module, draws, data)
    gap = table["gap in its sds"].abs()
    return {
        "mean error": gap.max(),
        "its Monte Carlo error": float(1 / np.sqrt(table["bulk ESS"].loc[gap.idxmax()])),
        "sd ratio, smallest": table["sd ratio"].min(),
        "sd ratio, largest": table["sd ratio"].max(),
        "smallest ESS": table["bulk ESS"].min(),
    }


def run(options: Options) -> Result:
    """Run every sampler, or that of ``options``, on the three models; see the module."""
    names = [options.sampler] if options.sampler else sorted(set(psg.samplers()) - set(SKIPPED))
    sizes = {
        "draws": options.draws or 2000,
        "tune": options.tune,
        "chains": options.chains or 2,
        "cores": options.cores,
        "random_seed": options.seed,
        "progressbar": False,
        "compute_convergence_checks": False,
    }
    found: dict[str, dict[str, Any]] = {name: {} for name in EXACT}
    pairs = [(name, sampler) for name in EXACT for sampler in names]
    for name, sampler in options.track(pairs, "samplers"):
        found[name][sampler] = measure(name, sampler, **sizes)
    return Result(
        {name: pd.DataFrame(one).T.rename_axis("sampler") for name, one in found.items()},
        notes=[
            "Mean errors are in sds of the posterior, the largest of all parameters; beside it "
            "stands one Monte Carlo standard error of that mean.",
        ],
    )
