"""Metropolis-adjusted Langevin steps, row by row."""

from typing import ClassVar

import numpy as np

from pymc_sgld.samplers.rows._base import Places, RowDensity, RowKernel, tested
from pymc_sgld.types import Array


class LangevinRows(RowKernel):
    r"""The Metropolis-adjusted Langevin algorithm [1]_ for the latents of each row.

    .. math::

        z' = z + \tfrac12 s^2 \nabla \log p(z) + s\, \xi, \qquad
        \log a = \log \frac{p(z')\, q(z \mid z')}{p(z)\, q(z' \mid z)}

    with scales :math:`s` by coordinate.

    References
    ----------
    .. [1] Roberts, G. O. and Tweedie, R. L. (1996). Exponential convergence of Langevin
       distributions and their discrete approximations. Bernoulli 2, 341-363.
       https://doi.org/10.2307/3318418
    """

    name: ClassVar[str] = "mala"
    target_acceptance: ClassVar[float | None] = 0.6
    evaluations: ClassVar[float] = 1.0

    def move(
        self, density: RowDensity, at: Places, scales: Array, generator: np.random.Generator
    ) -> tuple[Places, Array]:
        """Move every row once; see :meth:`RowKernel.move`."""
        normal = generator.standard_normal(at.values.shape)
        with np.errstate(all="ignore"):
            there = density(drift(at, scales) + scales * normal)
            log_ratio = (
                there.log_density
                - at.log_density
                + log_proposal(at.values, there, scales)
                - log_proposal(there.values, at, scales)
            )
        return tested(log_ratio, there, at, generator)


def drift(at: Places, scales: Array) -> Array:
    """Return the means of the proposals, shape (n_rows, n_latents)."""
    return at.values + np.square(scales) / 2 * at.gradient


def log_proposal(values: Array, since: Places, scales: Array) -> Array:
    """Return the log-density of proposing values from places, shape (n_rows,); unnormalised."""
    return np.asarray(-np.square((values - drift(since, scales)) / scales).sum(axis=1) / 2)
