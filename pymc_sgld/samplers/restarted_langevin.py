"""Langevin steps that begin anew with every draw: the update rule of a Gibbs split."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytensor.tensor as pt

from pymc_sgld.samplers._base import Rule
from pymc_sgld.types import Array, Tensor
from pymc_sgld.validate import check_integer


@dataclass(frozen=True)
class RestartedLangevin(Rule):
    r"""BAOAB at infinite friction, in runs of ``steps`` steps that begin with a fresh momentum.

    .. math::
        p &\sim N\bigl(0, T (1 - h^2/4)\bigr), \quad k = \tfrac12 \quad
            \text{where a run begins} \\
        p &\leftarrow p + k h\, \hat g(\theta), \quad
        \theta \leftarrow \theta + \tfrac h2\, p, \quad
        p \leftarrow \sqrt T\, \xi, \quad
        \theta \leftarrow \theta + \tfrac h2\, p, \quad k \leftarrow 1

    Between two runs the target may change, as that of group effects does with their
    hyperparameters: nothing of the old target is kept but the position. In coordinates in which
    the posterior has unit variance a run leaves a Gaussian as it is, for every :math:`h < 2`; at
    curvature :math:`\lambda` the law at the end of the run is off by
    :math:`\tfrac{h^4}{16}(\lambda - 1)(1 - h^2\lambda/2)^{2(\text{steps} - 1)}`, which for three
    steps at h = 1.2 is below 1 % of an sd for curvatures from 0.3 to 1.8. On other targets the
    bias is of second order in h. Gradient noise of variance v adds to the variance

    .. math:: v\,\Bigl[\tfrac{h^4}{16} a^{2(K-1)} + \tfrac{h^4}{4} \sum_{j<K-1} a^{2j}\Bigr],
        \qquad a = 1 - h^2/2, \quad K = \text{steps},

    and where it is known (``noise_compensation``) the variance of :math:`\xi` is reduced to take
    just that away, in coordinates of unit variance.

    Parameters
    ----------
    steps : int, default 3
        Of a run.

    Notes
    -----
    One gradient per step.

    References
    ----------
    .. [1] Leimkuhler, B. and Matthews, C. (2013). Rational construction of stochastic numerical
       methods for molecular sampling. AMRX. https://doi.org/10.1093/amrx/abs010
    """

    name: ClassVar[str] = "restarted_langevin"
    extra_state: ClassVar[tuple[str, ...]] = ("momentum", "kick")
    nonlinear_state: ClassVar[tuple[str, ...]] = ("kick",)
    largest_step: ClassVar[float] = 1.2
    compensates: ClassVar[bool] = True

    steps: int = 3

    def __post_init__(self) -> None:
        """Check the number of steps."""
        check_integer("steps", self.steps, at_least=1)

    def start(self, normal: Array, temperature: float) -> dict[str, Array]:
        """Return the state within a run."""
        return {"momentum": temperature**0.5 * normal, "kick": np.ones_like(normal)}

    def restart(self, normal: Array, step_size: float, temperature: float) -> dict[str, Array]:
        """Return the state where a run begins.

        Parameters
        ----------
        normal : array, shape (n_dim,)
            Standard normal numbers.
        step_size, temperature : float
        """
        scale = np.sqrt(temperature * max(1 - step_size**2 / 4, 0.0))
        momentum = (scale * normal).astype(normal.dtype)
        return {"momentum": momentum, "kick": np.full_like(normal, 0.5)}

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
        position, momentum, kick = state["position"], state["momentum"], state["kick"]
        injected = temperature
        if gradient_noise is not None:
            injected = pt.maximum(temperature - gradient_noise * self._added(step_size), 0)
        momentum = momentum + kick * step_size * gradient(position)
        position = position + step_size / 2 * momentum
        momentum = pt.sqrt(injected) * noise[0]
        position = position + step_size / 2 * momentum
        return {"position": position, "momentum": momentum, "kick": pt.ones_like(kick)}

    def _added(self, step_size: Tensor) -> Tensor:
        """Return what a gradient variance of 1 adds to that of the noise, at unit curvature."""
        kept = 1 - step_size**2 / 2
        powers = [kept ** (2 * (self.steps - 1 - number)) for number in range(self.steps)]
        of_gradient = step_size**4 / 4 * (powers[0] / 4 + sum(powers[1:]))
        # noise enters at the end of its step and at the beginning of the next
        of_noise = step_size**2 / 4 * (1 + (1 + kept) ** 2 * sum(powers[1:]))
        return of_gradient / of_noise
