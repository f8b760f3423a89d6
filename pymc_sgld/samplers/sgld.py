"""Stochastic-gradient Langevin dynamics: the update rule."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import pytensor.tensor as pt

from pymc_sgld.types import Tensor


@dataclass(frozen=True)
class StochasticGradientLangevin:
    r"""Euler-Maruyama step of the overdamped Langevin equation with an estimated gradient.

    .. math:: \theta' = \theta + h\, \hat g(\theta) + \sqrt{2 h T}\, \xi, \qquad \xi \sim N(0, I)

    Here :math:`h` is the step size, :math:`T` the temperature and :math:`\hat g` an unbiased
    estimate of the gradient of the log-posterior. On a Gaussian target of precision :math:`A`, with
    gradient noise of covariance :math:`V`, the stationary covariance :math:`C` solves

    .. math:: C = (I - hA)\, C\, (I - hA)^\top + h^2 V + 2 h T I,

    in one dimension :math:`C = (T/A)\,(1 + hV/(2T)) / (1 - hA/2)`: every variance is too wide by
    the sampling threshold :math:`\alpha = hV/(2T)` and by a discretisation factor, both of first
    order in :math:`h`.

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
    extra_state: ClassVar[tuple[str, ...]] = ()
    noise_vectors: ClassVar[int] = 1
    gradients_per_step: ClassVar[int] = 1

    def update(
        self,
        state: Mapping[str, Tensor],
        gradient: Callable[[Tensor], Tensor],
        *,
        step_size: Tensor,
        temperature: Tensor,
        noise: Tensor,
    ) -> dict[str, Tensor]:
        """Return the next state.

        Parameters
        ----------
        state : mapping
            ``position``, shape (n_dim,).
        gradient : callable
            Position to estimated gradient of the log-posterior, both of shape (n_dim,).
        step_size, temperature : scalar
            Time increment h of the SDE; variance scale T of the target.
        noise : tensor, shape (1, n_dim)
            Standard normal.
        """
        position = state["position"]
        drift = step_size * gradient(position)
        diffusion = pt.sqrt(2 * step_size * temperature) * noise[0]
        return {"position": position + drift + diffusion}
