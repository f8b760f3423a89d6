"""The draws that stand best for the posterior: chosen one after the other by the Stein kernel."""

import numpy as np

from pymc_sgld.diagnostics.kernel_stein import own_stein_kernel, stein_kernel
from pymc_sgld.diagnostics.whitening import check_scored, whiten
from pymc_sgld.types import Array
from pymc_sgld.validate import check_integer


def stein_thinning(
    draws: Array, scores: Array, n_kept: int, covariance: Array | None = None
) -> Array:
    r"""Return the draws that together have a small kernel Stein discrepancy.

    Each is the one that makes the discrepancy of those chosen so far smallest,

    .. math:: \arg\min_i\; \tfrac12 k_p(x_i, x_i) + \sum_{j\ \mathrm{chosen}} k_p(x_j, x_i) .

    A draw may be chosen more than once. Draws from a chain that is too wide are thinned towards the
    posterior; what the chain has not visited cannot be chosen.

    Parameters
    ----------
    draws, scores : array, shape (n_draws, n_dim)
        As for :func:`kernel_stein_discrepancy`.
    n_kept : int
    covariance : array, shape (n_dim, n_dim), optional
        In whose units distances are taken. Default: that of the draws.

    Returns
    -------
    array of int, shape (n_kept,)
        Numbers of the draws, in the order chosen.

    Notes
    -----
    With few kept draws it prefers stationary points of the density, modes and saddles alike, and
    does not know the weights of modes apart.

    References
    ----------
    .. [1] Riabiz, M., Chen, W. Y., Cockayne, J., Swietach, P., Niederer, S. A., Mackey, L. and
       Oates, C. J. (2022). Optimal thinning of MCMC output. Journal of the Royal Statistical
       Society B. https://doi.org/10.1111/rssb.12503
    """
    draws, scores = check_scored(draws, scores)
    check_integer("n_kept", n_kept, at_least=1)
    positions, scores, _ = whiten(draws, scores, covariance)
    objective = own_stein_kernel(positions, scores) / 2
    kept = np.empty(n_kept, dtype=int)
    for number in range(n_kept):
        kept[number] = best = int(np.argmin(objective))
        one = slice(best, best + 1)
        objective = objective + stein_kernel(positions, scores, positions[one], scores[one])[:, 0]
    return kept
