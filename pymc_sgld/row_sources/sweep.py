"""How the gradients' noise of successive batches is tied together."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Sweep:
    r"""Batches without a common row, one after the other; the noise of two of them is correlated.

    Over a sweep of all N rows it adds up to none: the correlation of batches of n rows is
    :math:`-n / (N - n)`. Different sweeps are independent.

    Parameters
    ----------
    n_batches : int, default 1
        Of a sweep. One: every batch is independent of all others.
    correlation : float, default 0
        Of the gradients of two batches of a sweep at one position.
    symmetric : bool, default False
        Whether each sweep is followed by its batches in the reverse order.
    """

    n_batches: int = 1
    correlation: float = 0.0
    symmetric: bool = False

    @property
    def n_steps(self) -> int:
        """Steps after which all begins anew."""
        return 2 * self.n_batches if self.symmetric else self.n_batches


INDEPENDENT = Sweep()  # batches, each of a sweep of its own
