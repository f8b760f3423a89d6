"""Stochastic-gradient Hamiltonian Monte Carlo: the update rule."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import pytensor.tensor as pt

from pymc_sgld.samplers._base import MomentumRule
from pymc_sgld.types import Tensor


@dataclass(frozen=True)
class StochasticGradientHamiltonian(MomentumRule):
    r"""Langevin equation with momentum and friction, by a symplectic Euler step.

    .. math::
        p' &= (1 - h\gamma)\, p + h\, \hat g(\theta) + \sqrt{2 h \gamma T}\, \xi \\
        \theta' &= \theta + h\, p'

    The momentum is never drawn anew: refreshing it at each call, as other libraries do, biases the
    variance whatever the step size. On a Gaussian target of curvature :math:`\lambda` with gradient
    noise of variance v the stationary variance of the position is

    .. math:: \frac{(2\gamma T + h v)(2 - h\gamma)}{\gamma\lambda (4 - 2h\gamma - h^2\lambda)},

    of second order in h without gradient noise, of first order with it. Where the variance v of
    the gradient is known (``noise_compensation``), the injected noise is reduced to variance
    :math:`2 h \gamma T - h^2 v` and that bias vanishes.

    Parameters
    ----------
    friction : float, default 1
        :math:`\gamma > 0`, per unit of time; in coordinates of unit scale 1 is near the best.

    Notes
    -----
    One gradient per step. Chen et al. write :math:`\eta = h^2`, :math:`\alpha = h\gamma` and
    :math:`v = h p`; their :math:`\hat\beta = \eta \hat V / 2` is :math:`h^2 v / 2`.

    References
    ----------
    .. [1] Chen, T., Fox, E. and Guestrin, C. (2014). Stochastic gradient Hamiltonian Monte Carlo.
       ICML. https://doi.org/10.48550/arXiv.1402.4102
    """

    name: ClassVar[str] = "sghmc"
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
        position, momentum = state["position"], state["momentum"]
        variance = 2 * step_size * self.friction * temperature
        if gradient_noise is not None:
            variance = pt.maximum(variance - step_size**2 * gradient_noise, 0)
        momentum = (
            (1 - step_size * self.friction) * momentum
            + step_size * gradient(position)
            + pt.sqrt(variance) * noise[0]
        )
        return {"position": position + step_size * momentum, "momentum": momentum}
