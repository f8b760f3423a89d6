r"""Handwritten digits from a few hidden causes: probabilistic principal components.

.. math:: x_i = \mu + W z_i + \epsilon_i, \quad
          z_i \sim N(0, I), \; \epsilon_i \sim N(0, \sigma^2 I)

Each image has a code of its own. With a linear decoder the codes are integrated out exactly, and an
image is a row from :math:`N(\mu, W W^\top + \sigma^2 I)`: that model is here, on scikit-learn's
1797 images of 8 x 8 pixels. Its maximum likelihood estimate is known in closed form (principal
components), which is the reference; the posterior adds how sure the covariance is.

W is known up to a rotation of the codes only; the covariance is what is compared. Chains start
with W from the prior, because W = 0 is a saddle.

How far this goes: a decoder that is no linear function, such as that of a variational autoencoder,
leaves the code of every image as a parameter with a row for each row of data. Batches of rows do
not take such models (``psg.sample`` refuses them by the name of the variable); NUTS does, if the
rows are few.

References
----------
.. [1] Tipping, M. E. and Bishop, C. M. (1999). Probabilistic principal component analysis. Journal
   of the Royal Statistical Society B 61. https://doi.org/10.1111/1467-9868.00196
"""

from typing import Any

import numpy as np
import pandas as pd
import pymc as pm
import pytensor.tensor as pt

from models._datasets import Array, some_rows

CODES = 10
VARIABLES = ("sigma", "variance")
# sigma averages over 97,000 numbers and is known far better than the directions: the rule is one
# that is exact on a Gaussian at any stable step, and the noise of batches is taken out at anchors
SAMPLING: dict[str, Any] = {
    "sampler": "leimkuhler_matthews",
    "gradient": "svrg",
    "batch_size": 256,
    "step_size": 0.0028,
    "steps_per_draw": 40,
    "draws": 200,
    "tune": 200,
    "chains": 2,
    "initvals": {"loading": "prior"},
}
_UNIT = 4.0  # of a pixel, which goes from 0 to 16


def load_data(rows: int | None = None) -> Array:
    """Return the images as rows of 64 pixels, from 0 to 4."""
    from sklearn.datasets import load_digits

    images: Array = load_digits().data
    return np.asarray(images[some_rows(len(images), rows)] / _UNIT)


def build_model(data: Array, codes: int = CODES) -> pm.Model:
    """Declare the model with so many causes, their values integrated out."""
    n_pixels = data.shape[1]
    coords = {"row": range(len(data)), "pixel": range(n_pixels), "code": range(codes)}
    with pm.Model(coords=coords) as model:
        image = pm.Data("image", data, dims=("row", "pixel"))
        mu = pm.Normal("mu", 1.2, 1.5, dims="pixel")
        loading = pm.Normal("loading", 0, 0.5, dims=("pixel", "code"))
        sigma = pm.HalfNormal("sigma", 1)
        pm.Deterministic("variance", (loading**2).sum(axis=1) + sigma**2, dims="pixel")

        # pm.MvNormal with the covariance W W' + sigma^2 I, but factorising a matrix of the size
        # of the codes, not of the pixels: M = W' W + sigma^2 I
        inner = pm.math.dot(loading.T, loading) + sigma**2 * np.eye(codes)
        root = pt.linalg.cholesky(inner)
        to_codes = pt.linalg.solve_triangular(root, loading.T, lower=True)
        away = image - mu
        unexplained = (away**2).sum(axis=1) - (pm.math.dot(away, to_codes.T) ** 2).sum(axis=1)
        log_determinant = 2 * (n_pixels - codes) * pt.log(sigma) + 2 * pt.log(pt.diag(root)).sum()
        constant = n_pixels * np.log(2 * np.pi)
        logp = -0.5 * (unexplained / sigma**2 + log_determinant + constant)
        pm.Potential("likelihood", logp, dims="row")
    return model


def reference(data: Array, codes: int = CODES) -> pd.DataFrame:
    """Return the maximum likelihood estimate, and the sd of sigma for many rows."""
    covariance, sigma = closed_form(data, codes)
    n_rows, n_pixels = data.shape
    variance = np.diag(covariance)
    # sigma^2 averages over the directions left out
    rows = {"sigma": {"mean": sigma, "sd": sigma / np.sqrt(2 * n_rows * (n_pixels - codes))}}
    for pixel, one in enumerate(variance):
        rows[f"variance[{pixel}]"] = {"mean": float(one), "sd": np.nan}
    return pd.DataFrame.from_dict(rows, orient="index")


def closed_form(data: Array, codes: int = CODES) -> tuple[Array, float]:
    """Return the covariance and sigma of highest likelihood, by principal components."""
    from sklearn.decomposition import PCA

    found = PCA(codes).fit(data)
    shrink = 1 - 1 / len(data)  # scikit-learn divides by one row less
    return shrink * found.get_covariance(), float(np.sqrt(shrink * found.noise_variance_))


def covariances(draws: Any, every: int = 4) -> Array:
    """Return the covariance of pixels of each draw kept, shape (n, n_pixels, n_pixels)."""
    posterior = draws["posterior"].to_dataset().stack(sample=("chain", "draw"))
    loading = posterior["loading"].transpose("sample", "pixel", "code").to_numpy()[::every]
    sigma = posterior["sigma"].to_numpy()[::every]
    noise = sigma[:, None, None] ** 2 * np.eye(loading.shape[1])
    return np.asarray(loading @ loading.transpose(0, 2, 1) + noise)


def decode(draws: Any, data: Array) -> tuple[Array, Array]:
    """Return images rebuilt from their codes, averaged over draws, and new images, one a draw."""
    posterior = draws["posterior"].to_dataset().stack(sample=("chain", "draw"))
    loading = posterior["loading"].transpose("sample", "pixel", "code").to_numpy()
    mu = posterior["mu"].transpose("sample", "pixel").to_numpy()
    sigma = posterior["sigma"].to_numpy()
    rng = np.random.default_rng(0)
    rebuilt, made = [], []
    for w, centre, noise in zip(loading[::10], mu[::10], sigma[::10], strict=True):
        inner = w.T @ w + noise**2 * np.eye(w.shape[1])
        rebuilt.append(centre + np.linalg.solve(inner, w.T @ (data - centre).T).T @ w.T)
        made.append(centre + w @ rng.standard_normal(w.shape[1]))
    return np.mean(rebuilt, axis=0), np.array(made)


def show(draws: Any, data: Array) -> dict[str, Any]:
    """Return images, rebuilt and made up; and the spectrum of the covariance."""
    return {"images": _show_images(draws, data), "spectrum": _show_spectrum(draws, data)}


def _show_images(draws: Any, data: Array) -> Any:
    import matplotlib.pyplot as plt

    some = data[:: max(len(data) // 10, 1)][:10]
    rebuilt, made = decode(draws, some)
    rows = {"observed": some, "rebuilt": rebuilt, "made up": made[:: max(len(made) // 10, 1)]}
    figure, panels = plt.subplots(3, len(some), figsize=(10, 3.3), layout="constrained")
    for row, (name, images) in zip(panels, rows.items(), strict=True):
        for panel, image in zip(row, images, strict=False):
            panel.imshow(image.reshape(8, 8), cmap="gray_r", vmin=0, vmax=16 / _UNIT)
            panel.set(xticks=[], yticks=[])
        row[0].set_ylabel(name)
    return figure


def _show_spectrum(draws: Any, data: Array) -> Any:
    import matplotlib.pyplot as plt

    found = np.linalg.eigvalsh(covariances(draws))[:, ::-1]
    exact = np.linalg.eigvalsh(closed_form(data)[0])[::-1]
    sample = np.linalg.eigvalsh(np.cov(data.T))[::-1]
    low, middle, high = np.quantile(found, [0.05, 0.5, 0.95], axis=0)
    place = np.arange(1, len(exact) + 1)
    figure, axes = plt.subplots(figsize=(6.5, 4), layout="constrained")
    bars: dict[str, Any] = {"fmt": "o", "markersize": 4, "linewidth": 1}
    axes.plot(place, sample, color="0.6", label="of the images' own covariance")
    axes.plot(place, exact, "k_", markersize=9, label="maximum likelihood, closed form")
    axes.errorbar(place, middle, [middle - low, high - middle], label="posterior, 90 %", **bars)
    axes.set(yscale="log", xlim=(0, 2.5 * CODES), ylim=(0.6 * exact[-1], 1.5 * sample[0]))
    axes.set(xlabel="number of the eigenvalue", ylabel="variance, (4 grey levels)²")
    axes.legend()
    return figure
