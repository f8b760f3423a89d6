"""Updates of other libraries that sample a wrong law, written anew in our conventions.

Each is what the published code does, on paper: step size h with drift h times the gradient, or a
time step h with momentum of unit mass. They are here to be measured beside ours, by the tests of
``test_peer_defects.py`` and the table of ``benchmarks/sampler_table.py``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pytensor.tensor as pt

from pymc_sgld.samplers import (
    Baoab,
    NoseHooverThermostat,
    StochasticGradientHamiltonian,
    StochasticGradientLangevin,
)
from pymc_sgld.tuning import LinearLaw


class NoiseOfStepSize(StochasticGradientLangevin):
    """SGLD whose noise has the step size of Welling and Teh, 2h, as its sd and not as variance."""

    def update(self, state, gradient, *, step_size, temperature, noise):
        position = state["position"]
        moved = position + step_size * gradient(position)
        return {"position": moved + 2 * step_size * pt.sqrt(temperature) * noise[0]}


class NoiseTimesTemperature(Baoab):
    """BAOAB whose noise is multiplied by the temperature and not by its root."""

    def update(self, state, gradient, *, temperature, **others):
        return super().update(state, gradient, temperature=temperature**2, **others)


class ExplicitEuler(StochasticGradientHamiltonian):
    """Momentum and friction; position and momentum both move from where the step began."""

    def update(self, state, gradient, *, step_size, temperature, noise):
        position, momentum = state["position"], state["momentum"]
        spread = pt.sqrt(2 * step_size * self.friction * temperature)
        kick = step_size * (gradient(position) - self.friction * momentum)
        return {
            "position": position + step_size * momentum,
            "momentum": momentum + kick + spread * noise[0],
        }


class ExplicitThermostat(NoseHooverThermostat):
    """SGNHT in which the position, too, moves from where the step began."""

    def update(self, state, gradient, *, step_size, temperature, noise):
        position, momentum, friction = (state[name] for name in ("position", *self.extra_state))
        spread = pt.sqrt(2 * step_size * self.friction * temperature)
        kick = step_size * (gradient(position) - friction * momentum)
        position, momentum = position + step_size * momentum, momentum + kick + spread * noise[0]
        friction = friction + step_size * (pt.mean(momentum**2) - temperature)
        return {"position": position, "momentum": momentum, "thermostat": friction}


@dataclass(frozen=True)
class LengthThermostat:
    """Adaptive Langevin whose thermostat compares the length of the momentum, not its square.

    The thermostat has unit mass: it moves by ``length ** power - n_dim``. With ``power`` 2 the law
    is right.
    """

    name: ClassVar[str] = "badodab"
    extra_state: ClassVar[tuple[str, ...]] = ("momentum", "thermostat")
    nonlinear_state: ClassVar[tuple[str, ...]] = ("thermostat",)
    noise_vectors: ClassVar[int] = 1
    gradients_per_step: ClassVar[int] = 1  # the last of a step is the first of the next

    friction: float = 0.5
    power: int = 1

    def start(self, normal, temperature):
        return {"momentum": normal, "thermostat": 0 * normal + self.friction}

    def update(self, state, gradient, *, step_size, temperature, noise):
        position, momentum, friction = (state[name] for name in ("position", *self.extra_state))
        half = step_size / 2

        def surplus(momentum):
            return pt.sum(momentum**2) ** (self.power / 2) - momentum.shape[0]

        momentum = momentum + half * gradient(position)
        position = position + half * momentum
        friction = friction + half * surplus(momentum)
        safe = pt.switch(pt.abs(friction) < 1e-10, 1e-10, friction)
        spread = pt.sqrt(-self.friction * pt.expm1(-2 * step_size * safe) / safe)
        momentum = pt.exp(-step_size * friction) * momentum + spread * noise[0]
        friction = friction + half * surplus(momentum)
        position = position + half * momentum
        momentum = momentum + half * gradient(position)
        return {"position": position, "momentum": momentum, "thermostat": friction}


@dataclass(frozen=True)
class RefreshedTrajectory:
    """A call draws the momentum anew and makes ``n_inner`` steps; its law on a Gaussian is exact.

    Parameters
    ----------
    n_inner : int
    inner : callable
        Step size to the rule of one inner step, with position and momentum.
    refreshed : float, default 1
        Variance of the momentum drawn, whatever the temperature.
    one_batch : bool, default False
        Whether all inner steps of a call see the same batch.
    """

    n_inner: int
    inner: Callable[[float], Any]
    refreshed: float = 1.0
    one_batch: bool = False

    def variance(
        self, step_size: float, curvature: float, noise: float, temperature: float = 1.0
    ) -> float:
        """Return the stationary variance of the position at the end of a call."""
        law = LinearLaw(self.inner(step_size))
        step, injected, gradient = law.matrices(step_size, curvature, temperature)
        powers = [np.linalg.matrix_power(step, k) for k in range(self.n_inner)]
        whole = step @ powers[-1]
        if abs(whole[0, 0]) >= 1:
            return np.inf
        kicks = np.array([power @ gradient for power in powers])[:, 0]
        errors = kicks.sum() ** 2 if self.one_batch else (kicks**2).sum()
        thermal = sum(((power @ injected)[0] ** 2).sum() for power in powers)
        source = whole[0, 1] ** 2 * self.refreshed + thermal + noise * errors
        return float(source / (1 - whole[0, 0] ** 2))

    @property
    def gradients_per_step(self) -> int:
        return self.n_inner


class Peer(NamedTuple):
    """A sampler of another library with a known slip."""

    library: str  # with the version that was read
    sampler: str  # ours of that name
    slip: str
    rule: Any  # an update rule, or a RefreshedTrajectory
    measured: str = ""  # variance over the right one, as found on the library or its update, T = 1
    temperatures: tuple[float, ...] = (1.0, 4.0)
    n_dim: int = 1


def _euler(friction):
    return lambda step_size: ExplicitEuler(friction)


def _per_step(rule_class, decay):
    """A rule whose momentum loses the part ``decay`` at each step, however long."""
    return lambda step_size: rule_class(decay / step_size)


BLACKJAX = "blackjax 1.7.1"
SGMCMCJAX = "SGMCMCJax cb90097"
R_SGMCMC = "R sgmcmc 0.2.4"
POSTERIORS = "posteriors 0.1.3"
EDWARD = "Edward, before #731"
SAGA_CODE = "Baker 2019, saga.py"

_REFRESH = "momentum drawn anew, Euler"
_BLACKJAX_SGHMC = {n: RefreshedTrajectory(n, _euler(0.01), one_batch=True) for n in (5, 10, 50)}
_LENGTH = "thermostat of the length"

PEERS = [
    Peer(BLACKJAX, "sghmc", f"{_REFRESH}, L=5", _BLACKJAX_SGHMC[5], "h=.05 1.272, h=.02 1.235"),
    Peer(BLACKJAX, "sghmc", f"{_REFRESH}, L=10", _BLACKJAX_SGHMC[10], "h=.05 1.118, h=.02 1.135"),
    Peer(BLACKJAX, "sghmc", f"{_REFRESH}, L=50", _BLACKJAX_SGHMC[50], "1.028"),
    Peer(
        SGMCMCJAX,
        "sghmc",
        f"{_REFRESH}, L=10",
        RefreshedTrajectory(10, _per_step(ExplicitEuler, 0.01)),
        temperatures=(1.0,),
    ),
    Peer(
        R_SGMCMC,
        "sghmc",
        "half the momentum drawn anew, L=5",
        RefreshedTrajectory(5, _per_step(StochasticGradientHamiltonian, 0.01), refreshed=0.5),
        "0.43",
        (1.0,),
    ),
    Peer(
        R_SGMCMC,
        "sghmc",
        "all of it drawn anew, L=5",
        RefreshedTrajectory(5, _per_step(StochasticGradientHamiltonian, 0.01)),
        "0.83",
        (1.0,),
    ),
    Peer(POSTERIORS, "sghmc", "Euler, friction 0.01", ExplicitEuler(0.01)),
    Peer(BLACKJAX, "sgnht", "Euler, friction 0.01", ExplicitThermostat(0.01), "h=.05 1.06 to 1.08"),
    Peer(SGMCMCJAX, "badodab", f"{_LENGTH}, d=2", LengthThermostat(), "2.67", (1.0,), 2),
    Peer(SGMCMCJAX, "badodab", f"{_LENGTH}, d=10", LengthThermostat(), "10.4", (1.0,), 10),
    Peer(SGMCMCJAX, "baoab", "noise times T", NoiseTimesTemperature()),
    Peer(EDWARD, "sgld", "noise sd of the step size", NoiseOfStepSize(), "", (1.0,)),
    Peer(SAGA_CODE, "saga_ld", "noise sd of the step size", NoiseOfStepSize(), "", (1.0,)),
]


def naive_hamiltonian(
    gradient, shape, n_trajectories, *, step_size=0.1, n_inner=50, noise=4.0, seed=0
):
    """Hamiltonian Monte Carlo with noisy gradients, no friction and no test: the last positions.

    Chen et al. 2014, section 3.1: leapfrog steps, a new momentum for each trajectory and new noise
    of variance ``noise`` for each gradient.
    """
    rng = np.random.default_rng(seed)
    position = rng.standard_normal(shape)

    def half_kick():
        return step_size / 2 * (gradient(position) + noise**0.5 * rng.standard_normal(shape))

    for _ in range(n_trajectories):
        momentum = rng.standard_normal(shape)
        for _ in range(n_inner):
            momentum += half_kick()
            position += step_size * momentum
            momentum += half_kick()
    return position
