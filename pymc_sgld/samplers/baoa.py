"""BAOA, a splitting of the Langevin equation with one gradient a step: the update rule."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import pytensor.tensor as pt

from pymc_sgld.samplers._base import MomentumRule
from pymc_sgld.types import Tensor
from pymc_sgld.validate import check_positive


@dataclass(frozen=True)
class Baoa(MomentumRule):
    r"""Underdamped Langevin splitting: kick, half drift, friction and noise, half drift.

    .. math::
        p &\leftarrow p + h\, \hat g(\theta) \\
        \theta &\leftarrow \theta + \tfrac h2\, p \\
        p &\leftarrow a\, p + \sqrt{T (1 - a^2)}\, \xi, \qquad a = e^{-h\gamma} \\
        \theta &\leftarrow \theta + \tfrac h2\, p

    The positions have the law of BAOAB: exact on a Gaussian target for every stable step
    (:math:`h^2\lambda < 4`), with a bias of fourth order in h on others at high friction and of
    second order else. Gradient noise of variance v adds, to first order in h at fixed friction,

    .. math:: \frac{h^2 v\, (1 + a)}{(1 - a)\,\lambda\,(4 - h^2\lambda)} .

    Where v is known (``noise_compensation``), in coordinates in which the posterior has unit
    variance, the injected noise is reduced to take just that away.

    With infinite friction (a = 0) this is the method of Leimkuhler and Matthews,
    :math:`\theta' = \theta + \tfrac{h^2}{2}\hat g + \tfrac h2 \sqrt T (\xi_k + \xi_{k+1})`.

    Parameters
    ----------
    friction : float, default 1
        :math:`\gamma > 0`, per unit of time; ``inf`` is allowed.

    Notes
    -----
    One gradient per step.

    References
    ----------
    .. [1] Leimkuhler, B. and Matthews, C. (2013). Rational construction of stochastic numerical
       methods for molecular sampling. AMRX. https://doi.org/10.1093/amrx/abs010
    .. [2] Leimkuhler, B., Matthews, C. and Stoltz, G. (2016). The computation of averages from
       equilibrium and nonequilibrium Langevin molecular dynamics. IMA J. Numer. Anal.
       https://doi.org/10.1093/imanum/dru056
    """

    name: ClassVar[str] = "baoa"
    largest_step: ClassVar[float] = 1.2
    compensates: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Check the friction."""
        if self.friction != float("inf"):
            check_positive("friction", self.friction)

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
            added = step_size**2 * gradient_noise * (1 + kept) / ((1 - kept) * (4 - step_size**2))
            injected = pt.maximum(temperature - added, 0)
        momentum = momentum + step_size * gradient(position)
        position = position + step_size / 2 * momentum
        momentum = kept * momentum + pt.sqrt(injected * (1 - kept**2)) * noise[0]
        position = position + step_size / 2 * momentum
        return {"position": position, "momentum": momentum}
