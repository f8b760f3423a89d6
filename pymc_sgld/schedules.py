"""Step size and temperature as functions of the step number.

A schedule is any callable of an array of step numbers (0, 1, 2, ... from the start of the chain,
tuning included) that returns the values. Those that need to know how long the chain is have a
method ``bind(n_steps)``, which the step method calls when PyMC tells it the number of draws.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from pymc_sgld.types import Array, Schedule
from pymc_sgld.validate import check_positive


@dataclass(frozen=True)
class constant:
    """The same value at every step.

    Parameters
    ----------
    value : float
        The value, > 0.
    """

    value: float

    def __post_init__(self) -> None:
        """Check the arguments."""
        check_positive("value of a constant schedule", self.value)

    def __call__(self, step: Array) -> Array:
        """Return the values at the given step numbers."""
        return np.full(np.shape(step), float(self.value))


@dataclass(frozen=True)
class polynomial_decay:
    r"""Welling and Teh's decreasing steps, :math:`a (b + t)^{-\gamma}`.

    Parameters
    ----------
    scale : float
        :math:`a > 0`, in units of the step size.
    offset : float
        :math:`b > 0`, in steps.
    exponent : float, default 0.55
        :math:`\gamma` in (0.5, 1], so that the steps sum to infinity and their squares do not.

    Notes
    -----
    Welling and Teh's epsilon is twice the step size of this library.

    References
    ----------
    .. [1] Welling, M. and Teh, Y. W. (2011). Bayesian learning via stochastic gradient Langevin
       dynamics. ICML. https://dl.acm.org/doi/10.5555/3104482.3104568
    """

    scale: float
    offset: float
    exponent: float = 0.55

    def __post_init__(self) -> None:
        """Check the arguments."""
        check_positive("scale of polynomial_decay", self.scale)
        check_positive("offset of polynomial_decay", self.offset)
        _check_exponent(self.exponent)

    def __call__(self, step: Array) -> Any:
        """Return the values at the given step numbers."""
        return self.scale * (self.offset + step) ** -self.exponent


@dataclass(frozen=True)
class polynomial_decay_between:
    r"""Decrease from ``first`` at the start of the chain to ``last`` at its end.

    The scale and offset of :class:`polynomial_decay` are solved for when the length of the chain
    (tune and draws, times the steps per draw) is known.

    Parameters
    ----------
    first, last : float
        The values at the first and at the last step, ``first > last > 0``.
    exponent : float, default 0.55
        :math:`\gamma` in (0.5, 1].
    """

    first: float
    last: float
    exponent: float = 0.55

    def __post_init__(self) -> None:
        """Check the arguments."""
        check_positive("first of polynomial_decay_between", self.first)
        check_positive("last of polynomial_decay_between", self.last)
        _check_exponent(self.exponent)
        if not self.first > self.last:
            raise ValueError(
                f"polynomial_decay_between decreases: first must be > last, got first={self.first} "
                f"and last={self.last}. Use constant({self.first}) for steps of equal size."
            )

    def bind(self, n_steps: int) -> polynomial_decay:
        """Return the schedule of a chain of ``n_steps`` steps."""
        ratio = (self.first / self.last) ** (1 / self.exponent)
        offset = max(n_steps - 1, 1) / (ratio - 1)
        return polynomial_decay(self.first * offset**self.exponent, offset, self.exponent)

    def __call__(self, step: Array) -> Any:
        """Refuse: the length of the chain is not known yet."""
        raise TypeError(
            "polynomial_decay_between needs the length of the chain: call bind(n_steps) first, "
            "or hand it to a step method, which does."
        )


def as_schedule(name: str, value: Any) -> Schedule:
    """Return ``value`` as a schedule: a positive number is a constant one."""
    if callable(value):
        return value  # type: ignore[no-any-return]
    check_positive(name, value, hint="Give a number, or a schedule such as polynomial_decay.")
    return constant(float(value))


def bind(schedule: Schedule, n_steps: int) -> Schedule:
    """Tell a schedule how many steps the chain takes, if it asks."""
    binder = getattr(schedule, "bind", None)
    return schedule if binder is None else binder(n_steps)


def evaluate(name: str, schedule: Schedule, step: Array) -> Array:
    """Return the schedule's values at the given steps, checked to be positive and finite."""
    values = np.broadcast_to(np.asarray(schedule(step), dtype=float), np.shape(step))
    wrong = ~(np.isfinite(values) & (values > 0))
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f"The schedule of {name} gave {values[first]} at step {step[first]}; it must be > 0 "
            "and finite at every step of the chain."
        )
    return values


def _check_exponent(exponent: float) -> None:
    if not 0.5 < exponent <= 1:
        raise ValueError(
            f"exponent must be in (0.5, 1], got {exponent}. Outside it the step sizes either have "
            "a finite sum (the chain stops early) or squares with an infinite one (the noise of "
            "the gradients never dies out)."
        )
