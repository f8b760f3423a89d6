"""Draws and scores in coordinates of unit scale, in which discrepancies do not depend on units."""

import numpy as np
import scipy

from pymc_sgld.types import Array


def check_scored(draws: Array, scores: Array) -> tuple[Array, Array]:
    """Return draws and scores as matrices of floats, or raise where they do not belong together.

    Parameters
    ----------
    draws, scores : array, shape (n_draws, n_dim)

    Raises
    ------
    ValueError
        If the shapes differ or are not those of matrices, or a number is not finite.
    """
    draws, scores = np.asarray(draws, dtype=float), np.asarray(scores, dtype=float)
    if draws.ndim != 2 or draws.shape != scores.shape:
        raise ValueError(
            f"draws have shape {draws.shape} and scores {scores.shape}, but both must be (n_draws, "
            "n_dim): one gradient of the log-density for each draw. Put the chains one after the "
            "other first, by array.reshape(-1, n_dim)."
        )
    if len(draws) < 2:
        raise ValueError(f"{len(draws)} draws were given, and at least 2 are needed.")
    for name, array in (("draws", draws), ("scores", scores)):
        wrong = int((~np.isfinite(array)).any(axis=1).sum())
        if wrong:
            raise ValueError(
                f"{wrong} of {len(array)} {name} are not finite. Leave them out, and find out why: "
                "the chain may have diverged there."
            )
    return draws, scores


def whiten(
    draws: Array, scores: Array, covariance: Array | None = None
) -> tuple[Array, Array, Array]:
    r"""Return draws and scores in coordinates :math:`z = L^{-1}(\theta - m)`, :math:`LL^T = S`.

    Parameters
    ----------
    draws, scores : array, shape (n_draws, n_dim)
    covariance : array, shape (n_dim, n_dim), optional
        S. Default: the covariance of the draws. To compare samplers give one S to all.

    Returns
    -------
    positions : array, shape (n_draws, n_dim)
    scores : array, shape (n_draws, n_dim)
        :math:`L^T \nabla\log p`.
    factor : array, shape (n_dim, n_dim)
        L.

    Raises
    ------
    ValueError
        If S is not positive definite.
    """
    if covariance is None:
        covariance = np.atleast_2d(np.cov(draws, rowvar=False))
    covariance = np.asarray(covariance, dtype=float)
    try:
        factor = np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:
        raise ValueError(
            f"The covariance of {draws.shape[1]} parameters is not positive definite: there are "
            f"too few draws ({len(draws)}), or some parameter is constant. Pass covariance=, such "
            "as np.diag of the squared posterior sds."
        ) from None
    positions = scipy.linalg.solve_triangular(factor, (draws - draws.mean(axis=0)).T, lower=True).T
    return positions, scores @ factor, factor
