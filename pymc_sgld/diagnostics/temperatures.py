r"""Temperatures that a chain has, against the one it was asked for.

Both are 1 in equilibrium at temperature 1 and, unlike R-hat, see a chain that is too hot. Neither
is enough alone: a chain that has not warmed up and noise that heats it can cancel in one of them.
"""

from typing import NamedTuple

import numpy as np

from pymc_sgld.diagnostics.convergence import error_of_mean
from pymc_sgld.types import Array


class Temperature(NamedTuple):
    """A measured temperature and its Monte Carlo error."""

    value: float
    standard_error: float


def kinetic_temperature(momenta: Array) -> Temperature:
    r"""Return :math:`E[p^\top p] / d` of a sampler with momentum.

    Parameters
    ----------
    momenta : array, shape (n_chains, n_draws, n_dim)
        For unit masses, as those of this library in the coordinates of the preconditioner.

    Returns
    -------
    Temperature

    Notes
    -----
    Discretisation moves it as well: a splitting that is exact for positions is not for momenta.

    References
    ----------
    .. [1] Leimkuhler, B. and Matthews, C. (2015). Molecular Dynamics. Springer, section 6.
       https://doi.org/10.1007/978-3-319-16375-8
    .. [2] Wenzel, F. et al. (2020). How good is the Bayes posterior in deep neural networks really?
       ICML. https://arxiv.org/abs/2002.02405
    """
    return _mean((np.asarray(momenta, dtype=float) ** 2).mean(axis=-1))


def configurational_temperature(positions: Array, scores: Array) -> Temperature:
    r"""Return :math:`-E[(\theta - m)^\top \nabla\log p(\theta)] / d`.

    The mean over all directions of the moment that :func:`score_moments` measures by parameter. It
    does not depend on the units of the parameters.

    Parameters
    ----------
    positions : array, shape (n_chains, n_draws, n_dim)
    scores : array, shape (n_chains, n_draws, n_dim)
        Gradient of the log-posterior at temperature 1; estimates from batches are allowed, if each
        batch is drawn independently of the position.

    Returns
    -------
    Temperature

    Notes
    -----
    Below the temperature of the run: the chain still drifts, or its diffusion is too small. Above:
    it is too hot.

    References
    ----------
    .. [1] Rugh, H. H. (1997). Dynamical approach to temperature. Physical Review Letters 78.
       https://doi.org/10.1103/PhysRevLett.78.772
    """
    positions = np.asarray(positions, dtype=float)
    centred = positions - positions.mean(axis=1, keepdims=True)
    return _mean(-(centred * np.asarray(scores, dtype=float)).mean(axis=-1))


def _mean(series: Array) -> Temperature:
    return Temperature(float(series.mean()), float(error_of_mean(series)))
