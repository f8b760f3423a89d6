r"""Diagonal preconditioners learned in the tune phase from the gradients of batches.

At the end of every draw of the tune phase the gradient of its last batch is squared into an average
V, and the chain goes on with

.. math:: \theta = c + L z, \qquad L = V^{-1/4}, \qquad M = L L^\top = 1 / \sqrt V .

After the tune phase V stays as it is, so that the draws come from a chain with a constant
preconditioner, whose law is that of the sampler for any V: what the average is changes how quickly
the chain moves, never where to. No mode and no second derivative is needed.

Between two draws only the coordinates change: the position is kept in parameters, and a momentum is
kept in coordinates, where its law is N(0, T I) for every V.
"""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from pymc_sgld.preconditioners.base import LearnedPreconditioner
from pymc_sgld.preconditioners.linear import DiagonalMetric, Metric
from pymc_sgld.types import Array
from pymc_sgld.validate import check_positive

_SMALLEST_RELATIVE_SQUARE = 1e-12  # of the mean square: a parameter without any gradient
# The average is over the last fifth of the draws so far, so that a distant start is forgotten,
# and over a few at least.
_SHARE, _FEWEST = 5, 15


@dataclass(frozen=True)
class Averages:
    """Running averages over gradients."""

    square: Array  # (n_dim,)
    mean: Array  # (n_dim,)
    count: int = 0  # of gradients taken in
    weight: float = 1.0  # of all gradients so far; what is missing to 1 is the start at zero
    level: float = 1.0  # factor of M: see ``MetricLearning``


@dataclass(frozen=True)
class RMSprop(LearnedPreconditioner, extends=True):
    r"""Preconditioner: the exponential average of the squared gradients of batches.

    .. math:: V' = a_t V + (1 - a_t)\, \hat g^2, \qquad M = 1 / \sqrt V, \qquad
        a_t = \min\bigl(a, 1 - \tfrac{5}{t + 15}\bigr)

    with t the draws so far, so that a distant start, where gradients are large, is forgotten. It is
    begun at the mean over some batches where the chain starts, or, where a mode is found, at what
    is expected there: curvature plus gradient noise, and frozen at the end of the tune phase.

    Parameters
    ----------
    decay : float, default 0.98
        :math:`0 < a < 1`, by draw: the average is over about 1 / (1 - a) draws, or the last fifth
        of those so far if these are fewer.

    Notes
    -----
    With a step size given, it is in units of the parameters, like a learning rate of RMSprop: each
    moves by about the step size times its gradient in units of that gradient's usual size. With
    the step size left out M is multiplied by a number such that the largest curvature at the mode
    is 1, and the step size is a pure number.

    References
    ----------
    .. [1] Li, C., Chen, C., Carlson, D. and Carin, L. (2016). Preconditioned stochastic gradient
       Langevin dynamics for deep neural networks. AAAI. https://doi.org/10.1609/aaai.v30i1.10200
    """

    name: ClassVar[str] = "rmsprop"

    decay: float = 0.98

    def __post_init__(self) -> None:
        """Check the decay."""
        hint = "The average is over about 1 / (1 - decay) draws of the tune phase."
        name = f"decay of {type(self).__name__}"
        if check_positive(name, self.decay, hint=hint) >= 1:
            raise ValueError(f"{name} must be below 1, got {self.decay!r}. {hint}")

    def empty(self, n_dim: int) -> Metric:
        """Return the metric that leaves the coordinates as they are."""
        return DiagonalMetric(np.zeros(n_dim), np.ones(n_dim))

    def expected(self, squares: Array) -> Averages:
        """Return the averages begun at the squared gradients that are expected."""
        return Averages(squares, np.zeros_like(squares))

    def first(self, gradients: Array) -> Averages:
        """Return the averages begun with some gradients, shape (n_gradients, n_dim)."""
        return Averages((gradients**2).mean(axis=0), np.zeros(gradients.shape[1]))

    def add(self, averages: Averages, gradient: Array) -> Averages:
        """Return the averages with one more gradient."""
        kept = min(self.decay, 1 - _SHARE / (averages.count + _FEWEST))
        return replace(
            averages,
            square=kept * averages.square + (1 - kept) * gradient**2,
            mean=kept * averages.mean + (1 - kept) * gradient,
            count=averages.count + 1,
            weight=kept * averages.weight + (1 - kept),
        )

    def squares(self, averages: Averages) -> Array:
        """Return V."""
        return averages.square

    def scale(self, averages: Averages) -> Array:
        """Return the diagonal of L."""
        squares = np.nan_to_num(self.squares(averages), posinf=0.0)
        floor = _SMALLEST_RELATIVE_SQUARE * squares.mean()
        if not floor > 0:
            return np.full(len(squares), averages.level**0.5)
        return np.asarray(averages.level**0.5 * np.maximum(squares, floor) ** -0.25)

    def metric(self, averages: Averages, centre: Array) -> DiagonalMetric:
        """Return the metric of the averages around a centre."""
        return DiagonalMetric(centre, self.scale(averages).astype(centre.dtype))


@dataclass(frozen=True)
class Adam(RMSprop):
    r"""Preconditioner: the running variance of the gradients of batches.

    .. math::
        V = \frac{q}{w} - \Bigl(\frac mw\Bigr)^2, \qquad
        q' = a_t q + (1 - a_t)\, \hat g^2, \quad m' = a_t m + (1 - a_t)\, \hat g, \quad
        w' = a_t w + (1 - a_t)

    with :math:`a_t` as for :class:`RMSprop`,
    begun at zero and corrected for it by w, like the moments of Adam. The running mean of the
    gradient is taken out, so that the way from a distant start to the posterior, where the gradient
    points the same way for many draws, does not count as noise. It is frozen at the end of the tune
    phase.

    The momentum of Adam is left out on purpose. A step along an averaged gradient is not a step of
    the Langevin equation along the gradient: noise of the size that the Langevin equation asks for
    gives it another law, at any step size. Averaging with a law is :class:`pymc_sgld.samplers`'
    ``sghmc``, which works with this preconditioner as with any other.

    Parameters
    ----------
    decay : float, default 0.98
        :math:`0 < a < 1`, by draw, of both averages: with two decays the difference above may be
        negative.

    Notes
    -----
    The step size has the units described at :class:`RMSprop`.

    References
    ----------
    .. [1] Kingma, D. P. and Ba, J. (2015). Adam: a method for stochastic optimization. ICLR.
       https://arxiv.org/abs/1412.6980
    """

    name: ClassVar[str] = "adam"

    def first(self, gradients: Array) -> Averages:
        """Return the averages begun with some gradients, shape (n_gradients, n_dim)."""
        zero = np.zeros(gradients.shape[1])
        averages = Averages(zero, zero, weight=0.0)
        for gradient in gradients:
            averages = self.add(averages, gradient)
        return averages

    def squares(self, averages: Averages) -> Array:
        """Return V."""
        left: Any = averages.square / averages.weight - (averages.mean / averages.weight) ** 2
        return np.asarray(left)
