"""Hamiltonian Monte Carlo, row by row."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from pymc_sgld.samplers.rows._base import Places, RowDensity, RowKernel, tested
from pymc_sgld.types import Array

# Of the length of steps, relative: orbits of one length would take rows to the other side of their
# modes, where the square of their distance, which scales are drawn by, is what it was.
_SPREAD = 0.8


@dataclass(frozen=True)
class HamiltonianRows(RowKernel):
    r"""Hamiltonian Monte Carlo [1]_ for the latents of each row, all with as many leapfrog steps.

    .. math::

        p_{1/2} = p + \tfrac{s}{2} \nabla \log p(z), \quad z' = z + s\, p_{1/2}, \quad
        p' = p_{1/2} + \tfrac{s}{2} \nabla \log p(z')

    with a fresh momentum, and scales :math:`s` that are spread evenly, over 80 % to both sides.

    Parameters
    ----------
    steps : int, default 2

    References
    ----------
    .. [1] Neal, R. M. (2011). MCMC using Hamiltonian dynamics. Handbook of Markov Chain Monte
       Carlo, chapter 5. https://doi.org/10.1201/b10905
    """

    steps: int = 2

    name: ClassVar[str] = "hmc"
    target_acceptance: ClassVar[float | None] = 0.8

    @property
    def evaluations(self) -> float:  # type: ignore[override]
        """Evaluations of a row's density and gradient, for a move."""
        return float(self.steps)

    def move(
        self, density: RowDensity, at: Places, scales: Array, generator: np.random.Generator
    ) -> tuple[Places, Array]:
        """Move every row once; see :meth:`RowKernel.move`."""
        momentum = generator.standard_normal(at.values.shape)
        spread = 1 + _SPREAD * (2 * generator.random((len(scales), 1)) - 1)
        with np.errstate(all="ignore"):
            there, after = leapfrog(density, at, momentum, scales * spread, self.steps)
            kinetic = (np.square(momentum) - np.square(after)).sum(axis=1) / 2
            log_ratio = there.log_density - at.log_density + kinetic
        return tested(log_ratio, there, at, generator)


def leapfrog(
    density: RowDensity, at: Places, momentum: Array, scales: Array, steps: int
) -> tuple[Places, Array]:
    """Return where leapfrog steps lead, and the momentum there."""
    momentum = momentum + scales / 2 * at.gradient
    for step in range(steps):
        at = density(at.values + scales * momentum)
        momentum = momentum + scales / (2 if step == steps - 1 else 1) * at.gradient
    return at, momentum
