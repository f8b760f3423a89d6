"""SGLD at two temperatures that swap places: the update rule."""

import math

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytensor.tensor as pt

from pymc_sgld.records import HOT_RESTARTS, SWAP_RATE
from pymc_sgld.samplers._base import TestedRule
from pymc_sgld.types import Array, Tensor
from pymc_sgld.validate import check_integer, check_positive


@dataclass(frozen=True)
class ReplicaExchangeLangevin(TestedRule):
    r"""Two replicas of SGLD, one of them hot, in one chain: for posteriors of several modes.

    .. math::
        \theta' &= \theta + h\, \hat g(\theta) + \sqrt{2 h T}\, \xi_1 \\
        \tilde\theta' &= \tilde\theta + h\, \hat g(\tilde\theta)
        + \sqrt{2 h \tau T}\, \xi_2

    Both move on the same batch, the hot one at the temperature :math:`\tau T` at which barriers are
    low. After every ``swap_every`` steps they change places with probability

    .. math:: \min\left\{1, \exp\left(\left[\frac1T - \frac1{\tau T}\right]
              [\ell(\tilde\theta) - \ell(\theta)]\right)\right\},

    on the log-posterior :math:`\ell` of all rows. The draws are those of :math:`\theta`.

    Deng et al. swap by an estimate of :math:`\ell` from the batch, from which they subtract its
    variance times a factor, estimated too: for a normal error of known variance the swaps are then
    right, but hardly any happen where the variance is large, as it is with many rows. Here each
    attempt reads all rows, twice, and needs no correction: choose ``swap_every`` such that two
    passes are little beside the batches of so many steps. In between, each replica has the bias of
    SGLD, of first order in h.

    Parameters
    ----------
    temperature_ratio : float, default 10
        :math:`\tau > 1`. Modes are left in a time like the exponential of the barrier, in units of
        the hot temperature; but the more parameters, the closer the two must be for swaps to be
        accepted (see the sample statistic ``swap_rate``).
    swap_every : int, default 100
        Steps between two attempts to swap.

    Notes
    -----
    Two gradients per step, one for each replica. The state holds the hot replica as an offset from
    the cold one; it begins at zero. A hot replica that has run off to where numbers are not finite
    begins anew at the cold one (sample statistic ``hot_restarts``, 0 where all is well): a smaller
    step size or ratio keeps it from that.

    References
    ----------
    .. [1] Deng, W., Feng, Q., Gao, L., Liang, F. and Lin, G. (2020). Non-convex learning via
       replica exchange stochastic gradient MCMC. ICML. https://doi.org/10.48550/arXiv.2008.05367
    """

    name: ClassVar[str] = "replica_exchange_sgld"
    extra_state: ClassVar[tuple[str, ...]] = ("hot_offset",)
    displacements: ClassVar[tuple[str, ...]] = ("hot_offset",)
    noise_vectors: ClassVar[int] = 2
    gradients_per_step: ClassVar[int] = 2
    largest_step: ClassVar[float] = 4.0

    temperature_ratio: float = 10.0
    swap_every: int = 100

    def __post_init__(self) -> None:
        """Check the ratio and the steps between swaps."""
        check_positive("temperature_ratio", self.temperature_ratio)
        if self.temperature_ratio <= 1:
            raise ValueError(
                f"temperature_ratio must be > 1, got {self.temperature_ratio!r}: the second "
                "replica is the hotter one. Give 2 to 10, or use 'sgld' for one replica."
            )
        check_integer("swap_every", self.swap_every, at_least=1)

    @property
    def trajectory(self) -> int:
        """Steps between two attempts to swap."""
        return self.swap_every

    def start(self, normal: Array, temperature: float) -> dict[str, Array]:
        """Return the hot replica at the place of the cold one."""
        return {"hot_offset": 0 * normal}

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
        cold, hot = state["position"], state["position"] + state["hot_offset"]
        spread = pt.sqrt(2 * step_size * temperature)
        cold = cold + step_size * gradient(cold) + spread * noise[0]
        wide = spread * self.temperature_ratio**0.5
        hot = hot + step_size * gradient(hot) + wide * noise[1]
        return {"position": cold, "hot_offset": hot - cold}

    def accept(
        self,
        before: Mapping[str, Array],
        after: Mapping[str, Array],
        log_density: Callable[[Array], float],
        uniform: float,
        temperature: float,
    ) -> tuple[dict[str, Array], dict[str, float]]:
        """Swap the replicas or not; see :class:`pymc_sgld.samplers.TestedRule`."""
        cold, offset = after["position"], after["hot_offset"]
        if not np.isfinite(cold).all():  # the draw will be refused
            return dict(after), {SWAP_RATE: 0.0, HOT_RESTARTS: 0.0}
        if not np.isfinite(offset).all():
            state = {"position": cold, "hot_offset": np.zeros_like(cold)}
            return state, {SWAP_RATE: 0.0, HOT_RESTARTS: 1.0}
        hot = cold + offset
        here = float(log_density(cold))
        if not np.isfinite(here):  # outside of the support, the draw will be refused if it stays
            return dict(after), {SWAP_RATE: 0.0, HOT_RESTARTS: 0.0}
        rise = float(log_density(hot)) - here
        exponent = rise * (1 - 1 / self.temperature_ratio) / temperature
        probability = math.exp(min(exponent, 0.0)) if not math.isnan(exponent) else 0.0
        swapped = uniform < probability
        state = {"position": hot, "hot_offset": -offset} if swapped else dict(after)
        return state, {SWAP_RATE: probability, HOT_RESTARTS: 0.0}
