"""The minibatch gradient with a control variate whose centre follows the chain."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from pymc_sgld.gradient_estimators.base import BatchGradients, GradientEstimator
from pymc_sgld.gradient_estimators.control_variate import corrected
from pymc_sgld.types import Tensor
from pymc_sgld.validate import check_integer

_FEWEST_STEPS = 20  # between two anchors left to be chosen; each stops the compiled loop


@dataclass(frozen=True)
class Svrg(GradientEstimator):
    r"""The control variate of Baker et al., its centre moved to the chain on a clock.

    .. math:: \hat g(\theta) = \nabla \log p(\theta) + \sum_{i=1}^N \nabla \log p(y_i \mid c)
              + \sum_k \frac{N_k}{n_k} \sum_{i \in B_k}
              \left[\nabla \log p(y_i \mid \theta) - \nabla \log p(y_i \mid c)\right]

    with the anchor :math:`c` set to the position before every step whose number is a multiple of
    ``anchor_steps``. Unbiased for any anchor, so needs neither a mode nor a tune phase. An anchor
    costs one pass through the data, counted in the statistic ``data_passes``. Where the chain moves
    through the posterior between two anchors, the noise is up to twice that of a centre at the
    mode; where it moves less, the noise is smaller.

    Parameters
    ----------
    anchor_steps : int, optional
        Steps between two anchors. Default: as many as one pass through the data takes, at least 20.

    Notes
    -----
    The SVRG-LD of [1]_. Anchors fall on absolute numbers of steps, tune phase included.

    References
    ----------
    .. [1] Dubey, A., Reddi, S. J., Williamson, S. A., Poczos, B., Smola, A. J. and Xing, E. P.
       (2016). Variance reduction in stochastic gradient Langevin dynamics. NeurIPS 29.
       https://papers.neurips.cc/paper/6293-variance-reduction-in-stochastic-gradient-langevin-dynamics
    """

    anchor_steps: int | None = None

    name: ClassVar[str] = "svrg"
    parameters: ClassVar[tuple[str, ...]] = ("anchor", "rows_at_anchor")
    reference_distance: ClassVar[int] = 2
    gradients_per_batch: ClassVar[int] = 2

    def __post_init__(self) -> None:
        """Check the option."""
        if self.anchor_steps is not None:
            hint = "Give the steps between two anchors, or leave it out for one pass of the data."
            check_integer("anchor_steps", self.anchor_steps, at_least=1, hint=hint)

    def steps_between(self, steps_per_pass: int) -> int | None:
        """Return the steps between two anchors."""
        return self.anchor_steps or max(_FEWEST_STEPS, steps_per_pass)

    def gradient(
        self, batch: BatchGradients, position: Tensor, parameters: Sequence[Tensor]
    ) -> Tensor:
        """Return the corrected gradient.

        ``parameters`` are the anchor and the gradient of all rows' log-likelihood there.
        """
        return corrected(batch, position, parameters)
