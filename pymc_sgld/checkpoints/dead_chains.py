"""What is kept of a run in several processes of which one chain dies."""

import logging
import signal

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pymc as pm

from pymc.backends.base import MultiTrace
from pymc.exceptions import SamplingError
from pymc.sampling.parallel import ParallelSampler, ParallelSamplingError
from pymc.stats.convergence import log_warnings, run_convergence_checks

from pymc_sgld import records
from pymc_sgld.checkpoints.open_run import most_draws

_log = logging.getLogger("pymc.sgld")

# What PyMC meets where the other end of a pipe is gone, or compiled code is interrupted.
LOST = (ParallelSamplingError, EOFError, ConnectionError, BrokenPipeError, SystemError)
_ORDERLY = (None, 0, -signal.SIGTERM)  # exit codes of processes that PyMC itself has ended


@dataclass
class SeenChains:
    """A callback that remembers the draws of every chain, and hands on to another.

    Parameters
    ----------
    then : callable
    length : int
        Draws of a whole chain, those of the tune phase among them.
    in_one_process : callable
        Whether the chains run one after the other, in this process. PyMC then ends the chain that
        is interrupted, and would begin the next.
    """

    then: Callable[..., Any]
    length: int
    in_one_process: Callable[[], bool]
    traces: dict[int, Any] = field(default_factory=dict)

    def __call__(self, trace: Any, draw: Any) -> None:
        """Remember where the draws of a chain are; end where the one before was interrupted."""
        before = [len(one) for number, one in self.traces.items() if number != draw.chain]
        self.traces[draw.chain] = trace
        if before and before[-1] < self.length and self.in_one_process():
            raise KeyboardInterrupt
        self.then(trace=trace, draw=draw)


class _Death(NamedTuple):
    chains: list[int]
    how: str


def chains_as_numbered(result: Any, seen: SeenChains, tune: int) -> Any:
    """Give chains of an interrupted run their own numbers: PyMC counts those it keeps from 0.

    Parameters
    ----------
    result : xarray.DataTree, or what else ``pm.sample`` returns
    seen : SeenChains
    tune : int
        Draws of the tune phase.
    """
    posterior = getattr(result, "posterior", None)
    lengths = {number: max(0, len(one) - tune) for number, one in seen.traces.items()}
    if posterior is None or not lengths or "chain" not in posterior.sizes:
        return result
    n_draws = posterior.sizes["draw"]
    kept = sorted(number for number, length in lengths.items() if length >= n_draws)
    return _numbered(result, kept) if len(kept) == posterior.sizes["chain"] else result


def _numbered(result: Any, chains: list[int]) -> Any:
    return result.map_over_datasets(
        lambda one: one.assign_coords(chain=chains) if "chain" in one.sizes else one
    )


def was_interrupted(error: BaseException | None) -> bool:
    """Whether an error comes of an interrupt: in compiled code it is one of the system."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__cause__ or error.__context__
    return False


def draws_of_others(
    error: BaseException, seen: SeenChains, options: Mapping[str, Any], model: pm.Model, tune: int
) -> Any:
    """Return the draws of the chains that did not die; those that did are named in a log of errors.

    Parameters
    ----------
    error : Exception
        That ended ``pm.sample``.
    seen : SeenChains
    options : mapping
        Of ``pm.sample``.
    model : pm.Model
    tune : int
        Draws of the tune phase.

    Returns
    -------
    xarray.DataTree or MultiTrace
        As ``pm.sample`` gives where it is interrupted: of chains of different lengths, as many
        draws of as many chains as make most.

    Raises
    ------
    KeyboardInterrupt
        Where the run was interrupted in its tune phase.
    Exception
        The error that came, where the chain said why it cannot be sampled, or did not begin; and
        where no other chain has draws after its tune phase.
    """
    if isinstance(error, ValueError) and "Not enough samples" in str(error):  # PyMC's words
        raise KeyboardInterrupt(
            "interrupted in the tune phase: there is no draw after it, and nothing is kept. Give a "
            "smaller tune, or checkpoint='run/' for a run that goes on where it was stopped."
        ) from None
    death = _death_of(error, seen)
    dead = [] if death is None else death.chains
    left = {
        number: max(0, len(one) - tune) for number, one in seen.traces.items() if number not in dead
    }
    kept, length = most_draws(left)
    if death is None or not length:
        raise error
    chains = ", ".join(map(str, sorted(kept)))
    names = ""
    if death.how:
        names = f"Chain {', '.join(map(str, dead))}" if dead else "A chain"
        _log.error(f"{names} died: {death.how}. Returned are {length} draws of each of: {chains}.")
    whole = MultiTrace([seen.traces[number] for number in sorted(kept)])[: tune + length]
    whole.report._n_tune, whole.report._n_draws = tune, length  # as PyMC does
    discards = options.get("discard_tuned_samples", True)
    if options.get("return_inferencedata") is False:
        return whole[tune:] if discards else whole
    result = pm.to_inference_data(
        whole[tune:] if discards else whole, model=model, save_warmup=not discards,
        **(options.get("idata_kwargs") or {}),
    )  # fmt: skip
    if options.get("compute_convergence_checks", True):
        log_warnings(run_convergence_checks(result, model))
    if death.how:
        result.posterior.attrs[records.DIED] = f"{names}: {death.how}"
    return _numbered(result, sorted(kept))


def _death_of(error: BaseException, seen: SeenChains) -> _Death | None:
    """Return which chains died and how; None where one said why it cannot be sampled."""
    causes = [error]
    while (cause := causes[-1].__cause__) is not None:
        causes.append(cause)
    if any(isinstance(cause, SamplingError) for cause in causes):
        return None
    if isinstance(error, SystemError):
        return _Death([], "") if was_interrupted(error) else None
    if isinstance(error, ParallelSamplingError):
        number = int(error._chain)
        own = causes[1] if len(causes) > 1 else error
        begun = number in seen.traces and len(seen.traces[number]) > 0
        return _Death([number], f"{type(own).__name__}: {own}") if begun else None
    if not _of_a_pipe(error):
        return None
    codes = _exit_codes(error)
    dead = [number for number, code in codes.items() if code not in _ORDERLY]
    how = " and ".join(sorted({_in_words(codes[number]) for number in dead}))
    return _Death(dead, how or "its process ended by itself, as by an interrupt of its own")


def _in_words(code: int | None) -> str:
    if code is not None and code < 0:
        ended = signal.Signals(-code).name
        out = ", as where memory runs out" if -code == signal.SIGKILL else ""
        return f"its process was ended by {ended}{out}"
    return f"its process ended with status {code}"


def _of_a_pipe(error: BaseException) -> bool:
    """Whether an error came out of a pipe, and not of a callback."""
    place, module = error.__traceback__, ""
    while place is not None:
        module, place = place.tb_frame.f_globals.get("__name__", ""), place.tb_next
    return module.startswith("multiprocessing.")


def _exit_codes(error: BaseException) -> dict[int, int | None]:
    """Return the exit codes of the processes by chain: PyMC's sampler is where the error passed."""
    place = error.__traceback__
    while place is not None:
        for value in place.tb_frame.f_locals.values():
            if isinstance(value, ParallelSampler):
                return {one.chain: one._process.exitcode for one in value._samplers}
        place = place.tb_next
    return {}
