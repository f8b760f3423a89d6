"""How many nodes are enough: what quadrature leaves of an error, against twice as many nodes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from pymc_sgld.model_graph.latents.quadrature_rules import QuadratureRule
from pymc_sgld.model_graph.latents.row_latents import RowLatents
from pymc_sgld.model_graph.read import read_rows
from pymc_sgld.types import Array

# Of each axis; the first whose error is small enough is taken.
LADDER = (5, 9, 15, 21, 31)
LARGEST_SHIFT = 0.02  # of a posterior mean, in posterior standard deviations
_LEAST_COMPARED = 19  # few nodes are not judged by few others
_ROWS = 2000  # on which two rules are compared
_PARTS = 10  # of them, for a standard error
_LARGEST_ERROR = 0.05  # of the log-likelihood of all rows
_PYTHON = {"mode": "FAST_COMPILE"}  # by numpy: to compile costs more than a few evaluations


class Shift(NamedTuple):
    """How far the means of parameters are off, in their posterior standard deviations.

    Attributes
    ----------
    by_parameter, error : array, shape (n_dim,)
        Shift of each, and its standard error.
    """

    by_parameter: Array
    error: Array

    @property
    def at(self) -> int:
        """The parameter that is farthest off."""
        return int(np.argmax(np.abs(self.by_parameter)))

    @property
    def largest(self) -> float:
        """The shift of that."""
        return float(np.abs(self.by_parameter[self.at]))

    @property
    def bound(self) -> float:
        """The shift of that, and two standard errors."""
        return self.largest + 2 * float(self.error[self.at])


def more_nodes(nodes: int) -> int:
    """Return the number of nodes of an axis that a number is compared with."""
    return max(2 * nodes + 1, _LEAST_COMPARED)


class ShiftOfMeans:
    r"""How far numbers of nodes leave posterior means off.

    The error of a row's score adds up over rows: with :math:`\Sigma` the posterior's covariance and
    :math:`s^Q` the scores by Q nodes, posterior means are off by

    .. math:: \Sigma \sum_i (s_i^Q - s_i^{2Q + 1})

    (19 nodes at least in the place of 2Q + 1), measured on 2,000 rows, or all if there are fewer.

    Parameters
    ----------
    taken : RowLatents
        The starts near the modes of the rows.
    positions : array, shape (n_positions, n_dim)
        Where scores are taken; the rows are shared out among them.
    covariance : array, shape (n_dim, n_dim)
        Of the posterior.
    generator : numpy.random.Generator
        Chooses rows.
    """

    def __init__(
        self,
        taken: RowLatents,
        positions: Array,
        covariance: Array,
        generator: np.random.Generator,
    ) -> None:
        n_rows = min(_ROWS, taken.n_rows)
        chosen = generator.choice(taken.n_rows, n_rows, replace=False)
        self._taken, self._positions, self._covariance = taken, positions, covariance
        self._parts = np.array_split(chosen, min(max(_PARTS, len(positions)), n_rows))
        # all rows at one place have no error
        self._sampled = 1 - n_rows / taken.n_rows if len(positions) == 1 else 1.0
        self._known: dict[int, Array] = {}

    def of(self, nodes: int) -> Shift:
        """Return the shift of a number of nodes of each axis."""
        apart = self._scores(nodes) - self._scores(more_nodes(nodes))
        shifts = apart @ self._covariance / np.sqrt(np.diag(self._covariance))
        error = np.sqrt(self._sampled / len(self._parts)) * shifts.std(axis=0, ddof=1)
        return Shift(shifts.mean(axis=0), error)

    def _scores(self, nodes: int) -> Array:
        """Return gradients from each part of the rows, as estimates of all; (n_parts, n_dim)."""
        if nodes not in self._known:
            rule = QuadratureRule.gauss_hermite(nodes, self._taken.n_latents)
            row_model = read_rows(self._taken.marginal_model(rule))
            function = row_model.block_function(_PYTHON["mode"])
            potential = self._taken.potential
            [mine] = {term.group for term in row_model.terms if term.name == potential}
            blocks = [np.arange(group.total_size) for group in row_model.groups]
            scores = []
            for number, rows in enumerate(self._parts):
                blocks[mine] = rows
                position = self._positions[number % len(self._positions)]
                scores.append(function.batch(position.astype(function.dtype), blocks)[1])
            self._known[nodes] = np.array(scores)
        return self._known[nodes]


def nodes_for_likelihood(taken: RowLatents, point: Any) -> int:
    """Return how many nodes give the log-likelihood of all rows, at a point, to .05.

    The most that there are where none does.

    Parameters
    ----------
    taken : RowLatents
    point : dict of str to array
        Unconstrained values, named as ``shared.initial_point()`` names them. The starts are moved
        to the modes of the rows there.
    """
    taken.move_starts(point)
    known: dict[int, float] = {}

    def log_likelihood(nodes: int) -> float:
        if nodes not in known:
            rule = QuadratureRule.gauss_hermite(nodes, taken.n_latents)
            rows = read_rows(taken.marginal_model(rule)).row_logp(point, compile_kwargs=_PYTHON)
            known[nodes] = float(rows[taken.potential].sum())
        return known[nodes]

    enough = (
        nodes
        for nodes in LADDER
        if abs(log_likelihood(nodes) - log_likelihood(more_nodes(nodes))) < _LARGEST_ERROR
    )
    return next(enough, LADDER[-1])
