"""Named models that `row_model` must accept: regression, groups, several likelihoods."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pymc as pm
import pytensor.tensor as pt

N = 60
K = 4
rng = np.random.default_rng(20261)
X = rng.normal(size=(N, 3))
Y = X @ np.array([1.0, -0.5, 0.3]) + rng.normal(size=N)
BINARY = (rng.random(N) < 0.5).astype(int)
COUNTS = rng.poisson(3.0, size=N)
CLASSES = rng.integers(0, K, size=N)
GROUP = rng.integers(0, 7, size=N)
POSITIVE = rng.gamma(2.0, 1.0, size=N)
UNIT = rng.beta(2.0, 3.0, size=N)
Y2 = rng.normal(size=(N, K))

ACCEPTED: dict[str, Callable[[], tuple[pm.Model, dict]]] = {}


def accepted(**options):
    """Register a function that adds variables to the model of the context."""

    def decorate(build):
        def make():
            coords = {
                "obs": np.arange(N),
                "feature": list("abc"),
                "group": np.arange(7),
                "series": np.arange(K),
            }
            with pm.Model(coords=coords) as model:
                build()
            return model, options

        make.__module__ = build.__module__
        ACCEPTED[build.__name__] = make
        return build

    return decorate


def coefficients():
    return pm.Normal("b", 0, 1, shape=3)


@accepted()
def linear_constants():
    pm.Normal("y", X @ coefficients(), pm.HalfNormal("s"), observed=Y)


@accepted()
def linear_data_dims_deterministic():
    data = pm.Data("X", X, dims=("obs", "feature"))
    b = pm.Normal("b", 0, 1, dims="feature")
    mu = pm.Deterministic("mu", data @ b, dims="obs")
    pm.Normal("y", mu, pm.HalfNormal("s"), observed=pm.Data("y_obs", Y, dims="obs"), dims="obs")


@accepted()
def logistic():
    pm.Bernoulli("y", logit_p=pm.Data("X", X) @ coefficients(), observed=BINARY)


@accepted()
def bernoulli_p():
    pm.Bernoulli("y", p=pm.math.invlogit(X @ coefficients()), observed=BINARY)


@accepted()
def poisson_offset():
    exposure = pm.Data("exposure", POSITIVE)
    mu = pm.math.exp(X @ coefficients() + pm.math.log(exposure))
    pm.Poisson("y", mu, observed=COUNTS)


@accepted()
def negative_binomial():
    mu = pm.math.exp(X @ coefficients())
    pm.NegativeBinomial("y", mu=mu, alpha=pm.Exponential("a", 1), observed=COUNTS)


@accepted()
def student_t_free_nu():
    nu = pm.Gamma("nu", 2, 0.1)
    pm.StudentT("y", nu=nu, mu=X @ coefficients(), sigma=pm.HalfNormal("s"), observed=Y)


@accepted()
def heteroscedastic():
    g = pm.Normal("g", 0, 0.3, shape=3)
    pm.Normal("y", X @ coefficients(), pm.math.exp(X @ g), observed=Y)


@accepted()
def gamma_regression():
    mu = pm.math.exp(X @ coefficients())
    pm.Gamma("y", mu=mu, sigma=pm.HalfNormal("s"), observed=POSITIVE)


@accepted()
def beta_regression():
    mu = pm.math.invlogit(X @ coefficients())
    pm.Beta("y", mu=mu, nu=pm.Exponential("phi", 0.1), observed=UNIT)


@accepted()
def binomial_trials_data():
    trials = pm.Data("trials", COUNTS + 5)
    pm.Binomial("y", n=trials, logit_p=X @ coefficients(), observed=COUNTS)


@accepted()
def beta_binomial():
    pm.BetaBinomial(
        "y",
        alpha=pm.Exponential("a", 1),
        beta=pm.Exponential("c", 1),
        n=COUNTS + 3,
        observed=COUNTS,
    )


@accepted()
def zero_inflated_poisson():
    psi = pm.Beta("psi", 1, 1)
    pm.ZeroInflatedPoisson("y", psi=psi, mu=pm.math.exp(X @ coefficients()), observed=COUNTS)


@accepted()
def zero_inflated_negative_binomial():
    pm.ZeroInflatedNegativeBinomial(
        "y",
        psi=pm.Beta("psi", 1, 1),
        mu=pm.math.exp(X @ coefficients()),
        alpha=pm.Exponential("a", 1),
        observed=COUNTS,
    )


@accepted()
def hurdle_gamma():
    pm.HurdleGamma(
        "y",
        psi=pm.Beta("psi", 1, 1),
        alpha=pm.Exponential("a", 1),
        beta=pm.Exponential("c", 1),
        observed=np.where(BINARY == 1, POSITIVE, 0.0),
    )


@accepted()
def censored_per_row():
    latent = pm.Normal.dist(X @ coefficients(), pm.HalfNormal("s"))
    upper = np.where(BINARY == 1, 0.7, np.inf)
    pm.Censored("y", latent, lower=None, upper=upper, observed=np.minimum(Y, upper))


@accepted()
def truncated():
    latent = pm.Normal.dist(X @ coefficients(), pm.HalfNormal("s"))
    pm.Truncated("y", latent, lower=-6.0, upper=9.0, observed=np.clip(Y, -5, 8))


@accepted()
def truncated_normal():
    pm.TruncatedNormal("y", X @ coefficients(), pm.HalfNormal("s"), lower=-6.0, observed=Y)


@accepted()
def weibull_with_censoring_potential():
    alpha = pm.HalfNormal("alpha")
    beta = pm.math.exp(X @ coefficients())
    event = BINARY == 1
    pm.Weibull("y", alpha, beta[event], observed=POSITIVE[event])
    pm.Potential("censored", -((POSITIVE[~event] / beta[~event]) ** alpha))


@accepted()
def normal_mixture():
    w = pm.Dirichlet("w", np.ones(3))
    mu = pm.Normal(
        "mu",
        0,
        3,
        shape=3,
        transform=pm.distributions.transforms.ordered,
        initval=np.array([-1.0, 0.0, 1.0]),
    )
    pm.NormalMixture("y", w, mu, pm.HalfNormal("s", shape=3), observed=Y)


@accepted()
def mixture_of_regressions():
    w = pm.Dirichlet("w", np.ones(2))
    b = pm.Normal("b", 0, 1, shape=(3, 2))
    mu = X @ b
    components = [pm.Normal.dist(mu[:, 0], 1.0), pm.StudentT.dist(nu=4, mu=mu[:, 1], sigma=2.0)]
    pm.Mixture("y", w, components, observed=Y)


@accepted()
def mixture_row_weights():
    gate = pm.math.softmax(X @ pm.Normal("g", 0, 1, shape=(3, 2)), axis=1)
    pm.Mixture("y", gate, pm.Normal.dist(pm.Normal("mu", 0, 1, shape=2), 1.0), observed=Y)


@accepted()
def categorical_p():
    p = pm.math.softmax(X @ pm.Normal("W", 0, 1, shape=(3, K)), axis=-1)
    pm.Categorical("y", p=p, observed=CLASSES)


@accepted()
def categorical_logit():
    pm.Categorical("y", logit_p=X @ pm.Normal("W", 0, 1, shape=(3, K)), observed=CLASSES)


@accepted()
def categorical_pinned_class():
    w = pm.Normal("W", 0, 1, shape=(3, K - 1))
    logits = pt.concatenate([X @ w, pt.zeros((N, 1))], axis=1)
    pm.Categorical("y", logit_p=logits, observed=pm.Data("y_obs", CLASSES))


@accepted()
def ordered_logistic():
    cuts = pm.Normal(
        "cuts",
        0,
        2,
        shape=K - 1,
        transform=pm.distributions.transforms.ordered,
        initval=np.array([-1.0, 0.0, 1.0]),
    )
    pm.OrderedLogistic("y", eta=X @ coefficients(), cutpoints=cuts, observed=CLASSES)


@accepted()
def ordered_probit():
    cuts = pm.Normal(
        "cuts",
        0,
        2,
        shape=K - 1,
        transform=pm.distributions.transforms.ordered,
        initval=np.array([-1.0, 0.0, 1.0]),
    )
    pm.OrderedProbit("y", eta=X @ coefficients(), cutpoints=cuts, observed=CLASSES)


@accepted()
def multinomial():
    p = pm.math.softmax(X @ pm.Normal("W", 0, 1, shape=(3, K)), axis=-1)
    pm.Multinomial("y", n=10, p=p, observed=rng.multinomial(10, np.ones(K) / K, size=N))


@accepted()
def multinomial_row_totals():
    totals = 5 + COUNTS
    y = np.array([rng.multinomial(t, np.ones(K) / K) for t in totals])
    p = pm.math.softmax(X @ pm.Normal("W", 0, 1, shape=(3, K)), axis=-1)
    pm.Multinomial("y", n=pm.Data("totals", totals), p=p, observed=y)


@accepted()
def dirichlet_multinomial():
    y = rng.multinomial(10, np.ones(K) / K, size=N)
    pm.DirichletMultinomial("y", n=10, a=pm.Exponential("a", 1, shape=K), observed=y)


@accepted()
def dirichlet_rows():
    y = rng.dirichlet(np.ones(K), size=N)
    pm.Dirichlet("y", a=pm.math.exp(X @ pm.Normal("W", 0, 0.3, shape=(3, K))), observed=y)


@accepted()
def mvnormal_rows_lkj():
    chol, _, _ = pm.LKJCholeskyCov(
        "L", n=K, eta=2.0, sd_dist=pm.Exponential.dist(1.0), compute_corr=True
    )
    pm.MvNormal("y", mu=X @ pm.Normal("W", 0, 1, shape=(3, K)), chol=chol, observed=Y2)


@accepted()
def mvnormal_rows_cov():
    a = pm.Normal("a", 0, 1, shape=(K, K))
    pm.MvNormal("y", mu=np.zeros(K), cov=a @ a.T + 2 * pt.eye(K), observed=Y2)


@accepted()
def mvstudent_rows():
    chol, _, _ = pm.LKJCholeskyCov(
        "L", n=K, eta=2.0, sd_dist=pm.Exponential.dist(1.0), compute_corr=True
    )
    pm.MvStudentT("y", nu=5.0, mu=np.zeros(K), chol=chol, observed=Y2)


@accepted()
def group_intercepts_non_centred():
    g = pm.Data("g", GROUP)
    z = pm.Normal("z", dims="group")
    alpha = pm.Deterministic("alpha", pm.Normal("m") + pm.HalfNormal("tau") * z, dims="group")
    pm.Normal("y", alpha[g] + X @ coefficients(), 1.0, observed=Y)


@accepted()
def group_intercepts_centred():
    alpha = pm.Normal("alpha", pm.Normal("m"), pm.HalfNormal("tau"), dims="group")
    pm.Normal("y", alpha[GROUP], 1.0, observed=Y)


@accepted()
def as_many_groups_as_rows():
    u = pm.Data("u", rng.normal(size=N))
    alpha = u * pm.Normal("gamma") + pm.HalfNormal("tau") * pm.Normal("z", shape=N)
    pm.Normal("y", alpha[rng.permutation(N)], 1.0, observed=Y)


@accepted()
def varying_slopes_lkj():
    chol, _, _ = pm.LKJCholeskyCov(
        "L", n=3, eta=2.0, sd_dist=pm.Exponential.dist(1.0), compute_corr=True
    )
    b = pm.Normal("z", shape=(7, 3)) @ chol.T
    pm.Normal("y", (X * b[GROUP]).sum(axis=-1), 1.0, observed=Y)


@accepted()
def group_predictor_table():
    u = pm.Data("u", rng.normal(size=(7, 2)))
    alpha = u @ pm.Normal("gamma", shape=2)
    pm.Normal("y", alpha[GROUP] + u[GROUP, 1] * pm.Normal("d"), 1.0, observed=Y)


@accepted()
def crossed_effects_two_indices():
    other = rng.integers(0, 5, size=N)
    table = pm.Normal("table", shape=(7, 5))
    pm.Normal("y", table[GROUP, other], 1.0, observed=Y)


@accepted()
def matrix_factorisation():
    u = pm.Normal("u", 0, 1, shape=(7, 2))
    v = pm.Normal("v", 0, 1, shape=(5, 2))
    other = rng.integers(0, 5, size=N)
    pm.Normal("y", (u[GROUP] * v[other]).sum(axis=1), 1.0, observed=Y)


@accepted()
def item_response_two_parameters():
    item = rng.integers(0, 5, size=N)
    ability = pm.Normal("ability", shape=7)
    logit = pm.LogNormal("disc", 0, 0.3, shape=5)[item] * (
        ability[GROUP] - pm.Normal("diff", shape=5)[item]
    )
    pm.Bernoulli("y", logit_p=logit, observed=BINARY)


@accepted()
def spatial_icar():
    w = np.diag(np.ones(6), 1) + np.diag(np.ones(6), -1)
    phi = pm.ICAR("phi", W=w)
    pm.Poisson("y", pm.math.exp(phi[GROUP]), observed=COUNTS)


@accepted()
def two_likelihoods_different_rows():
    b = coefficients()
    pm.Normal("y", X @ b, 1.0, observed=Y)
    pm.Poisson("z", pm.math.exp(X[:40] @ b), observed=COUNTS[:40])


@accepted()
def two_likelihoods_same_dim():
    b = coefficients()
    data = pm.Data("X", X, dims=("obs", "feature"))
    pm.Normal("y", data @ b, 1.0, observed=Y, dims="obs")
    pm.Poisson("z", pm.math.exp(data @ b), observed=COUNTS, dims="obs")


@accepted()
def side_likelihood_in_full():
    b = coefficients()
    pm.Normal("y", X @ b, 1.0, observed=Y)
    pm.Normal("side", b, 0.5, observed=np.zeros(3))


@accepted()
def two_dimensional_rows_first():
    pm.Normal("y", X @ pm.Normal("W", shape=(3, K)), pm.HalfNormal("s", shape=K), observed=Y2)


@accepted(rows="obs")
def two_dimensional_rows_last():
    mu = pm.Normal("W", shape=(K, 3)) @ X.T
    pm.Normal("y", mu, pm.HalfNormal("s", shape=(K, 1)), observed=Y2.T, dims=("series", "obs"))


@accepted()
def two_dimensional_rows_last_automatic():
    pm.Normal("y", pm.Normal("W", shape=(K, 3)) @ X.T, 1.0, observed=Y2.T)


@accepted(rows={"y": 1})
def three_dimensional():
    y = rng.normal(size=(2, N, K))
    mu = pm.Normal("a", shape=(2, 1, K)) * X[None, :, :1]
    pm.Normal("y", mu, 1.0, observed=y)
