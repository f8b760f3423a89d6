"""Step size and temperature as functions of the step number.

A schedule is any callable of an array of step numbers (0, 1, 2, ... from the start of the chain,
tuning included) that returns the values. Those that need to know how long the chain is have a
method ``bind(n_steps)``, which the step method calls when PyMC tells it the number of draws.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from pymc_sgld.types import Array, Schedule
from pymc_sgld.validate import check_integer, check_positive, shown

_TRIED_STEPS, _TRIED_LENGTH = 3, 1000  # of a schedule when it is handed over


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
        raise _unbound("polynomial_decay_between")


@dataclass(frozen=True)
class repeated_cosine:
    r"""Cosine from ``largest`` to nearly 0, again and again.

    .. math:: h_k = \frac{h_0}{2} \left[\cos\frac{\pi\, (k \bmod K)}{K} + 1\right]

    It never is 0: the smallest value, at the last step of a cycle, is about
    :math:`h_0\, (\pi / 2K)^2`.

    Parameters
    ----------
    largest : float
        :math:`h_0 > 0`.
    length : int
        :math:`K`, steps of a cycle.

    References
    ----------
    .. [1] Zhang, R., Li, C., Zhang, J., Chen, C. and Wilson, A. G. (2020). Cyclical stochastic
       gradient MCMC for Bayesian deep learning. ICLR. https://doi.org/10.48550/arXiv.1902.03932
    """

    largest: float
    length: int

    def __post_init__(self) -> None:
        """Check the arguments."""
        check_positive("largest of repeated_cosine", self.largest)
        check_integer("length of repeated_cosine", self.length, at_least=1)

    def __call__(self, step: Array) -> Any:
        """Return the values at the given step numbers."""
        left = self.length - np.mod(step, self.length)
        # the same as the cosine above, without its cancellation at the end of a cycle
        return self.largest * np.sin(np.pi * left / (2 * self.length)) ** 2


@dataclass(frozen=True)
class cosine_cycles:
    r"""Zhang et al.'s cycles: :class:`repeated_cosine`, a number of times in a chain.

    Parameters
    ----------
    largest : float
        :math:`h_0 > 0`, at the first step of every cycle.
    cycles : int
        Their number. A cycle has :math:`K = \lceil n / \text{cycles} \rceil` of the chain's
        :math:`n` steps (tune and draws, times the steps per draw).

    Notes
    -----
    As the step size of any sampler this changes the steps alone: every draw is kept. The samplers
    ``cyclical_sgld`` and ``cyclical_sghmc`` also keep the draws of the exploration away.
    """

    largest: float
    cycles: int

    def __post_init__(self) -> None:
        """Check the arguments."""
        check_positive("largest of cosine_cycles", self.largest)
        check_integer("cycles of cosine_cycles", self.cycles, at_least=1)

    def bind(self, n_steps: int) -> repeated_cosine:
        """Return the schedule of a chain of ``n_steps`` steps."""
        return repeated_cosine(self.largest, -(-n_steps // self.cycles))

    def __call__(self, step: Array) -> Any:
        """Refuse: the length of the chain is not known yet."""
        raise _unbound("cosine_cycles")


@dataclass(frozen=True)
class warm_up:
    """Another schedule, times a factor that rises to 1 in equal amounts over the first steps.

    Parameters
    ----------
    schedule : float or schedule
        What to rise to.
    n_steps : int
        The factor is ``1 / n_steps`` at the first step and 1 from the step of that number on.
    """

    schedule: Any
    n_steps: int

    def __post_init__(self) -> None:
        """Check the arguments."""
        as_schedule("schedule of warm_up", self.schedule)
        check_integer("n_steps of warm_up", self.n_steps, at_least=1)

    def bind(self, n_steps: int) -> "warm_up":
        """Return the schedule of a chain of ``n_steps`` steps."""
        return warm_up(bind(as_schedule("schedule", self.schedule), n_steps), self.n_steps)

    def __call__(self, step: Array) -> Any:
        """Return the values at the given step numbers."""
        factor = np.minimum((np.asarray(step) + 1) / self.n_steps, 1.0)
        return factor * as_schedule("schedule", self.schedule)(step)


@dataclass(frozen=True)
class geometric_cooling:
    r"""A temperature that falls by the same factor at every step.

    .. math:: T_t = T_{\text{first}} \left(\frac{T_{\text{last}}}{T_{\text{first}}}\right)^{t/(n-1)}

    in a chain of :math:`n` steps (tune and draws, times the steps per draw).

    Parameters
    ----------
    first, last : float
        The values at the first and at the last step, ``first > last > 0``.

    References
    ----------
    .. [1] Kirkpatrick, S., Gelatt, C. D. and Vecchi, M. P. (1983). Optimization by simulated
       annealing. Science 220. https://doi.org/10.1126/science.220.4598.671
    """

    first: float
    last: float

    def __post_init__(self) -> None:
        """Check the arguments."""
        check_positive("first of geometric_cooling", self.first)
        check_positive("last of geometric_cooling", self.last)
        if not self.first > self.last:
            raise ValueError(
                f"geometric_cooling falls: first must be > last, got first={self.first} and "
                f"last={self.last}. Use constant({self.first}) for one temperature."
            )

    def bind(self, n_steps: int) -> "bound_geometric_cooling":
        """Return the schedule of a chain of ``n_steps`` steps."""
        return bound_geometric_cooling(self.first, self.last, n_steps)

    def __call__(self, step: Array) -> Any:
        """Refuse: the length of the chain is not known yet."""
        raise _unbound("geometric_cooling")


@dataclass(frozen=True)
class bound_geometric_cooling:
    """:class:`geometric_cooling` of a chain of ``n_steps`` steps."""

    first: float
    last: float
    n_steps: int

    def __call__(self, step: Array) -> Any:
        """Return the values at the given step numbers."""
        share = np.asarray(step) / max(self.n_steps - 1, 1)
        return self.first * (self.last / self.first) ** share


@dataclass(frozen=True)
class logarithmic_cooling:
    r"""The temperature :math:`T_t = c / \log(2 + t)`.

    So slow that a chain finds the global maximum with probability tending to 1, if :math:`c` is at
    least the depth of the deepest other mode (Hajek, for chains on a finite set; Geman and Hwang
    for diffusions); too slow for most purposes: it halves between step 10 and step 150.

    Parameters
    ----------
    scale : float
        :math:`c > 0`, in units of the log-density.

    References
    ----------
    .. [1] Geman, S. and Hwang, C.-R. (1986). Diffusions for global optimization. SIAM Journal on
       Control and Optimization 24. https://doi.org/10.1137/0324060
    .. [2] Hajek, B. (1988). Cooling schedules for optimal annealing. Mathematics of Operations
       Research 13. https://doi.org/10.1287/moor.13.2.311
    """

    scale: float

    def __post_init__(self) -> None:
        """Check the argument."""
        check_positive("scale of logarithmic_cooling", self.scale)

    def __call__(self, step: Array) -> Any:
        """Return the values at the given step numbers."""
        return self.scale / np.log(2.0 + np.asarray(step))


def as_schedule(name: str, value: Any) -> Schedule:
    """Return ``value`` as a schedule: a positive number is a constant one.

    A function is tried at the first steps of a chain of a thousand.
    """
    if isinstance(value, type):
        raise TypeError(
            f"{name} is the class {value.__name__}, not a schedule: write {value.__name__}(...) "
            "with its arguments."
        )
    if callable(value):
        try:
            tried = bind(value, _TRIED_LENGTH)
        except TypeError as error:
            raise _no_schedule(name, f"bind({_TRIED_LENGTH}) of it fails: {error}") from error
        for n_steps in (_TRIED_STEPS, _TRIED_STEPS - 1):  # two lengths: one may be right by chance
            evaluate(name, tried, np.arange(n_steps))
        return value  # type: ignore[no-any-return]
    check_positive(name, value, hint="Give a number, or a schedule such as polynomial_decay.")
    return constant(float(value))


def bind(schedule: Schedule, n_steps: int) -> Schedule:
    """Tell a schedule how many steps the chain takes, if it asks."""
    binder = getattr(schedule, "bind", None)
    return schedule if binder is None else binder(n_steps)


def evaluate(name: str, schedule: Schedule, step: Array) -> Array:
    """Return the schedule's values at the given steps, checked to be positive and finite."""
    try:
        values = np.asarray(schedule(step), dtype=float)
    except (TypeError, ValueError, ArithmeticError, IndexError) as error:
        raise _no_schedule(name, f"at steps {shown(step)} it fails: {error}") from error
    if values.shape not in ((), np.shape(step)):
        raise _no_schedule(
            name, f"of {np.size(step)} steps it returns an array of shape {values.shape}"
        )
    values = np.broadcast_to(values, np.shape(step))
    wrong = ~(np.isfinite(values) & (values > 0))
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f"The schedule of {name} gave {values[first]} at step {step[first]}; it must be > 0 "
            "and finite at every step of the chain."
        )
    return values


def _no_schedule(name: str, why: str) -> TypeError:
    return TypeError(
        f"The schedule of {name} must be a function that takes an array of step numbers and "
        f"returns as many numbers > 0, such as schedules.polynomial_decay(0.1, 10); {why}."
    )


def _unbound(name: str) -> TypeError:
    return TypeError(
        f"{name} needs the length of the chain: call bind(n_steps) first, or hand it to a step "
        "method, which does."
    )


def _check_exponent(exponent: float) -> None:
    if not 0.5 < check_positive("exponent", exponent) <= 1:
        raise ValueError(
            f"exponent must be in (0.5, 1], got {exponent}. Outside it the step sizes either have "
            "a finite sum (the chain stops early) or squares with an infinite one (the noise of "
            "the gradients never dies out)."
        )
