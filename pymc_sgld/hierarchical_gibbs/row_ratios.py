r"""Rows that see what they share through one linear predictor: their derivatives from few passes.

Where a row's log-likelihood is :math:`\ell_i(\eta_i)` with :math:`\eta_i` linear in the parameters,
as in a regression with group effects, score and Hessian are

.. math:: \nabla \ell_i = g_i\, r_i, \qquad \nabla^2 \ell_i = h_i\, r_i r_i^\top,

with :math:`r_i` the derivatives of :math:`\eta_i` over that by the first effect which the row
gathers, the same everywhere. Known once, at the price of a pass for each shared parameter, they
leave one pass for the numbers :math:`g_i` and :math:`h_i` anywhere else. Another direction is
looked at in the same pass, or one more: where a row is of another kind, it comes out otherwise.
"""

from dataclasses import dataclass

import numpy as np

from pymc_sgld.model_graph import BlockFunction, GatheredRows
from pymc_sgld.types import Array

FEW_SHARED = 2  # parameters, a pass for each of which is no more than what ratios take
_MOST_NUMBERS = 20_000_000  # of all ratios, 160 MB
_TOLERANCE = {"float64": 1e-6, "float32": 1e-2}  # relative


@dataclass(frozen=True, eq=False)
class RowRatios:
    """Derivatives of linear predictors, over that by the first effect.

    Parameters
    ----------
    by_group : tuple of arrays, shape (total_size, n_columns + n_shared)
    """

    by_group: tuple[Array, ...]

    def directions(self) -> list[Array]:
        """Return for each group a direction that no ratio is left out of."""
        rng = np.random.default_rng(0)
        return [np.asarray(rng.standard_normal(one.shape[1])) for one in self.by_group]

    def curvatures(
        self, function: BlockFunction, gathered: GatheredRows, position: Array
    ) -> list[Array] | None:
        """Return h of the rows of each group; None where rows are of another kind. Two passes."""
        curvatures = []
        parts = zip(self.by_group, gathered.groups, self.directions(), strict=True)
        for ratios, group, way in parts:
            n_columns = group.n_columns
            first = np.eye(n_columns)[0]
            nothing = np.zeros(len(gathered.shared))
            pieces = gathered.derivatives(function, group, position, first, nothing)
            curvature = np.concatenate([one.along[:, 0] for _, one in pieces])
            expected = curvature * (ratios @ way)
            ways = way[:n_columns], way[n_columns:]
            pieces = gathered.derivatives(function, group, position, *ways)
            rest = list(pieces)
            columns = np.concatenate([one.along for _, one in rest])
            shared = np.sum([one.shared for _, one in rest], axis=0)
            close = _close(columns, expected[:, None] * ratios[:, :n_columns], function.dtype)
            if not (close and _close(shared, expected @ ratios[:, n_columns:], function.dtype)):
                return None
            curvatures.append(curvature)
        return curvatures

    def scores(
        self, function: BlockFunction, gathered: GatheredRows, position: Array
    ) -> list[Array] | None:
        """Return g of the rows of each group; None where rows are of another kind. One pass."""
        scores = []
        parts = zip(self.by_group, gathered.groups, self.directions(), strict=True)
        for ratios, group, way in parts:
            ways = way[: group.n_columns], way[group.n_columns :]
            pieces = list(gathered.derivatives(function, group, position, *ways))
            columns = np.concatenate([one.scores for _, one in pieces])
            values = np.concatenate([one.values for _, one in pieces])
            score = columns[:, 0]
            close = _close(columns, score[:, None] * ratios[:, : group.n_columns], function.dtype)
            if not (close and _close(values, score * (ratios @ way), function.dtype)):
                return None
            scores.append(score)
        return scores


def worth_ratios(gathered: GatheredRows, total_sizes: tuple[int, ...]) -> bool:
    """Return whether ratios save passes, and there is room for them."""
    n_shared, groups = len(gathered.shared), gathered.groups
    numbers = sum(
        total * (group.n_columns + n_shared)
        for total, group in zip(total_sizes, groups, strict=True)
    )
    some = all(group.n_columns > 0 for group in groups)
    return some and n_shared > FEW_SHARED and numbers <= _MOST_NUMBERS


def row_ratios(first_columns: list[Array]) -> RowRatios | None:
    """Return the ratios of rows, from the line of each one's Hessian that the first effect has.

    Parameters
    ----------
    first_columns : list of arrays, shape (total_size, n_columns + n_shared)

    Returns
    -------
    RowRatios or None
        None where a row has no curvature there.
    """
    with np.errstate(all="ignore"):
        by_group = tuple(line / line[:, :1] for line in first_columns)
    return RowRatios(by_group) if all(np.isfinite(one).all() for one in by_group) else None


def _close(one: Array, other: Array, dtype: str) -> bool:
    """Return whether two arrays are the same to what rounding leaves."""
    return bool(np.linalg.norm(one - other) <= _TOLERANCE[dtype] * np.linalg.norm(one))
