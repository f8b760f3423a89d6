r"""Posterior moments that are right, or say by how much they may be wrong.

"importance"
    Draws from the Gaussian at the exact mode, weighted by the log-density of all rows. Its moments
    under no weights are known to any accuracy, without data; only what the weights change is left
    to be estimated,

    .. math:: E_p[f] \approx E_q[f] + \sum_i (w_i - 1/n) f(\theta_i).

    Taken if the Pareto shape of the weights is below 0.7 and the effective number above 2000, or
    above nine tenths of the draws (of large data, where all weights are nearly the same); else
    "nuts".
"nuts"
    NUTS with the covariance at the mode as a fixed metric, on all rows.
"nutpie"
    NUTS as nutpie runs it.
"grid"
    Sums over grids around given points or modes.
"posteriordb"
    Published.
"exact"
    By a formula of the problem's own, such as effects integrated out.
"""

import time

from collections.abc import Callable
from pathlib import Path
from typing import Any

import arviz as az
import numpy as np
import pymc as pm
import xarray as xr

from scipy import special
from scipy.stats import qmc

import pymc_sgld as psg

from models._datasets import Array
from models.evidence import posteriordb
from models.evidence.moments import Moments, labels_of, moments_of
from models.evidence.problems import Problem
from pymc_sgld.tuning import find_laplace, on_all_rows

DRAWS = 600, 16_000  # least and most that are weighted by the log-density of all rows
IMPORTANCE_SECONDS = 60.0  # beyond the least
LARGEST_SHAPE, LEAST_EFFECTIVE, EVEN = 0.7, 2000, 0.9
_UNWEIGHTED = 2**14
_HALF_WIDTH, _POINTS = 7.0, 71  # of a grid, in its own sds
_NUTS_TUNE, _NUTS_DRAWS, _CHAINS, _LEAPFROGS = 200, 1000, 4, 8
NUTS_SECONDS = 1200.0  # of a chain


class NoReference(RuntimeError):
    """No reference can be had at the price."""


def reference(problem: Problem, folder: Path, *, make: bool = True) -> Moments:
    """Return the reference of a problem: from the folder, or else made, if it may be."""
    path = folder / "references" / f"{problem.name}.npz"
    if path.exists():
        return Moments.load(path)
    if problem.reference == "none":
        raise NoReference("none within reach")
    if not make:
        raise NoReference("not made yet")
    start = time.perf_counter()
    made = _MAKERS[problem.reference](problem)
    made = made._replace(seconds=time.perf_counter() - start)
    made.save(path)
    return made


class Posterior:
    """The log-density of all rows, as a function of the unconstrained vector."""

    def __init__(self, model: pm.Model, names: list[str]) -> None:
        rows = psg.row_model(model)
        self.model, self.function = model, rows.block_function()
        self._layout = rows.layout
        self.start = self._layout.ravel(model.initial_point()).astype(self.function.dtype)
        outputs = model.replace_rvs_by_values([model[name] for name in names])
        self._outputs = model.compile_fn(outputs, on_unused_input="ignore")
        values = self._outputs(self.point(self.start))
        pairs = zip(names, values, strict=True)
        self.labels = [label for name, value in pairs for label in labels_of(name, value.shape)]

    def point(self, position: Array) -> dict[str, Array]:
        """Return the value variables by name."""
        return self._layout.split(np.asarray(position))

    def seen(self, positions: Array) -> Array:
        """Return the parameters as the user sees them, one row a position."""
        rows = (self._outputs(self.point(position)) for position in positions)
        return np.array([np.concatenate([np.ravel(value) for value in row]) for row in rows])


def exact_laplace(posterior: Posterior, start: Array, seed: int = 0) -> tuple[Array, Array]:
    """Return the mode of all rows, and a factor of the inverse Hessian of all rows there."""
    found = find_laplace(posterior.function, start, np.random.default_rng(seed))
    if not np.isfinite(found.covariance).all():
        raise NoReference("no mode was found")
    found = on_all_rows(posterior.function, found)
    if not np.isfinite(found.covariance).all():
        raise NoReference("the curvature at the mode is not positive")
    return found.position, np.linalg.cholesky(found.covariance)


def importance(problem: Problem, seed: int = 0) -> Moments:
    """Return moments by importance sampling; by NUTS where the weights are too uneven."""
    model = (problem.rewritten or problem.build)()
    posterior = Posterior(model, problem.names_in(model))
    try:
        mode, factor = exact_laplace(posterior, posterior.start)
    except NoReference:
        return dense_nuts(problem)
    affordable = IMPORTANCE_SECONDS / _seconds(posterior.function.full, mode)
    n_draws = int(np.clip(affordable, *DRAWS))
    normal = np.random.default_rng(seed).standard_normal((n_draws, len(mode)))
    positions = mode + normal @ factor.T
    logp = np.array([posterior.function.full(position)[0] for position in positions])
    weights, shape, effective = smoothed_weights(logp + (normal**2).sum(axis=1) / 2)
    few = effective < LEAST_EFFECTIVE and effective < EVEN * n_draws
    if shape > LARGEST_SHAPE or few:
        return dense_nuts(problem, posterior)
    how = f"importance: shape {shape:.2f}, effective {effective:.0f} of {n_draws}"
    return weighted_moments(posterior, positions, weights, (mode, factor), how)


def smoothed_weights(log_ratio: Array) -> tuple[Array, float, float]:
    """Return Pareto-smoothed weights that add up to 1, the Pareto shape, the effective number."""
    # psislw takes minus the logarithm, as of the likelihoods that leave-one-out divides by
    series = xr.DataArray(log_ratio.max() - log_ratio, dims="draw")
    logs, shape = series.azstats.psislw(dim="draw")
    weights = np.exp(logs.to_numpy() - special.logsumexp(logs.to_numpy()))
    return weights, float(shape), float(1 / (weights**2).sum())


def weighted_moments(
    posterior: Posterior,
    positions: Array,
    weights: Array,
    gaussian: tuple[Array, Array],
    how: str,
) -> Moments:
    """Return moments: those of the Gaussian, and what the weights change."""
    mode, factor = gaussian
    even = qmc.MultivariateNormalQMC(np.zeros(len(mode)), rng=np.random.default_rng(1))
    unweighted = posterior.seen(mode + even.random(_UNWEIGHTED) @ factor.T)
    draws = posterior.seen(positions)
    excess = (weights - 1 / len(weights))[:, None]
    about = unweighted.mean(axis=0)
    first = (excess * (draws - about)).sum(axis=0)
    mean = about + first
    second = (unweighted - about) ** 2
    variance = second.mean(axis=0) - first**2
    variance += (excess * ((draws - about) ** 2 - second.mean(axis=0))).sum(axis=0)
    sd = np.sqrt(variance)
    scale = np.sqrt(len(weights))
    mean_error = (len(weights) * excess * (draws - mean)).std(axis=0) / scale
    spread = len(weights) * excess * ((draws - mean) ** 2 - variance)
    sd_error = spread.std(axis=0) / scale / (2 * sd)
    return Moments(posterior.labels, mean, sd, mean_error, sd_error, how)


def dense_nuts(problem: Problem, posterior: Posterior | None = None, seed: int = 0) -> Moments:
    """Return moments by NUTS, with the covariance at the mode as its metric."""
    if posterior is None:
        model = (problem.rewritten or problem.build)()
        posterior = Posterior(model, problem.names_in(model))
    generator = np.random.default_rng(seed)
    found = find_laplace(posterior.function, posterior.start, generator)
    if not np.isfinite(found.covariance).all():
        return nutpie_nuts(problem)
    draws, estimate = _NUTS_DRAWS, _seconds(posterior.function.full, found.position)
    affordable = int(NUTS_SECONDS / (_LEAPFROGS * max(estimate, 1e-5))) - _NUTS_TUNE
    draws = min(draws, affordable)
    if draws < 200:
        raise NoReference(f"NUTS would take {estimate:.2g} s a gradient")
    with posterior.model:
        step = pm.NUTS(scaling=found.covariance, is_cov=True, target_accept=0.9)
        result = pm.sample(
            draws,
            tune=_NUTS_TUNE,
            chains=_CHAINS,
            cores=2,
            step=step,
            random_seed=seed,
            progressbar=False,
            initvals=None,
            compute_convergence_checks=False,
        )
    return _of_nuts(result, problem.names_in(posterior.model), "NUTS, metric of the mode")


def nutpie_nuts(problem: Problem, seed: int = 0) -> Moments:
    """Return moments by a long run of nutpie."""
    model = (problem.rewritten or problem.build)()
    with model:
        result = pm.sample(
            2000,
            tune=1500,
            chains=_CHAINS,
            cores=2,
            nuts_sampler="nutpie",
            target_accept=0.9,
            random_seed=seed,
            progressbar=False,
            compute_convergence_checks=False,
        )
    return _of_nuts(result, problem.names_in(model), "nutpie")


def _of_nuts(result: Any, names: list[str], how: str) -> Moments:
    found = moments_of(result["posterior"], names, how)
    draws = result["posterior"].to_dataset()[names]
    r_hat = max(float(one.max()) for one in az.rhat(draws).values())
    ess = (found.sd / found.mean_error) ** 2
    if r_hat > 1.05:
        raise NoReference(f"{how}: R-hat {r_hat:.2f}")
    return found._replace(how=f"{how}: least ESS {ess.min():.0f}, R-hat {r_hat:.3f}")


def _seconds(function: Callable[[Array], Any], position: Array, repeats: int = 5) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        function(position)
    return (time.perf_counter() - start) / repeats


def grid(problem: Problem) -> Moments:
    """Return moments by sums over grids, for two parameters."""
    model = problem.build()
    posterior = Posterior(model, problem.names_in(model))
    details = problem.details
    frames = [(np.array(centre), np.diag(sds)) for centre, sds in details.get("frames", ())]
    frames += [exact_laplace(posterior, np.array(start)) for start in details.get("starts", ())]
    line = np.linspace(-_HALF_WIDTH, _HALF_WIDTH, _POINTS)
    nodes = np.stack(np.meshgrid(line, line, indexing="ij"), axis=-1).reshape(-1, 2)
    positions = np.concatenate([centre + nodes @ factor.T for centre, factor in frames])
    volume = np.repeat([np.linalg.slogdet(factor)[1] for _, factor in frames], len(nodes))
    logp = np.array([posterior.function.full(position)[0] for position in positions])
    weights = np.exp(logp + volume - special.logsumexp(logp + volume))
    seen = posterior.seen(positions)
    mean = weights @ seen
    sd = np.sqrt(weights @ (seen - mean) ** 2)
    none = np.zeros_like(mean)
    return Moments(posterior.labels, mean, sd, none, none, f"grid of {len(positions)} points")


def published(problem: Problem) -> Moments:
    """Return the moments that posteriordb's draws have."""
    found = posteriordb.module().load_reference(problem.details["posterior"])
    mean, sd, ess = (np.asarray(found[name], float) for name in ("mean", "sd", "ess_bulk"))
    return Moments(
        found["names"], mean, sd, sd / np.sqrt(ess), sd / np.sqrt(2 * ess), "posteriordb"
    )


_MAKERS: dict[str, Callable[[Problem], Moments]] = {
    "importance": importance,
    "nuts": dense_nuts,
    "nutpie": nutpie_nuts,
    "grid": grid,
    "posteriordb": published,
    "exact": lambda problem: problem.details["moments"](),
}
