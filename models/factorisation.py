r"""Bayesian matrix factorisation of ratings: who will like what, and how sure that is.

.. math:: r_{ui} \sim N(\mu + a_u + b_i + U_u \cdot V_i, \; \sigma^2)

with normal priors whose sds are learnt, but for that of the users' factors, which is 1: the scale
of the product is the items'. The ratings are made, in the shape of MovieLens 100K: 943 users, 1682
items, 100,000 ratings of one to five stars, few of which are about most items. What is known
of such data because they are made: the best that any prediction could do.

What it shows: 13,000 parameters, one row a rating, of which a step reads some; and how the scales
above many effects tell whether steps are right. Every factor owes to a rule's discretisation, and
to the noise of its batches, a variance that is a little too large. On a single factor that is
nothing; the sd that they share is known as closely as all of them together know it, and ends
standard deviations off. What keeps it right here: gradients of little noise ("svrg"), and a step in
units of what each parameter is known to, which :func:`variances` guesses from the numbers of
ratings. Of few ratings, with all of them in each step, the rule is what is left: "baoa", which is
exact on a Gaussian, takes the step with which "sghmc" is off.

Factors are not identified, they may be rotated: predictions, levels of the prior and the noise are
compared, with Gibbs sampling (``_ratings_gibbs.py``), which reads all ratings.

References
----------
.. [1] Salakhutdinov, R. and Mnih, A. (2008). Bayesian probabilistic matrix factorization using
   Markov chain Monte Carlo. ICML. https://doi.org/10.1145/1390156.1390267
.. [2] Chen, T., Fox, E. B. and Guestrin, C. (2014). Stochastic gradient Hamiltonian Monte Carlo.
   ICML, section 4.3. https://doi.org/10.48550/arXiv.1402.4102
"""

from typing import Any, NamedTuple

import arviz as az
import numpy as np
import pandas as pd
import pymc as pm

from scipy import stats

import pymc_sgld as psg

from models import _ratings_gibbs
from models._datasets import Array, held_out
from models._running import Options, Result

USERS, ITEMS, RATINGS = 943, 1682, 100_000
RANK = 4
VARIABLES = ("shown", "mu", "sigma")
SHOWN = 40  # held-out ratings whose predictions are in the draws
SAMPLING: dict[str, Any] = {
    "sampler": "sghmc",
    "gradient": "svrg",
    "batch_size": 5000,
    "step_size": 0.1,
    "friction": 3.0,
    "steps_per_draw": 100,
    "draws": 200,
    "tune": 100,
    "chains": 2,
    # without the users' factors at 0, where the items' have no slope
    "initvals": {"user_factor": "prior", "spread": np.full(3, 0.2)},
}
COMPARED = {
    name: {
        "step_size": 0.02,
        "friction": 5.0,
        "batch_size": 720,  # all, of 800
        "steps_per_draw": 100,
        "initvals": {"user_factor": "prior"},
    }
    for name in ("baoa", "sghmc")
} | {"nuts": {"tune": 1000}}
# of the ratings that are made
_MEAN, _SD_USER, _SD_ITEM, _SD_PRODUCT, _SD_NOISE = 3.6, 0.4, 0.5, 0.5, 0.8


class Ratings(NamedTuple):
    """Ratings, one a row; the held-out tenth in ``test``."""

    user: Array
    item: Array
    stars: Array
    expected: Array  # the mean that the stars were made with, before noise and rounding
    n_users: int
    n_items: int
    test: "Ratings | None" = None


def load_data(rows: int | None = None) -> Ratings:
    """Make the ratings: 100,000, or ``rows`` of fewer or more users and items."""
    n_ratings = RATINGS if rows is None else rows
    scale = np.sqrt(n_ratings / RATINGS)
    n_users, n_items = max(round(USERS * scale), 4), max(round(ITEMS * scale), 4)
    rng = np.random.default_rng(5)
    # some users rate much, few items are rated often; a pair is rated once
    of_user = rng.lognormal(0, 1, n_users)
    of_item = rng.lognormal(0, 1.5, n_items)
    pairs = np.log(np.outer(of_user / of_user.sum(), of_item / of_item.sum()))
    order = np.argsort(-(pairs + rng.gumbel(size=pairs.shape)), axis=None)[:n_ratings]
    user, item = np.unravel_index(rng.permutation(order), pairs.shape)
    factors = rng.normal(size=(n_users, RANK)), rng.normal(size=(n_items, RANK))
    product = _SD_PRODUCT / np.sqrt(RANK) * (factors[0][user] * factors[1][item]).sum(axis=1)
    levels = rng.normal(0, _SD_USER, n_users)[user] + rng.normal(0, _SD_ITEM, n_items)[item]
    expected = _MEAN + levels + product
    stars = np.clip(np.round(expected + rng.normal(0, _SD_NOISE, n_ratings)), 1, 5)
    test = held_out(n_ratings, 0.1)
    parts = [
        Ratings(user[kept], item[kept], stars[kept], expected[kept], n_users, n_items)
        for kept in (~test, test)
    ]
    return parts[0]._replace(test=parts[1])


def build_model(data: Ratings, rank: int = RANK, spread: Array | None = None) -> pm.Model:
    """Declare the model with so many factors.

    Parameters
    ----------
    data : Ratings
    rank : int
    spread : array of shape (3,), optional
        Prior sds of the users' levels, the items' levels and the items' factors, for a model
        with a mode: where they are learnt, the density has none, because it grows without bound
        as an sd and all that it is the sd of go to 0.
    """
    shown = _test(data)
    coords = {"user": range(data.n_users), "item": range(data.n_items), "factor": range(rank)}
    coords["test_rating"] = range(min(SHOWN, len(shown.stars)))
    with pm.Model(coords=coords) as model:
        of_user = pm.Data("user_of_rating", data.user, dims="rating")
        of_item = pm.Data("item_of_rating", data.item, dims="rating")
        mu = pm.Normal("mu", 3, 1)
        sigma = pm.HalfNormal("sigma", 1)
        if spread is None:
            spread = pm.HalfNormal("spread", 0.5, shape=3)
        user_level = pm.Normal("user_level", 0, spread[0], dims="user")
        item_level = pm.Normal("item_level", 0, spread[1], dims="item")
        user_factor = pm.Normal("user_factor", 0, 1, dims=("user", "factor"))
        item_factor = pm.Normal("item_factor", 0, spread[2], dims=("item", "factor"))

        def rating(user: Any, item: Any) -> Any:
            product = (user_factor[user] * item_factor[item]).sum(axis=1)
            return mu + user_level[user] + item_level[item] + product

        at = rating(shown.user[:SHOWN], shown.item[:SHOWN])
        pm.Deterministic("shown", at, dims="test_rating")
        pm.Normal("stars", rating(of_user, of_item), sigma, observed=data.stars, dims="rating")
    return model


def predictions(draws: Any, data: Ratings) -> tuple[Array, Array]:
    """Return expected stars of shape (n_draws, n_ratings), within 1 and 5, and sigma (n_draws,)."""
    posterior = draws["posterior"].to_dataset().stack(sample=("chain", "draw"))
    at = {name: np.moveaxis(one.to_numpy(), -1, 0) for name, one in posterior.items()}
    values = np.empty((len(at["mu"]), len(data.stars)))
    for draw in range(len(values)):
        product = at["user_factor"][draw][data.user] * at["item_factor"][draw][data.item]
        values[draw] = at["mu"][draw] + at["user_level"][draw][data.user]
        values[draw] += at["item_level"][draw][data.item] + product.sum(axis=1)
    return np.clip(values, 1, 5), at["sigma"]


def rmse(prediction: Array, data: Ratings) -> float:
    """Return the root mean squared error, in stars."""
    return float(np.sqrt(np.mean((np.clip(prediction, 1, 5) - data.stars) ** 2)))


def additive(data: Ratings, at: Ratings) -> Array:
    """Predict by the mean and levels of users and items alone, shrunk by ten ratings each."""
    mean = data.stars.mean()
    user, item = np.zeros(data.n_users), np.zeros(data.n_items)
    n_user = np.bincount(data.user, minlength=data.n_users)
    n_item = np.bincount(data.item, minlength=data.n_items)
    for _ in range(20):
        left = data.stars - mean - item[data.item]
        user = np.bincount(data.user, left, data.n_users) / (n_user + 10)
        left = data.stars - mean - user[data.user]
        item = np.bincount(data.item, left, data.n_items) / (n_item + 10)
    return np.asarray(mean + user[at.user] + item[at.item])


def best(data: Ratings) -> Array:
    """Return the mean of the stars given what they were made with: none predicts better."""
    edges = np.array([-np.inf, 1.5, 2.5, 3.5, 4.5, np.inf])
    below = stats.norm.cdf((edges - data.expected[:, None]) / _SD_NOISE)
    return np.asarray(np.diff(below, axis=1) @ np.arange(1, 6))


def variances(data: Ratings, rank: int = RANK) -> Array:
    """Return what posterior variances come to about, in the order of the model's parameters.

    They are those of each effect with all others held, at the prior sds and the noise that ratings
    like these have, and shares of the prior's for what is above the effects.
    """
    of_user, of_item, of_factor = 0.4, 0.45, 0.2
    n_user = np.bincount(data.user, minlength=data.n_users) / _SD_NOISE**2
    n_item = np.bincount(data.item, minlength=data.n_items) / _SD_NOISE**2
    parts: list[Any] = [
        of_user**2 / data.n_users + of_item**2 / data.n_items,
        1 / (2 * len(data.stars)),  # of log sigma
        [1 / data.n_users, 1 / data.n_items, 1 / (data.n_items * rank)],  # of log spread
        1 / (of_user**-2.0 + n_user),
        1 / (of_item**-2.0 + n_item),
        np.repeat(1 / (1 + n_user * of_factor**2), rank),
        np.repeat(1 / (of_factor**-2.0 + n_item), rank),
    ]
    return np.concatenate([np.ravel(part) for part in parts])


def run(options: Options) -> Result:
    """Sample, descend to a point with the same steps, and compare with Gibbs sampling."""
    data = load_data(options.rows)
    own = options.sampling(SAMPLING | {"preconditioner": variances(data)})
    if "batch_size" in own:
        own["batch_size"] = min(own["batch_size"], len(data.stars))
    with build_model(data):
        draws = psg.sample(**own)
    known = _ratings_gibbs.sample(data, RANK, own.get("draws", 200), 100, own["chains"])
    spread = draws["posterior"]["spread"].mean(("chain", "draw")).to_numpy()
    cold = own | {"initvals": {"user_factor": "prior"}, "chains": 1, "temperature": 1e-6}
    if "preconditioner" in own:
        cold["preconditioner"] = np.delete(own["preconditioner"], [2, 3, 4])  # of the spreads
    with build_model(data, spread=spread):
        point = psg.sample(**cold, compute_convergence_checks=False)
    tables = {
        "held-out ratings": table(draws, point, known, data),
        "what is identified": against(draws, known),
    }
    return Result(tables, show(draws, data), NOTES, draws)


def against(draws: Any, known: Any) -> pd.DataFrame:
    """Return what is identified beside what Gibbs sampling finds, in its sds.

    The last row is about predictions: root mean squares of the gaps, the median ratio of sds, the
    largest R-hat and the smallest effective numbers.
    """
    names = ["mu", "sigma", "spread", "shown"]
    own, other = (
        pd.DataFrame(az.summary(one, var_names=names, kind="all", round_to="none", fmt="wide"))
        for one in (draws, known)
    )
    found = pd.DataFrame(
        {
            "mean": own["mean"],
            "of Gibbs": other["mean"].to_numpy(),
            "gap in its sds": (own["mean"] - other["mean"].to_numpy()) / other["sd"].to_numpy(),
            "sd ratio": own["sd"] / other["sd"].to_numpy(),
            "R-hat": own["r_hat"],
            "ESS": own["ess_bulk"],
            "ESS of Gibbs": other["ess_bulk"].to_numpy(),
        }
    ).astype(float)
    shown = found.iloc[5:]
    found.loc["predictions"] = {
        "gap in its sds": np.sqrt((shown["gap in its sds"] ** 2).mean()),
        "sd ratio": shown["sd ratio"].median(),
        "R-hat": shown["R-hat"].max(),
        "ESS": shown["ESS"].min(),
        "ESS of Gibbs": shown["ESS of Gibbs"].min(),
    }
    return found.drop(index=shown.index)


NOTES = [
    "The point is where the same sampler ends at a temperature of 1e-6, with the sds of the priors "
    "fixed at what the draws say: there is no mode of them.",
    "Gibbs sampling reads all ratings at every draw; its first 100 draws are left out.",
    "The best possible knows the means that the ratings were made with.",
]


def table(draws: Any, point: Any, known: Any, data: Ratings) -> pd.DataFrame:
    """Return RMSE and coverage on the held-out ratings."""
    test = _test(data)
    values, sigma = predictions(draws, test)
    of_gibbs, its_sigma = predictions(known, test)
    last, of_point = predictions(point.isel(draw=slice(-1, None)), test)
    rows: dict[str, dict[str, float]] = {
        "mean": {"RMSE": rmse(np.full(len(test.stars), data.stars.mean()), test)},
        "levels of users and items": {"RMSE": rmse(additive(data, test), test)},
        "point": {"RMSE": rmse(last[0], test), "inside 90 %": coverage(last, of_point, test)},
        "last draw alone": {"RMSE": rmse(values[-1], test)},
        "mean over draws": {
            "RMSE": rmse(values.mean(axis=0), test),
            "inside 90 %": coverage(values, sigma, test),
        },
        "mean over draws of Gibbs": {
            "RMSE": rmse(of_gibbs.mean(axis=0), test),
            "inside 90 %": coverage(of_gibbs, its_sigma, test),
        },
        "best possible": {"RMSE": rmse(best(test), test)},
    }
    return pd.DataFrame.from_dict(rows, orient="index")


def coverage(values: Array, sigma: Array, data: Ratings) -> float:
    """Return the share of ratings within 1.645 predictive sds."""
    wide = np.sqrt(values.var(axis=0) + (sigma**2).mean())
    return float(np.mean(np.abs(values.mean(axis=0) - data.stars) < 1.645 * wide))


def show(draws: Any, data: Ratings) -> dict[str, Any]:
    """Return the error by how often the item was rated, and RMSE against draws averaged."""
    import matplotlib.pyplot as plt

    test = _test(data)
    values, _ = predictions(draws, test)
    mean = values.mean(axis=0)
    rated = np.bincount(data.item, minlength=data.n_items)[test.item]
    edges = np.unique(np.quantile(rated, np.linspace(0, 1, 9)))
    group = np.clip(np.searchsorted(edges, rated, side="right") - 1, 0, len(edges) - 2)
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for name, prediction in (
        ("levels alone", additive(data, test)),
        ("mean over draws", mean),
        ("best possible", best(test)),
    ):
        square = (np.clip(prediction, 1, 5) - test.stars) ** 2
        error = [np.sqrt(square[group == one].mean()) for one in range(len(edges) - 1)]
        left.plot(np.sqrt((edges[:-1] + 1) * (edges[1:] + 1)), error, "o-", label=name)
    left.set(xscale="log", xlabel="ratings of the item", ylabel="held-out RMSE, stars")
    left.margins(y=0.2)
    left.legend(loc="upper right", ncols=3, fontsize=8)
    sums = values.cumsum(axis=0) / np.arange(1, len(values) + 1)[:, None]
    right.plot(np.arange(1, len(sums) + 1), [rmse(one, test) for one in sums], label="their mean")
    right.plot(np.arange(1, len(sums) + 1), [rmse(one, test) for one in values], ".", alpha=0.4,
               markersize=3, label="each draw")  # fmt: skip
    right.axhline(rmse(best(test), test), color="0.5", linestyle="--", label="best possible")
    right.set(xlabel="draws, of all chains", ylabel="held-out RMSE, stars")
    right.legend()
    return {"ratings": figure}


def _test(data: Ratings) -> Ratings:
    if data.test is None:
        raise ValueError("These ratings have no held-out part. Take those of load_data().")
    return data.test
