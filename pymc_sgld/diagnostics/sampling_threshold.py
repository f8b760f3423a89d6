r"""Welling and Teh's sampling threshold: the noise of the batches against the injected noise."""

from typing import NamedTuple

import numpy as np

from pymc_sgld.types import Array
from pymc_sgld.validate import check_positive


class SamplingThreshold(NamedTuple):
    """The ratio of gradient noise to injected noise, by direction, largest first."""

    alpha: Array  # (n_dim,)
    directions: Array  # (n_dim, n_dim), in the columns: in the coordinates of the preconditioner
    sd_inflation: Array  # (n_dim,), relative excess of the posterior sd along the direction

    @property
    def meaning(self) -> str:
        """What the largest ratio does to the posterior."""
        return (
            f"alpha = {self.alpha[0]:.2g}: the noise of the batches makes the posterior sd about "
            f"{self.sd_inflation[0]:.0%} too wide along the noisiest direction"
        )


def sampling_threshold(
    step_size: float, gradient_noise: Array, temperature: float = 1.0
) -> SamplingThreshold:
    r"""Return the ratio :math:`\alpha` of the noises of an SGLD step, by direction.

    In a step the gradient's noise moves the chain with variance :math:`h^2 v` and the injected
    noise with :math:`2hT`: :math:`\alpha = h v / (2T)`. Where it is far below 1 the chain samples.
    For a Gaussian posterior it is what comes on top of the variance,

    .. math:: \frac{\mathrm{var}}{\mathrm{var}_p} = \frac{1 + \alpha}{1 - h / 2}

    in coordinates in which the posterior has unit scale, so that :math:`\sqrt{1 + \alpha} - 1`,
    about :math:`\alpha / 2`, is the excess of the sd by the noise alone.

    Parameters
    ----------
    step_size : float
        h, in the coordinates of the preconditioner.
    gradient_noise : array, shape (n_dim, n_dim) or (n_dim,)
        Covariance of the gradient of a batch, in these coordinates: :math:`L^T V L`; or its
        diagonal.
    temperature : float, default 1

    Returns
    -------
    SamplingThreshold

    Notes
    -----
    Welling and Teh's :math:`\epsilon` is 2h and their M is :math:`LL^T`.

    References
    ----------
    .. [1] Welling, M. and Teh, Y. W. (2011). Bayesian learning via stochastic gradient Langevin
       dynamics. ICML, section 4. https://dl.acm.org/doi/10.5555/3104482.3104568
    """
    check_positive("step_size", step_size)
    check_positive("temperature", temperature)
    noise = np.asarray(gradient_noise, dtype=float)
    if noise.ndim == 1:
        noise = np.diag(noise)
    if noise.ndim != 2 or noise.shape[0] != noise.shape[1] or not np.isfinite(noise).all():
        raise ValueError(
            f"gradient_noise must be a finite covariance of shape (n_dim, n_dim), got {noise.shape}"
        )
    eigenvalues, vectors = np.linalg.eigh(noise)
    alpha = step_size * np.maximum(eigenvalues[::-1], 0.0) / (2 * temperature)
    return SamplingThreshold(alpha, vectors[:, ::-1], np.sqrt(1 + alpha) - 1)
