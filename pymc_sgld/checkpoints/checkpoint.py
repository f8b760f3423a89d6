"""What was asked for by ``checkpoint=`` of ``psg.sample``, and the run it makes."""

import multiprocessing
import os

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pymc as pm

from pymc.util import get_random_generator

from pymc_sgld.chain.random_streams import draw_key
from pymc_sgld.checkpoints.chain_folder import ChainFolder
from pymc_sgld.checkpoints.checkpointed_step import CheckpointedStep
from pymc_sgld.checkpoints.open_run import add_moments
from pymc_sgld.checkpoints.run_folder import (
    RunFolder,
    begin_folder,
    check_empty,
    locked,
    open_folder,
)
from pymc_sgld.validate import check_arguments, check_path

SEEDS_OF_STARTS = 2**30  # PyMC draws one of these of a chain's generator before the chain begins


# Arguments of ``psg.sample`` that do not belong to a run: they may be others when it goes on.
OF_A_SESSION = (
    "callback", "client", "progressbar", "progressbar_theme", "quiet", "cores", "mp_ctx",
    "blas_cores", "check", "idata_kwargs", "keep_warning_stat", "compute_convergence_checks",
    "discard_tuned_samples", "return_inferencedata", "checkpoint_every",
)  # fmt: skip
_MOST_CHAINS_BY_DEFAULT = 4  # as PyMC's


@dataclass
class Checkpoint:
    """A run that is written to a folder.

    Parameters
    ----------
    path : str or path
    every : float
        Seconds between two checkpoints.
    overwrite : bool, default False
    thin : int, default 1
        Draws that are made for each that is stored.
    resumes : bool, default False
    arguments : dict
        Of ``psg.sample``, to be stored.
    """

    path: str | os.PathLike[str]
    every: float = 60.0
    overwrite: bool = False
    thin: int = 1
    resumes: bool = False
    arguments: dict[str, Any] = field(default_factory=dict)

    @property
    def random_seed(self) -> Any:
        """The seed of the run."""
        return self.arguments["random_seed"]

    @contextmanager
    def running(
        self,
        step: Any,
        model: pm.Model,
        *,
        draws: int,
        var_names: Sequence[str] | None,
        for_pymc: dict[str, Any],
    ) -> Iterator[CheckpointedStep]:
        """Hold the folder while chains run, and yield the step method for PyMC.

        What PyMC would choose by the machine is written into ``for_pymc``.
        """
        for_pymc.setdefault("tune", step.default_tune_steps)
        for_pymc.setdefault("chains", chains_by_default(for_pymc.get("cores")))
        lengths = {
            "draws": draws,
            "tune": for_pymc["tune"],
            "chains": for_pymc["chains"],
            "keys": keys_of_chains(for_pymc.get("random_seed"), for_pymc["chains"]),
        }
        folder = Path(self.path)
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder):
            if self.resumes:
                run = open_folder(folder)
                run.check_same(step, model, self.thin)
                run.manifest |= lengths
            else:
                run = begin_folder(check_empty(folder, self.overwrite), step, model, lengths)
                run.write_arguments(self.arguments)
            made = CheckpointedStep.of_run(
                step, run, every=self.every, thin=self.thin, resumes=self.resumes,
                var_names=var_names, model=model,
            )  # fmt: skip
            run.manifest |= {
                "variables": made.variables,
                "checkpoint_every": self.every,
                "thin": self.thin,
            }
            run.write()
            try:
                yield made
            except BaseException as error:
                made.close()
                error.add_note(_kept(run))
                raise
            finally:
                made.close()

    def add_moments(self, result: Any) -> None:
        """Add means and sds of all draws to the result of the run, where not all are stored."""
        if self.thin > 1:
            run = open_folder(self.path)
            numbers = result.posterior["chain"].to_numpy().tolist()
            keys = run.manifest["keys"]
            add_moments(result, run, {number: run.chain_path(keys[number]) for number in numbers})


def asked_checkpoint(
    path: str | os.PathLike[str] | Checkpoint | None,
    every: float,
    overwrite: bool,
    thin: int,
    arguments: dict[str, Any],
    trace: Any,
) -> Checkpoint | None:
    """Return what was asked for, and refuse a folder before anything is worked out.

    Raises
    ------
    FileExistsError
        Where the folder holds a run.
    ValueError
        Where ``trace`` is given too.
    """
    checked = check_arguments(checkpoint_every=every, overwrite=overwrite, thin=thin)
    draws = check_arguments(draws=arguments["draws"])["draws"]
    if draws % checked["thin"]:
        raise ValueError(
            f"thin={thin} does not divide draws={draws}, which are those that are made; of them "
            f"every thin-th is stored. Write draws={-(-draws // thin) * thin}."
        )
    if path is None:
        if thin > 1:
            raise ValueError(
                f"thin={thin} is about a run in a folder, which keeps means and sds of all draws: "
                "write checkpoint='run/' too, or a larger steps_per_draw."
            )
        if overwrite:
            raise ValueError("overwrite=True is about a folder: write checkpoint='run/' too.")
        return None
    if trace is not None:
        raise ValueError("Give checkpoint or trace, not both: each stores the draws.")
    if isinstance(path, Checkpoint):
        return path
    check_path("checkpoint", path, "the path of a folder, such as 'run/'")
    check_empty(path, overwrite)
    stored = {
        name: os.fspath(value) if isinstance(value, os.PathLike) else value
        for name, value in arguments.items()
        if name not in (*OF_A_SESSION, "checkpoint", "overwrite")
    }
    stored |= stored.pop("rule_arguments") | check_arguments(random_seed=stored["random_seed"])
    if stored["random_seed"] is None:
        stored["random_seed"] = int(np.random.SeedSequence().entropy)  # type: ignore[arg-type]
    elif not isinstance(stored["random_seed"], int | list):
        stored["random_seed"] = get_random_generator(stored["random_seed"])  # a copy
    return Checkpoint(path, checked["checkpoint_every"], overwrite, thin, arguments=stored)


def chains_by_default(cores: int | None) -> int:
    """Return the number of chains that PyMC runs where none is given."""
    if cores is None:
        cores = min(_MOST_CHAINS_BY_DEFAULT, multiprocessing.cpu_count() // 2)
    return max(2, cores)


def keys_of_chains(random_seed: Any, chains: int) -> list[list[int]]:
    """Return the keys of the chains that PyMC will start for a seed, in order."""
    generators = get_random_generator(random_seed).spawn(chains)
    for generator in generators:
        generator.integers(SEEDS_OF_STARTS)
    return [list(draw_key(generator)) for generator in generators]


def _kept(run: RunFolder) -> str:
    """Return what of a run that failed is kept, and how to go on."""
    path = str(run.path)
    draws = [f"{place.name} {ChainFolder(place).n_draws}" for place in run.chain_paths()]
    return (
        f"Draws of the chains are kept, those of the tune phase counted: {', '.join(draws)}. "
        f"psg.open_run({path!r}) reads them, psg.resume({path!r}) goes on."
    )
