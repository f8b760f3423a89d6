"""BADODAB, adaptive Langevin dynamics by a symmetric splitting: the update rule."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import pytensor.tensor as pt

from pymc_sgld.samplers._base import MomentumRule
from pymc_sgld.types import Array, Tensor


@dataclass(frozen=True)
class Badodab(MomentumRule):
    r"""Adaptive Langevin dynamics: a thermostat, as in SGNHT, in a splitting of second order.

    .. math::
        \text{B:}\; & p \leftarrow p + \tfrac h2\, \hat g(\theta) \qquad
        \text{A:}\; \theta \leftarrow \theta + \tfrac h2\, p \qquad
        \text{D:}\; \xi \leftarrow \xi + \tfrac h2\, (p \cdot p / d - T) \\
        \text{O:}\; & p \leftarrow e^{-h\xi}\, p
        + \sqrt{A T\, (1 - e^{-2h\xi}) / \xi}\; \eta

    in the order B A D O D A B. The O step is the exact solution at the current friction, which may
    pass through zero. Gradient noise that is the same in all directions and at all positions is
    taken away by the thermostat; without it the bias is of second order in the step size.

    Parameters
    ----------
    friction : float, default 1
        :math:`A > 0`, per unit of time: the friction at rest, and the injected noise.

    Notes
    -----
    Two gradients per step, on one batch. The thermostat is driven by the square of the momentum's
    length: published code with the length itself samples a variance several times too wide.

    References
    ----------
    .. [1] Leimkuhler, B. and Shang, X. (2016). Adaptive thermostats for noisy gradient systems.
       SIAM J. Sci. Comput. 38. https://doi.org/10.1137/15M102318X
    """

    name: ClassVar[str] = "badodab"
    extra_state: ClassVar[tuple[str, ...]] = ("momentum", "thermostat")
    nonlinear_state: ClassVar[tuple[str, ...]] = ("thermostat",)
    needs_independent_batches: ClassVar[bool] = True  # it measures their noise
    gradients_per_step: ClassVar[int] = 2
    largest_step: ClassVar[float] = 0.4

    def start(self, normal: Array, temperature: float) -> dict[str, Array]:
        """Return the momentum at equilibrium, and the friction at rest."""
        thermostat = 0 * normal + self.friction
        return {**super().start(normal, temperature), "thermostat": thermostat}

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
        position, momentum, thermostat = (
            state["position"],
            state["momentum"],
            state["thermostat"],
        )
        half = step_size / 2
        momentum = momentum + half * gradient(position)
        position = position + half * momentum
        thermostat = thermostat + half * (pt.mean(momentum**2) - temperature)
        spread = self.friction * temperature * _decay_integral(thermostat, step_size)
        momentum = pt.exp(-step_size * thermostat) * momentum + pt.sqrt(spread) * noise[0]
        thermostat = thermostat + half * (pt.mean(momentum**2) - temperature)
        position = position + half * momentum
        momentum = momentum + half * gradient(position)
        return {"position": position, "momentum": momentum, "thermostat": thermostat}


def _decay_integral(friction: Tensor, step_size: Tensor) -> Tensor:
    """Return ``(1 - exp(-2 h xi)) / xi``, which is 2h where the friction vanishes."""
    small = pt.abs(friction) * step_size < 1e-8
    safe = pt.switch(small, 1.0, friction)
    return pt.switch(small, 2 * step_size, -pt.expm1(-2 * step_size * safe) / safe)
