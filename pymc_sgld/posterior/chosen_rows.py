"""The log-likelihood of chosen rows at draws of a posterior, and of all rows at one point."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pymc as pm
import xarray as xr

from pymc_sgld.model_graph.density.bound_data import opened_with_sizes
from pymc_sgld.model_graph.density.by_numpy import QUICKLY_COMPILED
from pymc_sgld.model_graph.density.modes import compile_function
from pymc_sgld.model_graph.density.row_likelihood import RowFunction
from pymc_sgld.model_graph.rewrite.split import Options
from pymc_sgld.posterior.draws import posterior_of
from pymc_sgld.posterior.log_likelihood import Likelihood, likelihood_of

# PyTensor's Python linker: nothing to compile, and on blocks of rows as quick as NumPy
_MODE = QUICKLY_COMPILED


@dataclass(frozen=True, eq=False)
class PointwiseLogLikelihood:
    """Unscaled log-likelihoods of rows, compiled once for any posterior of a model.

    The factor N / n of `pm.Minibatch` and ``total_size`` is not in them.

    Attributes
    ----------
    likelihood : Likelihood
    function : RowFunction
    whole : callable
        From a position to the entries of the observed variables that are not split by rows.
    """

    likelihood: Likelihood
    function: RowFunction
    whole: Any

    @classmethod
    def of(cls, model: pm.Model, idata: Any, data: Any = None) -> PointwiseLogLikelihood:
        """Read and compile a model.

        Parameters
        ----------
        model : pm.Model
        idata : DataTree
            Any posterior of it.
        data : dict of str to source, or a table, optional
            Rows that are not in the model.
        """
        posterior = posterior_of(idata)
        data, total_size = opened_with_sizes(model, data, None)
        likelihood = likelihood_of(model, posterior, Options(total_size=total_size))
        row_model = likelihood.row_model
        terms = [w for w in row_model.whole if w.entries is not None]
        whole = compile_function(
            [row_model.position],
            [w.entries for w in terms],
            mode=_MODE,
        )
        return cls(likelihood, row_model.row_function(_MODE, data=data), whole)

    @property
    def total_sizes(self) -> tuple[int, ...]:
        """Rows of each group."""
        return self.function.total_sizes

    def group_of(self, name: str) -> int | None:
        """Return the group of rows of an observed variable; None if it is not split by rows."""
        for term in self.likelihood.row_model.terms:
            if self.likelihood.variables.get(term.name) == name:
                return term.group
        return None

    def at_draws(self, idata: Any, rows: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """Return the log-likelihood of chosen rows at every draw.

        Parameters
        ----------
        idata : DataTree
        rows : sequence of int array
            Row numbers of each group.

        Returns
        -------
        dict of str to ndarray, shape (n_chains, n_draws, n_rows, ...)
            For each observed variable; the rows are on the third axis. One that is not split by
            rows comes as a whole.
        """
        posterior = posterior_of(idata)
        positions, variables = self.likelihood.positions(posterior), self.likelihood.variables
        blocks = self.function.read(rows)
        by_variable: dict[str, list[np.ndarray]] = {}
        for position in positions:
            entries = self.function.on_blocks(position, blocks)
            for term, values in zip(self.likelihood.row_model.terms, entries, strict=True):
                if term.name in variables:
                    by_variable.setdefault(variables[term.name], []).append(
                        np.moveaxis(values, term.axis, 0)
                    )
            for one, values in zip(self._whole_names(), self.whole(position), strict=True):
                by_variable.setdefault(one, []).append(np.asarray(values))
        sizes = posterior.sizes["chain"], posterior.sizes["draw"]
        return {
            name: np.stack(each).reshape(*sizes, *np.shape(each[0]))
            for name, each in by_variable.items()
        }

    def at_mean(self, idata: Any) -> dict[str, np.ndarray]:
        """Return the log-likelihood of all rows at the mean of the draws, in one pass.

        Returns
        -------
        dict of str to ndarray, shape (n_rows,)
            For each observed variable that is split by rows; other axes are summed over.
        """
        positions = self.likelihood.positions(posterior_of(idata))
        by_term = self.function.per_row(positions.mean(axis=0), None)
        return {self.likelihood.variables.get(term, term): each for term, each in by_term.items()}

    def _whole_names(self) -> list[str]:
        return [w.name for w in self.likelihood.row_model.whole if w.entries is not None]


def thinned(idata: Any, n_draws: int) -> xr.DataTree:
    """Return a tree with the posterior alone, of at most so many draws, evenly spaced."""
    posterior = posterior_of(idata)
    per_chain = max(1, n_draws // posterior.sizes["chain"])
    if posterior.sizes["draw"] > per_chain:
        kept = np.linspace(0, posterior.sizes["draw"] - 1, per_chain).round().astype(int)
        posterior = posterior.isel(draw=kept)
    return xr.DataTree.from_dict({"posterior": posterior})
