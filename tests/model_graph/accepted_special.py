"""Named models that `row_model` must accept: potentials, indexing, special structure."""

from __future__ import annotations

import numpy as np
import pymc as pm
import pymc.dims as pmd
import pytensor.sparse as ps
import pytensor.tensor as pt
import scipy.sparse

from tests.model_graph.accepted_models import (
    BINARY,
    CLASSES,
    COUNTS,
    GROUP,
    POSITIVE,
    Y2,
    K,
    N,
    X,
    Y,
    accepted,
    coefficients,
)

rng = np.random.default_rng(20262)


@accepted()
def standardised_in_the_graph():
    data = pm.Data("X", X)
    z = (data - data.mean(axis=0)) / data.std(axis=0)
    pm.Normal("y", z @ coefficients(), 1.0, observed=Y)


@accepted()
def scaled_by_length():
    data = pm.Data("X", X)
    pm.Normal("y", data @ coefficients() * 10 / data.shape[0], 1.0, observed=Y)


@accepted()
def array_used_whole_and_by_rows():
    data = pm.Data("X", X)
    b = coefficients()
    pm.Normal("y", data @ b + (data.T @ data / 100 @ b).sum() + data.max(), 1.0, observed=Y)


@accepted()
def lagged_regression():
    y = pm.Data("y_obs", np.cumsum(Y) / 5)
    pm.Normal("y", pm.Normal("rho", 0, 0.5) * y[:-1], pm.HalfNormal("s"), observed=y[1:])


@accepted()
def cumulative_sum_of_data():
    pm.Normal("y", pt.cumsum(pm.Data("X", X), axis=0) @ coefficients(), 9.0, observed=Y)


@accepted()
def reversed_rows():
    pm.Normal("y", (X @ coefficients())[::-1], 1.0, observed=Y)


@accepted()
def every_other_row():
    pm.Normal("y", (X @ coefficients())[::2], 1.0, observed=Y[::2])


@accepted()
def mask_of_rows():
    pm.Normal("y", (pm.Data("X", X) @ coefficients())[BINARY == 1], 1.0, observed=Y[BINARY == 1])


@accepted()
def polynomial_columns():
    x = pm.Data("x", X[:, 0])
    design = pt.stack([pt.ones_like(x), x, x**2], axis=1)
    pm.Normal("y", design @ coefficients(), 1.0, observed=Y)


@accepted()
def column_loop():
    b = coefficients()
    mu = sum(b[i] * X[:, i] for i in range(3))
    pm.Normal("y", mu, 1.0, observed=Y)


@accepted()
def concatenated_columns():
    design = pt.concatenate([pm.Data("X", X), np.ones((N, 1))], axis=1)
    pm.Normal("y", design @ pm.Normal("b", shape=4), 1.0, observed=Y)


@accepted()
def reshaped_column():
    mu = (X @ coefficients()[:, None]).reshape((N,))
    pm.Normal("y", mu, 1.0, observed=Y)


@accepted()
def einsum():
    mu = pt.einsum("nd,dk->nk", pt.as_tensor(X), pm.Normal("W", shape=(3, K)))
    pm.Normal("y", mu, 1.0, observed=Y2)


@accepted()
def quadratic_form_per_row():
    a = pm.Normal("A", 0, 0.3, shape=(3, 3))
    pm.Normal("y", ((X @ a) * X).sum(axis=1), 1.0, observed=Y)


@accepted()
def set_column():
    design = pt.set_subtensor(pt.as_tensor(X)[:, 1], pm.Normal("c") * X[:, 0])
    pm.Normal("y", design @ coefficients(), 1.0, observed=Y)


@accepted()
def change_point_by_time():
    t = pt.arange(N)
    tau = pm.Uniform("tau", 10, 50)
    w = pm.math.sigmoid(t - tau)
    pm.Normal("y", w * pm.Normal("m1") + (1 - w) * pm.Normal("m2"), 1.0, observed=Y)


@accepted()
def switch_on_data():
    b = coefficients()
    pm.Normal("y", pm.math.switch(X[:, 0] > 0, X @ b, -(X @ b)), 1.0, observed=Y)


@accepted()
def sparse_design():
    design = scipy.sparse.random(N, 3, density=0.5, format="csr", random_state=1)
    mu = ps.structured_dot(ps.as_sparse_variable(design), coefficients()[:, None])[:, 0]
    pm.Normal("y", mu, 1.0, observed=Y)


@accepted()
def missing_values():
    y = Y.copy()
    y[[3, 17, 40]] = np.nan
    pm.Normal("y", X @ coefficients(), pm.HalfNormal("s"), observed=np.ma.masked_invalid(y))


@accepted()
def missing_values_two_dimensional():
    y = Y2.copy()
    y[[3, 17, 40], [0, 1, 1]] = np.nan
    pm.Normal("y", X @ pm.Normal("W", shape=(3, K)), 1.0, observed=np.ma.masked_invalid(y))


@accepted()
def potential_vector():
    mu = X @ coefficients()
    pm.Potential("loglik", -0.5 * (Y - mu) ** 2)


@accepted()
def potential_summed_with_scalar_part():
    b = coefficients()
    mu = X @ b
    pm.Potential("loglik", -0.5 * pt.sum((Y - mu) ** 2) - 2.0 * (b**2).sum())


@accepted()
def potential_weights_beside_a_likelihood():
    b = coefficients()
    pm.Normal("y", X @ b, 1.0, observed=Y)
    pm.Potential("extra", (pm.Data("w", POSITIVE) * pm.logp(pm.Normal.dist(X @ b, 2.0), Y)).sum())


@accepted()
def potential_marginalised_mixture():
    w = pm.Beta("w", 2, 2)
    m = pm.Normal("m", shape=2)
    parts = pt.stack(
        [
            pt.log(w) + pm.logp(pm.Normal.dist(m[0], 1), Y),
            pt.log1p(-w) + pm.logp(pm.Normal.dist(m[1], 2), Y),
        ],
        axis=0,
    )
    pm.Potential("loglik", pm.math.logsumexp(parts, axis=0))


@accepted()
def custom_dist_logp():
    def logp(value, mu):
        return -pt.abs(value - mu) - pt.log(2.0)

    pm.CustomDist("y", X @ coefficients(), logp=logp, observed=Y)


@accepted()
def custom_dist_dist():
    def dist(mu, size):
        return pt.exp(pm.Normal.dist(mu, 1.0, size=size))

    pm.CustomDist("y", X @ coefficients(), dist=dist, observed=POSITIVE)


@accepted()
def hsgp_linearized():
    gp = pm.gp.HSGP(m=[8], c=2.0, cov_func=pm.gp.cov.ExpQuad(1, ls=pm.HalfNormal("ls")))
    phi, sqrt_psd = gp.prior_linearized(X[:, :1])
    pm.Normal("y", phi @ (pm.Normal("beta", shape=8) * sqrt_psd), 1.0, observed=Y)


@accepted()
def hsgp_prior_two_inputs():
    gp = pm.gp.HSGP(
        m=[3, 3], L=[4.0, 4.0], cov_func=pm.HalfNormal("eta") * pm.gp.cov.Matern52(2, ls=[1.0, 2.0])
    )
    pm.Normal("y", gp.prior("f", X=X[:, :2]), 1.0, observed=Y)


@accepted()
def neural_network_as_wide_as_the_data():
    w1 = pm.Normal("w1", 0, 1, shape=(3, N))
    hidden = pt.tanh(pm.Data("X", X) @ w1 + pm.Normal("b1", shape=N))
    w2 = pm.Normal("w2", 0, 0.1, shape=N)
    pm.Bernoulli("y", logit_p=hidden @ w2, observed=BINARY)


@accepted()
def neural_network_two_layers_categorical():
    hidden = pm.math.maximum(X @ pm.Normal("w1", shape=(3, 5)), 0)
    hidden = pt.tanh(hidden @ pm.Normal("w2", shape=(5, 5)))
    pm.Categorical("y", logit_p=hidden @ pm.Normal("w3", shape=(5, K)), observed=CLASSES)


@accepted()
def latent_random_walk_by_period():
    walk = pm.GaussianRandomWalk(
        "walk", 0, pm.HalfNormal("tau"), steps=11, init_dist=pm.Normal.dist(0, 1)
    )
    pm.Normal("y", walk[np.arange(N) // 5], 1.0, observed=Y)


@accepted()
def latent_gp_on_few_inputs():
    gp = pm.gp.Latent(cov_func=pm.gp.cov.ExpQuad(1, ls=pm.HalfNormal("ls")))
    f = gp.prior("f", X=np.linspace(0, 1, 9)[:, None])
    pm.Normal("y", f[np.arange(N) % 9], 1.0, observed=Y)


@accepted()
def observed_depends_on_observed():
    x = pm.Normal("x", pm.Normal("m"), 1.0, observed=X[:, 0])
    pm.Normal("y", pm.Normal("a") * x, 1.0, observed=Y)


@accepted()
def all_transforms():
    a = pm.Uniform("a", -1, 2)
    c = pm.Exponential("c", 1)
    d = pm.Beta("d", 2, 2)
    w = pm.Dirichlet("w", np.ones(3))
    o = pm.Normal(
        "o",
        shape=3,
        transform=pm.distributions.transforms.ordered,
        initval=np.array([-1.0, 0.1, 1.0]),
    )
    z = pm.ZeroSumNormal("z", 1.0, shape=7)
    v = pm.VonMises("v", 0, 1)
    mu = X @ (w + o) + z[GROUP] + a * pm.math.cos(v)
    pm.Normal("y", mu, c + d, observed=Y)


@accepted()
def data_of_another_integer_type():
    g = pm.Data("g", GROUP.astype("int32"))
    pm.Poisson("y", pm.math.exp(pm.Normal("a", shape=7)[g]), observed=COUNTS.astype("int32"))


@accepted()
def simple_mean():
    pm.Normal("y", pm.Normal("m"), pm.HalfNormal("s"), observed=pm.Data("y_obs", Y))


@accepted()
def skewed_and_heavy_tails():
    mu = X @ coefficients()
    s = pm.HalfNormal("s")
    pm.SkewNormal("y1", mu=mu, sigma=s, alpha=pm.Normal("al"), observed=Y)
    pm.Laplace("y2", mu, s, observed=Y)
    pm.AsymmetricLaplace("y3", mu=mu, kappa=1.5, b=s, observed=Y)
    pm.ExGaussian("y4", mu=mu, sigma=s, nu=2.0, observed=Y)
    pm.Gumbel("y5", mu, s, observed=Y)
    pm.Logistic("y6", mu, s, observed=Y)


@accepted()
def positive_families():
    mu = pm.math.exp(X @ coefficients())
    pm.LogNormal("y1", pm.math.log(mu), 1.0, observed=POSITIVE)
    pm.InverseGamma("y2", mu + 1, 2.0, observed=POSITIVE)
    pm.Wald("y3", mu, 2.0, observed=POSITIVE)
    pm.Exponential("y4", mu, observed=POSITIVE)
    pm.Geometric("y5", 1 / (1 + mu), observed=COUNTS + 1)


def minibatch(*arrays, size=10):
    return pm.Minibatch(*arrays, batch_size=size)


@accepted()
def minibatch_linear():
    xb, yb = minibatch(X, Y)
    pm.Normal("y", xb @ coefficients(), pm.HalfNormal("s"), observed=yb, total_size=N)


@accepted()
def minibatch_data_containers():
    xb, yb = minibatch(pm.Data("X", X), pm.Data("Y", Y))
    pm.Normal("y", xb @ coefficients(), 1.0, observed=yb, total_size=N)


@accepted()
def minibatch_groups_categorical():
    xb, gb, yb = minibatch(X, GROUP.astype("int32"), CLASSES.astype("int32"))
    mu = xb @ pm.Normal("W", shape=(3, K)) + pm.Normal("a", shape=(7, 1))[gb]
    pm.Categorical("y", logit_p=mu, observed=yb, total_size=N)


@accepted()
def minibatch_two_likelihoods():
    b = coefficients()
    xb, yb = minibatch(X, Y)
    pm.Normal("y", xb @ b, 1.0, observed=yb, total_size=N)
    xc, zb = minibatch(X[:40], Y[:40], size=8)
    pm.Normal("z", xc @ b, 2.0, observed=zb, total_size=40)


@accepted()
def minibatch_two_dimensional_total_size_list():
    xb, yb = minibatch(X, Y2)
    mu = xb @ pm.Normal("W", shape=(3, K))
    pm.Normal("y", mu, 1.0, observed=yb, total_size=[N, None])


@accepted()
def total_size_of_full_data():
    pm.Normal("y", X @ coefficients(), 1.0, observed=Y, total_size=N)


@accepted()
def named_dimensions():
    data = pmd.Data("X", X, dims=("obs", "feature"))
    mu = data.dot(pmd.Normal("b", dims="feature")) + pmd.Normal("m")
    y = pmd.as_xtensor(Y, dims=("obs",))
    pmd.Normal("y", mu, pmd.HalfNormal("s"), observed=y, dims="obs")


@accepted()
def named_dimensions_of_groups():
    g = pmd.Data("g", GROUP, dims="obs")
    alpha = pmd.Normal("alpha", pmd.Normal("m"), 1.0, dims="group")
    y = pmd.as_xtensor(COUNTS, dims=("obs",))
    pmd.Poisson("y", pmd.math.exp(alpha.isel(group=g)), observed=y, dims="obs")


@accepted()
def potential_with_rows_of_its_own():
    b = coefficients()
    pm.Normal("y", X @ b, 1.0, observed=Y)
    pm.Potential("extra", -((X[:45] @ b) ** 2).sum() - (b**4).sum())


@accepted()
def potential_beside_a_minibatch():
    b = coefficients()
    xb, yb = minibatch(X, Y)
    pm.Normal("y", xb @ b, 1.0, observed=yb, total_size=N)
    pm.Potential("extra", -((X @ b) ** 2))
