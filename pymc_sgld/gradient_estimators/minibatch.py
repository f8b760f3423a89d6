"""The plain minibatch gradient."""

from collections.abc import Callable, Sequence

from pymc_sgld.types import Tensor


def minibatch_gradient(
    gradient: Callable[[Tensor], Tensor],
    prior: Tensor,
    row_sums: Sequence[Tensor],
    scales: Sequence[Tensor],
) -> Tensor:
    r"""Return the unbiased gradient of the log-posterior from one batch of rows.

    .. math:: \hat g(\theta) = \nabla \log p(\theta)
              + \sum_k \frac{N_k}{n_k} \sum_{i \in B_k} \nabla \log p(y_i \mid \theta)

    The prior, with the Jacobians of the transforms, enters exactly and once. With independent
    batches the covariance of the estimate is :math:`\sum_k N_k^2 S_k / n_k`, for :math:`S_k` the
    covariance of the gradients of single rows.

    Parameters
    ----------
    gradient : callable
        A scalar to its gradient with respect to the position, shape (n_dim,).
    prior : scalar tensor
        Log-prior and whatever else enters in full.
    row_sums : sequence of scalar tensors
        For each group of rows, the sum of the log-likelihood over the rows of its batch.
    scales : sequence of scalar tensors
        For each group, total size over batch size.
    """
    logp = prior
    for row_sum, scale in zip(row_sums, scales, strict=True):
        logp = logp + scale * row_sum
    return gradient(logp)
