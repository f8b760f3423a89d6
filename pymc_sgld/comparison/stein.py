"""Kernel Stein discrepancy of every method: a distance from the posterior, not from a reference."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pymc as pm

from xarray import DataTree

from pymc_sgld.chain.backends import sampling_mode
from pymc_sgld.comparison.progress import shown
from pymc_sgld.diagnostics import kernel_stein_discrepancy
from pymc_sgld.posterior import posterior_of, unconstrained_positions
from pymc_sgld.posterior.scores import (
    NoScoreError,
    check_finite,
    evenly_spaced,
    score_function,
    scores_at,
)
from pymc_sgld.posterior.weighted_draws import weights_of

LARGEST = 500  # parameters, whose covariance must be estimated
_DRAWS, _FEWEST, _ROW_GRADIENTS = 400, 100, 40_000_000  # a method
_FOR_COVARIANCE = 2_000
# Row gradients beyond which numba pays, and what samplers of this library have compiled is at hand.
_WORTH_NUMBA = 5_000_000


def compare_stein(
    results: Mapping[str, DataTree],
    model: pm.Model,
    reference: str,
    n_rows: int,
    progressbar: bool = False,
    data: Any = None,
) -> pd.DataFrame:
    """Return the kernel Stein discrepancy of every method.

    From the scores, on all rows, of 400 draws of each (of fewer beyond 100,000 rows, 100 at
    least), evenly spaced, in unconstrained space and in the posterior sds of the reference.

    Parameters
    ----------
    results : dict of str to DataTree
    model : pm.Model
    reference : str
    n_rows : int
        Of the data.
    progressbar : bool, default False
    data : dict of str to source, or a table, optional
        Rows that are not in the model: see :func:`pymc_sgld.sample`.

    Returns
    -------
    DataFrame
        A row for each method: ``ksd``, and ``ksd_of_exact_draws``, which as many independent draws
        from the posterior would have.

    Raises
    ------
    NoScoreError
        If the model has no gradient, more than 500 parameters, or draws at which it is not finite.
    """
    other = posterior_of(results[reference])
    per_chain = -(-_FOR_COVARIANCE // other.sizes["chain"])
    kept = evenly_spaced(other.sizes["draw"], per_chain)
    positions = unconstrained_positions(model, other.isel(draw=kept))
    n_dim = positions.shape[-1]
    if n_dim > LARGEST:
        raise NoScoreError(f"{n_dim:,} parameters are too many for it; {LARGEST} is the most.")
    covariance = np.atleast_2d(np.cov(positions.reshape(-1, n_dim), rowvar=False))
    n_draws = int(np.clip(_ROW_GRADIENTS / max(n_rows, 1), _FEWEST, _DRAWS))
    compiled = n_draws * len(results) * n_rows > _WORTH_NUMBA
    function = score_function(model, sampling_mode() if compiled else None, data)
    rows = {}
    for label, result in shown(results.items(), "Stein discrepancies", progressbar):
        posterior = posterior_of(result)
        kept = evenly_spaced(posterior.sizes["draw"], -(-n_draws // posterior.sizes["chain"]))
        positions = unconstrained_positions(model, posterior.isel(draw=kept))
        scores = scores_at(positions, function)[1]
        check_finite(f"gradients at the draws of {label}", scores, [str(j) for j in range(n_dim)])
        weights = weights_of(result)
        discrepancy = kernel_stein_discrepancy(
            positions.reshape(-1, n_dim),
            scores.reshape(-1, n_dim),
            covariance,
            weights=None if weights is None else weights[:, kept].ravel(),
        )
        rows[label] = {"ksd": discrepancy.value, "ksd_of_exact_draws": discrepancy.of_exact_draws}
    return pd.DataFrame.from_dict(rows, orient="index")
