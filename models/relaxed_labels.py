r"""Labels of a mixture relaxed to numbers between 0 and 1: what that does to the posterior.

What it shows: why discrete latents are summed out here and not relaxed. The Concrete, or
Gumbel-softmax, distribution puts a smooth variable in the place of a label,

.. math:: z = \operatorname{sigmoid}((\operatorname{logit} p + e) / \lambda), \qquad
          y \mid z \sim N((1 - z) \mu_0 + z \mu_1, 1)

with e a logistic variable and a temperature :math:`\lambda` at which z is nearly 0 or 1. It has
gradients; but it is another model. With many rows its posterior is where its expected log density
under the mixture is largest, and in units of the mixture's posterior that is off by a number that
grows as the root of the number of rows. Both are one-dimensional integrals, worked out here without
drawing anything. The sum over two labels is exact, and costs two densities a row.

References
----------
.. [1] Maddison, C. J., Mnih, A. and Teh, Y. W. (2017). The Concrete distribution: a continuous
   relaxation of discrete random variables. ICLR. https://arxiv.org/abs/1611.00712
.. [2] Jang, E., Gu, S. and Poole, B. (2017). Categorical reparameterization with Gumbel-softmax.
   ICLR. https://arxiv.org/abs/1611.01144
.. [3] White, H. (1982). Maximum likelihood estimation of misspecified models. Econometrica 50,
   1-25. https://doi.org/10.2307/1912526
"""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from scipy import special, stats
from scipy.optimize import minimize

from models._running import Options, Result
from pymc_sgld.types import Array

TEMPERATURES = (1.0, 0.5, 0.25, 0.1, 0.05)
SEPARATIONS = (2.0, 4.0)  # of the components, in their sds
WEIGHT = 0.3  # of the second
NAMES = ("first mean", "second mean", "logit of the weight")
ROWS = 10_000
_OUTCOMES = np.linspace(-7.0, 11.0, 451)
# Logits of a relaxed label; beyond, it is 0 or 1 to a part in ten million.
_LABELS = np.linspace(-16.0, 16.0, 161)


class Components(NamedTuple):
    """Where the two components are, and how likely the second is."""

    first: float
    second: float
    logit: float


def log_exact(outcomes: Array, at: Components) -> Array:
    """Return the log density of outcomes, labels summed out."""
    weight = special.expit(at.logit)
    logs = [stats.norm.logpdf(outcomes, mean) for mean in (at.first, at.second)]
    return np.asarray(np.logaddexp(np.log1p(-weight) + logs[0], np.log(weight) + logs[1]))


def log_relaxed(outcomes: Array, at: Components, temperature: float) -> Array:
    """Return the log density of outcomes, relaxed labels integrated out."""
    # the noise where a label is some way between 0 and 1: a grid that has the law of labels on it
    noise = temperature * _LABELS - at.logit
    weights = stats.logistic.pdf(noise) * temperature * (_LABELS[1] - _LABELS[0])
    weights[[0, -1]] /= 2  # the trapezoidal rule
    mean = at.first + (at.second - at.first) * special.expit(_LABELS)
    below, above = stats.logistic.cdf(noise[0]), stats.logistic.sf(noise[-1])
    density = stats.norm.pdf(outcomes[:, None], mean) @ weights
    density += below * stats.norm.pdf(outcomes, at.first)
    density += above * stats.norm.pdf(outcomes, at.second)
    return np.asarray(np.log(density))


def truth(separation: float) -> Components:
    """Return the components that outcomes are drawn from."""
    return Components(0.0, separation, float(special.logit(WEIGHT)))


def information(at: Components) -> Array:
    """Return the information of one outcome on the components, shape (3, 3)."""
    point, step = np.array(at), 1e-5
    slopes = np.array(
        [
            (log_exact(_OUTCOMES, Components(*(point + one)))
             - log_exact(_OUTCOMES, Components(*(point - one)))) / (2 * step)
            for one in step * np.eye(3)
        ]
    )  # fmt: skip
    density = np.exp(log_exact(_OUTCOMES, at))
    return np.asarray((slopes * density) @ slopes.T * (_OUTCOMES[1] - _OUTCOMES[0]))


def shift(separation: float, temperature: float) -> Array:
    """Return how far the relaxed posterior is off, for one row.

    Returns
    -------
    array, shape (3,)
        In sds that one row would give the exact posterior; of N rows, times the root of N.
    """
    at = truth(separation)
    density = np.exp(log_exact(_OUTCOMES, at))

    sds = np.sqrt(np.diag(np.linalg.inv(information(at))))

    def loss(apart: Array) -> float:
        point = Components(*(np.array(at) + sds * apart))
        return -float(density @ log_relaxed(_OUTCOMES, point, temperature))

    return np.asarray(minimize(loss, np.zeros(3), options={"gtol": 1e-6}).x)


def shifts() -> pd.DataFrame:
    """Return the shift of each parameter at each temperature, at 10,000 rows, in posterior sds."""
    rows = {
        (separation, temperature): np.sqrt(ROWS) * shift(separation, temperature)
        for separation in SEPARATIONS
        for temperature in TEMPERATURES
    }
    table = pd.DataFrame.from_dict(rows, orient="index", columns=list(NAMES))
    table["largest"] = table.abs().max(axis=1)
    table.index = pd.Index([f"{apart:g} sds apart, {t:g}" for apart, t in rows], name="temperature")
    return table


def show() -> dict[str, Any]:
    """Return the density of outcomes with labels summed out, and relaxed at each temperature."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    for axis, separation in zip(axes, SEPARATIONS, strict=True):
        at = truth(separation)
        for number, temperature in enumerate(TEMPERATURES):
            values = np.exp(log_relaxed(_OUTCOMES, at, temperature))
            color = plt.get_cmap("viridis")(number / len(TEMPERATURES))
            axis.plot(_OUTCOMES, values, color=color, linewidth=1, label=f"{temperature:g}")
        axis.plot(_OUTCOMES, np.exp(log_exact(_OUTCOMES, at)), "k--", label="summed out")
        axis.set(xlim=(-3.5, separation + 3.5), xlabel="outcome")
        axis.set_title(f"components {separation:g} sds apart", fontsize=10)
    axes[0].set_ylabel("density")
    figure.legend(
        *axes[0].get_legend_handles_labels(), frameon=False, fontsize=8, loc="outside right upper",
        title="temperature",
    )  # fmt: skip
    return {"densities": figure}


def run(options: Options) -> Result:
    """Work out the shifts, and draw the densities."""
    table = shifts()
    note = f"At {ROWS:,} rows, in sds of the exact posterior; they grow as the root of the rows."
    return Result({"shift of the relaxed posterior": table}, show(), [note])
