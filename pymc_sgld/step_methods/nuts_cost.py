"""What a chain of NUTS costs: measured, on the model, by a short run of it."""

import logging
import time

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pymc as pm

from pymc_sgld.model_graph.density.by_numpy import QUICKLY_COMPILED
from pymc_sgld.model_graph.density.modes import chosen_mode

_SHORT_RUN_SECONDS = 2.0
_MOST_DRAWS = 200  # of the short run
_MAX_TREEDEPTH = 10  # PyMC's own, which it lowers for the first 200 draws
_SECONDS_PER_LEAPFROG = 2e-5  # of NUTS itself, beside the gradient
_REPEATS = 5  # of a timed gradient

Clock = Callable[[], float]


class NutsCost(NamedTuple):
    """The seconds that a chain of NUTS takes, and what they are made of."""

    seconds: float
    gradient_seconds: float
    gradients_per_draw: float
    at_most: bool = False  # by gradients that were not compiled

    def in_words(self) -> str:
        """Say what was measured."""
        unit = "ms" if self.gradient_seconds >= 9.5e-5 else "µs"
        value = self.gradient_seconds * (1e3 if unit == "ms" else 1e6)
        about, uncompiled = ("at most", " uncompiled") if self.at_most else ("about", "")
        return (
            f"{about} {_rounded(max(self.seconds, 0.1))} s: a gradient takes {_rounded(value)} "
            f"{unit}{uncompiled}, and a draw of a short run took {self.gradients_per_draw:.0f} "
            "of them"
        )


def _rounded(value: float) -> str:
    """Return two digits of a number, never as a power of ten."""
    return f"{float(f'{value:.2g}'):g}"


class Probe(NamedTuple):
    """What is run of a model to find out what NUTS costs."""

    draw: Callable[[], int]  # makes a draw of NUTS, uncompiled; returns its gradients
    compiled_gradient: Callable[[], Callable[[], object]]  # compiles, and returns what is timed


def measured_cost(
    probe: Probe, n_draws: int, *, bound: float, clock: Clock = time.thread_time
) -> NutsCost:
    """Return what a chain costs, by a short run and where that leaves it open a timed gradient.

    The short run is not compiled: its trees are those of any other, and its gradients take longer
    than compiled ones. Only where they would be too slow is the gradient compiled.

    Parameters
    ----------
    probe : Probe
    n_draws : int
        Of a chain, with those of its tune phase.
    bound : float
        Seconds; where the chain is sure to be below, nothing is compiled.
    clock : callable, default time.thread_time
        Seconds since some time; of this thread, so that what else the machine does is not counted.
    """
    started = clock()
    trees: list[int] = []
    while len(trees) < _MOST_DRAWS and clock() - started < _SHORT_RUN_SECONDS:
        trees.append(probe.draw())
    slow = (clock() - started) / max(sum(trees), 1)
    # the metric is learned as it runs: trees of the last quarter
    per_draw = float(np.mean(trees[-(-3 * len(trees) // 4) :] or trees))
    at_most = NutsCost(n_draws * per_draw * slow, slow, per_draw, at_most=True)
    if at_most.seconds <= bound:
        return at_most
    run, times = probe.compiled_gradient(), []
    run()
    for _ in range(_REPEATS):
        started = clock()
        run()
        times.append(clock() - started)
    gradient = min(times)
    seconds = n_draws * per_draw * (_SECONDS_PER_LEAPFROG + gradient)
    return NutsCost(seconds, gradient, per_draw)


def probe_of(model: pm.Model, seed: int = 0) -> Probe:
    """Return the probe of a model: PyMC's own NUTS, as it is tuned.

    Raises
    ------
    SamplingError
        Where no start with a finite density was found.
    """
    logger = logging.getLogger("pymc")
    level = logger.level
    logger.setLevel(logging.ERROR)  # of starting NUTS; it is only tried here
    try:
        starts, step = pm.init_nuts(
            init="jitter+adapt_diag",
            model=model,
            random_seed=[seed],
            progressbar=False,
            quiet=True,
            compile_kwargs={"mode": QUICKLY_COMPILED},
            early_max_treedepth=_MAX_TREEDEPTH,
        )
    finally:
        logger.setLevel(level)
    step.setup_chain(np.random.default_rng(seed), _MOST_DRAWS, 0)
    step.tune = True
    point = starts[0]

    def draw() -> int:
        nonlocal point
        with np.errstate(all="ignore"):  # a step may go where there is no density
            point, stats = step.step(point)
        return int(stats[0]["tree_size"])

    def compiled_gradient() -> Callable[[], object]:
        function = model.logp_dlogp_function(ravel_inputs=True, mode=chosen_mode(None, None))
        function.set_extra_values({})
        at = np.concatenate([np.ravel(point[value.name]) for value in model.value_vars])
        return lambda: function(at)

    return Probe(draw, compiled_gradient)
