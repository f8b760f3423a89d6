"""A run of blackjax or NumPyro: ``python -m tests.benchmarks.speed.peers METHOD N SEED FILE``.

In an environment of its own, which has neither PyMC nor this library. Prints JSON; the draws go
into the file.
"""

import json
import sys

import jax
import jax.numpy as jnp
import numpy as np

from tests.benchmarks.speed.data import PRIOR_SD, cpu_seconds, logistic_mode, regression

jax.config.update("jax_enable_x64", True)
CHAINS, DRAWS, BATCH = 4, 1000, 256
STEP, STEPS_PER_DRAW = 0.15, 12  # over the largest curvature: sds some 4 % too wide


def log_prior(position):
    return -0.5 * (position**2).sum() / PRIOR_SD**2


def log_likelihood(position, row):
    design, outcome = row
    eta = design @ position
    return outcome * eta - jnp.logaddexp(0.0, eta)


def blackjax_sgld_cv(design, outcome, seed):
    """SGLD with a control variate; mode, step size, batch and thinning are given to it."""
    import blackjax

    from blackjax.sgmcmc import gradients

    mode, covariance = logistic_mode(design, outcome)
    h = STEP * np.linalg.eigvalsh(covariance)[0]
    data = (jnp.asarray(design), jnp.asarray(outcome, dtype=float))
    n_rows = len(outcome)
    estimate = gradients.grad_estimator(log_prior, log_likelihood, n_rows)
    corrected = gradients.control_variates(estimate, jnp.asarray(mode), data)
    kernel = blackjax.sgld(corrected)

    def step(position, key):
        for_rows, for_noise = jax.random.split(key)
        rows = jax.random.randint(for_rows, (BATCH,), 0, n_rows)
        batch = (data[0][rows], data[1][rows])
        return kernel.step(for_noise, position, batch, h), None

    def draw(position, key):
        position, _ = jax.lax.scan(step, position, jax.random.split(key, STEPS_PER_DRAW))
        return position, position

    @jax.jit
    def chain(position, key):
        return jax.lax.scan(draw, position, jax.random.split(key, DRAWS))[1]

    keys = jax.random.split(jax.random.key(seed), CHAINS)
    lower = np.linalg.cholesky(covariance)
    starts = mode + np.random.default_rng(seed).normal(size=(CHAINS, len(mode))) @ lower.T
    return np.stack([chain(jnp.asarray(s), k) for s, k in zip(starts, keys, strict=True)])


def numpyro_hmcecs(design, outcome, seed):
    """HMC with energy-conserving subsampling and a Taylor proxy at the mode, 2 x (300 + 500)."""
    import numpyro

    from numpyro import distributions as dist
    from numpyro.infer import HMCECS, MCMC, NUTS

    n_rows, n_dim = design.shape
    mode, _ = logistic_mode(design, outcome)
    design, outcome = jnp.asarray(design), jnp.asarray(outcome)

    def model():
        beta = numpyro.sample("beta", dist.Normal(0, PRIOR_SD).expand([n_dim]).to_event(1))
        with numpyro.plate("rows", n_rows, subsample_size=BATCH):
            some = numpyro.subsample(design, event_dim=1)
            said = numpyro.subsample(outcome, event_dim=0)
            numpyro.sample("y", dist.Bernoulli(logits=some @ beta), obs=said)

    proxy = HMCECS.taylor_proxy({"beta": jnp.asarray(mode)})
    kernel = HMCECS(NUTS(model), num_blocks=10, proxy=proxy)
    run = MCMC(kernel, num_warmup=300, num_samples=500, num_chains=2, progress_bar=False,
               chain_method="sequential")  # fmt: skip
    run.run(jax.random.key(seed), init_params={"beta": jnp.tile(jnp.asarray(mode), (2, 1))})
    return np.asarray(run.get_samples(group_by_chain=True)["beta"])


def main(method, n_rows, seed, path):
    design, outcome = regression("logistic", n_rows, 20, seed)
    started = cpu_seconds()
    draws = globals()[method](design, outcome, seed)
    spent = cpu_seconds() - started
    np.save(path, draws)
    print(json.dumps({"cpu_seconds": spent}))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
