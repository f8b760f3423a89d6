r"""A coin: Kerrich's ten thousand tosses, with the conjugate prior of their probability.

What it shows: the smallest model of all. With a prior :math:`p \sim \text{Beta}(a, b)` and h heads
in n tosses the posterior is :math:`\text{Beta}(a + h, b + n - h)`, exactly. Nobody needs a sampler
for it, and so every sampler can be held against it.

John Kerrich tossed a coin ten thousand times as an internee in Denmark in the Second World War,
and counted 5,067 heads. The order of the tosses has no part in the model: the heads stand at
random, but always the same, places.

References
----------
.. [1] Kerrich, J. E. (1946). An Experimental Introduction to the Theory of Probability.
   Einar Munksgaard, Copenhagen.
"""

from typing import Any

import numpy as np
import pandas as pd
import pymc as pm

from scipy import stats

from models._datasets import some_rows
from pymc_sgld.types import Array

SAMPLING = {"sampler": "sgld_cv", "batch_size": 128}
COMPARED = ("sgld", "sgld_cv", "baoa", "mala", "nuts", "advi")
TOSSES, HEADS = 10_000, 5_067
PRIOR_HEADS, PRIOR_TAILS = 1.0, 1.0  # a and b: uniform


def load_data(rows: int | None = None) -> Array:
    """Return the tosses: 1 for heads, 0 for tails."""
    tosses = np.random.default_rng(0).permutation(np.arange(TOSSES) < HEADS).astype(int)
    return np.asarray(tosses[some_rows(TOSSES, rows)])


def build_model(data: Array) -> pm.Model:
    """Declare the model for data as :func:`load_data` returns them."""
    with pm.Model(coords={"toss_number": np.arange(len(data))}) as model:
        heads = pm.Beta("heads", PRIOR_HEADS, PRIOR_TAILS)
        pm.Bernoulli("toss", heads, observed=data, dims="toss_number")
    return model


def posterior(data: Array) -> Any:
    """Return the exact posterior, a distribution of SciPy."""
    heads = int(data.sum())
    return stats.beta(PRIOR_HEADS + heads, PRIOR_TAILS + len(data) - heads)


def reference(data: Array) -> pd.DataFrame:
    """Return the exact moments of the posterior."""
    law = posterior(data)
    return pd.DataFrame({"mean": law.mean(), "sd": law.std()}, index=["heads"])


def show(draws: Any, data: Array) -> dict[str, Any]:
    """Return a histogram of the draws under the exact density."""
    import matplotlib.pyplot as plt

    law = posterior(data)
    figure, axis = plt.subplots(figsize=(5, 3.2), layout="constrained")
    axis.hist(
        draws["posterior"]["heads"].to_numpy().ravel(), 40, density=True, color="0.8",
        label="drawn",
    )  # fmt: skip
    line = np.linspace(law.ppf(1e-4), law.ppf(1 - 1e-4), 300)
    axis.plot(line, law.pdf(line), label="exact")
    axis.axvline(0.5, color="0.5", linewidth=0.8, linestyle=":")
    axis.set(xlabel="probability of heads", ylabel="density")
    axis.legend(frameon=False)
    return {"density": figure}
