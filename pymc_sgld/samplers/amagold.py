"""AMAGOLD, stochastic-gradient HMC with an amortised Metropolis test: the update rule."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import pytensor.tensor as pt

from pymc_sgld.samplers._base import MomentumRule, TestedRule
from pymc_sgld.samplers._metropolis import metropolis_test
from pymc_sgld.types import Array, Tensor
from pymc_sgld.validate import check_integer


@dataclass(frozen=True)
class Amagold(TestedRule, MomentumRule):
    r"""Hamiltonian steps with friction on batches, tested against all rows at times: exact.

    K steps, ``trajectory`` of them, one gradient each,

    .. math::
        \theta &\leftarrow \theta + \tfrac h2\, p \\
        p' &= \frac{(1 - b)\, p + h\, \hat g(\theta) + \sqrt{4 b T}\, \xi}{1 + b},
        \qquad b = \frac{h\gamma}{2} \\
        \theta &\leftarrow \theta + \tfrac h2\, p', \qquad
        w \leftarrow w + \tfrac h2\, \hat g \cdot (p + p'),

    and then one test of where they led, on the log-posterior :math:`\ell` of all rows: accepted
    with probability :math:`\min\{1, \exp([\ell(\theta_K) - \ell(\theta_0) - w] / T)\}`. At a
    rejection the chain stays and the momentum is turned round.

    Friction is taken half at the old and half at the new momentum, so that a kick and its
    reverse, from :math:`-p'` to :math:`-p` with the same gradient, have densities in the ratio

    .. math:: \frac{k(-p \mid -p')}{k(p' \mid p)}
              = \exp\left(\frac{p' \cdot p' - p \cdot p - h\, \hat g \cdot (p + p')}{2T}\right).

    The kinetic energies cancel, and of the gradients there remains w. A sequence of batches is as
    likely as its reverse: the posterior is stationary whatever the batches, without a bias of any
    order in h. Noise of the gradient shows as rejections.

    Parameters
    ----------
    friction : float, default 1
        :math:`\gamma > 0`, per unit of time.
    trajectory : int, default 10
        Steps K between two tests. A test costs one pass through the data; noise of the gradient
        and error of the step add up along the trajectory.

    Notes
    -----
    One gradient per step, and one log-density of all rows a trajectory. The paper writes whole
    drifts between the kicks and half ones at the two ends, which is the same; its step size is
    :math:`h^2`, its momentum h times ours and its friction :math:`\beta` our b. The momentum is
    carried from trajectory to trajectory. The batches must be independent of the past: estimators
    that keep a memory, such as SAGA, would break the symmetry. A step size that is left out starts
    at the threshold of the untested rule and follows the rate of acceptance in the tune phase.

    References
    ----------
    .. [1] Zhang, R., Cooper, A. F. and De Sa, C. (2020). AMAGOLD: Amortized Metropolis adjustment
       for efficient stochastic gradient MCMC. AISTATS. https://doi.org/10.48550/arXiv.2003.00193
    """

    name: ClassVar[str] = "amagold"
    extra_state: ClassVar[tuple[str, ...]] = ("momentum", "work")
    nonlinear_state: ClassVar[tuple[str, ...]] = ("work",)
    # stable below 2 on a unit Gaussian; near it, the steps only swing from side to side
    largest_step: ClassVar[float] = 1.2
    exact: ClassVar[bool] = True
    target_acceptance: ClassVar[float] = 0.65

    trajectory: int = 10

    def __post_init__(self) -> None:
        """Check friction and trajectory."""
        super().__post_init__()
        check_integer("trajectory", self.trajectory, at_least=1)

    def start(self, normal: Array, temperature: float) -> dict[str, Array]:
        """Return the momentum at equilibrium, N(0, T I), and no work."""
        return {**super().start(normal, temperature), "work": 0 * normal}

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
        position, old = state["position"], state["momentum"]
        half = step_size * self.friction / 2
        position = position + step_size / 2 * old
        kick = step_size * gradient(position)
        new = ((1 - half) * old + kick + pt.sqrt(4 * half * temperature) * noise[0]) / (1 + half)
        position = position + step_size / 2 * new
        work = state["work"] + kick * (old + new) / 2
        return {"position": position, "momentum": new, "work": work}

    def accept(
        self,
        before: Mapping[str, Array],
        after: Mapping[str, Array],
        log_density: Callable[[Array], float],
        uniform: float,
        temperature: float,
    ) -> tuple[dict[str, Array], dict[str, float]]:
        """Accept or reject; see :func:`pymc_sgld.samplers._metropolis.metropolis_test`."""
        return metropolis_test(before, after, log_density, uniform, temperature)
