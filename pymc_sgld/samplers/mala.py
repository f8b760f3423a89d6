"""The Metropolis-adjusted Langevin algorithm: the update rule."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import pytensor.tensor as pt

from pymc_sgld.samplers._base import TestedRule
from pymc_sgld.samplers._metropolis import metropolis_test
from pymc_sgld.types import Array, Tensor


@dataclass(frozen=True)
class MetropolisAdjustedLangevin(TestedRule):
    r"""A Langevin step on all rows, accepted or rejected: exact at every step size.

    .. math:: \theta' = \theta + h\, g(\theta) + \sqrt{2 h T}\, \xi, \qquad \xi \sim N(0, I),

    with :math:`g = \nabla \ell` the gradient of the log-posterior of all rows, is accepted with
    probability :math:`\min\{1, \exp([\ell(\theta') - \ell(\theta) - w] / T)\}`, where

    .. math:: w = \tfrac12 (g + g') \cdot (\theta' - \theta)
              + \tfrac h4 \left(g' \cdot g' - g \cdot g\right), \qquad g' = g(\theta'),

    is minus T times the logarithm of the ratio of the two densities of proposing,
    :math:`\log q(\theta \mid \theta') - \log q(\theta' \mid \theta) = -w / T`. The stationary law
    is the posterior: there is no bias of any order in h, and too large a step shows as rejections.

    The test needs the log-density of all rows. A test on a batch accepts by an estimate whose
    exponential is not unbiased, and does not leave the posterior invariant.

    Notes
    -----
    Two gradients per step, at its two ends, and one log-density of all rows. A step size that is
    left out follows the rate of acceptance in the tune phase, to 0.574 [2]_, or to
    ``largest_step`` where the rate is higher even there.

    References
    ----------
    .. [1] Roberts, G. O. and Tweedie, R. L. (1996). Exponential convergence of Langevin
       distributions and their discrete approximations. Bernoulli 2.
       https://doi.org/10.2307/3318418
    .. [2] Roberts, G. O. and Rosenthal, J. S. (1998). Optimal scaling of discrete approximations to
       Langevin diffusions. JRSS B 60. https://doi.org/10.1111/1467-9868.00123
    """

    name: ClassVar[str] = "mala"
    extra_state: ClassVar[tuple[str, ...]] = ("work",)
    nonlinear_state: ClassVar[tuple[str, ...]] = ("work",)
    gradients_per_step: ClassVar[int] = 2
    # h = 1 jumps to the mode of a unit Gaussian: beyond, a step overshoots it
    largest_step: ClassVar[float] = 1.0
    exact: ClassVar[bool] = True
    target_acceptance: ClassVar[float] = 0.574

    def start(self, normal: Array, temperature: float) -> dict[str, Array]:
        """Return no work."""
        return {"work": 0 * normal}

    def update(
        self,
        state: Mapping[str, Tensor],
        gradient: Callable[[Tensor], Tensor],
        *,
        step_size: Tensor,
        temperature: Tensor,
        noise: Tensor,
    ) -> dict[str, Tensor]:
        """Return the proposal; see :class:`pymc_sgld.samplers.Rule`."""
        position = state["position"]
        here = gradient(position)
        move = step_size * here + pt.sqrt(2 * step_size * temperature) * noise[0]
        there = gradient(position + move)
        work = (here + there) / 2 * move + step_size / 4 * (there**2 - here**2)
        return {"position": position + move, "work": state["work"] + work}

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
