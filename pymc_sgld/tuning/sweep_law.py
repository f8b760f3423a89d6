r"""What is left of the gradients' noise in a chain whose batches come in sweeps.

With M the matrix of a step and e what an error of the gradient does to the state, the noise
:math:`\varepsilon_i` of the k-th last step of a sweep is in the state as
:math:`M^{k-1} e\, \varepsilon_i`. Within a sweep the noise of two steps has the correlation
:math:`\rho`, different sweeps are independent, so that over the R steps of one

.. math:: Q = (1 - \rho) \sum_{k<R} w_k w_k^\top + \rho \Big(\sum_k w_k\Big)
    \Big(\sum_k w_k\Big)^\top, \qquad w_k = M^k e,

and at the ends of sweeps :math:`X = M^R X (M^\top)^R + Q`. The sums of powers have closed forms.
All is over two directions at a time, left and right, and over leading axes.
"""

import numpy as np

from pymc_sgld.row_sources import Sweep
from pymc_sgld.types import Array

_MOST_PHASES = 32  # of a sweep that are looked at, evenly spaced


def solve_lyapunov(left: Array, right: Array, source: Array) -> Array:
    """Solve ``X = left X right' + source`` for small matrices, over leading axes."""
    n = source.shape[-1]
    kron = np.einsum("...ij,...kl->...ikjl", left, right).reshape(*source.shape[:-2], n * n, n * n)
    flat = source.reshape(*source.shape[:-2], n * n, 1)
    return np.asarray(np.linalg.solve(np.eye(n * n) - kron, flat).reshape(source.shape))


def phases(sweep: Sweep, steps_per_draw: int) -> tuple[int, ...]:
    """Return the steps since the end of a sweep at which draws are taken, some of them if many."""
    every = int(np.gcd(steps_per_draw, sweep.n_steps))
    taken = np.arange(0, sweep.n_steps, every)
    some = np.linspace(0, len(taken) - 1, min(len(taken), _MOST_PHASES)).round().astype(int)
    return tuple(taken[some].tolist())


def settled_noise(
    left: Array,
    right: Array,
    kicks: tuple[Array, Array],
    sweep: Sweep,
    at: tuple[int, ...] = (0,),
) -> Array:
    """Return the covariance of two states that gradient noise of covariance one settles in.

    Parameters
    ----------
    left, right : array, shape (..., n_state, n_state)
        A step in two directions.
    kicks : two arrays, shape (..., n_state)
        What an error of the gradient adds to their states.
    sweep : Sweep
    at : tuple of int, default (0,)
        Steps since the end of a sweep at which draws are taken; the covariance is their mean.

    Returns
    -------
    array, shape (..., n_state, n_state)
    """
    noise = _Noise(left, right, *kicks, sweep)
    if sweep.n_batches == 1 and not sweep.symmetric:
        return noise.forever
    whole = sweep.n_steps
    at_ends = solve_lyapunov(*noise.powers(whole), noise.of_a_part(whole))
    return np.asarray(np.mean([noise.after(at_ends, steps) for steps in at], axis=0))


class _Noise:
    """The noise of the first steps of a sweep, in the state after them."""

    def __init__(
        self, left: Array, right: Array, left_kick: Array, right_kick: Array, sweep: Sweep
    ) -> None:
        self.left, self.right, self.sweep = left, right, sweep
        self.both = left_kick[..., :, None] * right_kick[..., None, :]
        self.forever = solve_lyapunov(left, right, self.both)
        self.sums = _sum_of_powers(left, left_kick), _sum_of_powers(right, right_kick)

    def powers(self, steps: int) -> tuple[Array, Array]:
        """Return what so many steps do to the two states."""
        return np.linalg.matrix_power(self.left, steps), np.linalg.matrix_power(self.right, steps)

    def after(self, at_end: Array, steps: int) -> Array:
        """Return the covariance some steps after the end of a sweep."""
        if steps == 0:
            return at_end
        return _moved(self.powers(steps), at_end) + self.of_a_part(steps)

    def of_a_part(self, steps: int) -> Array:
        """Return the covariance from the first steps of a sweep alone."""
        rho, powers = self.sweep.correlation, self.powers(steps)
        ends = [
            total - np.einsum("...ij,...j->...i", power, total)
            for power, total in zip(powers, self.sums, strict=True)
        ]
        together = ends[0][..., :, None] * ends[1][..., None, :]
        return np.asarray((1 - rho) * self._squares(steps) + rho * together)

    def _squares(self, steps: int) -> Array:
        """Return the covariance if the noise of different batches were independent."""
        back = steps - self.sweep.n_batches
        if back <= 0:
            return self.forever - _moved(self.powers(steps), self.forever)
        # the last batches for a second time, in the reverse order
        forth, again = self._squares(self.sweep.n_batches), self._squares(back)
        left, right = self.powers(back)
        crossed = self._crossed(back)
        crossed = left @ crossed + crossed @ np.swapaxes(right, -1, -2)
        return np.asarray(_moved((left, right), forth) + again + crossed)

    def _crossed(self, steps: int) -> Array:
        r"""Return :math:`\sum_{j<q} L^j E (R^\top)^{q-1-j}`, a corner of a power of blocks."""
        n = self.left.shape[-1]
        blocks = np.zeros((*self.both.shape[:-2], 2 * n, 2 * n))
        blocks[..., :n, :n], blocks[..., :n, n:] = self.left, self.both
        blocks[..., n:, n:] = np.swapaxes(self.right, -1, -2)
        return np.linalg.matrix_power(blocks, steps)[..., :n, n:]


def _moved(powers: tuple[Array, Array], covariance: Array) -> Array:
    left, right = powers
    return np.asarray(left @ covariance @ np.swapaxes(right, -1, -2))


def _sum_of_powers(step: Array, kick: Array) -> Array:
    """Return the sum of all powers of a step applied to a kick."""
    n = step.shape[-1]
    return np.asarray(np.linalg.solve(np.eye(n) - step, kick[..., None])[..., 0])
