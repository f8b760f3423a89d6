"""Stochastic-gradient Langevin dynamics: the update rule."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import pytensor.tensor as pt

from pymc_sgld.samplers._base import Rule
from pymc_sgld.types import Tensor


@dataclass(frozen=True)
class StochasticGradientLangevin(Rule):
    r"""Euler-Maruyama step of the overdamped Langevin equation with an estimated gradient.

    .. math:: \theta' = \theta + h\, \hat g(\theta) + \sqrt{2 h T}\, \xi, \qquad \xi \sim N(0, I)

    Here :math:`h` is the step size, :math:`T` the temperature and :math:`\hat g` an unbiased
    estimate of the gradient of the log-posterior. On a Gaussian target of precision :math:`A`, with
    gradient noise of covariance :math:`V`, the stationary covariance :math:`C` solves

    .. math:: C = (I - hA)\, C\, (I - hA)^\top + h^2 V + 2 h T I,

    in one dimension :math:`C = (T/A)\,(1 + hV/(2T)) / (1 - hA/2)`: every variance is too wide by
    the sampling threshold :math:`\alpha = hV/(2T)` and by a discretisation factor, both of first
    order in :math:`h`. Where V is known (``noise_compensation``), the injected noise is reduced to
    variance :math:`2 h T - h^2 V`, which takes the first of them away [2]_.

    Notes
    -----
    One gradient per step. Welling and Teh write :math:`\epsilon = 2h`.

    References
    ----------
    .. [1] Welling, M. and Teh, Y. W. (2011). Bayesian learning via stochastic gradient Langevin
       dynamics. ICML. https://dl.acm.org/doi/10.5555/3104482.3104568
    .. [2] Vollmer, S. J., Zygalakis, K. C. and Teh, Y. W. (2016). Exploration of the
       (non-)asymptotic bias and variance of stochastic gradient Langevin dynamics. JMLR 17(159).
       https://jmlr.org/papers/v17/15-494.html
    """

    name: ClassVar[str] = "sgld"
    largest_step: ClassVar[float] = 4.0
    compensates: ClassVar[bool] = True

    def update(
        self,
        state: Mapping[str, Tensor],
        gradient: Callable[[Tensor], Tensor],
        *,
        step_size: Tensor,
        temperature: Tensor,
        noise: Tensor,
        gradient_noise: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Return the next state; see :class:`pymc_sgld.samplers.Rule`."""
        position = state["position"]
        drift = step_size * gradient(position)
        variance = 2 * step_size * temperature
        if gradient_noise is not None:
            variance = pt.maximum(variance - step_size**2 * gradient_noise, 0)
        return {"position": position + drift + pt.sqrt(variance) * noise[0]}
