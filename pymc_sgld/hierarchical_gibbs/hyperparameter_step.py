"""The hyperparameters given all else, by PyMC's own step methods on the prior part of a model."""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pymc as pm

from pymc_sgld.hierarchical_gibbs.prior_model import prior_model
from pymc_sgld.model_graph import Layout, RowModel
from pymc_sgld.model_graph.density.modes import strict_mode
from pymc_sgld.types import Array

_MOST_BY_SLICES = 10  # hyperparameters; beyond, they are moved together by NUTS


@dataclass
class HyperparameterStep:
    """Draws the hyperparameters from their law given effects and coefficients; reads no row.

    Parameters
    ----------
    method : pm.Slice or pm.NUTS
        Of a model without rows: see :func:`pymc_sgld.hierarchical_gibbs.prior_model.prior_model`.
    layout : Layout
        Of all value variables in the position.
    entries : array of int
        Where in the position the hyperparameters are.
    """

    method: Any
    layout: Layout
    entries: Array
    fresh: Any = None  # what the step method knows before any chain
    _installed: Any = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        """Remember the state that every chain begins with."""
        self.fresh = deepcopy(self.method.sampling_state)

    def draw(
        self, position: Array, generator: np.random.Generator, learned: Any, tuning: bool
    ) -> tuple[Array, Any]:
        """Return the position with other hyperparameters, and what the step method has learned.

        Parameters
        ----------
        position : array, shape (n_dim,)
        generator : numpy.random.Generator
        learned : object or None
            What this returned last; None for a chain that begins.
        tuning : bool
            Whether the step method may go on learning.
        """
        if learned is None:
            learned = self.fresh
        if learned is not self._installed:
            self.method.sampling_state = deepcopy(learned)
        if not tuning and self.method.tune:
            self.method.stop_tuning()
            learned = deepcopy(self.method.sampling_state)
        # a generator with a seed: PyMC saves that with the state
        self.method.setup_chain(np.random.default_rng(generator.integers(2**63)), 0, 1)
        found, _ = self.method.step(self.layout.split(position))
        moved = self.layout.ravel(found)
        if tuning:
            learned = deepcopy(self.method.sampling_state)
        self._installed = learned
        moved = moved.astype(position.dtype, copy=False)
        return (moved if np.isfinite(moved).all() else position), learned


def hyperparameter_step(
    row_model: RowModel, names: Sequence[str], entries: Array, point: dict[str, Array]
) -> HyperparameterStep:
    """Compile PyMC's step method for the hyperparameters.

    Slice sampling of one after the other where they are few, else NUTS.

    Parameters
    ----------
    row_model : RowModel
    names : sequence of str
        The value variables that are hyperparameters.
    entries : array of int
        Where in the position they are.
    point : dict
        Value variables by name, somewhere with a finite prior.
    """
    model = prior_model(row_model)
    method = pm.Slice if len(entries) <= _MOST_BY_SLICES else pm.NUTS
    with model:
        made = method(
            [model[name] for name in names],
            model=model,
            initial_point=point,
            blocked=True,
            rng=0,
            compile_kwargs={"mode": strict_mode()},
        )
    return HyperparameterStep(made, row_model.layout, entries)
