"""Refuse data that would make every batch that holds them NaN."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytensor.tensor as pt

from pytensor.compile.mode import Mode

from pymc_sgld.model_graph.density.modes import compile_function, is_numba
from pymc_sgld.model_graph.density.row_density import RowDensity, RowLeaf
from pymc_sgld.model_graph.rewrite.errors import NotFiniteError, RowError


def refuse_nonfinite(row_model: RowDensity) -> None:
    """Raise if data by rows hold NaN, or infinities that reach the log-likelihood.

    An infinite censoring or truncation bound is accepted: the log-likelihood of its row is
    finite.
    """
    for leaf in row_model.leaves:
        if row_model.streamed[leaf.group]:
            continue
        array = _dense(leaf.values())
        if array.dtype.kind != "f":
            continue
        bad = np.isnan(array)
        if bad.any():
            raise _error(leaf, bad, "NaN")
        bad = np.isinf(array)
        if bad.any() and not _harmless(row_model, leaf, _rows_of(bad)[:8]):
            raise _error(leaf, bad, "infinite")


def refuse_uncompilable(row_model: RowDensity, mode: Mode) -> None:
    """Raise if data by rows are of a kind that numba does not compile: sparse, or of 16 bits.

    Raises
    ------
    RowError
    """
    if not is_numba(mode):
        return
    for leaf in row_model.leaves:
        if row_model.streamed[leaf.group]:
            continue
        array = leaf.values()
        if hasattr(array, "indptr"):
            raise RowError(
                f"'{leaf.name}' is a sparse matrix of shape {array.shape}, which numba does not "
                "compile. Write it dense (.toarray()); a column of zeros and ones for each level "
                "as an index into the effects, u[level]; or pass "
                "compile_kwargs={'mode': 'FAST_COMPILE'}, which is slow."
            )
        if np.asarray(array).dtype == np.float16:
            raise RowError(
                f"'{leaf.name}' has numbers of type float16, which numba does not compile. Write "
                ".astype('float32'), or put it into a pm.Data."
            )


def _dense(array: Any) -> np.ndarray:
    return np.asarray(array.data) if hasattr(array, "indptr") else np.asarray(array)


def _rows_of(bad: np.ndarray) -> np.ndarray:
    return np.flatnonzero(bad.reshape(len(bad), -1).any(axis=1))


def _error(leaf: RowLeaf, bad: np.ndarray, kind: str) -> NotFiniteError:
    return NotFiniteError(
        f"'{leaf.name}' has {int(bad.sum())} {kind} entries of {bad.size}, the first in row "
        f"{_rows_of(bad)[0]}: every batch that holds one would be lost. Drop these rows or "
        "impute the entries before building the model."
    )


def _harmless(row_model: RowDensity, leaf: RowLeaf, rows: np.ndarray) -> bool:
    """Whether log-likelihood and gradient of these rows are finite at the initial point."""
    logps = [term.logp.sum() for term in row_model.terms if term.group == leaf.group]
    value = pt.add(*logps) if len(logps) > 1 else logps[0]
    own = [x for x in row_model.leaves if x.group == leaf.group]
    function = compile_function(
        [row_model.position, *(x.block for x in own)],
        [value, row_model.gradient(value)],
        mode=Mode(linker="py", optimizer="fast_compile"),
    )
    position = row_model.ravel(row_model.model.initial_point(random_seed=0))
    value, gradient = function(position, *(x.values()[rows] for x in own))
    return bool(np.isfinite(value) and np.isfinite(gradient).all())
