"""What the kernels of rows have in common."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar, NamedTuple

import numpy as np

from pymc_sgld.types import Array


class Places(NamedTuple):
    """Where the latents of some rows are.

    Attributes
    ----------
    values : array, shape (n_rows, n_latents)
    log_density : array, shape (n_rows,)
        Unnormalised, of each row.
    gradient : array, shape (n_rows, n_latents)
    """

    values: Array
    log_density: Array
    gradient: Array


# values, shape (n_rows, n_latents), to the places there
RowDensity = Callable[[Array], Places]


class RowKernel(ABC):
    r"""A kernel that leaves the law of the latents of each row invariant.

    .. math:: p(z_i \mid y_i, \theta) \propto p(y_i \mid z_i, \theta)\, p(z_i \mid \theta)

    Rows are independent given what they share, so that every row has a test of its own.
    """

    name: ClassVar[str]
    # what the scales of a row are led to; None where they are not
    target_acceptance: ClassVar[float | None] = None
    evaluations: ClassVar[float] = 1.0  # of a row's density and gradient, for a move

    @abstractmethod
    def move(
        self, density: RowDensity, at: Places, scales: Array, generator: np.random.Generator
    ) -> tuple[Places, Array]:
        """Move every row once.

        Parameters
        ----------
        density : callable
        at : Places
        scales : array, shape (n_rows, n_latents)
            Lengths of a step, in units of the latents. They may not depend on where these are.
        generator : numpy.random.Generator

        Returns
        -------
        places : Places
        acceptance : array, shape (n_rows,)
            Probability with which each row was to move.
        """


def chosen(moves: Array, there: Places, here: Places) -> Places:
    """Return the places of rows of which some move.

    Parameters
    ----------
    moves : array of bool, shape (n_rows,)
    there, here : Places
    """
    return Places(
        np.where(moves[:, None], there.values, here.values),
        np.where(moves, there.log_density, here.log_density),
        np.where(moves[:, None], there.gradient, here.gradient),
    )


def tested(
    log_ratio: Array, there: Places, here: Places, generator: np.random.Generator
) -> tuple[Places, Array]:
    """Return where a Metropolis test leaves each row, and how likely it was to move.

    A ratio that is no number, as where the density is not finite, refuses.
    """
    log_ratio = np.where(np.isnan(log_ratio), -np.inf, log_ratio)
    acceptance = np.exp(np.minimum(log_ratio, 0.0))
    return chosen(generator.random(len(acceptance)) < acceptance, there, here), acceptance
