"""The minibatch gradient corrected by a table of past gradients."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from pymc_sgld.gradient_estimators.base import BatchGradients, GradientEstimator
from pymc_sgld.types import Tensor
from pymc_sgld.validate import check_integer

_LEAST_PIECE = 16  # steps between two renewals of the table; each stops the compiled loop
_BYTES = 10**9


@dataclass(frozen=True)
class Saga(GradientEstimator):
    r"""The gradient of one block of rows, corrected by those remembered of all blocks.

    .. math:: \hat g(\theta) = \nabla \log p(\theta) + \sum_j p_j t_j
              + \frac Nn \sum_{i \in B_b} \nabla \log p(y_i \mid \theta) - t_b

    The rows, shuffled, lie in blocks :math:`B_j` of the batch size; :math:`b` is one of them, drawn
    with probability :math:`p_b`, and :math:`t_j` the scaled gradient of a block when it was last
    drawn. As :math:`\sum_j p_j \frac Nn \sum_{i \in B_j}` is the sum over all rows, the estimate is
    unbiased for any table. Where n divides N there are N / n blocks of equal probability. Else the
    last ``n + N mod n`` rows form a ring, and windows of it, the greatest common divisor of N and
    n apart, are blocks of their own: every row then counts alike.

    The table is built in one pass when the chain starts and when the rows are shuffled anew, every
    hundred passes or so. It is renewed after every quarter of a pass, at fixed step numbers; in
    between steps see the table as it was.

    [1]_ keep a gradient for each *row*: N x D numbers. A block's rows are drawn together and so
    refreshed together, which is what makes one sum for them enough: N / n x D numbers, 256 times
    fewer at the default batch size, read and written in order. The price is noise of another kind.
    Each block was last seen at another position :math:`\theta_j`, and with curvature H of the
    log-likelihood the spread of these positions adds :math:`H\, \mathrm{Cov}(\theta_j)\, H` to the
    noise, where a table of rows adds 1 / n of it. In relation to the injected noise that is
    :math:`h \lambda / 2` at most in a direction of curvature :math:`\lambda`, as much as the bias
    of an Euler step.

    Parameters
    ----------
    largest_table : int, default 1,000,000,000
        Bytes that a table may take, for each chain; where it would take more, building the sampler
        is refused.

    Notes
    -----
    One group of rows. The position where a block was last seen is that of the last gradient of its
    step, for rules with two.

    References
    ----------
    .. [1] Dubey, A., Reddi, S. J., Williamson, S. A., Poczos, B., Smola, A. J. and Xing, E. P.
       (2016). Variance reduction in stochastic gradient Langevin dynamics. NeurIPS 29.
       https://papers.neurips.cc/paper/6293-variance-reduction-in-stochastic-gradient-langevin-dynamics
    """

    largest_table: int = _BYTES

    name: ClassVar[str] = "saga"
    parameters: ClassVar[tuple[str, ...]] = ("mean_of_table",)
    tabled: ClassVar[bool] = True
    remembers: ClassVar[bool] = True
    reference_distance: ClassVar[int] = 2

    def __post_init__(self) -> None:
        """Check the option."""
        check_integer("largest_table", self.largest_table, at_least=1, hint="Give it in bytes.")

    def steps_between(self, steps_per_pass: int) -> int | None:
        """Return the steps between two renewals of the table."""
        return max(_LEAST_PIECE, steps_per_pass // 4)

    def gradient(
        self, batch: BatchGradients, position: Tensor, parameters: Sequence[Tensor]
    ) -> Tensor:
        """Return the corrected gradient.

        ``parameters`` are the mean of the table over blocks, and its entry for the step's block.
        """
        mean, remembered = parameters
        return batch.prior(position) + mean + batch.rows(position) - remembered
