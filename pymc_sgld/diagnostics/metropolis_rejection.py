"""How often a Metropolis test would have refused the steps of a chain that has none."""

import numpy as np

from pymc_sgld.types import Array
from pymc_sgld.validate import check_positive


def langevin_rejection(
    before: Array,
    after: Array,
    log_density_before: Array,
    log_density_after: Array,
    gradient_before: Array,
    gradient_after: Array,
    *,
    step_size: float,
    covariance: Array | None = None,
    temperature: float = 1.0,
) -> Array:
    r"""Return the probabilities with which a Metropolis test refuses Langevin steps.

    .. math:: 1 - \min\Bigl\{1, \frac{p(\theta')^{1/T}\, q(\theta \mid \theta')}
              {p(\theta)^{1/T}\, q(\theta' \mid \theta)}\Bigr\}, \qquad
              q(\theta' \mid \theta) = N(\theta + h M g(\theta),\, 2hT M)

    Parameters
    ----------
    before, after : array, shape (n_steps, n_dim)
        The two ends of each step.
    log_density_before, log_density_after : array, shape (n_steps,)
        Of all rows.
    gradient_before, gradient_after : array, shape (n_steps, n_dim)
        With which the step was made, and with which it would be made back: of one batch both, if
        the step was made with a batch.
    step_size : float
        h.
    covariance : array, shape (n_dim, n_dim), optional
        The preconditioner M. Default: the identity.
    temperature : float, default 1

    Returns
    -------
    array, shape (n_steps,)
        1 where the log-density after the step is not finite.

    Notes
    -----
    It falls to 0 with the step size, and with it the bias by discretisation; the noise of the
    batches shows in it as well. Welling and Teh plot its mean over a sweep against the step size
    (their figure 2, right; their epsilon is 2h).

    References
    ----------
    .. [1] Welling, M. and Teh, Y. W. (2011). Bayesian learning via stochastic gradient Langevin
       dynamics. ICML. https://dl.acm.org/doi/10.5555/3104482.3104568
    """
    check_positive("step_size", step_size)
    check_positive("temperature", temperature)
    n_dim = np.shape(before)[1]
    metric = np.eye(n_dim) if covariance is None else np.asarray(covariance, dtype=float)
    there = _log_proposal(before, after, gradient_before, metric, step_size, temperature)
    back = _log_proposal(after, before, gradient_after, metric, step_size, temperature)
    with np.errstate(invalid="ignore"):
        rise = (np.asarray(log_density_after) - np.asarray(log_density_before)) / temperature
        exponent = rise + back - there
    accepted = np.exp(np.minimum(np.nan_to_num(exponent, nan=-np.inf), 0.0))
    return np.asarray(1 - accepted)


def _log_proposal(
    start: Array, end: Array, gradient: Array, metric: Array, step_size: float, temperature: float
) -> Array:
    """Return the log-density of proposals, without its constant, shape (n_steps,)."""
    off = np.asarray(end) - np.asarray(start) - step_size * np.asarray(gradient) @ metric
    square = (off * np.linalg.solve(metric, off.T).T).sum(axis=1)
    return np.asarray(-square / (4 * step_size * temperature))
