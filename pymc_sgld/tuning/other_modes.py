"""Whether a search has ended at another mode, or only on its way to the one that is known."""

from collections.abc import Callable

import numpy as np

from pymc_sgld.types import Array

POINTS_OF_A_PATH = 11  # between two modes, the ends among them
_LEAST_DIP = 0.5  # of the log-density there, below both


def path_dips(density: Callable[[Array], float], first: Array, last: Array) -> bool:
    """Whether a log-density is lower between two points than at both of them.

    That of a log-concave posterior never is, wherever a search has stopped.

    Parameters
    ----------
    density : callable
        Of the position, on the same rows at each call.
    first, last : array, shape (n_dim,)
    """
    ends = min(density(first), density(last))
    if not np.isfinite(ends):
        return False
    between = [
        density((first + part * (last - first)).astype(first.dtype))
        for part in np.linspace(0, 1, POINTS_OF_A_PATH)[1:-1]
    ]
    # a point where there is no density is a dip
    return bool(np.nan_to_num(min(between), nan=-np.inf) < ends - _LEAST_DIP)
