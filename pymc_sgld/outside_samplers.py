"""NUTS and ADVI as PyMC runs them, with the time of their phases recorded."""

import contextlib
import logging
import time

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pymc as pm
import pytensor

from xarray import DataTree

from pymc_sgld.types import Array

PHASES = ("compile", "tune", "draw")


def run_nuts(model: pm.Model, *, tune: int | None, **options: Any) -> DataTree:
    """Run ``pm.sample`` with the NUTS it prefers: nutpie where that is installed."""
    if tune is not None:
        options["tune"] = tune
    start = time.perf_counter()
    result: DataTree = pm.sample(
        model=model, discard_tuned_samples=False, compute_convergence_checks=False, **options
    )
    seconds = time.perf_counter() - start
    sampling = float(result["posterior"].attrs["sampling_time"])
    share = _share_of_tuning(result)
    phases = (seconds - sampling, share * sampling, (1 - share) * sampling)
    _record(result, "nuts", phases)
    for group in [name for name in result.children if name.startswith("warmup_")]:
        del result[group]
    return result


def _share_of_tuning(result: DataTree) -> float:
    """Return the share of the gradient evaluations that were spent on tuning."""
    tuning = float(result["warmup_sample_stats"]["n_steps"].sum())
    return tuning / (tuning + float(result["sample_stats"]["n_steps"].sum()))


def run_advi(
    model: pm.Model,
    *,
    draws: int,
    chains: int,
    random_seed: int | None,
    progressbar: bool,
    max_iterations: int = 20_000,
    learning_rates: Sequence[float] = (1e-2, 1e-3),
    **unused: Any,
) -> DataTree:
    """Fit mean-field ADVI until its loss no longer falls, and draw from the approximation.

    PyMC's default, 10,000 iterations at a learning rate of 0.001, may stop far from the optimum.
    """
    start = time.perf_counter()
    rate = pytensor.shared(learning_rates[0])
    watch = LossWatch(rate, learning_rates)
    advi = pm.ADVI(model=model, random_seed=random_seed)
    with _quiet("pymc.variational.inference"):
        approximation = advi.fit(
            max_iterations,
            obj_optimizer=pm.adagrad_window(learning_rate=rate),
            callbacks=[watch],
            progressbar=progressbar,
        )
    fitted = time.perf_counter()
    # The first call compiles.
    approximation.sample(1, random_seed=random_seed)
    ready = time.perf_counter()
    result: DataTree = approximation.sample(draws * chains, random_seed=random_seed)
    done = time.perf_counter()
    compiling = (watch.first_call - start) + (ready - fitted)
    _record(result, "advi", (compiling, fitted - watch.first_call, done - ready))
    iterations = {"iterations": watch.iterations, "converged": int(watch.converged)}
    result["posterior"].attrs.update(iterations, independent_draws=1)
    return result


class LossWatch:
    """Callback of ``pm.ADVI.fit``: lowers the learning rate, or stops, once the loss is level.

    The loss is level when its mean over the latest window is not below the mean over the window
    before by two standard errors of their difference.
    """

    def __init__(self, rate: Any, rates: Sequence[float], window: int = 500) -> None:
        self.rate = rate
        self.remaining = list(rates[1:])
        self.window = window
        self.first_call = 0.0  # when the first iteration was done, perf_counter seconds
        self.since = 0  # iterations at the last change of the rate
        self.iterations = 0
        self.converged = False

    def __call__(self, approximation: Any, losses: Array, iteration: int) -> None:
        """Look at the losses so far; raise StopIteration when done."""
        if iteration == 1:
            self.first_call = time.perf_counter()
        self.iterations = iteration
        if iteration - self.since < 2 * self.window or iteration % self.window:
            return
        if not is_level(losses[-2 * self.window :]):
            return
        if not self.remaining:
            self.converged = True
            raise StopIteration
        self.rate.set_value(self.remaining.pop(0))
        self.since = iteration


def is_level(losses: Array) -> bool:
    """Return whether the second half has a mean that is not significantly below the first's."""
    before, after = np.split(np.asarray(losses), 2)
    error = np.sqrt((before.var() + after.var()) / len(after))
    return bool(before.mean() - after.mean() < 2 * error)


def _record(result: DataTree, sampler: str, seconds: Sequence[float]) -> None:
    times = {f"{phase}_seconds": float(s) for phase, s in zip(PHASES, seconds, strict=True)}
    result["posterior"].attrs.update(times, sampler=sampler)


@contextlib.contextmanager
def _quiet(name: str) -> Iterator[None]:
    """Hold back a logger's messages below warnings."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


OUTSIDE: dict[str, Callable[..., DataTree]] = {"nuts": run_nuts, "advi": run_advi}
