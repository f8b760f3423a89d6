r"""A normal mean and precision with their conjugate prior: widths of 150 sepals.

What it shows: the smallest posterior of two parameters that is known exactly. With

.. math:: \tau \sim \text{Gamma}(a_0, b_0), \qquad \mu \mid \tau \sim N(m_0, 1 / (k_0 \tau))

the posterior is of the same form, and :func:`reference` has its moments. The two are uncorrelated
but not independent, and the precision is skewed. The data are the sepals of Anderson's irises,
which come with scikit-learn.

References
----------
.. [1] Gelman, A. et al. (2013). Bayesian Data Analysis, 3rd edition, section 3.3. CRC Press.
.. [2] Anderson, E. (1936). The species problem in Iris. Annals of the Missouri Botanical Garden
   23. https://doi.org/10.2307/2394164
"""

from typing import Any

import numpy as np
import pandas as pd
import pymc as pm

from models._datasets import some_rows

SAMPLING = {"sampler": "baoa", "gradient": "control_variate", "batch_size": 32}
COMPARED = ("sgld", "sgld_cv", "baoa", "mala", "nuts", "advi")
PRIOR_MEAN, PRIOR_ROWS = 3.0, 0.1  # m_0 in cm, and k_0: what the prior of the mean counts as
PRIOR_SHAPE, PRIOR_RATE = 2.0, 0.5  # a_0, and b_0 in cm^2: an sd of about half a centimetre


def load_data(rows: int | None = None) -> pd.Series:
    """Return the widths of sepals, in cm."""
    from sklearn.datasets import load_iris

    widths = load_iris(as_frame=True).frame["sepal width (cm)"]
    return widths.iloc[some_rows(len(widths), rows)]


def build_model(data: pd.Series) -> pm.Model:
    """Declare the model for data as :func:`load_data` returns them."""
    with pm.Model(coords={"sepal": np.arange(len(data))}) as model:
        precision = pm.Gamma("precision", PRIOR_SHAPE, PRIOR_RATE)
        mean = pm.Normal("mean", PRIOR_MEAN, tau=PRIOR_ROWS * precision)
        pm.Normal("width", mean, tau=precision, observed=data.to_numpy(), dims="sepal")
    return model


def posterior(data: pd.Series) -> tuple[float, float, float, float]:
    """Return m, k, a and b of the posterior, which is of the prior's form."""
    n, average = len(data), float(data.mean())
    k = PRIOR_ROWS + n
    m = (PRIOR_ROWS * PRIOR_MEAN + n * average) / k
    within = float(((data - average) ** 2).sum()) / 2
    between = PRIOR_ROWS * n * (average - PRIOR_MEAN) ** 2 / (2 * k)
    return m, k, PRIOR_SHAPE + n / 2, PRIOR_RATE + within + between


def reference(data: pd.Series) -> pd.DataFrame:
    """Return the exact moments of the posterior."""
    m, k, a, b = posterior(data)
    moments = {
        "mean": (m, np.sqrt(b / (k * (a - 1)))),
        "precision": (a / b, np.sqrt(a) / b),
    }
    return pd.DataFrame(moments, index=["mean", "sd"]).T


def show(draws: Any, data: pd.Series) -> dict[str, Any]:
    """Return histograms of the draws under the exact densities."""
    import matplotlib.pyplot as plt

    from scipy import stats

    m, k, a, b = posterior(data)
    exact = {
        "mean": stats.t(2 * a, m, np.sqrt(b / (k * a))),
        "precision": stats.gamma(a, scale=1 / b),
    }
    units = {"mean": "mean width, cm", "precision": "precision, 1 / cm²"}
    figure, axes = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
    for axis, (name, law) in zip(axes, exact.items(), strict=True):
        axis.hist(
            draws["posterior"][name].to_numpy().ravel(), 40, density=True, color="0.8",
            label="drawn",
        )  # fmt: skip
        line = np.linspace(law.ppf(1e-4), law.ppf(1 - 1e-4), 300)
        axis.plot(line, law.pdf(line), label="exact")
        axis.set(xlabel=units[name], ylabel="density")
    axes[0].legend(frameon=False)
    return {"densities": figure}
