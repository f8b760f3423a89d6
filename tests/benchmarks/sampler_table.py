"""Every sampler's stationary variance on a Gaussian target, over the right one; the peers' beside.

``python -m tests.benchmarks.sampler_table [names ...]``: curvature 1, every option at its default,
exact gradients and gradients with noise of variance 2. Affine rules are exact, by their own law.
The others are run, as a chain on a model of ten means and 100 rows in batches of one, with errors
of 0.01 to 0.03; "slow" are those with fewer than 100 effective draws, for many rejections.
Below each of ours stand the updates of other libraries under that name, from ``tests/peers.py``,
and what was measured on the library itself. "-" is a step without a law: unstable, or refused.

A control variate and svrg have no gradient noise here, where every row has the same curvature;
samplers that read all rows have none anywhere. The order is that of the bias without
gradient noise as the step is halved.
"""

import math
import sys

from dataclasses import replace
from typing import NamedTuple

import arviz as az
import numpy as np
import pymc as pm

from rich.console import Console
from rich.table import Table

from pymc_sgld import schedules
from pymc_sgld.gradient_estimators import ESTIMATORS
from pymc_sgld.samplers import TestedRule
from pymc_sgld.step_methods.registry import REGISTRY
from pymc_sgld.tuning import LinearLaw
from tests.many_chains import ManyChains
from tests.peers import PEERS, RefreshedTrajectory

STEPS = (0.8, 0.4, 0.2, 0.05)
NOISE = 2.0  # variance of the gradient
TEMPERATURES = (1.0, 4.0)
# Estimators whose gradient is a fixed function of the position and the batch.
WITHOUT_MEMORY = ("minibatch", "full", "control_variate", "svrg")

N_DIM, N_ROWS = 10, 100
N_DRAWS, N_DROPPED, STEPS_PER_DRAW = 2500, 250, 20
FEWEST_EFFECTIVE = 100  # draws


class Row(NamedTuple):
    """A line of the table: variances over the right one, by step size."""

    sampler: str
    gradients: str
    temperature: float
    clean: list[float]
    noisy: list[float]
    order: str
    measured: str = ""


def main():
    names = sys.argv[1:] or list(REGISTRY)
    steps = ", ".join(f"{h:g}" for h in STEPS)
    table = Table(title=f"Stationary variance over the right one, h = {steps}")
    for column in ("sampler", "gradients", "T", "exact gradient", f"noise {NOISE:g}", "order"):
        table.add_column(column, no_wrap=column != "sampler")
    table.add_column("measured there")
    for name in names:
        for row in [*rows_of(name), *(row for peer in PEERS for row in peer_rows(peer, name))]:
            cells = ("  ".join(map(ratio, row.clean)), "  ".join(map(ratio, row.noisy)))
            of_all = (row.sampler, row.gradients, f"{row.temperature:g}", *cells, row.order)
            table.add_row(*of_all, row.measured)
        table.add_section()
    Console(width=160).print(table)


def ratio(value):
    if np.isnan(value):
        return "  slow"
    return f"{value:6.3f}" if np.isfinite(value) else "   -  "


def rows_of(name):
    """Return the rows of one of ours."""
    step_method = REGISTRY[name]
    rule = step_method.rule_class(**step_method.rule_defaults)
    measure = Exact(step_method, rule) if is_affine(step_method, rule) else Run(step_method)
    per_batch = ESTIMATORS[step_method.default_gradient].gradients_per_batch
    gradients = str(rule.gradients_per_step * per_batch)
    for temperature in TEMPERATURES:
        clean, noisy = (measure.ratios(noise, temperature) for noise in (0.0, NOISE))
        yield Row(name, gradients, temperature, clean, noisy, measure.order(temperature))
        if getattr(measure, "replaced", False):
            chosen = [measure.left_out(temperature)]
            yield Row(f"{name}, step left out", gradients, temperature, [np.inf], chosen, "-")


def is_affine(step_method, rule):
    changing = rule.nonlinear_state or isinstance(rule, TestedRule) or step_method.cycles_class
    return not changing and step_method.default_gradient in WITHOUT_MEMORY


class Exact:
    """The law of an affine rule."""

    def __init__(self, step_method, rule):
        self.rule, self.law = rule, LinearLaw(rule)
        self.replaced = rule.step_replaces_noise  # what it knows, by a step
        self.knows_noise = rule.needs_gradient_noise and not self.replaced
        self.estimator = step_method.default_gradient

    def ratios(self, noise, temperature):
        refused = self.estimator == "full" if noise else not self.rule.noise_vectors
        if refused:
            return [np.inf] * len(STEPS)
        return [self._ratio(h, noise, temperature, self.knows_noise) for h in STEPS]

    def left_out(self, temperature):
        """At the step that the rule chooses, with the noise told to it."""
        step_size = self.rule.natural_step_size(NOISE, temperature)
        return self._ratio(step_size, NOISE, temperature, known=True)

    def order(self, temperature):
        if not self.rule.noise_vectors:
            return "-"
        return order_of(lambda h: self.law.variance(h, 1.0, 0.0, temperature) / temperature)

    def _ratio(self, step_size, noise, temperature, known):
        left = noise if self.estimator == "minibatch" else 0.0
        told = left if known else None
        return self.law.variance(step_size, 1.0, left, temperature, told) / temperature


def order_of(variance):
    excess = [abs(variance(h) - 1) for h in (1e-3, 5e-4)]
    if max(excess) < 1e-8:
        return "exact"
    order = np.log2(excess[0] / excess[1])
    return f"{order:.2f}" if order > 0.5 else "0: wrong"


class Run:
    """A chain as the library runs it, compiled once for each size of batch."""

    def __init__(self, step_method):
        self.exact = step_method.rule_class.exact
        self.steps = {}
        for noise, batch_size in ((0.0, N_ROWS), (NOISE, 1)):
            try:
                with gaussian_model():
                    self.steps[noise] = step_method(
                        step_size=0.1, batch_size=batch_size, verify=False
                    )
            except ValueError as refusal:
                print(f"{step_method.name}, batch of {batch_size}: {refusal}", file=sys.stderr)

    def ratios(self, noise, temperature):
        if noise not in self.steps:
            return [np.inf] * len(STEPS)
        return [self._ratio(self.steps[noise], h, temperature) for h in STEPS]

    def order(self, temperature):
        return "none: tested" if self.exact else "(run)"

    def _ratio(self, step, step_size, temperature):
        chain = step.chain
        trajectory = chain.settings.trajectory
        chain.settings = replace(
            chain.settings,
            step_size=schedules.constant(step_size),
            temperature=schedules.constant(temperature),
            steps_per_draw=trajectory * math.ceil(STEPS_PER_DRAW / trajectory),
        )
        step.setup_chain(np.random.default_rng(0), 1, N_DRAWS)
        position = chain.start(np.zeros(N_DIM))
        kept = []
        with np.errstate(all="ignore"):
            for number in range(N_DRAWS + 1):
                draw = chain.draw(position)
                position = draw.position
                if draw.diverging:
                    return np.inf
                if number > N_DROPPED:
                    kept.append(position)
        squares = np.array(kept) ** 2
        moves = np.any(np.diff(kept, axis=0), axis=1).sum()
        effective = min([moves, *(az.ess(one[None]) for one in squares.T)])
        return squares.mean() / temperature if effective > FEWEST_EFFECTIVE else np.nan


def gaussian_model():
    """Ten means with posterior N(0, 1), and noise of variance 2 in batches of one row."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((N_ROWS, N_DIM))
    rows = rows - rows.mean(axis=0)
    rows = rows @ np.linalg.inv(np.linalg.cholesky(np.cov(rows.T, bias=True))).T * NOISE**0.5
    with pm.Model() as model:
        theta = pm.Flat("theta", shape=N_DIM)
        pm.Normal("y", theta, N_ROWS**0.5, observed=rows)
    return model


def peer_rows(peer, name):
    """Return the rows of an update of another library, where it has the name."""
    if peer.sampler != name:
        return
    for temperature in peer.temperatures:
        clean, noisy = (
            [peer_ratio(peer, h, noise, temperature) for h in STEPS] for noise in (0.0, NOISE)
        )
        order = "(run)"
        if not thermostat(peer):
            order = order_of(lambda h: peer_ratio(peer, h, 0.0, temperature))  # noqa: B023
        label = f"  {peer.library}: {peer.slip}"
        gradients = str(peer.rule.gradients_per_step)
        measured = peer.measured if temperature == 1 else ""
        yield Row(label, gradients, temperature, clean, noisy, order, measured)


def thermostat(peer):
    return bool(getattr(peer.rule, "nonlinear_state", ()))


def peer_ratio(peer, step_size, noise, temperature):
    if thermostat(peer):
        chains = ManyChains(peer.rule, (2000 // peer.n_dim, peer.n_dim))
        numbers = dict(step_size=step_size, noise=noise, temperature=temperature)
        found, _ = chains.variance_ratio(int(150 / step_size), int(75 / step_size), **numbers)
        return found if np.isfinite(found) else np.inf
    law = peer.rule if isinstance(peer.rule, RefreshedTrajectory) else LinearLaw(peer.rule)
    return law.variance(step_size, 1.0, noise, temperature) / temperature


if __name__ == "__main__":
    main()
