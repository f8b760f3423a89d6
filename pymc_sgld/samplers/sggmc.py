"""Stochastic-gradient guided Monte Carlo, OBABO with a test: the update rule."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import pytensor.tensor as pt

from pymc_sgld.samplers._base import MomentumRule, TestedRule
from pymc_sgld.samplers._metropolis import metropolis_test
from pymc_sgld.types import Array, Tensor
from pymc_sgld.validate import check_integer


@dataclass(frozen=True)
class GradientGuidedMonteCarlo(TestedRule, MomentumRule):
    r"""Langevin splitting on batches, tested against all rows once a trajectory: exact.

    K steps, ``trajectory`` of them, with both gradients of a step on its batch,

    .. math::
        p &\leftarrow c\, p + \sqrt{T (1 - c^2)}\, \xi_1, \qquad c = e^{-h\gamma/2} \\
        p^* &= p + \tfrac h2\, \hat g(\theta), \quad
        \theta \leftarrow \theta + h\, p^*, \quad
        p \leftarrow p^* + \tfrac h2\, \hat g(\theta) \\
        p &\leftarrow c\, p + \sqrt{T (1 - c^2)}\, \xi_2 ,

    and then one test of where they led, on the log-posterior :math:`\ell` of all rows: accepted
    with probability :math:`\min\{1, \exp([\ell(\theta_K) - \ell(\theta_0) - w] / T)\}`, where the
    work w sums what the kicks added to the kinetic energy :math:`p \cdot p / 2`. At a rejection
    the chain stays and the momentum is turned round.

    Friction and noise are reversible with the Gaussian of the momentum, kicks and drift on one
    batch are reversible and keep volume, and a sequence of batches is as likely as its reverse.
    So the posterior is stationary whatever the batches, without a bias of any order in h. Noise of
    the gradient shows as rejections.

    Parameters
    ----------
    friction : float, default 1
        :math:`\gamma > 0`, per unit of time.
    trajectory : int, default 10
        Steps K between two tests. A test costs one pass through the data; noise of the gradient
        and error of the step add up along the trajectory.

    Notes
    -----
    Two gradients per step, and one log-density of all rows a trajectory. The momentum is carried
    from trajectory to trajectory. The batches must be independent of the past: estimators that
    keep a memory, such as SAGA, would break the symmetry. A step size that is left out starts at
    the threshold of the untested rule and follows the rate of acceptance in the tune phase.

    References
    ----------
    .. [1] Garriga-Alonso, A. and Fortuin, V. (2021). Exact Langevin dynamics with stochastic
       gradients. https://doi.org/10.48550/arXiv.2102.01691
    """

    name: ClassVar[str] = "sggmc"
    extra_state: ClassVar[tuple[str, ...]] = ("momentum", "work")
    nonlinear_state: ClassVar[tuple[str, ...]] = ("work",)
    noise_vectors: ClassVar[int] = 2
    gradients_per_step: ClassVar[int] = 2
    # leapfrog is stable below 2 on a unit Gaussian; near it, it only swings from side to side
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
        position, momentum = state["position"], state["momentum"]
        kept = pt.exp(-step_size * self.friction / 2)
        spread = pt.sqrt(temperature * (1 - kept**2))
        incoming = kept * momentum + spread * noise[0]
        middle = incoming + step_size / 2 * gradient(position)
        position = position + step_size * middle
        outgoing = middle + step_size / 2 * gradient(position)
        momentum = kept * outgoing + spread * noise[1]
        work = state["work"] + (outgoing**2 - incoming**2) / 2
        return {"position": position, "momentum": momentum, "work": work}

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
