"""The references against integration on a grid, and samplers against the references."""

import numpy as np
import pymc as pm
import pytest

from pymc.model.transform.conditioning import remove_value_transforms

import pymc_sgld as psg

from models import coin, exact_posteriors, linear_regression, mixture_of_gaussians, normal_gamma
from pymc_sgld.step_methods.registry import REGISTRY

# by their names alone, on the smallest model; all others are statistical tests
QUICK = ("sgld_cv", "baoab")


def log_posterior(model):
    """Return the log-density of the variables themselves, as a function of points by name."""
    model.rvs_to_initial_values.update(dict.fromkeys(model.free_RVs))  # it refuses any of ours
    plain = remove_value_transforms(model)
    logp = plain.compile_logp(mode="FAST_COMPILE")
    return lambda point: float(logp({name: np.asarray(one) for name, one in point.items()}))


def moments_on(grid, densities):
    weights = np.exp(densities - densities.max())
    weights /= weights.sum()
    mean = (weights * grid).sum()
    return mean, np.sqrt((weights * (grid - mean) ** 2).sum())


def test_coin_against_a_grid():
    data = coin.load_data(200)
    at = log_posterior(coin.build_model(data))
    grid = np.linspace(0.2, 0.8, 201)
    found = moments_on(grid, np.array([at({"heads": one}) for one in grid]))
    np.testing.assert_allclose(coin.reference(data).loc["heads"], found, rtol=1e-6)
    assert coin.load_data().sum() == 5067 and len(coin.load_data()) == 10_000


def test_normal_gamma_against_a_grid(monkeypatch):
    """With a prior that is off and has weight, so that every term of the closed form counts."""
    monkeypatch.setattr(normal_gamma, "PRIOR_MEAN", 2.0)
    monkeypatch.setattr(normal_gamma, "PRIOR_ROWS", 5.0)
    data = normal_gamma.load_data(20)
    at = log_posterior(normal_gamma.build_model(data))
    known = normal_gamma.reference(data)
    lines = {
        name: np.linspace(max(row["mean"] - 9 * row["sd"], 1e-3), row["mean"] + 9 * row["sd"], 61)
        for name, row in known.iterrows()
    }
    mean, precision = np.meshgrid(lines["mean"], lines["precision"])
    points = zip(mean.ravel(), precision.ravel(), strict=True)
    densities = np.array([at({"mean": m, "precision": p}) for m, p in points])
    np.testing.assert_allclose(known.loc["mean"], moments_on(mean.ravel(), densities), rtol=2e-3)
    np.testing.assert_allclose(
        known.loc["precision"], moments_on(precision.ravel(), densities), rtol=2e-3
    )


def test_linear_regression_by_the_shape_of_the_density():
    """Given the variance the slopes are normal: the density at the mode and one sd off along each.

    Summed out, the variance is inverse gamma; its normalised density at two points has a ratio.
    """
    data = linear_regression.load_data(60)
    at = log_posterior(linear_regression.build_model(data))
    known = linear_regression.reference(data)
    names = list(known.index[:-1])
    centre = known["mean"].to_numpy()[:-1]
    design = np.column_stack([np.ones(60), data.drop(columns="progress")])
    precision = design.T @ design + np.eye(11) / linear_regression.PRIOR_SCALE**2

    def density(coefficients, variance):
        return at({"intercept": coefficients[0], "slope": coefficients[1:], "variance": variance})

    variance = 0.7
    top = density(centre, variance)
    for number, name in enumerate(names):
        away = centre.copy()
        away[number] += 0.3
        expected = -0.09 * precision[number, number] / (2 * variance)
        assert density(away, variance) - top == pytest.approx(expected, abs=1e-8), name
    # the marginal of the variance: the density at the centre, times the normal's width
    grid = np.linspace(0.05, 4, 400)
    marginal = np.array([density(centre, one) + 11 / 2 * np.log(one) for one in grid])
    np.testing.assert_allclose(known.loc["variance"], moments_on(grid, marginal), rtol=1e-4)
    # and the slopes' sds follow from it
    expected = np.sqrt(known.loc["variance", "mean"] * np.diag(np.linalg.inv(precision)))
    np.testing.assert_allclose(known["sd"].to_numpy()[:-1], expected)


def test_mixture_of_gaussians():
    """The density is that of SciPy, and the reference the top of the likelihood."""
    data = mixture_of_gaussians.load_data(2000)
    known = mixture_of_gaussians.reference(data)
    top = known["mean"].to_numpy().reshape(3, 3)
    best = mixture_of_gaussians.log_likelihood(*top, data)
    rng = np.random.default_rng(0)
    for _ in range(20):
        weights, means, sds = top + 0.3 * rng.normal(size=(3, 3)) * [[0], [1], [1]] * known[
            "sd"
        ].to_numpy().reshape(3, 3)
        assert mixture_of_gaussians.log_likelihood(weights, means, sds, data) < best
    # along each free direction the likelihood falls by a half of what its conditional sd says
    model = mixture_of_gaussians.build_model(data)
    at = log_posterior(model)
    points = [dict(zip(("weight", "mean", "sd"), top, strict=True)) for _ in range(2)]
    points[1]["mean"] = top[1] + [0.1, 0, 0]
    prior = [-0.5 * (one["mean"] ** 2 / 25).sum() for one in points]
    likelihood = [
        mixture_of_gaussians.log_likelihood(one["weight"], one["mean"], one["sd"], data)
        for one in points
    ]
    assert at(points[1]) - at(points[0]) == pytest.approx(
        likelihood[1] - likelihood[0] + prior[1] - prior[0], abs=1e-8
    )


def check(found, least_ess=200):
    """Means within four errors and a tenth of a sd; sds within the promise and four errors."""
    assert found["smallest ESS"] > least_ess
    assert found["mean error"] < 4 * found["its Monte Carlo error"] + 0.1
    noise = 4 / np.sqrt(2 * found["smallest ESS"])
    assert found["sd ratio, smallest"] > 0.93 - noise
    assert found["sd ratio, largest"] < 1.1 + noise


SIZES = {
    "chains": 2, "cores": 1, "progressbar": False, "compute_convergence_checks": False,
}  # fmt: skip


@pytest.mark.parametrize("sampler", QUICK)
def test_samplers_on_the_coin(sampler):
    check(exact_posteriors.measure("coin", sampler, draws=1000, random_seed=1, **SIZES))


LONGER = {"cyclical_sghmc": 4000, "cyclical_sgld": 4000, "sggmc": 8000}  # slow where correlated


@pytest.mark.statistical
@pytest.mark.parametrize("name", exact_posteriors.EXACT)
@pytest.mark.parametrize("sampler", sorted(set(REGISTRY) - set(exact_posteriors.SKIPPED)))
def test_every_sampler_on_every_exact_posterior(sampler, name):
    if (sampler, name) == ("psgld", "linear_regression"):
        pytest.xfail("a diagonal metric does not see correlated slopes: 3 effective draws of 4000")
    draws = LONGER.get(sampler, 2000) if name == "linear_regression" else 2000
    check(exact_posteriors.measure(name, sampler, draws=draws, random_seed=1, **SIZES))


@pytest.mark.statistical
def test_auto_on_the_mixture():
    data = mixture_of_gaussians.load_data()
    with mixture_of_gaussians.build_model(data):
        draws = psg.sample("auto", 1000, random_seed=1, **SIZES)
    known = mixture_of_gaussians.reference(data)
    for name in ("weight", "mean", "sd"):
        values = draws.posterior[name].to_numpy().reshape(-1, 3)
        rows = known.loc[[f"{name}[{at}]" for at in ("left", "middle", "right")]]
        assert (np.abs(values.mean(axis=0) - rows["mean"]) < 0.2 * rows["sd"]).all()
        np.testing.assert_allclose(values.std(axis=0), rows["sd"], rtol=0.1)


def test_every_exact_model_has_a_reference():
    for name in exact_posteriors.EXACT:
        module = exact_posteriors.models.load(name)
        assert isinstance(module.build_model(module.load_data(rows=60)), pm.Model)
        assert (module.reference(module.load_data(rows=60))["sd"] > 0).all()
