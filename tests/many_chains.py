"""Many independent chains of a rule at once, in NumPy: nothing to compile."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytensor
import pytensor.tensor as pt

from pytensor.graph.replace import vectorize_graph


class ManyChains:
    """A rule's update, evaluated on PyTensor's Python linker for all chains in one call.

    Parameters
    ----------
    rule : UpdateRule
    shape : (n_chains, n_dim)
    gradient : callable, optional
        Symbolic, of the log-density at a position of shape (n_dim,). Default: that of N(0, I).
    compensated : bool, default False
        Whether the rule is told the variance of the gradient's noise.
    """

    def __init__(
        self,
        rule: Any,
        shape: tuple[int, int],
        gradient: Callable[[Any], Any] = lambda position: -position,
        *,
        compensated: bool = False,
    ) -> None:
        self.rule, self.shape = rule, shape
        self.names = ("position", *rule.extra_state)
        step_size, temperature, known = pt.dscalars(3)
        n_chains, n_dim = shape
        vectors = {name: pt.tensor(name, shape=(n_dim,)) for name in ("error", *self.names)}
        noise = pt.tensor("noise", shape=(rule.noise_vectors, n_dim))
        new = rule.update(
            {name: vectors[name] for name in self.names},
            lambda position: gradient(position) + vectors["error"],
            step_size=step_size,
            temperature=temperature,
            noise=noise,
            **({"gradient_noise": known} if compensated else {}),
        )
        one = [*vectors.values(), noise]
        many = [pt.tensor(shape=(n_chains, *each.type.shape)) for each in one]
        replace = dict(zip(one, many, strict=True))
        self.function = pytensor.function(
            [step_size, temperature, known, *many],
            vectorize_graph([new[name] for name in self.names], replace),
            mode="FAST_COMPILE",
            on_unused_input="ignore",
        )
        self.function.trust_input = True

    def positions(
        self,
        n_steps: int,
        *,
        step_size: float,
        temperature: float = 1.0,
        noise: float = 0.0,
        start: float = 1.0,
        seed: int = 0,
    ) -> Iterator[np.ndarray]:
        """Yield the positions after each step, shape (n_chains, n_dim).

        Parameters
        ----------
        n_steps : int
        step_size, temperature : float
        noise : float, default 0
            Variance of the gradient; told to the rule where ``compensated``.
        start : float, default 1
            Standard deviation of the first positions.
        seed : int, default 0
        """
        rng, shape = np.random.default_rng(seed), self.shape
        extra = self.rule.start(rng.standard_normal(shape), temperature)
        state = [start * rng.standard_normal(shape), *(extra[name] for name in self.names[1:])]
        numbers = [np.asarray(float(one)) for one in (step_size, temperature, noise)]
        quiet = np.zeros(shape)
        with np.errstate(all="ignore"):
            for _ in range(n_steps):
                error = noise**0.5 * rng.standard_normal(shape) if noise else quiet
                xi = rng.standard_normal((shape[0], self.rule.noise_vectors, shape[1]))
                state = self.function(*numbers, error, *state, xi)
                yield state[0]

    def variance_ratio(self, burn: int, n_steps: int, **arguments: Any) -> tuple[float, float]:
        """Return the variance over the right one on N(0, T I), and its standard error."""
        temperature = arguments.get("temperature", 1.0)
        arguments.setdefault("start", temperature**0.5)
        total = np.zeros(self.shape[0])
        with np.errstate(all="ignore"):
            for number, position in enumerate(self.positions(burn + n_steps, **arguments)):
                if number >= burn:
                    total += (position**2).mean(axis=1)
            ratios = total / n_steps / temperature
            return float(ratios.mean()), float(ratios.std() / np.sqrt(self.shape[0]))
