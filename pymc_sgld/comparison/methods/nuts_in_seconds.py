"""NUTS for so many seconds: what fits into a budget, where a whole run would take hours."""

import time
import warnings

from typing import Any

import numpy as np
import pymc as pm

from pymc.exceptions import SamplingError
from xarray import DataTree

from pymc_sgld.comparison.methods.recording import record
from pymc_sgld.records import DRAW_PASSES, STOPPED_EARLY, TUNE_PASSES

_LEAST_DRAWS = 4  # of a chain: what R-hat is made of
_GROUPS = ("posterior", "sample_stats")


def run_nuts_in_seconds(
    model: pm.Model,
    seconds: float,
    *,
    tune: int,
    draws: int,
    chains: int,
    cores: int | None = None,
    random_seed: int | None = None,
    progressbar: bool = True,
) -> DataTree:
    """Run nutpie, and take what it has drawn when the time is up.

    Parameters
    ----------
    model : pm.Model
    seconds : float
        Wall seconds of sampling, compiling not counted. All chains start at once where there are
        cores for them; those that have to wait have no draws in the end.
    tune, draws, chains, cores, random_seed, progressbar
        As in :func:`pymc.sample`.

    Returns
    -------
    DataTree
        All chains as long as the shortest.

    Raises
    ------
    ImportError
        Where nutpie is not installed: no other NUTS can be stopped so that its draws are kept.
    SamplingError
        If some chain has fewer than four draws when the time is up.
    """
    try:
        import nutpie
    except ImportError as error:
        raise ImportError(
            "NUTS within `seconds` is that of nutpie, which is not installed: pip install nutpie. "
            "Or leave `seconds` out."
        ) from error
    start = time.perf_counter()
    compiled = nutpie.compile_pymc_model(model)
    began = time.perf_counter()
    run = nutpie.sample(
        compiled, draws=draws, tune=tune, chains=chains, cores=cores, seed=random_seed,
        progress_bar=progressbar, save_warmup=True, blocking=False,
    )  # fmt: skip
    result, finished = _result_of(run, seconds)
    took = time.perf_counter() - began
    steps = _steps_of_chains(result, "warmup_sample_stats"), _steps_of_chains(result, _GROUPS[1])
    shortest = min(map(len, steps[1]))
    if shortest < min(draws, _LEAST_DRAWS):
        raise SamplingError(
            f"in {seconds:g} s of sampling, NUTS made {min(map(len, steps[0]))} of the {tune} "
            f"steps of its warm-up and {shortest} draws in the slowest chain, too few to say "
            "anything. "
            "Raise `seconds`, or lower `tune`."
        )
    for group in _GROUPS:
        result[group] = DataTree(result[group].to_dataset().isel(draw=slice(shortest)))
    tuning, drawing = (float(sum(map(np.sum, one))) for one in steps)
    share = tuning / (tuning + drawing)
    phases = began - start, share * took, (1 - share) * took
    attributes: dict[str, Any] = {TUNE_PASSES: tuning, DRAW_PASSES: drawing}
    if not finished:
        attributes[STOPPED_EARLY] = (
            f"given {seconds:g} s of sampling, in which it made {tune} steps of warm-up and "
            f"{shortest} of {draws} draws in each chain"
        )
    attributes["inference_library"] = "nutpie"
    record(result, "nuts", phases, attributes)
    return result


def _result_of(run: Any, seconds: float) -> tuple[DataTree, bool]:
    """Return the draws of nutpie after so many seconds, and whether they are all."""
    with warnings.catch_warnings():
        # of ArviZ, where there are fewer draws than chains
        warnings.filterwarnings("ignore", "Found chain dimension", UserWarning)
        try:
            return run.wait(timeout=seconds), True
        except TimeoutError:
            return run.abort(), False
        except BaseException:
            run.cancel()
            raise


def _steps_of_chains(result: DataTree, group: str) -> list[np.ndarray]:
    """Return the gradient evaluations of every draw that each chain has; others are padding."""
    if group not in result or "n_steps" not in result[group]:
        return [np.empty(0)]
    steps = np.nan_to_num(np.asarray(result[group]["n_steps"], dtype=float))
    return [chain[chain > 0] for chain in steps]
