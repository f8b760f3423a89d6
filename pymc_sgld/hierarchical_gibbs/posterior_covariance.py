r"""The posterior covariance of a hierarchy by the law of total variance, few draws being enough.

.. math:: \mathrm{Cov}(\theta) =
    E[\mathrm{Cov}(\theta \mid \phi)] + \mathrm{Cov}(E[\theta \mid \phi])

Given the hyperparameters both are known where a quadratic stands for the rows. The covariance of
as many draws is too narrow by half along some of a hundred directions, and with a share of its
diagonal it is far too wide where effects and coefficients go together.

References
----------
.. [1] Gelfand, A. E. and Smith, A. F. M. (1990). Sampling-based approaches to calculating marginal
   densities. JASA 85. https://doi.org/10.1080/01621459.1990.10476213
"""

import numpy as np

from pymc_sgld.hierarchical_gibbs.conditional_curvature import ConditionalCurvature
from pymc_sgld.types import Array

_MEANS = 200  # draws of the hyperparameters whose conditional means are worked out
_COVARIANCES, _FEWER = 50, 10  # of which the conditional covariance too; of many parameters
_MANY = 500


def posterior_covariance(curvature: ConditionalCurvature, slope: Array, draws: Array) -> Array:
    """Return the covariance of all parameters, shape (n_dim, n_dim).

    Parameters
    ----------
    curvature : ConditionalCurvature
    slope : array, shape (n_dim,)
        Of the rows' log-likelihood at the curvature's reference.
    draws : array, shape (n_draws, n_dim)
        Of which the hyperparameters count.
    """
    moving, hyperparameters = curvature.moving, curvature.hyperparameters
    some = draws[:: max(1, len(draws) // _MEANS)]
    each = max(1, len(some) // (_COVARIANCES if len(moving) <= _MANY else _FEWER))
    n_dim = draws.shape[1]
    means, within, n_within = np.empty((len(some), n_dim)), np.zeros((len(moving),) * 2), 0
    for number, draw in enumerate(some):
        at = curvature.reference.copy()
        at[hyperparameters] = draw[hyperparameters]
        metric = curvature.metric(at)
        score = np.zeros(n_dim)
        score[moving] = curvature.prior(at, np.zeros_like(at))[0][moving] + slope[moving]
        means[number] = metric.to_position(metric.whitened(score), *metric.parameters())
        if number % each == 0:
            factor = metric.matrix()[moving].astype(float)
            within, n_within = within + factor @ factor.T, n_within + 1
    covariance = np.atleast_2d(np.cov(means, rowvar=False))
    covariance[np.ix_(moving, moving)] += within / n_within
    return np.asarray(covariance)
