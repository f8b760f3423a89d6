"""NUTS as PyMC runs it."""

import time

from typing import Any

import pymc as pm

from xarray import DataTree

from pymc_sgld.comparison.methods.nuts_in_seconds import run_nuts_in_seconds
from pymc_sgld.comparison.methods.recording import record
from pymc_sgld.model_graph import RowError, uses_minibatch
from pymc_sgld.records import DRAW_PASSES, TUNE_PASSES


def run_nuts(
    model: pm.Model, *, tune: int | None, seconds: float | None = None, **options: Any
) -> DataTree:
    """Run ``pm.sample`` with the NUTS it prefers: nutpie where that is installed.

    Parameters
    ----------
    model : pm.Model
    tune : int, optional
        PyMC's default if not given.
    seconds : float, optional
        Budget: see :func:`pymc_sgld.comparison.methods.nuts_in_seconds.run_nuts_in_seconds`.
        Without it NUTS runs to its end.
    **options
        Of :func:`pymc.sample`.

    Returns
    -------
    DataTree
        With the warm-up groups. NUTS times tuning and drawing together; the seconds are split by
        the number of gradient evaluations, each of which is a pass through the data.

    Raises
    ------
    RowError
        For a model on `pm.Minibatch`: NUTS needs the same rows at every step.
    """
    if uses_minibatch(model):
        raise RowError(
            "NUTS needs the same rows at every step, but the model is written on pm.Minibatch. "
            "Write it on the whole data for the comparison: pymc_sgld takes batches of such a "
            "model by itself."
        )
    if seconds is not None:
        return run_nuts_in_seconds(model, seconds, tune=1000 if tune is None else tune, **options)
    if tune is not None:
        options["tune"] = tune
    start = time.perf_counter()
    result: DataTree = pm.sample(
        model=model, discard_tuned_samples=False, compute_convergence_checks=False, **options
    )
    seconds = time.perf_counter() - start
    sampling = float(result["posterior"].attrs["sampling_time"])
    tuning = float(result["warmup_sample_stats"]["n_steps"].sum())
    drawing = float(result["sample_stats"]["n_steps"].sum())
    share = tuning / (tuning + drawing)
    phases = (seconds - sampling, share * sampling, (1 - share) * sampling)
    record(result, "nuts", phases, {TUNE_PASSES: tuning, DRAW_PASSES: drawing})
    return result
