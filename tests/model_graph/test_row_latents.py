"""Latents of rows integrated out by quadrature: against integrals that are known exactly."""

from itertools import pairwise

import numpy as np
import pymc as pm
import pytensor.tensor as pt
import pytest

from scipy import stats

from pymc_sgld.model_graph import RowError, row_model
from pymc_sgld.model_graph.latents.quadrature_rules import QuadratureRule
from pymc_sgld.model_graph.latents.row_latents import row_latents

N = 40
RNG = np.random.default_rng(8)
X = RNG.normal(size=N)
COUNTS = RNG.poisson(np.exp(0.3 * X + RNG.normal(size=N)))
HEADS = RNG.binomial(6, RNG.beta(2, 3, size=N))
Y = RNG.normal(size=N) * 1.7
Y3 = RNG.normal(size=(N, 3))


def gaussian(centred=True):
    with pm.Model(coords={"obs": np.arange(N)}) as model:
        slope, tau = pm.Normal("slope"), pm.HalfNormal("tau")
        if centred:
            mean = pm.Normal("z", slope * X, tau, dims="obs")
        else:
            mean = slope * X + tau * pm.Normal("z", dims="obs")
        pm.Normal("y", mean, 0.8, observed=Y, dims="obs")
    return model


def gaussian_exact():
    with pm.Model() as model:
        slope, tau = pm.Normal("slope"), pm.HalfNormal("tau")
        pm.Normal("y", slope * X, pt.sqrt(tau**2 + 0.8**2), observed=Y)
    return model


def two_factors(rows_last=False):
    with pm.Model() as model:
        loadings, sigma = pm.Normal("loadings", shape=(2, 3)), pm.HalfNormal("sigma")
        if rows_last:
            means = loadings.T @ pm.Normal("z", shape=(2, N))
            pm.Normal("y", means, sigma, observed=Y3.T)
        else:
            pm.Normal("y", pm.Normal("z", shape=(N, 2)) @ loadings, sigma, observed=Y3)
    return model


def two_factors_exact():
    with pm.Model() as model:
        loadings, sigma = pm.Normal("loadings", shape=(2, 3)), pm.HalfNormal("sigma")
        covariance = loadings.T @ loadings + sigma**2 * pt.eye(3)
        pm.MvNormal("y", np.zeros(3), covariance, observed=Y3)
    return model


def two_correlated():
    """An intercept and a slope for each row, seen through three observations."""
    times = np.array([-1.0, 0.0, 1.5])
    with pm.Model() as model:
        mean, sigma = pm.Normal("mean", shape=2), pm.HalfNormal("sigma")
        intercept = pm.Normal("intercept", mean[0], 0.7, shape=N)
        slope = pm.Normal("slope", mean[1] + 0.5 * intercept, 0.6, shape=N)
        pm.Normal("y", intercept[:, None] + slope[:, None] * times, sigma, observed=Y3)
    return model


def two_correlated_exact():
    times = np.array([-1.0, 0.0, 1.5])
    factor = np.array([[0.7, 0.0], [0.35, 0.6]])
    design = np.stack([np.ones(3), times], axis=1)
    with pm.Model() as model:
        mean, sigma = pm.Normal("mean", shape=2), pm.HalfNormal("sigma")
        centre = pt.stack([mean[0], mean[1] + 0.5 * mean[0]])
        covariance = design @ factor @ factor.T @ design.T + sigma**2 * pt.eye(3)
        pm.MvNormal("y", design @ centre, covariance, observed=Y3)
    return model


def gamma_poisson():
    with pm.Model() as model:
        alpha, mu = pm.HalfNormal("alpha"), pm.Normal("mu")
        rate = pm.Gamma("rate", 3 + alpha, (3 + alpha) * pt.exp(-mu), shape=N)
        pm.Poisson("y", rate, observed=COUNTS)
    return model


def negative_binomial():
    with pm.Model() as model:
        alpha, mu = pm.HalfNormal("alpha"), pm.Normal("mu")
        pm.NegativeBinomial("y", mu=pt.exp(mu), alpha=3 + alpha, observed=COUNTS)
    return model


def beta_of_each_row():
    with pm.Model() as model:
        a, b = pm.HalfNormal("a"), pm.HalfNormal("b")
        pm.Binomial("y", 6, pm.Beta("p", 2 + a, 2 + b, shape=N), observed=HEADS)
    return model


def beta_binomial():
    with pm.Model() as model:
        a, b = pm.HalfNormal("a"), pm.HalfNormal("b")
        pm.BetaBinomial("y", n=6, alpha=2 + a, beta=2 + b, observed=HEADS)
    return model


def integrated(model, nodes, mode, **options):
    """The marginal model by rows, its starts at the modes of a point near by."""
    taken = row_latents(model, **options)
    assert taken.move_starts(taken.shared.initial_point()) < 1e-5
    rule = QuadratureRule.gauss_hermite(nodes, taken.n_latents)
    return row_model(taken.marginal_model(rule)), taken


CASES = {
    "centred": (gaussian, gaussian_exact, 3, 1e-10, {}),
    "non-centred": (lambda: gaussian(False), gaussian_exact, 3, 1e-10, {}),
    "two factors": (two_factors, two_factors_exact, 3, 1e-9, {}),
    "rows last": (lambda: two_factors(True), two_factors_exact, 3, 1e-9, {"rows": {"y": 1}}),
    "a latent of a latent": (two_correlated, two_correlated_exact, 3, 1e-9, {}),
    "gamma poisson": (gamma_poisson, negative_binomial, 25, 1e-5, {}),
    "beta binomial": (beta_of_each_row, beta_binomial, 25, 1e-7, {}),
}


@pytest.mark.parametrize("name", CASES)
def test_the_integral_is_the_known_one(name, python_mode):
    build, exact, nodes, tolerance, options = CASES[name]
    by_rows, taken = integrated(build(), nodes, python_mode, **options)
    reference = exact()
    rng = np.random.default_rng(2)
    kwargs = {"compile_kwargs": {"mode": python_mode}}
    logp = reference.compile_logp(mode=python_mode)
    dlogp = reference.compile_dlogp(mode=python_mode)
    for _ in range(2):
        start = taken.shared.initial_point()
        point = {key: value + 0.2 * rng.normal(size=value.shape) for key, value in start.items()}
        value, gradient = by_rows.logp_and_gradient(point, **kwargs)
        np.testing.assert_allclose(value, logp(point), rtol=tolerance)
        flat = np.concatenate([np.ravel(gradient[v.name]) for v in reference.value_vars])
        scale = np.abs(flat).max()
        np.testing.assert_allclose(flat, dlogp(point), atol=tolerance * 10 * scale)


def test_a_batch_integrates_the_latents_of_its_rows_alone(python_mode):
    by_rows, _ = integrated(gaussian(), 3, python_mode)
    mode = {"compile_kwargs": {"mode": python_mode}}
    point = np.array([0.3, 0.2])
    [rows] = by_rows.row_logp(point, **mode).values()
    exact = stats.norm(0.3 * X, np.sqrt(np.exp(0.4) + 0.64)).logpdf(Y)
    np.testing.assert_allclose(rows, exact, rtol=1e-10)
    [some] = by_rows.row_logp(point, np.array([7, 3, 3]), **mode).values()
    np.testing.assert_allclose(some, exact[[7, 3, 3]], rtol=1e-10)


def test_more_nodes_come_nearer_and_laplace_does_not_arrive(python_mode):
    """One node is the Laplace approximation; a count's skewness is what it leaves out."""
    with pm.Model() as model:
        mu, sigma = pm.Normal("mu"), pm.HalfNormal("sigma")
        pm.Poisson("y", pt.exp(pm.Normal("z", mu, sigma, shape=N)), observed=COUNTS)
    taken = row_latents(model)
    taken.move_starts(taken.shared.initial_point())
    point = np.array([0.1, -0.1])

    def log_density(rule):
        by_rows = row_model(taken.marginal_model(rule))
        return by_rows.row_logp(point, compile_kwargs={"mode": python_mode})["log_marginal_y"]

    truth = log_density(QuadratureRule.equally_spaced(401, 1, 12.0))
    errors = [
        np.abs(log_density(QuadratureRule.gauss_hermite(nodes, 1)) - truth).max()
        for nodes in (1, 5, 9, 21)
    ]
    assert errors[0] > 0.005 and all(a > 5 * b for a, b in pairwise(errors)), errors
    assert errors[-1] < 1e-6


def deterministic_of_a_latent():
    with gaussian() as model:
        pm.Deterministic("twice", 2 * model["z"])
        pm.Deterministic("free", 2 * model["tau"])
    return model


def test_what_depends_on_a_latent_is_left_out_by_name():
    taken = row_latents(deterministic_of_a_latent())
    assert (taken.latents, taken.observed, taken.left_out) == (("z",), ("y",), ("twice",))
    assert [v.name for v in taken.shared.free_RVs] == ["slope", "tau"]
    assert [v.name for v in taken.shared.deterministics] == ["free"]


def three_latents():
    with pm.Model() as model:
        sigma = pm.HalfNormal("sigma")
        pm.Normal("y", pm.Normal("z", shape=(N, 3)), sigma, observed=Y3)
    return model


def latents_alone():
    with pm.Model() as model:
        pm.Normal("y", pm.Normal("z", shape=N), observed=Y)
    return model


def potential_of_a_latent():
    with gaussian() as model:
        pm.Potential("pull", -(model["z"] ** 2))
    return model


def on_a_minibatch():
    with pm.Model() as model:
        pm.Normal("y", pm.Normal("z"), observed=pm.Minibatch(Y, batch_size=5), total_size=N)
    return model


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (three_latents, r"^'z' are 3 latents in each row, of which quadrature .* at most 2"),
        (latents_alone, r"^Every free variable .* has one entry per row"),
        (potential_of_a_latent, r"^Potential 'pull' depends on latents of rows"),
        (on_a_minibatch, r"^The latents of rows of a pm.Minibatch cannot be integrated out"),
        (gaussian_exact, r"^No free variable has one entry per row"),
    ],
)
def test_what_cannot_be_integrated_out_is_refused_by_name(build, message):
    with pytest.raises(RowError, match=message):
        row_latents(build())


def test_nodes_are_held_while_gradients_are_taken(python_mode):
    """The gradient is Fisher's identity by the same three nodes, and no Newton step is in it."""
    with pm.Model() as model:
        mu, sigma = pm.Normal("mu"), pm.HalfNormal("sigma")
        pm.Poisson("y", pt.exp(pm.Normal("z", mu, sigma, shape=N)), observed=COUNTS)
    taken = row_latents(model)
    taken.move_starts(taken.shared.initial_point())
    rule, point = QuadratureRule.gauss_hermite(3, 1), np.array([0.1, -0.1])
    kwargs = {"compile_kwargs": {"mode": python_mode}}
    at_nodes = row_model(taken.model_at_nodes(rule.points)).row_function(python_mode)
    blocks = at_nodes.read([np.arange(N)])
    names = [name for name, *_ in at_nodes.terms]
    found = dict(zip(names, at_nodes.on_blocks(point, blocks), strict=True))
    weights = np.exp(found["joint"] + rule.log_weights)
    weights /= weights.sum(axis=1, keepdims=True)
    spread = np.exp(point[1])
    standard = (found["latent_0"] - point[0]) / spread
    scores = (weights * standard / spread).sum(), (weights * (standard**2 - 1)).sum()
    marginal = row_model(taken.marginal_model(rule))
    _, whole = marginal.logp_and_gradient(point, **kwargs)
    at_point = {"mu": point[0], "sigma_log__": point[1]}
    of_priors = taken.shared.compile_dlogp(mode=python_mode)(at_point)
    np.testing.assert_allclose(whole - of_priors, scores, rtol=1e-9)
