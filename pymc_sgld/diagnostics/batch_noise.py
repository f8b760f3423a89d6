"""Size and tail of the noise that batches leave in the gradient."""

from typing import NamedTuple

import numpy as np
import scipy

from pymc_sgld.types import Array

_TAIL = 0.05  # share of the norms that the tail index is fitted to


class BatchNoise(NamedTuple):
    """The noise of a batch's gradient."""

    covariance: Array  # (n_dim, n_dim)
    excess_kurtosis: Array  # (n_dim,); 0 for Gaussian noise
    tail_index: float  # of the norm, by Hill; below 2 the variance is infinite


def batch_noise(gradients: Array) -> BatchNoise:
    r"""Return covariance, kurtosis and tail index of the noise of batch gradients.

    Parameters
    ----------
    gradients : array, shape (n_positions, n_batches, n_dim)
        Gradients of several batches at each of some positions, at least two. The mean at a position
        is taken off, with the divisor n_batches - 1.

    Returns
    -------
    BatchNoise

    Notes
    -----
    A sampler compensates the covariance at best. Where noise is heavy-tailed (kurtosis in the tens,
    as with rare levels of a feature) its average size says little of what a chain feels.

    References
    ----------
    .. [1] Hill, B. M. (1975). A simple general approach to inference about the tail of a
       distribution. Annals of Statistics 3. https://doi.org/10.1214/aos/1176343247
    .. [2] Simsekli, U., Sagun, L. and Gurbuzbalaban, M. (2019). A tail-index analysis of stochastic
       gradient noise in deep neural networks. ICML. https://arxiv.org/abs/1901.06053
    """
    gradients = np.asarray(gradients, dtype=float)
    if gradients.ndim != 3 or gradients.shape[1] < 2:
        raise ValueError(
            f"gradients have shape {gradients.shape}, but (n_positions, n_batches, n_dim) is "
            "needed, with at least 2 batches at a position."
        )
    n_batches, n_dim = gradients.shape[1:]
    scale = np.sqrt(n_batches / (n_batches - 1))
    noise = scale * (gradients - gradients.mean(axis=1, keepdims=True)).reshape(-1, n_dim)
    covariance = noise.T @ noise / len(noise)
    sd = np.sqrt(np.maximum(np.diag(covariance), np.finfo(float).tiny))
    norms = np.sort(np.linalg.norm(noise / sd, axis=1))[::-1]
    n_tail = max(1, int(_TAIL * len(norms)))
    with np.errstate(divide="ignore"):
        index = 1 / np.mean(np.log(norms[:n_tail] / norms[n_tail]))
    return BatchNoise(covariance, scipy.stats.kurtosis(noise, axis=0), float(index))
