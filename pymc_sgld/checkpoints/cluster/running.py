"""``client=`` of ``psg.sample``: its chains on a cluster, and PyMC's result of them."""

import logging
import time

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np

from pymc.progress_bar import MCMCProgressBarManager

from pymc_sgld import records
from pymc_sgld.checkpoints import (
    ChainFolder,
    CheckpointedStep,
    continued,
    given_to_states,
)
from pymc_sgld.checkpoints.cluster.arrived_draws import ArrivedDraws
from pymc_sgld.checkpoints.cluster.chain_piece import (
    ClusterError,
    Made,
    Parcel,
    Work,
    pack_state,
    unpack_state,
)
from pymc_sgld.checkpoints.cluster.driver import ChainUnderWay, Driver
from pymc_sgld.checkpoints.cluster.executors import executor_of
from pymc_sgld.checkpoints.cluster.starts import Start, starts_of
from pymc_sgld.checkpoints.recorder import Recorder
from pymc_sgld.checkpoints.run_folder import locked

_log = logging.getLogger("pymc.sgld")

_MUCH = 100e6  # bytes that travel to each worker, of which something is said
_OF_THIS_MACHINE = ("cores", "mp_ctx", "blas_cores")
_CHAINS = 4  # where none are asked for


def check_client(client: Any, for_pymc: dict[str, Any], **own: Any) -> None:
    """Refuse what a cluster cannot run, and choose how many chains there are.

    Parameters
    ----------
    client
        A client of Dask, an executor, or None.
    for_pymc : dict
        Arguments of ``pm.sample``; ``chains`` is written into it.
    **own
        ``callback`` and ``trace``.

    Raises
    ------
    TypeError
        Where it is neither a client of Dask nor an executor.
    ValueError
        For arguments that have no meaning with it.
    """
    if client is None:
        return
    executor_of(client)
    local = [name for name in _OF_THIS_MACHINE if for_pymc.get(name) is not None]
    if local:
        raise ValueError(
            f"client says where the chains run, and {', '.join(local)} how they share this "
            "machine. Leave one of the two out."
        )
    if own["callback"] is not None:
        raise ValueError(
            "callback is called after each draw in the process that made it, which is on a worker "
            "where a client is given. Leave callback out, or client; psg.open_run reads a run with "
            "checkpoint='run/' while it goes on."
        )
    if own["trace"] is not None:
        raise ValueError(
            "Give client or trace, not both: the draws come from the workers. Write "
            "checkpoint='run/' for a run that is on disk."
        )
    if for_pymc.get("chains") is None:
        for_pymc["chains"] = _CHAINS


def refuse_nuts(client: Any, reason: str) -> None:
    """Refuse a run that is left to NUTS.

    Raises
    ------
    ValueError
        With the reason.
    """
    if client is not None:
        raise ValueError(
            f"This model is left to NUTS ({reason}), which a client does not run. Leave client "
            "out, or name a sampler: psg.sample('sgld', client=...)."
        )


def run_chains(client: Any, step: Any, options: Mapping[str, Any], draws: int) -> "ChainsElsewhere":
    """Run the chains of a step method on a cluster.

    Parameters
    ----------
    client
        A client of Dask, or an executor.
    step : StochasticGradientStep or CheckpointedStep
    options : mapping
        Of ``pm.sample``, ``model`` and ``chains`` among them.
    draws : int
        That PyMC sees of a chain.

    Raises
    ------
    ClusterError
        Where all chains are lost before they have a draw.
    Exception
        What a chain says of why it cannot be sampled.
    """
    tune = options.get("tune", step.default_tune_steps)
    started = time.perf_counter()
    options = {**options, "random_seed": _seed_of(options.get("random_seed"))}
    starts = starts_of(
        options["model"], options["random_seed"], options["chains"], options.get("initvals")
    )
    inside = step.inside if isinstance(step, CheckpointedStep) else step
    thin = step.thin if isinstance(step, CheckpointedStep) else 1
    parcel = Parcel.of(Work(inside, thin, step.as_written if thin > 1 else None))
    if len(parcel.content) > _MUCH:
        _log.info(
            f"{len(parcel.content) / 1e9:.2g} GB travel to each worker, with the rows of the "
            "model. Rows in files that the workers see, given by data=, travel as their paths."
        )
    pieces = executor_of(client)
    with ExitStack() as stack:
        chains = [
            stack.enter_context(_chain_of(step, number, start, tune, draws))
            for number, start in enumerate(starts)
        ]
        show = stack.enter_context(_shown(step, chains, options))
        driver = Driver(pieces, parcel, chains, show)
        interrupted = driver.run()
    died = _died(chains)
    if died and not any(chain.done > tune for chain in chains):
        raise ClusterError(
            f"The run on {pieces.name} was lost before there was a draw after the tune phase. "
            f"{died}."
        )
    seconds = time.perf_counter() - started
    return ChainsElsewhere(step, chains, interrupted, seconds, driver, options)


class ChainsElsewhere:
    """Chains that ran on a cluster.

    Parameters
    ----------
    step : StochasticGradientStep or CheckpointedStep
    chains : sequence of ChainUnderWay
    interrupted : bool
    seconds : float
    driver : Driver
    options : mapping
        Of ``pm.sample``.
    """

    def __init__(
        self,
        step: Any,
        chains: list[ChainUnderWay],
        interrupted: bool,
        seconds: float,
        driver: Driver,
        options: Mapping[str, Any],
    ) -> None:
        self.chains, self.interrupted, self.seconds = chains, interrupted, seconds
        self.step = ArrivedDraws(step, chains)
        self.options = {**options, "cores": 1, "progressbar": False}
        self.driver = driver

    @contextmanager
    def told(self) -> Iterator[None]:
        """Leave out what PyMC says of how it runs chains, and say how they were run."""
        logger = logging.getLogger("pymc.sampling.mcmc")
        hides = _NothingBelowWarnings()
        logger.addFilter(hides)
        try:
            yield
        finally:
            logger.removeFilter(hides)
        if not self.options.get("quiet"):
            n_draws = sum(chain.done for chain in self.chains)
            ended = "were interrupted after" if self.interrupted else "took"
            _log.info(
                f"{n_draws:,} draws of {len(self.chains)} chains, those of the tune phase counted, "
                f"{ended} {self.seconds:.0f} seconds, in {self.driver.n_pieces} tasks of "
                f"{self.driver.pieces.name}."
            )

    def recorded(self, result: Any) -> Any:
        """Return the result, with what was of the chains in the attributes of its posterior."""
        died = _died(self.chains)
        if died:
            _log.error(f"Not all chains came to their end. {died}.")
        posterior = getattr(result, "posterior", None)
        if posterior is not None:
            posterior.attrs["sampling_time"] = self.seconds
            if died:
                posterior.attrs[records.DIED] = died
        return result


def _died(chains: list[ChainUnderWay]) -> str:
    return "; ".join(f"Chain {one.number}: {one.died}" for one in chains if one.died)


def _seed_of(random_seed: Any) -> Any:
    """Return a seed that gives the same chains twice: one is drawn where none is given."""
    return int(np.random.SeedSequence().entropy) if random_seed is None else random_seed  # type: ignore[arg-type]


class _NothingBelowWarnings(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno >= logging.WARNING


@contextmanager
def _chain_of(
    step: Any, number: int, start: Start, tune: int, draws: int
) -> Iterator[ChainUnderWay]:
    """Yield a chain that begins, or goes on from what is in its folder; that is held meanwhile."""
    chain = ChainUnderWay(number, start, tune, draws)
    if not isinstance(step, CheckpointedStep):
        yield chain
        return
    path, settings = step.folder.chain_path(start.key), step.inside.chain.settings
    given = given_to_states(settings)
    path.mkdir(exist_ok=True)
    lock = locked(path)
    try:
        folder = ChainFolder(path)
        saved = folder.last_state(given) if step.resumes else None
        if saved is not None:
            state = continued(saved.state, tune, draws * step.thin, settings)
            chain.saved = pack_state(saved._replace(state=state), given)
            chain.blocks = [folder.read_block(*ends) for ends in folder.blocks(saved.n_draws)]
        chain.recorder = Recorder(folder, step.every, chain.done, tune, step.as_written, given)
        chain.unpack = lambda packed: unpack_state(packed, given)
        yield chain
    finally:
        lock.release()


@contextmanager
def _shown(step: Any, chains: list[ChainUnderWay], options: Mapping[str, Any]) -> Iterator[Any]:
    """Show PyMC's progress bar, and yield what tells it of the draws that come."""
    tune, draws = chains[0].tune, chains[0].draws
    theme = options.get("progressbar_theme")
    shows = False if options.get("quiet") else options.get("progressbar", True)
    more = {} if theme is None else {"progressbar_theme": theme}
    bar = MCMCProgressBarManager(
        step_method=step, chains=len(chains), draws=draws, tune=tune, progressbar=shows, **more
    )

    def show(chain: ChainUnderWay, made: Made) -> None:
        if not shows:
            return
        for number in range(made.block.first, made.block.stop):
            bar.update(
                chain_idx=chain.number,
                is_last=False,
                draw=number,
                tuning=number < tune,
                stats=[made.block.statistics_of(number)],
            )
        if chain.whole and not bar.combined_progress:
            bar.update(
                chain_idx=chain.number, is_last=True, draw=made.block.stop - 1, tuning=False,
                stats=[made.block.statistics_of(made.block.stop - 1)],
            )  # fmt: skip

    with bar:
        yield show
