"""The law of an update rule on a Gaussian target, solved from the rule itself.

On a Gaussian target a rule is affine in its state and its noise. Its matrices are read off the very
graph that is compiled into the sampling loop, so that what is predicted of a sampler and what the
sampler does cannot drift apart.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import pytensor.tensor as pt

from pymc_sgld.model_graph.density.modes import compile_function
from pymc_sgld.row_sources import INDEPENDENT, Sweep
from pymc_sgld.samplers import Rule
from pymc_sgld.tuning.sweep_law import settled_noise, solve_lyapunov
from pymc_sgld.types import Array

NoisePart = tuple[float, Sweep, tuple[int, ...]]  # variance; how it is tied; when draws are taken


class StepMatrices(NamedTuple):
    """One step in one direction: state' = M state + B noise + e (gradient noise)."""

    step: Array  # (n_state, n_state); the position comes first
    noise: Array  # (n_state, noise_vectors)
    gradient: Array  # (n_state,)


class LinearLaw:
    """What a rule does in one direction of curvature ``curvature``.

    Parameters
    ----------
    rule : Rule
        One whose update is affine where the gradient is. Rules with a thermostat are taken at its
        rest value, which makes this an approximation for them.
    """

    def __init__(self, rule: Rule) -> None:
        self.rule = rule

    @lru_cache(maxsize=4096)  # noqa: B019  (a few laws live as long as the process)
    def matrices(
        self,
        step_size: float,
        curvature: float,
        temperature: float = 1.0,
        known_noise: float | None = None,
    ) -> StepMatrices:
        """Return the matrices of a step; ``known_noise`` is what the rule compensates for."""
        n_state, n_noise = len(_moving(self.rule)), self.rule.noise_vectors
        function = _one_step(self.rule, compensated=known_noise is not None)
        numbers = [step_size, curvature, temperature, known_noise or 0.0]

        def push(state: Array, noise: Array, error: float) -> Array:
            return np.array(function(*numbers, error, *state, *noise))

        rest, quiet = np.zeros(n_state), np.zeros(n_noise)
        origin = push(rest, quiet, 0.0)
        step = np.array([push(unit, quiet, 0.0) - origin for unit in np.eye(n_state)]).T
        pushed = [push(rest, unit, 0.0) - origin for unit in np.eye(n_noise)]
        noise = np.reshape(pushed, (n_noise, n_state)).T
        return StepMatrices(step, noise, push(rest, quiet, 1.0) - origin)

    def variance(
        self,
        step_size: float,
        curvature: float,
        noise: float,
        temperature: float = 1.0,
        known_noise: float | None = None,
        sweep: Sweep = INDEPENDENT,
        at: tuple[int, ...] = (0,),
    ) -> float:
        """Return the stationary variance of the position, inf where the step is unstable.

        Parameters
        ----------
        step_size, curvature : float
        noise : float
            Variance of the gradient in this direction.
        temperature : float, default 1
        known_noise : float, optional
            What the rule takes out of its injected noise.
        sweep : Sweep, optional
            How the noise of successive batches is tied together. Default: not at all.
        at : tuple of int, default (0,)
            Steps since the end of a sweep at which draws are taken.
        """
        parts = [(noise, sweep, at)]
        return self.variance_of(step_size, curvature, parts, temperature, known_noise)

    def variance_of(
        self,
        step_size: float,
        curvature: float,
        parts: Sequence[NoisePart],
        temperature: float = 1.0,
        known_noise: float | None = None,
    ) -> float:
        """Return the stationary variance of the position; noise of several parts adds up."""
        step, injected, gradient = self.matrices(
            float(step_size), float(curvature), float(temperature), known_noise
        )
        if np.abs(np.linalg.eigvals(step)).max() >= 1:
            return np.inf
        settled = solve_lyapunov(step, step, injected @ injected.T)
        for noise, sweep, at in parts:
            settled += noise * settled_noise(step, step, (gradient, gradient), sweep, at)
        return float(settled[0, 0])

    def memory(
        self,
        step_size: float,
        curvature: float,
        temperature: float = 1.0,
        known_noise: float | None = None,
    ) -> float:
        """Return the steps in which the slowest part of a direction decays by a factor e."""
        step = self.matrices(step_size, curvature, temperature, known_noise).step
        radius = np.abs(np.linalg.eigvals(step)).max()
        return np.inf if radius >= 1 else float(-1 / np.log(max(radius, 1e-12)))

    def largest_step(
        self,
        noise: float | Sequence[NoisePart],
        curvature: float,
        excess: float,
        temperature: float = 1.0,
    ) -> float:
        r"""Return the largest step size whose variance is at most ``1 + excess`` of the right one.

        No step leaps over the mode either, in the stiffest direction: the trace of its matrix is
        not negative, which for kicks and drifts is :math:`h^2 \lambda \le 2`, half of where they
        become unstable.

        Parameters
        ----------
        noise : float or sequence of NoisePart
            Largest variance of the gradient in any direction, or those of independent parts.
        curvature : float
            Largest curvature of any direction.
        excess : float
            Relative excess of the variance, at curvature and at curvature 1.
        temperature : float, default 1
        """
        parts = [(noise, INDEPENDENT, (0,))] if isinstance(noise, float | int) else noise

        def allowed(step_size: float) -> bool:
            if np.trace(self.matrices(step_size, float(curvature), temperature).step) < 0:
                return False
            return all(
                self.variance_of(step_size, one, parts, temperature) * one
                <= (1 + excess) * temperature
                for one in {1.0, float(curvature)}
            )

        # between a step that is surely small enough and the end of stability, by bisection
        low, high = 1e-9, self.rule.largest_step
        if allowed(high):
            return high
        while high > low * (1 + 1e-9):
            middle = np.sqrt(low * high)
            low, high = (middle, high) if allowed(float(middle)) else (low, middle)
        return float(low)


def _moving(rule: Rule) -> tuple[str, ...]:
    return ("position", *(n for n in rule.extra_state if n not in rule.nonlinear_state))


@lru_cache(maxsize=64)  # a run has several laws of one rule
def _one_step(rule: Rule, *, compensated: bool) -> Any:
    """Return one step in one dimension, on PyTensor's Python linker: nothing to compile."""
    step_size, curvature, temperature, known, error = pt.dscalars(5)
    state = {name: pt.dscalar(name) for name in _moving(rule)}
    noise = [pt.dscalar() for _ in range(rule.noise_vectors)]
    rest = rule.start(np.zeros(1), 1.0)
    at_rest = {name: pt.constant(rest[name]) for name in rule.nonlinear_state}
    extra = {"gradient_noise": known[None]} if compensated else {}
    new = rule.update(
        {**{name: scalar[None] for name, scalar in state.items()}, **at_rest},
        lambda position: -curvature * position + error,
        step_size=step_size,
        temperature=temperature,
        noise=pt.stack(noise)[:, None] if noise else pt.zeros((0, 1)),
        **extra,
    )
    return compile_function(
        [step_size, curvature, temperature, known, error, *state.values(), *noise],
        [new[name][0] for name in _moving(rule)],
        mode="FAST_COMPILE",
    )
