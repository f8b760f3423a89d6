"""A Gibbs split of thousands of effects: by sparse matrices, up to which pattern, and its rows."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pymc_sgld.chain import Parts
from pymc_sgld.hierarchical_gibbs.hierarchy import Hierarchy, TunedHierarchy
from pymc_sgld.hierarchical_gibbs.large_search import LargeHierarchySearch, why_not_sparse
from pymc_sgld.hierarchical_gibbs.sparse_noise import (
    SparseNoise,
    by_coordinate,
    largest_noise,
    sparse_noise,
)
from pymc_sgld.hierarchical_gibbs.sparse_rows import SparseRows
from pymc_sgld.model_graph import gathered_rows, with_row_weights
from pymc_sgld.row_sources import Weighted
from pymc_sgld.step_methods.auto_batches import BatchRequirement
from pymc_sgld.tuning import LawByEnds, TuningProblem, fewest_rows
from pymc_sgld.types import Array

_FEWER = 2  # times as many uniform rows as weighted ones, for these to be taken


def large_search(
    parts: Parts,
    problem: TuningProblem,
    hierarchy: Hierarchy,
    start: Array,
    generator: np.random.Generator,
) -> LargeHierarchySearch | str:
    """Return a search by sparse matrices, or why there can be none.

    Parameters
    ----------
    parts : Parts
    problem : TuningProblem
    hierarchy : Hierarchy
    start : array, shape (n_dim,)
    generator : numpy.random.Generator
    """
    gathered = gathered_rows(parts.row_model, parts.mode)
    rows = None if gathered is None else SparseRows.of(parts.block_function, gathered)
    entries = None
    if why_not_sparse(rows) is None:
        entries = LargeHierarchySearch.prior_entries(hierarchy, start, generator)
    reason = why_not_sparse(rows, entries)
    if reason is not None or rows is None or entries is None:
        return str(reason)
    return LargeHierarchySearch(problem, hierarchy, rows, entries, generator)


def rows_of_many(
    parts: Parts, tuned: TunedHierarchy, search: LargeHierarchySearch, chooses_batch_size: bool
) -> tuple[Parts, TunedHierarchy, BatchRequirement]:
    """Choose the rows of the steps given the hyperparameters.

    Parameters
    ----------
    parts : Parts
    tuned : TunedHierarchy
    search : LargeHierarchySearch
    chooses_batch_size : bool
        Whether the user left it out.
    """
    estimator = parts.settings.kernel.estimator
    noise = sparse_noise(
        search.rows,
        tuned.mode,
        tuned.draws,
        tuned.metric,
        control_variate=estimator.reference_distance > 0,
    )
    tuned = replace(tuned, data_passes=tuned.data_passes + noise.data_passes)
    found = [largest_noise(one, tuned.metric) for one in noise.by_group]
    sizes = _fewest(parts, tuned, [value for value, _ in found], with_replacement=False)
    largest, matrices, again = found, list(noise.by_group), False
    if noise.weighted is not None and parts.scheme.name == "independent":
        weighted = [largest_noise(noise.weighted, tuned.metric)]
        fewer = _fewest(parts, tuned, [value for value, _ in weighted], with_replacement=True)
        if _FEWER * sum(fewer) <= sum(sizes):
            sizes, largest, matrices, again = fewer, weighted, [noise.weighted], True
            parts = _weighted(parts, noise)
    if chooses_batch_size:
        parts = parts._replace(batch_sizes=sizes)
    shares = _of_batch(parts.block_function.total_sizes, parts.batch_sizes, with_replacement=again)
    of_batch = sum((share * one for share, one in zip(shares, matrices, strict=True)))
    value = sum(share * one for share, (one, _) in zip(shares, largest, strict=True))
    law = tuned.predicted_law
    assert isinstance(law, LawByEnds)
    compensated = parts.settings.kernel.noise_compensation
    tuned = replace(
        tuned,
        predicted_law=replace(law, noise_eigenvalue=float(value), compensated=compensated),
        noise=by_coordinate(of_batch, tuned.metric) if compensated else None,
    )
    worst, vector = max(largest, key=lambda one: one[0])
    direction = np.abs(tuned.metric.to_position(vector, *_at_zero(tuned))) / tuned.sds
    return parts, tuned, BatchRequirement(sizes, float(worst), direction)


def _at_zero(tuned: TunedHierarchy) -> tuple[Array, ...]:
    _, *parameters = tuned.metric.parameters()
    return np.zeros(len(tuned.mode)), *parameters


def _weighted(parts: Parts, noise: SparseNoise) -> Parts:
    assert noise.probabilities is not None
    return parts._replace(
        row_model=with_row_weights(parts.row_model), scheme=Weighted(noise.probabilities)
    )


def _of_batch(totals: Sequence[int], sizes: Sequence[int], *, with_replacement: bool) -> Array:
    """Return the noise of a batch over that of one row, by group."""
    total, batch = np.asarray(totals, float), np.asarray(sizes, float)
    left = (total - batch) / np.maximum(total - 1, 1)
    if with_replacement:
        left = np.where(batch < total, 1.0, 0.0)
    return np.asarray(left / batch)


def _fewest(
    parts: Parts, tuned: TunedHierarchy, values: list[float], *, with_replacement: bool
) -> list[int]:
    """Return the fewest rows of a batch whose noise keeps the promise."""
    settings, totals = parts.settings, parts.block_function.total_sizes
    law = tuned.predicted_law
    assert isinstance(law, LawByEnds)

    def noise(n_rows: int) -> float:
        sizes = [min(n_rows, total) for total in totals]
        return float(_of_batch(totals, sizes, with_replacement=with_replacement) @ values)

    return fewest_rows(
        law.law,
        noise,
        totals,
        target_bias=settings.target_bias,
        cost=settings.kernel.estimator.gradients_per_batch,
    )
