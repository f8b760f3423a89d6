import arviz as az
import numpy as np
import pytest

from scipy import integrate, stats

import pymc_sgld as psg

from models import _ratings_gibbs, factorisation
from models.factorisation import Ratings, additive, best, predictions, rmse


@pytest.fixture(scope="module")
def data():
    return factorisation.load_data(rows=200)


def values(data, rank, n_draws=1):
    rng = np.random.default_rng(1)
    shapes = {
        "mu": (),
        "user_level": (data.n_users,),
        "item_level": (data.n_items,),
        "user_factor": (data.n_users, rank),
        "item_factor": (data.n_items, rank),
    }
    return {name: 0.4 * rng.normal(size=(n_draws, *shape)) for name, shape in shapes.items()}


def test_ratings_have_the_shape_of_movielens():
    data = factorisation.load_data()
    stars = np.concatenate([data.stars, data.test.stars])
    assert len(stars) == 100_000 and (data.n_users, data.n_items) == (943, 1682)
    assert set(stars) == {1, 2, 3, 4, 5} and 3.4 < stars.mean() < 3.8
    pairs = set(zip(data.user, data.item, strict=True))
    assert len(pairs) == len(data.stars)
    assert not pairs & set(zip(data.test.user, data.test.item, strict=True))
    often = np.bincount(data.item, minlength=data.n_items)
    assert np.median(often) < 0.6 * often.mean()


def test_logp_and_predictions_against_the_formula(data):
    rank, sigma, spread = 3, 0.9, np.array([0.3, 0.5, 0.2])
    at = {name: one[0] for name, one in values(data, rank).items()}
    product = [at["user_factor"][u] @ at["item_factor"][i] for u, i in zip(data.user, data.item)]  # noqa: B905
    mean = at["mu"] + at["user_level"][data.user] + at["item_level"][data.item] + product
    expected = stats.norm.logpdf(data.stars, mean, sigma).sum() + stats.norm.logpdf(at["mu"], 3, 1)
    expected += stats.halfnorm.logpdf(sigma) + np.log(sigma)
    expected += stats.halfnorm.logpdf(spread, scale=0.5).sum() + np.log(spread).sum()
    sds = {"user_level": 0.3, "item_level": 0.5, "user_factor": 1.0, "item_factor": 0.2}
    expected += sum(stats.norm.logpdf(at[name], 0, sd).sum() for name, sd in sds.items())
    model = factorisation.build_model(data, rank)
    point = at | {"sigma_log__": np.log(sigma), "spread_log__": np.log(spread)}
    np.testing.assert_allclose(model.compile_logp(mode="FAST_COMPILE")(point), expected)

    named = {name: one[None, None] for name, one in at.items()}
    draws = az.from_dict({"posterior": named | {"sigma": np.array([[sigma]])}})
    np.testing.assert_allclose(predictions(draws, data)[0][0], np.clip(mean, 1, 5))


def test_the_best_prediction_is_the_mean_of_the_stars():
    """By the definition: rounded and cut normal numbers."""
    expected = np.array([0.2, 2.7, 3.0, 5.4])
    for mean, found in zip(expected, best(Ratings(*[None] * 3, expected, 4, 4)), strict=True):
        law = stats.norm(mean, 0.8)
        edges = [1.5, 2.5, 3.5, 4.5]  # each is one star more for those above
        assert found == pytest.approx(1 + law.sf(edges).sum())
    assert integrate.quad(law.pdf, 4.5, 20)[0] == pytest.approx(law.sf(4.5))


def test_levels_solve_the_ridge_regression(data):
    design = np.zeros((len(data.stars), data.n_users + data.n_items))
    design[np.arange(len(design)), data.user] = 1
    design[np.arange(len(design)), data.n_users + data.item] = 1
    centred = data.stars - data.stars.mean()
    levels = np.linalg.solve(design.T @ design + 10 * np.eye(design.shape[1]), design.T @ centred)
    exact = data.stars.mean() + design @ levels
    np.testing.assert_allclose(additive(data, data), exact, atol=1e-6)
    assert rmse(exact, data) < rmse(np.full(len(design), data.stars.mean()), data)


def test_variances_are_those_with_the_others_held(data):
    """The negative second derivatives of the log-density, at factors of their prior's size."""
    small = factorisation.load_data(rows=60)
    model = factorisation.build_model(small, rank=1, spread=np.array([0.4, 0.45, 0.2]))
    point = model.initial_point() | {
        "sigma_log__": np.log(factorisation._SD_NOISE),
        "user_factor": np.full((small.n_users, 1), 0.2),  # as the prior sd of the items'
        "item_factor": np.full((small.n_items, 1), 1.0),
    }
    logp = model.compile_logp(mode="FAST_COMPILE")
    found = factorisation.variances(small, rank=1)[5:]
    at = 0
    for name in ("user_level", "item_level", "user_factor", "item_factor"):
        if name == "user_factor":  # the other way round
            point["user_factor"], point["item_factor"] = (
                np.ones_like(point["user_factor"]),
                np.full_like(point["item_factor"], 0.2),
            )
        for entry in range(point[name].size):
            values = []
            for by in (-1e-2, 0, 1e-2):
                moved = point[name].copy()
                moved.flat[entry] += by
                values.append(logp(point | {name: moved}))
            curvature = -np.diff(values, 2)[0] / 1e-4
            np.testing.assert_allclose(found[at], 1 / curvature, rtol=1e-4)
            at += 1
    assert at == len(found)
    assert len(factorisation.variances(data)) == 5 + 5 * (data.n_users + data.n_items)


@pytest.mark.statistical
def test_gibbs_keeps_the_prior_where_ratings_are_drawn_anew():
    """Draw parameters given ratings and ratings given parameters (Geweke 2004): the prior."""
    rng = np.random.default_rng(4)
    user, item = np.array([0, 0, 1, 1, 2, 2, 2, 0]), np.array([0, 1, 1, 2, 2, 3, 0, 3])
    data = Ratings(user, item, np.full(8, 3.0), np.zeros(8), 3, 4)
    chain = _ratings_gibbs.Gibbs(data, 2, rng)
    draws = []
    for _ in range(30_000):
        chain.sweep()
        noise = chain.sigma * rng.normal(size=8)
        chain.data = data._replace(stars=chain.expected(user, item) + noise)
        values = [chain.mu, chain.sigma, *chain.spread, *chain.user[0], *chain.item[1]]
        draws.append([*values, *np.square(values)])
    found, half = np.array(draws), np.sqrt(2 / np.pi)
    squares = [10, 1, 0.25, 0.25, 0.25, 0.25, 1, 1, 0.25, 0.25, 0.25]
    exact = np.array([3, half, *[0.5 * half] * 3, *[0] * 6, *squares])
    ess = np.array([az.ess(column[None]) for column in found.T])
    z = (found.mean(axis=0) - exact) / (found.std(axis=0) / np.sqrt(ess))
    assert ess.min() > 300 and np.abs(z).max() < 4


@pytest.mark.statistical
def test_what_is_identified_against_gibbs():
    """Few ratings: the sd of the items' factors may be near 0, and NUTS has 12 draws' worth."""
    data = factorisation.load_data(rows=800)
    known = _ratings_gibbs.sample(data, 2, 4000, 300)
    found = {}
    for name in ("baoa", "sghmc"):
        with factorisation.build_model(data, rank=2):
            draws = psg.sample(
                name,
                **factorisation.COMPARED[name],
                draws=2000,
                chains=2,
                cores=1,
                random_seed=1,
                progressbar=False,
                check=False,
            )
        found[name] = factorisation.against(draws, known)
    right = found["baoa"]
    error = 4 * np.sqrt(1 / right["ESS"] + 1 / right["ESS of Gibbs"])
    assert (right["gap in its sds"].abs() < error + 0.1).all()
    assert (np.abs(right["sd ratio"] - 1) < error / np.sqrt(2) + 0.05).all()
    # 300 factors, each a little too wide, push the sd that they share up
    assert found["sghmc"].loc["spread[2]", "gap in its sds"] > 0.4
