"""The minibatch gradient with a control variate at a fixed centre."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from pymc_sgld.gradient_estimators.base import BatchGradients, GradientEstimator
from pymc_sgld.types import Tensor


@dataclass(frozen=True)
class ControlVariate(GradientEstimator):
    r"""The full gradient at a centre, corrected by one batch at two points.

    .. math:: \hat g(\theta) = \nabla \log p(\theta) + \sum_{i=1}^N \nabla \log p(y_i \mid c)
              + \sum_k \frac{N_k}{n_k} \sum_{i \in B_k}
              \left[\nabla \log p(y_i \mid \theta) - \nabla \log p(y_i \mid c)\right]

    Unbiased for any centre c. At the mode its noise grows with the distance from it, not with the
    size of the scores: where the posterior is narrow, as with many rows, little is left of it, and
    the cost of an effective draw no longer grows with N. The prior enters exactly at the position.

    Parameters
    ----------
    move_centre : bool, default True
        At the end of the tune phase, move the centre from the mode to the mean of draws of the
        second half of it, if at these draws the noise with that centre is clearly smaller, by a
        tenth or more. One more pass through the data; the noise that is left is measured again.

    Notes
    -----
    The gradient of the log-posterior is zero at the mode, and zero on average over the posterior,
    which makes a mode with the mass around it a good centre, also of a skewed posterior, and better
    than the mean. The centre moves where the mode found is not one the draws stay near.

    References
    ----------
    .. [1] Baker, J., Fearnhead, P., Fox, E. B. and Nemeth, C. (2019). Control variates for
       stochastic gradient MCMC. Statistics and Computing 29. https://doi.org/10.1007/s11222-018-9826-2
    """

    move_centre: bool = True

    name: ClassVar[str] = "control_variate"
    parameters: ClassVar[tuple[str, ...]] = ("centre", "rows_at_centre")
    needs_mode: ClassVar[bool] = True
    reference_distance: ClassVar[int] = 1
    gradients_per_batch: ClassVar[int] = 2

    def gradient(
        self, batch: BatchGradients, position: Tensor, parameters: Sequence[Tensor]
    ) -> Tensor:
        """Return the corrected gradient.

        ``parameters`` are the centre and the gradient of all rows' log-likelihood there.
        """
        return corrected(batch, position, parameters)


@dataclass(frozen=True)
class TabledControlVariate(ControlVariate):
    r"""The same estimate, for one gradient a batch instead of two.

    The centre stays where it is, so what the rows of a block say there can be summed once:

    .. math:: \hat g(\theta) = \nabla \log p(\theta) + \sum_{i=1}^N \nabla \log p(y_i \mid c)
              + \sum_k \left[\frac{N_k}{n_k} \sum_{i \in B_k} \nabla \log p(y_i \mid \theta)
              - t_{B_k}\right]

    The batches are blocks of :class:`pymc_sgld.row_sources.BlockLayout`, and the table of a group
    has a vector of ``n_dim`` numbers for each of them, made in one pass for each order of the rows.
    A chain takes it in place of :class:`ControlVariate` where batches are independent and rows come
    alike; in sweeps, and where rows are drawn one by one, no block comes twice.
    """

    tabled: ClassVar[bool] = True
    gradients_per_batch: ClassVar[int] = 1

    def gradient(
        self, batch: BatchGradients, position: Tensor, parameters: Sequence[Tensor]
    ) -> Tensor:
        """Return the corrected gradient.

        ``parameters`` are the centre, the gradient of all rows' log-likelihood there, and the
        scaled one of the rows of the batch.
        """
        _, rows_at_centre, block_at_centre = parameters
        return batch.prior(position) + rows_at_centre + batch.rows(position) - block_at_centre


def corrected(batch: BatchGradients, position: Tensor, parameters: Sequence[Tensor]) -> Tensor:
    """Return the gradient with a control variate at a centre."""
    centre, rows_at_centre = parameters
    return batch.prior(position) + rows_at_centre + batch.rows(position) - batch.rows(centre)
