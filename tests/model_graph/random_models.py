"""A hypothesis strategy of random models: predictors, likelihoods, and what must be refused."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pymc as pm
import pytensor
import pytensor.tensor as pt

from hypothesis import strategies as st


@dataclass
class Drawn:
    """One random model and what is known of it."""

    model: pm.Model
    options: dict
    steps: list[str] = field(default_factory=list)
    mixes_rows: bool = False
    # One parameter per row: refused, unless its rows are picked like those of a table.
    has_latent: bool = False

    def __repr__(self):
        return f"{self.options} {' / '.join(self.steps)}"


class Recipe:
    """Makes expressions with one entry per row inside the model of the context."""

    def __init__(self, draw, n_rows, drawn):
        self.draw, self.n, self.drawn = draw, n_rows, drawn
        self.rng = np.random.default_rng(draw(st.integers(0, 2**16), label="seed"))
        self.names = 0

    def pick(self, *options):
        return self.draw(st.sampled_from(options))

    def note(self, text):
        self.drawn.steps.append(text)

    def name(self, stem):
        self.names += 1
        return f"{stem}{self.names}"

    def size(self, *small):
        """Draw a number of groups, features or units, sometimes as many as there are rows."""
        return self.pick(*small, self.n)

    def data(self, value):
        """Return data as constants or in a container, with or without dimensions."""
        kind = self.pick("constant", "numpy", "Data", "Data with dims")
        if kind == "numpy":
            return pt.as_tensor(value)
        if kind == "constant":
            return pt.constant(value, name=self.name("c"))
        dims = ("obs", *[None] * (value.ndim - 1)) if kind == "Data with dims" else None
        if dims is not None and len(value) != self.n:
            dims = None
        return pm.Data(self.name("d"), value, dims=dims)

    def matrix(self, n_columns, n_rows=None):
        return self.data(self.rng.normal(size=(n_rows or self.n, n_columns)))

    def index(self, n_groups):
        kind = self.pick("int64", "int32")
        return self.data(self.rng.integers(0, n_groups, size=self.n).astype(kind))

    def weights(self, *shape):
        return pm.Normal(self.name("b"), 0, 0.3 / np.sqrt(max(1, shape[0])), shape=shape)

    def scalar(self):
        return pm.Normal(self.name("c"), 0, 0.3)

    def predictor(self, depth=2):
        """Return a random (N,) expression."""
        if depth == 0:
            return self.leaf()
        kind = self.pick("leaf", "add", "multiply", "function", "shuffle", "switch", "mix")
        if kind == "leaf":
            return self.leaf()
        mu = self.predictor(depth - 1)
        if kind in ("add", "multiply", "switch"):
            return self.combined(kind, mu, self.leaf())
        return {"function": self.function, "shuffle": self.shuffled, "mix": self.mixed}[kind](mu)

    def combined(self, kind, mu, other):
        self.note(kind)
        if kind == "add":
            return mu + other
        if kind == "multiply":
            return pt.tanh(mu) * other
        return pt.switch(self.data(self.rng.random(self.n)) > 0.5, mu, other)

    def function(self, mu):
        kind = self.pick("tanh", "exp", "sigmoid", "relu", "square", "concatenate")
        self.note(kind)
        if kind == "concatenate":
            cut = self.pick(1, self.n // 3)
            return pt.concatenate([mu[:cut] * self.scalar(), mu[cut:]])
        return {
            "tanh": pt.tanh,
            "exp": lambda x: pt.exp(pt.tanh(x)),
            "sigmoid": pm.math.sigmoid,
            "relu": lambda x: pt.maximum(x, 0.01 * x),
            "square": lambda x: pt.sqr(pt.tanh(x)),
        }[kind](mu)

    def shuffled(self, mu):
        kind = self.pick("reverse", "index", "mask", "roll", "wide", "set")
        self.note(kind)
        if kind == "reverse":
            return mu[::-1]
        if kind == "index":
            return mu[self.data(self.rng.integers(0, self.n, size=self.n))]
        if kind == "mask":
            keep = np.concatenate([[True] * self.n, [False] * 3])
            return pt.concatenate([mu, np.zeros(3)])[keep]
        if kind == "roll":
            return pt.roll(mu, self.pick(1, -2))
        if kind == "wide":
            return pt.stack([mu, -mu], axis=1).ravel()[:: self.pick(2, 1)][: self.n]
        return pt.set_subtensor(mu[:: self.pick(2, 5)], self.scalar())

    def mixed(self, mu):
        """Combine rows: what comes out depends on all rows of the parameters."""
        kind = self.pick("mean", "softmax", "cumsum", "sort", "norm", "gram", "scan", "latent")
        self.note(f"mixed by {kind}")
        if kind == "latent":
            self.drawn.has_latent = True
            return mu + pm.Normal(self.name("z"), shape=self.n)
        self.drawn.mixes_rows = True
        if kind == "mean":
            return mu - mu.mean()
        if kind == "softmax":
            return pt.special.softmax(mu, axis=0)
        if kind == "cumsum":
            return pt.cumsum(mu) / self.n
        if kind == "sort":
            return pt.sort(mu)
        if kind == "norm":
            return mu / pt.sqrt(1 + (mu**2).sum())
        if kind == "gram":
            return self.matrix(2) @ (self.matrix(2).T @ mu) / self.n
        return pytensor.scan(
            lambda x, state: 0.5 * state + x,
            sequences=[mu],
            outputs_info=[pt.zeros(())],
            return_updates=False,
        )

    def leaf(self):
        kind = self.pick(*LEAVES)
        self.note(kind)
        return LEAVES[kind](self)


def linear(r):
    d = r.size(1, 3)
    return r.matrix(d) @ r.weights(d)


def row_sums(r):
    d = r.size(2)
    return (r.matrix(d) * r.weights(d)).sum(axis=-1)


def scaled_linear(r):
    d = r.size(2)
    return (r.matrix(d) / r.rng.gamma(3.0, 1.0, size=d)) @ r.weights(d)


def standardised(r):
    d = r.size(3)
    x = r.matrix(d)
    return ((x - x.mean(axis=0)) / x.std(axis=0)) @ r.weights(d)


def with_reductions(r):
    x = r.matrix(2)
    b = r.weights(2)
    return x @ b + (x.T @ x / x.shape[0] @ b).sum() + x.max() * b[0]


def cumulative_data(r):
    x = r.matrix(2)
    return pt.cumsum(x, axis=0) @ r.weights(2) / 5 + pt.sort(x, axis=0)[:, 0] * r.scalar()


def group_effects(r):
    g = r.size(2, 5)
    effects = r.scalar() + pm.HalfNormal(r.name("tau")) * r.weights(g)
    return effects[r.index(g)]


def group_predictors(r):
    g = r.size(3)
    table = r.data(r.rng.normal(size=(g, 2)))
    effects = table @ r.weights(2)
    index = r.index(g)
    return effects[index] + table[index, 0] * r.scalar()


def two_indices(r):
    g = r.size(4)
    return r.weights(g, 3)[r.index(g), r.index(3)]


def factors(r):
    g = r.size(4)
    return (r.weights(g, 2)[r.index(g)] * r.weights(3, 2)[r.index(3)]).sum(axis=1)


def hidden_units(r):
    h = r.size(2)
    return pt.tanh(r.matrix(2) @ r.weights(2, h) + r.weights(h)) @ r.weights(h)


def row_softmax(r):
    return pt.special.softmax(r.matrix(2) @ r.weights(2, 3), axis=1)[:, 1]


def columns_joined(r):
    design = pt.concatenate([r.matrix(2), np.ones((r.n, 1))], axis=1)
    return design @ r.weights(3)


def columns_stacked(r):
    x = r.data(r.rng.normal(size=r.n))
    return pt.stack([pt.ones_like(x), x, pt.sqr(x)], axis=-1) @ r.weights(3)


def column_set(r):
    x = pt.as_tensor(r.rng.normal(size=(r.n, 2)))
    return pt.set_subtensor(x[:, 1], r.scalar() * x[:, 0]) @ r.weights(2)


def trend(r):
    return pt.arange(r.n) / r.n * r.scalar()


def long_data(r):
    x = r.matrix(2, n_rows=2 * r.n)
    return (x @ r.weights(2)).reshape((r.n, 2))[:, 1]


def einsum(r):
    return pt.einsum("nd,d->n", r.matrix(2), r.weights(2))


def batched_solve(r):
    a = r.rng.normal(size=(2, 2)) + 3 * np.eye(2)
    return pt.linalg.solve(pt.as_tensor(a), r.matrix(2).T)[0] * r.scalar()


def loop_over_time(r):
    x = r.matrix(3)
    states = pytensor.scan(
        lambda x, h, rho: pt.tanh(rho * h + x),
        sequences=[x.T],
        outputs_info=[pt.zeros(r.n)],
        non_sequences=[r.scalar()],
        return_updates=False,
    )
    return states[-1]


LEAVES = {
    f.__name__: f
    for f in (
        linear,
        row_sums,
        scaled_linear,
        standardised,
        with_reductions,
        cumulative_data,
        group_effects,
        group_predictors,
        two_indices,
        factors,
        hidden_units,
        row_softmax,
        columns_joined,
        columns_stacked,
        column_set,
        trend,
        long_data,
        einsum,
        batched_solve,
        loop_over_time,
    )
}


def observe(r, name, mu):
    """Add one random likelihood with predictor `mu`."""
    kind = r.pick(*LIKELIHOODS)
    r.note(f"{name} ~ {kind}")
    LIKELIHOODS[kind](r, name, mu)


def dims_of(r):
    return r.pick(None, "obs")


def normal(r, name, mu):
    y = r.data(r.rng.normal(size=r.n)) if r.pick(True, False) else r.rng.normal(size=r.n)
    pm.Normal(name, mu, pm.HalfNormal(f"s_{name}"), observed=y, dims=dims_of(r))


def heteroscedastic(r, name, mu):
    pm.StudentT(name, nu=4.0, mu=mu, sigma=pt.exp(0.1 * r.leaf()), observed=r.rng.normal(size=r.n))


def poisson(r, name, mu):
    rate = pt.exp(pt.clip(mu, -2, 2))
    pm.Poisson(name, rate, observed=r.rng.poisson(2.0, size=r.n), dims=dims_of(r))


def negative_binomial(r, name, mu):
    y = r.rng.poisson(2.0, size=r.n)
    pm.NegativeBinomial(name, mu=pt.exp(pt.tanh(mu)), alpha=2.0, observed=y)


def bernoulli(r, name, mu):
    y = r.rng.integers(0, 2, size=r.n)
    if r.pick(True, False):
        pm.Bernoulli(name, logit_p=mu, observed=y)
    else:
        pm.Bernoulli(name, p=0.1 + 0.8 * pm.math.sigmoid(mu), observed=y, dims=dims_of(r))


def gamma(r, name, mu):
    pm.Gamma(name, 2.0, pt.exp(pt.tanh(mu)), observed=r.rng.gamma(2.0, size=r.n))


def categorical(r, name, mu):
    logits = pt.stack([mu, -mu, pt.zeros_like(mu)], axis=1)
    pm.Categorical(name, logit_p=logits, observed=r.rng.integers(0, 3, size=r.n))


def ordered(r, name, mu):
    y = r.rng.integers(0, 3, size=r.n)
    pm.OrderedLogistic(name, eta=mu, cutpoints=np.array([-1.0, 1.0]), observed=y)


def mixture(r, name, mu):
    w = pm.Dirichlet(f"w_{name}", np.ones(2))
    parts = [pm.Normal.dist(mu, 1.0), pm.Normal.dist(r.scalar(), 2.0)]
    pm.Mixture(name, w, parts, observed=r.rng.normal(size=r.n))


def censored(r, name, mu):
    y = np.minimum(r.rng.normal(size=r.n), 0.5)
    pm.Censored(name, pm.Normal.dist(mu, 1.0), lower=None, upper=0.5, observed=y)


def zero_inflated(r, name, mu):
    y = r.rng.poisson(1.0, size=r.n)
    pm.ZeroInflatedPoisson(name, psi=0.5, mu=pt.exp(pt.tanh(mu)), observed=y)


def rows_of_vectors(r, name, mu):
    y = r.rng.normal(size=(r.n, 3))
    if r.pick(True, False):
        y[[1, 4], [0, 2]] = np.nan
        y = np.ma.masked_invalid(y)
    pm.MvNormal(name, mu[:, None] + r.weights(3), cov=np.eye(3) + 0.3, observed=y)


def rows_first(r, name, mu):
    y = r.rng.normal(size=(r.n, 2))
    if r.pick(True, False):
        y[3, 1] = np.nan
        y = np.ma.masked_invalid(y)
    pm.Normal(name, mu[:, None] * r.weights(2), 1.0, observed=y)


def rows_last(r, name, mu):
    r.drawn.options["rows"] = {name: 1}
    pm.Normal(name, r.weights(2, 1) + mu, 1.0, observed=r.rng.normal(size=(2, r.n)))


def long_format(r, name, mu):
    wide = mu[:, None] * r.weights(2)
    y = r.rng.normal(size=2 * r.n)
    pm.Normal(name, (wide.T if r.pick(True, False) else wide).flatten(), 1.0, observed=y)


def with_missing(r, name, mu):
    y = r.rng.normal(size=r.n)
    y[[2, 7]] = np.nan
    pm.Normal(name, mu, 1.0, observed=np.ma.masked_invalid(y))


def lagged(r, name, mu):
    y = r.data(r.rng.normal(size=r.n))
    pm.Normal(name, r.scalar() * y[:-1] + mu[1:], 1.0, observed=y[1:])


def potential(r, name, mu):
    terms = -0.5 * pt.sqr(r.data(r.rng.normal(size=r.n)) - mu)
    kind = r.pick("vector", "sum", "weighted sum and a scalar")
    if kind == "weighted sum and a scalar":
        terms = 2.0 * terms.sum() - r.scalar() ** 4
    pm.Potential(name, terms.sum() if kind == "sum" else terms)


LIKELIHOODS = {
    f.__name__: f
    for f in (
        normal,
        heteroscedastic,
        poisson,
        negative_binomial,
        bernoulli,
        gamma,
        categorical,
        ordered,
        mixture,
        censored,
        zero_inflated,
        rows_of_vectors,
        rows_first,
        rows_last,
        long_format,
        with_missing,
        lagged,
        potential,
    )
}


@st.composite
def models(draw):
    """Return a random model as `Drawn`."""
    n = draw(st.sampled_from([37, 41]))  # never within max_full, with values missing
    with pm.Model(coords={"obs": np.arange(n)}) as model:
        drawn = Drawn(model, {})
        recipe = Recipe(draw, n, drawn)
        observe(recipe, "y", recipe.predictor())
        if draw(st.integers(0, 3)) == 0:
            observe(recipe, "x", recipe.predictor(depth=1))
    return drawn
