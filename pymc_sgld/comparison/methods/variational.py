"""ADVI by ``pm.fit``, mean-field and full-rank, on minibatches, with a rule for when it is done."""

import contextlib
import logging
import time

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pymc as pm
import pytensor

from xarray import DataTree

from pymc_sgld import records
from pymc_sgld.comparison.methods.batched_model import batched_model, rows_or_whole
from pymc_sgld.comparison.methods.optimality import Optimality, Scores, judge
from pymc_sgld.comparison.methods.recording import draws_of_positions, record
from pymc_sgld.model_graph import RowModel
from pymc_sgld.model_graph.density.modes import compile_function
from pymc_sgld.types import Array
from pymc_sgld.validate import check_integer

BATCH_SIZE = 512
_WORTH_BATCHES = 5_000  # rows
_WINDOW = 500  # iterations
_BETWEEN_JUDGEMENTS = 5_000  # iterations


def run_variational(
    model: pm.Model,
    *,
    method: str,
    draws: int,
    chains: int,
    random_seed: Any = None,
    progressbar: Any = True,
    tune: int | None = None,
    cores: int | None = None,
    batch_size: int | None = None,
    max_iterations: int = 50_000,
    learning_rates: Sequence[float] = (1e-2, 1e-3),
) -> DataTree:
    """Fit a variational approximation until it is the best of its family, and draw from it.

    As users know it: ``pm.fit`` in the unconstrained space, with its own optimiser
    (`pymc.adagrad_window`) and one Monte Carlo draw a step. PyMC's default, 10,000 iterations at a
    learning rate of 0.001, may stop far from the optimum and does not tell. Here the rate is
    lowered once the loss is level (its mean over 500 iterations is not below that over the 500
    before by two standard errors). At the last rate the fit is judged every 5,000 iterations by the
    slope of the evidence lower bound, see :func:`~.methods.optimality.judge`: it
    has converged when its means are within a tenth of an sd of the best fit of its family, and
    its sds within 10 %. Otherwise it runs to `max_iterations` and is said not to have converged.
    A level loss alone says little: on minibatches sds go on shrinking for tens of thousands of
    iterations under the noise of the loss.

    Parameters
    ----------
    model : pm.Model
    method : {"advi", "fullrank_advi"}
    draws, chains : int
        ``draws * chains`` independent draws are made.
    random_seed : int, optional
    progressbar : bool
    tune, cores
        Not used.
    batch_size : int, optional
        Rows an iteration reads, of each group of rows. Default 512; all rows where no group has
        more than 5,000, or where rows cannot be taken apart.
    max_iterations : int, default 50,000
    learning_rates : sequence of float
        In the order in which they are used.

    Returns
    -------
    DataTree
        Attributes of the posterior say ``converged``, ``iterations``, and how far the fit is from
        the best of its family: ``mean_off`` in its sds, ``sd_ratio_min``, ``sd_ratio_max``. The
        judgements are neither in the times nor in the data passes.
    """
    del tune, cores
    check_integer("max_iterations", max_iterations, at_least=1)
    if batch_size is not None:
        check_integer("batch_size", batch_size, at_least=1)
    start = time.perf_counter()
    rows = rows_or_whole(model)
    size = batch_size or _batch_size(rows)
    rate = pytensor.shared(np.asarray(learning_rates[0], dtype=pytensor.config.floatX))
    watch = Watch(rate, learning_rates, Scores(rows, random_seed))
    with _quiet("pymc.variational.inference"):
        approximation = pm.fit(
            max_iterations,
            method=method,
            model=batched_model(rows, size),
            random_seed=random_seed,
            obj_optimizer=pm.adagrad_window(learning_rate=rate),
            callbacks=[watch],
            progressbar=progressbar,
        )
    fitted = time.perf_counter()
    approximation.sample(1, random_seed=random_seed)  # the first call compiles
    ready = time.perf_counter()
    drawn = approximation.sample(draws * chains, random_seed=random_seed)
    result = draws_of_positions(model, rows, drawn["posterior"]["position"].to_numpy()[0])
    done = time.perf_counter()
    fitting = fitted - watch.first_call - watch.judging
    compiling = (watch.first_call - start) + (ready - fitted)
    if not watch.converged:
        watch.judge(approximation)
    passes = watch.iterations * _share(rows, size)
    attributes = watch.said() | {
        records.TUNE_PASSES: passes,
        records.DRAW_PASSES: 0.0,
        records.BATCH_SIZE: size,
        records.INDEPENDENT_DRAWS: 1,
    }
    phases = (compiling, fitting, done - ready)
    record(result, method, phases, attributes)
    return result


def _batch_size(rows: RowModel) -> int:
    most = max((group.total_size for group in rows.groups), default=0)
    return most if most <= _WORTH_BATCHES else BATCH_SIZE


def _share(rows: RowModel, batch_size: int) -> float:
    """Return the share of the data that an iteration reads."""
    sizes = [group.total_size for group in rows.groups]
    return sum(min(batch_size, size) for size in sizes) / sum(sizes) if sizes else 1.0


class Watch:
    """Callback of ``pm.fit``: lowers the learning rate while the loss is level, judges, stops.

    Parameters
    ----------
    rate : shared variable
        The learning rate.
    rates : sequence of float
        Rates in the order in which they are used; `rate` holds the first.
    scores : callable
        From positions to gradients of the log-posterior there, see :func:`judge`.
    window : int
        Iterations of half of what is looked at of the loss.
    between : int
        Iterations between judgements.
    """

    def __init__(
        self,
        rate: Any,
        rates: Sequence[float],
        scores: Callable[[Array], Array],
        window: int = _WINDOW,
        between: int = _BETWEEN_JUDGEMENTS,
    ) -> None:
        self.rate, self.scores = rate, scores
        self.remaining = list(rates[1:])
        self.window, self.between = window, between
        self.first_call = 0.0  # when the first iteration was done, perf_counter seconds
        self.judging = 0.0  # seconds
        self.since = 0  # iterations at the last change of the rate
        self.iterations = 0
        self.verdict: Optimality | None = None
        self._moments: Any = None

    @property
    def converged(self) -> bool:
        """Whether the fit is the best of its family, within the tolerance."""
        return self.verdict is not None and self.verdict.is_reached and not self.remaining

    def __call__(self, approximation: Any, losses: Array, iteration: int) -> None:
        """Look at the fit so far; raise StopIteration when done."""
        if iteration == 1:
            self.first_call = time.perf_counter()
        self.iterations, since = iteration, iteration - self.since
        if self.remaining:
            looked_at = since >= 2 * self.window and iteration % self.window == 0
            if looked_at and is_level(losses[-2 * self.window :]):
                self.rate.set_value(self.remaining.pop(0))
                self.since = iteration
            return
        if since % self.between == 0:
            self.judge(approximation)
            if self.converged:
                raise StopIteration

    def judge(self, approximation: Any) -> None:
        """Judge how far the fit is from the best of its family."""
        began = time.perf_counter()
        if self._moments is None:
            outputs = [approximation.mean, approximation.cov]
            self._moments = compile_function([], outputs, mode="FAST_COMPILE")
        mean, covariance = map(np.asarray, self._moments())
        self.verdict = judge(mean, covariance, self.scores)
        self.judging += time.perf_counter() - began

    def said(self) -> dict[str, Any]:
        """Return what is written down of the fit."""
        state = {records.ITERATIONS: self.iterations, records.CONVERGED: int(self.converged)}
        return state | (self.verdict._asdict() if self.verdict is not None else {})


def is_level(losses: Array) -> bool:
    """Return whether the second half has a mean that is not significantly below the first's."""
    before, after = np.split(np.asarray(losses), 2)
    error = np.sqrt((before.var() + after.var()) / len(after))
    return bool(before.mean() - after.mean() < 2 * error)


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
