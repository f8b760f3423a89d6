"""Draws without the latents of rows: what is asked of them is asked of the model without those."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pymc as pm
import xarray as xr

from pymc_sgld import records
from pymc_sgld.model_graph import RowError
from pymc_sgld.model_graph.latents.number_of_nodes import (
    LADDER,
    LARGEST_SHIFT,
    Shift,
    ShiftOfMeans,
    more_nodes,
    nodes_for_likelihood,
)
from pymc_sgld.model_graph.latents.quadrature_rules import QuadratureRule
from pymc_sgld.model_graph.latents.row_latents import RowLatents, row_latents
from pymc_sgld.model_graph.rewrite.row_axes import RowsArgument
from pymc_sgld.posterior.unconstrained import parameter_labels, unconstrained_positions
from pymc_sgld.types import Array

_PLACES = 20  # draws that the shift of means is measured at


def missing_latents(
    model: pm.Model, posterior: xr.Dataset, rows: RowsArgument = "auto"
) -> RowLatents | None:
    """Return a model taken apart, if what draws lack of it are the latents of its rows.

    Parameters
    ----------
    model : pm.Model
    posterior : Dataset
    rows : str or dict, default "auto"
        As for `row_model`.

    Returns
    -------
    RowLatents or None
        None where the draws have all free variables, or lack others.
    """
    missing = {variable.name for variable in model.free_RVs} - {*map(str, posterior.data_vars)}
    if not missing:
        return None
    try:
        taken = row_latents(model, rows=rows)
    except RowError:
        return None
    return taken if missing == {*taken.latents} else None


@dataclass(frozen=True, eq=False)
class IntegratedPosterior:
    """Draws of what rows share, and the model taken apart.

    Attributes
    ----------
    taken : RowLatents
        The starts at the modes of the rows at the mean of the draws.
    positions : array, shape (n_chains, n_draws, n_dim)
        The draws, unconstrained.
    """

    taken: RowLatents
    positions: Array

    @classmethod
    def of(
        cls, model: pm.Model, posterior: xr.Dataset, rows: RowsArgument = "auto"
    ) -> IntegratedPosterior | None:
        """Return it, or None where the draws lack no latents of rows."""
        taken = missing_latents(model, posterior, rows)
        if taken is None:
            return None
        made = cls(taken, unconstrained_positions(taken.shared, posterior))
        taken.move_starts(made.mean)
        return made

    @property
    def mean(self) -> dict[str, Array]:
        """Mean of the draws by name of value variable."""
        mean, point, done = self.positions.mean(axis=(0, 1)), {}, 0
        start = self.taken.shared.initial_point()
        for name in (value.name for value in self.taken.shared.value_vars):
            shape = np.shape(start[name])
            size = int(np.prod(shape))
            point[name] = mean[done : done + size].reshape(shape).astype(start[name].dtype)
            done += size
        return point

    def with_nodes(self, nodes: int) -> pm.Model:
        """Return the model without latents, by so many nodes an axis."""
        rule = QuadratureRule.gauss_hermite(nodes, self.taken.n_latents)
        return self.taken.marginal_model(rule)

    def for_likelihood(self) -> pm.Model:
        """Return it with nodes enough for the log-likelihood of all rows, at the mean, to .05."""
        return self.with_nodes(nodes_for_likelihood(self.taken, self.mean))

    def shifts(self, seed: int = 0) -> ShiftOfMeans:
        """Return what measures, at some draws, how far numbers of nodes have means off."""
        flat = self.positions.reshape(-1, self.positions.shape[-1])
        places = flat[np.linspace(0, len(flat) - 1, _PLACES).round().astype(int)]
        covariance = np.atleast_2d(np.cov(flat, rowvar=False))
        generator = np.random.default_rng(seed)
        return ShiftOfMeans(self.taken, places, covariance, generator)

    def for_scores(self, posterior: xr.Dataset) -> ForScores:
        """Return a model by more nodes than the draws were made with, and how far off these are.

        Parameters
        ----------
        posterior : Dataset
            With the number of nodes as an attribute, if the run wrote it down; else the first
            number that is enough is taken for it.
        """
        own, shifts = posterior.attrs.get(records.NODES), self.shifts()
        for nodes in LADDER if own is None else [int(own)]:
            shift = shifts.of(nodes)
            if shift.bound < LARGEST_SHIFT:
                break
        model = self.with_nodes(more_nodes(nodes))
        return ForScores(model, ", ".join(self.taken.latents), nodes, shift)


class ForScores(NamedTuple):
    """What draws without latents of rows are checked by.

    Attributes
    ----------
    model : pm.Model
    latents : str
        Names.
    nodes : int
        What the draws were made with, or taken to be. The model has more.
    shift : Shift
        Of the means of the draws, by integration.
    """

    model: pm.Model
    latents: str
    nodes: int
    shift: Shift

    @property
    def note(self) -> str:
        """What was measured, in words."""
        label = parameter_labels(self.model)[self.shift.at]
        return (
            f"{self.latents} integrated out with {self.nodes} nodes an axis: posterior means are "
            f"off by {self.shift.largest:.2g} ± {self.shift.error[self.shift.at]:.1g} sd at most "
            f"({label}), against {more_nodes(self.nodes)} nodes."
        )

    @property
    def warning(self) -> str:
        """What is surely wrong; empty if nothing is."""
        shift = self.shift
        if shift.largest - 2 * float(shift.error[shift.at]) < LARGEST_SHIFT:
            return ""
        return f"{self.note} Draw anew by psg.sample(), which takes as many nodes as are needed."
