"""The Laplace approximation: a Gaussian at the mode, with the curvature of all rows."""

import time

from typing import Any

import numpy as np
import pymc as pm

from pymc.exceptions import SamplingError
from xarray import DataTree

from pymc_sgld import records
from pymc_sgld.comparison.methods.batched_model import rows_or_whole
from pymc_sgld.comparison.methods.recording import draws_of_positions, record
from pymc_sgld.model_graph.density.modes import chosen_mode
from pymc_sgld.tuning import find_laplace, improper_direction, on_all_rows

_LARGEST = 2000  # parameters
_NO_MODE = 0.1  # slope, in posterior sds


def run_laplace(
    model: pm.Model,
    *,
    draws: int,
    chains: int,
    random_seed: Any = None,
    tune: int | None = None,
    cores: int | None = None,
    progressbar: Any = True,
    backend: str | None = None,
    compile_kwargs: dict[str, Any] | None = None,
) -> DataTree:
    r"""Draw from the Gaussian at the mode of the unconstrained posterior.

    .. math:: q(\theta) = N(\hat\theta, A^{-1}), \quad A = -\nabla^2 \log p(\hat\theta \mid y)

    The mode is found as when a sampler is tuned (:func:`pymc_sgld.tuning.find_laplace`), from the
    model's initial point, and then refined with Hessians of all rows, ``2 * n_dim`` passes through
    the data each. Draws are independent, and are transformed to the model's own variables.

    Parameters
    ----------
    model : pm.Model
    draws, chains : int
        ``draws * chains`` independent draws are made.
    random_seed : int, optional
    tune, cores, progressbar
        Not used.
    backend, compile_kwargs
        As in :func:`pymc.sample`. Default "numba".

    Returns
    -------
    DataTree

    Raises
    ------
    SamplingError
        If there is no mode to be found, or the curvature there is not positive.

    References
    ----------
    .. [1] Tierney, L. and Kadane, J. B. (1986). Accurate approximations for posterior moments and
       marginal densities. JASA 81. https://doi.org/10.1080/01621459.1986.10478240
    """
    del tune, cores, progressbar
    start = time.perf_counter()
    row_model = rows_or_whole(model)
    if row_model.n_dim > _LARGEST:
        raise SamplingError(
            f"The Laplace approximation needs the Hessian, but there are {row_model.n_dim:,} "
            f"parameters; {_LARGEST:,} is the most. Compare with 'advi' instead."
        )
    function = row_model.block_function(chosen_mode(backend, compile_kwargs))
    initial = row_model.ravel(model.initial_point())
    function.full(initial)  # compiles
    compiled = time.perf_counter()
    generator = np.random.default_rng(random_seed)
    laplace = find_laplace(function, initial, generator)
    direction = None
    if np.isfinite(laplace.covariance).all():
        direction = improper_direction(function, laplace, generator)
        laplace = on_all_rows(function, laplace)
    if not np.isfinite(laplace.covariance).all() or not laplace.score < _NO_MODE:
        raise SamplingError(
            "There is no Laplace approximation: the search for a mode ended where the slope is "
            f"{laplace.score:.3g} posterior sds (0 at a mode), or where the curvature is not "
            "positive. Give proper priors that keep scales away from zero, or leave 'laplace' out."
        )
    if direction is not None:
        raise SamplingError(
            "There is no Laplace approximation: the posterior is improper, for the log-density "
            "does not fall along a parameter with a flat prior. Give it a proper prior."
        )
    fitted = time.perf_counter()
    noise = generator.standard_normal((draws * chains, row_model.n_dim))
    positions = laplace.position + noise @ np.linalg.cholesky(laplace.covariance).T
    result = draws_of_positions(model, row_model, positions)
    phases = (compiled - start, fitted - compiled, time.perf_counter() - fitted)
    attributes = {
        records.TUNE_PASSES: laplace.data_passes,
        records.DRAW_PASSES: 0.0,
        records.INDEPENDENT_DRAWS: 1,
        records.SLOPE: laplace.score,
    }
    record(result, "laplace", phases, attributes)
    return result
