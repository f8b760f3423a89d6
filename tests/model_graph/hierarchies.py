"""Hierarchies as PyMC users write them, and what is to be found in each."""

import numpy as np
import pymc as pm
import pytensor.tensor as pt

N, G = 200, 7
_rng = np.random.default_rng(0)
GROUP = _rng.integers(0, G, N)
OTHER = _rng.integers(0, 5, N)
x = _rng.normal(size=N)
X = _rng.normal(size=(N, 3))
BINARY = _rng.integers(0, 2, N)
REAL = _rng.normal(size=N)
COUNT = _rng.poisson(2, N)
OF_GROUP = _rng.normal(size=(G, 2))
DISTRICT = np.array([0, 0, 1, 1, 2, 2, 2])

# Name: builder, and for each effect what its shift and its scale are made of.
HIERARCHIES = {}


def hierarchy(**effects):
    def keep(build):
        def model():
            with pm.Model() as made:
                build()
            return made

        HIERARCHIES[build.__name__] = (model, effects)
        return model

    return keep


def mean_and_scale(name=""):
    return pm.Normal(f"mu{name}"), pm.HalfNormal(f"tau{name}")


def covariances(n):
    return pm.LKJCholeskyCov("chol", n=n, eta=2, sd_dist=pm.HalfNormal.dist(1))[0]


@hierarchy(z=("mu", "tau"))
def intercepts_and_covariates():
    mu, tau = mean_and_scale()
    z, slope = pm.Normal("z", shape=G), pm.Normal("slope", shape=3)
    predictor = mu + tau * z[GROUP] + (X * slope).sum(-1)
    pm.Bernoulli("y", logit_p=predictor, observed=BINARY)


@hierarchy(z=("mu", "tau"))
def subtracted_and_divided():
    """As ``-(mu - z / rate)``, on data that can be changed."""
    mu, rate = pm.Normal("mu"), pm.LogNormal("tau")
    z, of_row = pm.Normal("z", shape=G), pm.Data("of_row", GROUP)
    pm.Normal("y", -(mu - z / rate)[of_row], pm.HalfNormal("sigma"), observed=REAL)


@hierarchy(z=("gamma", "tau"))
def group_predictor():
    gamma, tau, z = pm.Normal("gamma", shape=2), pm.HalfNormal("tau"), pm.Normal("z", shape=G)
    level = pm.Deterministic("level", z * tau + (OF_GROUP @ gamma - gamma[0]))
    pm.Normal("y", level[GROUP], 1.0, observed=REAL)


@hierarchy(za=("mua", "taua"), zb=("mub", "taub"))
def slopes_nested():
    (a, ta), (b, tb) = mean_and_scale("a"), mean_and_scale("b")
    za, zb = pm.Normal("za", shape=G), pm.Normal("zb", shape=G)
    pm.Normal("y", (a + ta * za)[GROUP] + (b + tb * zb)[GROUP] * x, 1.0, observed=REAL)


@hierarchy(za=("mua", "taua"), zb=("mub", "taub"))
def slopes_flat():
    (a, ta), (b, tb) = mean_and_scale("a"), mean_and_scale("b")
    za, zb = pm.Normal("za", shape=G), pm.Normal("zb", shape=G)
    predictor = a + ta * za[GROUP] + b * x + tb * zb[GROUP] * x
    pm.Normal("y", predictor, 1.0, observed=REAL)


@hierarchy(z2=("mu", "t2"), z1=("", "t1"))
def crossed():
    """The factor with fewer levels gets the mean."""
    mu, t1, t2 = pm.Normal("mu"), pm.HalfNormal("t1"), pm.HalfNormal("t2")
    z1, z2 = pm.Normal("z1", shape=G), pm.Normal("z2", shape=5)
    pm.Poisson("y", pt.exp(mu + t1 * z1[GROUP] + t2 * z2[OTHER]), observed=COUNT)


@hierarchy(zd=("mu", "td"), zs=("mu zd td", "ts"))
def nested():
    mu, td, ts = pm.Normal("mu"), pm.HalfNormal("td"), pm.HalfNormal("ts")
    zd, zs = pm.Normal("zd", shape=3), pm.Normal("zs", shape=G)
    district = pm.Deterministic("district", mu + td * zd)
    school = pm.Deterministic("school", district[DISTRICT] + ts * zs)
    pm.Normal("y", school[GROUP], 1.0, observed=REAL)


@hierarchy(z=("mu", "chol"))
def lkj_from_the_right():
    chol, z, mu = covariances(2), pm.Normal("z", shape=(G, 2)), pm.Normal("mu", shape=2)
    effect = pm.Deterministic("effect", mu + z @ chol.T)
    pm.Normal("y", effect[GROUP, 0] + effect[GROUP, 1] * x, 1.0, observed=REAL)


@hierarchy(z=("mu", "chol"))
def lkj_from_the_left():
    """As in PyMC's example of varying slopes; the means are added to each column."""
    chol, z, mu = covariances(2), pm.Normal("z", shape=(2, G)), pm.Normal("mu", shape=2)
    effect = pm.Deterministic("effect", pt.dot(chol, z).T)
    intercept, slope = mu[0] + effect[GROUP, 0], mu[1] + effect[GROUP, 1]
    pm.Normal("y", intercept + slope * x, 1.0, observed=REAL)


@hierarchy(z=("mu", "chol"))
def lkj_of_many_columns():
    """More columns than are solved entry by entry, and summed over."""
    chol, z, mu = covariances(7), pm.Normal("z", shape=(G, 7)), pm.Normal("mu", shape=7)
    columns = np.column_stack([X, X**2, x])
    pm.Normal("y", ((mu + z @ chol.T)[GROUP] * columns).sum(-1), 1.0, observed=REAL)


@hierarchy(z=("mu", "tau"))
def a_scale_for_each_column():
    tau, z, mu = (
        pm.HalfNormal("tau", shape=2),
        pm.Normal("z", shape=(G, 2)),
        pm.Normal("mu", shape=2),
    )
    intercept = mu[0] + tau[0] * z[GROUP, 0]
    pm.Normal("y", intercept + (mu[1] + tau[1] * z[GROUP, 1]) * x, 1.0, observed=REAL)


@hierarchy(z=("", "tau"))
def zero_sum():
    """The mean is no part of effects that sum to zero."""
    mu, tau = mean_and_scale()
    z = pm.ZeroSumNormal("z", shape=G)
    pm.Normal("y", mu + tau * z[GROUP], 1.0, observed=REAL)


@hierarchy(beta=("", "ell eta"))
def hsgp():
    ell, eta = pm.InverseGamma("ell", 5, 5), pm.HalfNormal("eta")
    kernel = eta**2 * pm.gp.cov.ExpQuad(1, ls=ell)
    phi, root = pm.gp.HSGP(m=[6], c=1.5, cov_func=kernel).prior_linearized(x[:, None])
    beta = pm.Normal("beta", shape=6)
    pm.Normal("y", phi @ (beta * root), 1.0, observed=REAL)


@hierarchy(z=("mu", "tau"), zs=("mus", "taus"))
def noise_of_each_group():
    (mu, tau), (ms, ts) = mean_and_scale(), mean_and_scale("s")
    z, zs = pm.Normal("z", shape=G), pm.Normal("zs", shape=G)
    pm.Normal("y", (mu + tau * z)[GROUP], pt.exp(ms + ts * zs)[GROUP], observed=REAL)


@hierarchy(z=("mu", "tau"))
def heavy_tailed_effects():
    mu, tau = mean_and_scale()
    z = pm.StudentT("z", nu=4, shape=G)
    pm.Normal("y", mu + tau * z[GROUP], 1.0, observed=REAL)


@hierarchy(z1=("mu scale share z2", "scale share"), z2=("", "scale share"))
def two_effects_of_a_group():
    """The sum of two effects: the rows see the first only, once it holds the second."""
    mu, scale, share = pm.Normal("mu"), pm.HalfNormal("scale"), pm.Beta("share", 1, 1)
    z1, z2 = pm.Normal("z1", shape=G), pm.Normal("z2", shape=G)
    effect = mu + scale * (pt.sqrt(share) * z1 + pt.sqrt(1 - share) * z2)
    pm.Normal("y", effect[GROUP], 1.0, observed=REAL)


@hierarchy()
def centred():
    mu, tau = mean_and_scale()
    pm.Normal("y", pm.Normal("u", mu, tau, shape=G)[GROUP], 1.0, observed=REAL)


@hierarchy()
def regression():
    slope, sigma = pm.Normal("slope", shape=3), pm.HalfNormal("sigma")
    pm.Normal("y", (X * slope).sum(-1), sigma, observed=REAL)


@hierarchy()
def two_scales():
    t1, t2, z = pm.HalfNormal("t1"), pm.HalfNormal("t2"), pm.Normal("z", shape=G)
    pm.Normal("y", pm.Deterministic("one", t1 * z)[GROUP], 1.0, observed=REAL)
    pm.Poisson("counts", pt.exp(t2 * z[GROUP]), observed=COUNT)


@hierarchy()
def scale_of_any_sign():
    scale, z = pm.Normal("scale"), pm.Normal("z", shape=G)
    pm.Normal("y", scale * z[GROUP], 1.0, observed=REAL)


@hierarchy()
def scale_with_zeros():
    """A scale that is zero for half of its parameter's values."""
    a, z = pm.Normal("a"), pm.Normal("z", shape=G)
    pm.Normal("y", pt.maximum(a, 0.0) * z[GROUP], 1.0, observed=REAL)


@hierarchy(z=("", "tau"))
def data_with_zeros():
    tau, z = pm.HalfNormal("tau"), pm.Normal("z", shape=G)
    weight = pm.Data("weight", np.array([0, 1.0, 1, 2, 1, 1, 1]))
    pm.Normal("y", (tau * weight * z)[GROUP], 1.0, observed=REAL)


@hierarchy()
def circle():
    z1, z2 = pm.Normal("z1", shape=G), pm.Normal("z2", shape=G)
    first = pm.Deterministic("first", pt.exp(z2) * z1)
    second = pm.Deterministic("second", pt.exp(z1) * z2)
    pm.Normal("y", first[GROUP], 1.0, observed=REAL)
    pm.Normal("more", second[GROUP], 1.0, observed=REAL)
