"""The plain minibatch gradient."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from pymc_sgld.gradient_estimators.base import BatchGradients, GradientEstimator
from pymc_sgld.types import Tensor


@dataclass(frozen=True)
class Minibatch(GradientEstimator):
    r"""The gradient on one batch, its rows scaled up.

    .. math:: \hat g(\theta) = \nabla \log p(\theta)
              + \sum_k \frac{N_k}{n_k} \sum_{i \in B_k} \nabla \log p(y_i \mid \theta)

    The prior, with the Jacobians of the transforms, enters exactly and once. For batches of
    distinct rows the covariance of the estimate is

    .. math:: \sum_k \frac{N_k^2}{n_k} \frac{N_k - n_k}{N_k - 1} S_k,

    with :math:`S_k` the covariance of the gradients of single rows; where rows are drawn with
    replacement the factor :math:`(N_k - n_k) / (N_k - 1)` is 1.
    """

    name: ClassVar[str] = "minibatch"

    def gradient(
        self, batch: BatchGradients, position: Tensor, parameters: Sequence[Tensor]
    ) -> Tensor:
        """Return the gradient of prior and scaled batch."""
        return batch.posterior(position)
