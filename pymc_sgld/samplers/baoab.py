"""BAOAB, a splitting of the Langevin equation: the update rule."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import pytensor.tensor as pt

from pymc_sgld.samplers._base import MomentumRule
from pymc_sgld.types import Tensor


@dataclass(frozen=True)
class Baoab(MomentumRule):
    r"""Underdamped Langevin splitting: half kick, half drift, friction and noise, and back.

    .. math::
        p &\leftarrow p + \tfrac h2\, \hat g(\theta), \qquad
        \theta \leftarrow \theta + \tfrac h2\, p \\
        p &\leftarrow a\, p + \sqrt{T (1 - a^2)}\, \xi, \qquad a = e^{-h\gamma} \\
        \theta &\leftarrow \theta + \tfrac h2\, p, \qquad
        p \leftarrow p + \tfrac h2\, \hat g(\theta)

    Both gradients of a step are taken on its batch. The positions are exact on a Gaussian target
    for every stable step (:math:`h^2\lambda < 4`); their bias on others is of second order in h,
    and of fourth at high friction. Gradient noise of variance v adds, to first order in h at fixed
    friction,

    .. math:: \frac{h^2 v\, (1 + a)}{4\,(1 - a)\,\lambda} .

    Parameters
    ----------
    friction : float, default 1
        :math:`\gamma > 0`, per unit of time.

    Notes
    -----
    Two gradients per step; :class:`Baoa` has the same positions for one where gradients are exact.

    References
    ----------
    .. [1] Leimkuhler, B. and Matthews, C. (2013). Rational construction of stochastic numerical
       methods for molecular sampling. AMRX. https://doi.org/10.1093/amrx/abs010
    """

    name: ClassVar[str] = "baoab"
    gradients_per_step: ClassVar[int] = 2
    largest_step: ClassVar[float] = 1.2
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
        kept = pt.exp(-step_size * self.friction)
        injected = temperature
        if gradient_noise is not None:
            added = step_size**2 * gradient_noise * (1 + kept) / (4 * (1 - kept))
            injected = pt.maximum(temperature - added, 0)
        momentum = momentum + step_size / 2 * gradient(position)
        position = position + step_size / 2 * momentum
        momentum = kept * momentum + pt.sqrt(injected * (1 - kept**2)) * noise[0]
        position = position + step_size / 2 * momentum
        momentum = momentum + step_size / 2 * gradient(position)
        return {"position": position, "momentum": momentum}
