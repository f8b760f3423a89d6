"""Digits told apart by a Bayesian neural network, and what it says of digits it never saw.

The network learns the handwritten digits 0 to 4 of scikit-learn (8 x 8 pixels): thirty tanh units,
five classes, weights in units of their prior sd. Then it is shown digits 5 to 9. What it shows:
averaging over draws hardly changes which digit is named, but much how sure of it the network is;
single points of weights are sure of themselves on images unlike any they have learnt.

The steps are those of :mod:`models.bayesian_neural_network`: a learning rate of 0.01 per mean
loss, nine tenths of the momentum kept, 1000 passes a chain of which a quarter is left out.
"""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pymc as pm

from scipy import special, stats

from models._datasets import Array, held_out, some_rows

HIDDEN, CLASSES = 30, 5
DRAWS = 150
CHECKED = 40  # held-out images whose probabilities are in the draws
VARIABLES = ("probability",)
SAMPLING: dict[str, Any] = {
    "sampler": "sghmc",
    "batch_size": 32,
    "step_size": 0.0037,  # sqrt(0.01 / 721 rows)
    "friction": 27.0,  # 0.1 / step_size
    "steps_per_draw": 113,
    "draws": DRAWS,
    "tune": 50,
    "chains": 4,
    "initvals": dict.fromkeys(("inward", "bias", "outward", "level"), "prior"),
}


class Digits(NamedTuple):
    """Images to learn from and held out, of 0 to 4; and images of 5 to 9."""

    x: Array  # (n_rows, 64), from 0 to 1
    y: Array
    x_test: Array
    y_test: Array
    unlike: Array


def load_data(rows: int | None = None) -> Digits:
    """Return the digits; with ``rows``, so many of 0 to 4, a fifth of which is held out."""
    from sklearn.datasets import load_digits

    found = load_digits()
    x, y = found.data / 16.0, found.target
    known = np.flatnonzero(y < CLASSES)
    known = known[some_rows(len(known), rows)]
    test = held_out(len(known))
    learn, test = known[~test], known[test]
    return Digits(x[learn], y[learn], x[test], y[test], x[y >= CLASSES])


def build_model(data: Digits) -> pm.Model:
    """Declare the network."""
    n_pixels = data.x.shape[1]
    shown = data.x_test[:CHECKED]
    coords = {"pixel": range(n_pixels), "unit": range(HIDDEN), "digit": range(CLASSES)}
    with pm.Model(coords=coords | {"test_row": range(len(shown))}) as model:
        x = pm.Data("x", data.x, dims=("row", "pixel"))
        inward = pm.Normal("inward", 0, 1, dims=("pixel", "unit"))
        bias = pm.Normal("bias", 0, 1, dims="unit")
        outward = pm.Normal("outward", 0, 1, dims=("unit", "digit"))
        level = pm.Normal("level", 0, 1, dims="digit")

        def logits(at: Any) -> Any:
            hidden = pm.math.tanh(pm.math.dot(at, inward * _inward_sd(n_pixels)) + bias)
            return pm.math.dot(hidden, outward * _OUTWARD_SD) + level

        at_test = pm.math.softmax(logits(shown), axis=-1)
        pm.Deterministic("probability", at_test, dims=("test_row", "digit"))
        pm.Categorical("label", logit_p=logits(x), observed=data.y, dims="row")
    return model


_OUTWARD_SD = 3 / np.sqrt(HIDDEN)  # logits of sd 3, so that the prior allows to be sure


def _inward_sd(n_pixels: int) -> float:
    return float(2 / np.sqrt(n_pixels))


def probabilities(draws: Any, x: Array) -> Array:
    """Return class probabilities by draw, shape (n_draws, n_images, 5)."""
    posterior = draws["posterior"].to_dataset().stack(sample=("chain", "draw"))
    names = ("inward", "bias", "outward", "level")
    at = {name: np.moveaxis(posterior[name].to_numpy(), -1, 0) for name in names}
    hidden = np.tanh(x @ (at["inward"] * _inward_sd(x.shape[1])) + at["bias"][:, None])
    logits = hidden @ (at["outward"] * _OUTWARD_SD) + at["level"][:, None]
    return np.asarray(special.softmax(logits, axis=-1))


def tables(draws: Any, data: Digits) -> dict[str, pd.DataFrame]:
    """Return how a draw alone and the mean over draws do, on both kinds of images."""
    from sklearn.metrics import roc_auc_score

    like, unlike = probabilities(draws, data.x_test), probabilities(draws, data.unlike)
    kinds = np.repeat([0, 1], [like.shape[1], unlike.shape[1]])

    def figures(known: Array, other: Array) -> dict[str, float]:
        surprise = np.concatenate([entropy(known), entropy(other)])
        right = known[np.arange(len(known)), data.y_test]
        return {
            "accuracy": float(np.mean(known.argmax(axis=1) == data.y_test)),
            "log-likelihood": float(np.log(right).mean()),
            "entropy, known": float(entropy(known).mean()),
            "entropy, unlike": float(entropy(other).mean()),
            "told apart (AUC)": float(roc_auc_score(kinds, surprise)),
        }

    alone = [figures(one, two) for one, two in zip(like[::20], unlike[::20], strict=True)]
    rows = {
        "a draw alone, on average": pd.DataFrame(alone).mean().to_dict(),
        "mean over draws": figures(like.mean(axis=0), unlike.mean(axis=0)),
    }
    return {"images known and unlike": pd.DataFrame.from_dict(rows, orient="index")}


def entropy(probability: Array) -> Array:
    """Return the entropy of class probabilities, nats: at most log 5 = 1.61."""
    return np.asarray(stats.entropy(probability, axis=-1))


def show(draws: Any, data: Digits) -> dict[str, Any]:
    """Return how sure the network is of known and of other images, by a draw and by the mean."""
    import matplotlib.pyplot as plt

    like, unlike = probabilities(draws, data.x_test), probabilities(draws, data.unlike)
    figure, panels = plt.subplots(1, 2, figsize=(9, 3.6), sharey=True, layout="constrained")
    bins = np.linspace(0, np.log(CLASSES), 25)
    for panel, title, known, other in (
        (panels[0], "the last draw alone", like[-1], unlike[-1]),
        (panels[1], "mean over draws", like.mean(axis=0), unlike.mean(axis=0)),
    ):
        for name, one in (("held-out 0 to 4", known), ("5 to 9, never seen", other)):
            panel.hist(entropy(one), bins, density=True, alpha=0.6, label=name)
        panel.set(xlabel="entropy of the prediction, nats", yscale="log")
        panel.set_title(title, fontsize=10)
    panels[0].set_ylabel("density of images")
    panels[1].legend()
    return {"entropy": figure}
