"""OBABO, a splitting of the Langevin equation: the update rule."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import pytensor.tensor as pt

from pymc_sgld.samplers._base import MomentumRule
from pymc_sgld.types import Tensor


@dataclass(frozen=True)
class Obabo(MomentumRule):
    r"""Underdamped Langevin splitting: half friction, leapfrog step, half friction.

    .. math::
        p &\leftarrow c\, p + \sqrt{T (1 - c^2)}\, \xi_1, \qquad c = e^{-h\gamma/2} \\
        p &\leftarrow p + \tfrac h2\, \hat g(\theta), \quad
        \theta \leftarrow \theta + h\, p, \quad
        p \leftarrow p + \tfrac h2\, \hat g(\theta) \\
        p &\leftarrow c\, p + \sqrt{T (1 - c^2)}\, \xi_2

    Both gradients of a step are taken on its batch. On a Gaussian target of curvature
    :math:`\lambda` the momentum is exact and the variance of the position is
    :math:`T / (\lambda (1 - h^2 \lambda / 4))`: a bias of second order in h. Gradient noise of
    variance v adds, with :math:`a = e^{-h\gamma}`,

    .. math:: \frac{h^2 v\, ((1 + a)^2 - a h^2 \lambda)}{(1 - a^2)\,\lambda\,(4 - h^2\lambda)} .

    Parameters
    ----------
    friction : float, default 1
        :math:`\gamma > 0`, per unit of time.

    Notes
    -----
    Two gradients per step. There is no closed form here for taking known gradient noise out.

    References
    ----------
    .. [1] Bussi, G. and Parrinello, M. (2007). Accurate sampling using Langevin dynamics. Physical
       Review E 75. https://doi.org/10.1103/PhysRevE.75.056707
    """

    name: ClassVar[str] = "obabo"
    noise_vectors: ClassVar[int] = 2
    gradients_per_step: ClassVar[int] = 2
    largest_step: ClassVar[float] = 4.0

    def update(
        self,
        state: Mapping[str, Tensor],
        gradient: Callable[[Tensor], Tensor],
        *,
        step_size: Tensor,
        temperature: Tensor,
        noise: Tensor,
    ) -> dict[str, Tensor]:
        """Return the next state; see :class:`pymc_sgld.samplers.Rule`."""
        position, momentum = state["position"], state["momentum"]
        kept = pt.exp(-step_size * self.friction / 2)
        spread = pt.sqrt(temperature * (1 - kept**2))
        momentum = kept * momentum + spread * noise[0]
        momentum = momentum + step_size / 2 * gradient(position)
        position = position + step_size * momentum
        momentum = momentum + step_size / 2 * gradient(position)
        momentum = kept * momentum + spread * noise[1]
        return {"position": position, "momentum": momentum}
