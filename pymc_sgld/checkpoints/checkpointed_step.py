"""A step method whose chains are written to a folder, and continued from it."""

import os

from collections.abc import Sequence
from dataclasses import replace
from multiprocessing import parent_process
from multiprocessing.util import Finalize
from threading import Thread
from typing import Any

import pymc as pm

from filelock import FileLock
from pymc.step_methods.compound import BlockedStep

from pymc_sgld import records, schedules
from pymc_sgld.checkpoints.as_written import AsWritten
from pymc_sgld.checkpoints.chain_folder import ChainFolder, DrawBlock
from pymc_sgld.checkpoints.recorder import Recorder
from pymc_sgld.checkpoints.run_folder import (
    RunFolder,
    begin_folder,
    check_empty,
    locked,
    open_folder,
)
from pymc_sgld.checkpoints.running_moments import RunningMoments, RunningSummary
from pymc_sgld.types import Point
from pymc_sgld.validate import check_integer, check_positive

_FIRST_AT_EXIT = 10  # priority: before multiprocessing lets go of what it shares


class CheckpointedStep(BlockedStep):
    """Write the chains of a step method to a folder, for :func:`pymc.sample`.

    :func:`pymc_sgld.sample` makes one for ``checkpoint=``. Its draws are those of the step method,
    bit for bit. A run that is continued hands out the draws that are stored before it makes others,
    so that PyMC sees the whole of it.

    Parameters
    ----------
    step : StochasticGradientStep
    path : str or path
        Folder of the run.
    every : float, default 60
        Seconds between two checkpoints.
    resume : bool, default False
        Continue the run in the folder; it is a chain of the same ``random_seed`` of ``pm.sample``.
    overwrite : bool, default False
        Remove a run that is in the folder.
    thin : int, default 1
        Draws that are made for each that PyMC sees and that is stored, after the tune phase.
    var_names : sequence of str, optional
        Variables to keep. Default: all.
    model : pm.Model, optional
        Default: the model on the context stack.

    Raises
    ------
    FileExistsError
        Where the folder holds a run that is neither continued nor overwritten.
    ValueError
        Where it was begun with another model, other data or other settings.

    Examples
    --------
    >>> with model:
    ...     step = psg.CheckpointedStep(psg.SGLD(), "run/")
    ...     idata = pm.sample(step=step, random_seed=1)
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> "CheckpointedStep":
        """Make a step method; the one inside has looked at its variables."""
        return object.__new__(cls)

    def __init__(
        self,
        step: Any,
        path: str | os.PathLike[str],
        *,
        every: float = 60.0,
        resume: bool = False,
        overwrite: bool = False,
        thin: int = 1,
        var_names: Sequence[str] | None = None,
        model: pm.Model | None = None,
    ) -> None:
        model = pm.modelcontext(model)
        every = check_positive("every", every)
        self._begin(step, every, check_integer("thin", thin, at_least=1), var_names, model)
        if resume:
            self.folder = open_folder(path)
            self.folder.check_same(step, model, thin)
        else:
            self.folder = begin_folder(
                check_empty(path, overwrite),
                step,
                model,
                {"variables": self.variables, "thin": thin},
            )
            self.folder.write()
        self.resumes = resume

    @classmethod
    def of_run(
        cls,
        step: Any,
        folder: RunFolder,
        *,
        every: float,
        thin: int,
        resumes: bool,
        var_names: Sequence[str] | None,
        model: pm.Model,
    ) -> "CheckpointedStep":
        """Return a step method for the folder of a run that was begun or opened."""
        made = cls.__new__(cls)
        made._begin(step, every, thin, var_names, model)
        made.folder, made.resumes = folder, resumes
        return made

    def _begin(
        self, step: Any, every: float, thin: int, var_names: Sequence[str] | None, model: pm.Model
    ) -> None:
        self.inside = step
        step.ends_with_parent = False  # see _end_with_the_run
        self.every, self.thin = every, thin
        self.vars = step.vars
        self.stats_dtypes = step.stats_dtypes
        self.stats_dtypes_shapes = step.stats_dtypes_shapes
        self.default_tune_steps = step.default_tune_steps
        self._progressbar_config = step._progressbar_config
        self._make_progressbar_update_functions = step._make_progressbar_update_functions
        self.as_written = AsWritten(model, var_names)
        self._recorder: Recorder | None = None
        self._lock: FileLock | None = None
        self._state: Any = None  # that the chain is continued from
        self._stored = self._done = self._tune = self._total = 0
        self._moments: RunningSummary | RunningMoments | None = None
        self._block: DrawBlock | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as an object with attributes; PyMC's own way asks for a model."""
        return object.__new__, (type(self),), self.__dict__

    @property
    def tune(self) -> bool:
        """Whether the chain is in its tune phase."""
        return bool(self.inside.tune)

    @tune.setter
    def tune(self, tune: bool) -> None:
        self.inside.tune = tune

    @property
    def sampling_state(self) -> Any:
        """The state of the step method inside."""
        return self.inside.sampling_state

    @sampling_state.setter
    def sampling_state(self, state: Any) -> None:
        self.inside.sampling_state = state

    def stop_tuning(self) -> None:
        """End the tune phase."""
        self.inside.stop_tuning()

    @property
    def variables(self) -> list[str]:
        """The variables that are kept, in the model's order."""
        return self.as_written.kept

    def setup_chain(self, rng: Any, tune: int, draws: int) -> None:
        """Start a chain, or find it in the folder."""
        self.close()
        self.inside.setup_chain(rng, tune, draws * self.thin)
        path = self.folder.chain_path(self.inside.chain_state.key)
        path.mkdir(exist_ok=True)
        self._lock = locked(path)
        if parent_process() is not None:  # of a chain, which PyMC ends without a word
            Finalize(self, self.close, exitpriority=_FIRST_AT_EXIT)
            Thread(target=_end_with_the_run, args=(self,), daemon=True).start()
        chain = ChainFolder(path)
        saved = (
            chain.last_state(given_to_states(self.inside.chain.settings)) if self.resumes else None
        )
        self._state, self._stored, self._done, self._block = None, 0, 0, None
        self._tune, self._total = tune, tune + draws
        self._moments = RunningSummary() if self.thin > 1 else None
        if saved is not None:
            self._state = continued(
                saved.state, tune, draws * self.thin, self.inside.chain.settings
            )
            self._stored, self._moments = saved.n_draws, saved.moments
        self._recorder = Recorder(
            chain,
            self.every,
            self._stored,
            tune,
            self.as_written,
            given_to_states(self.inside.chain.settings),
        )

    def step(self, point: Point) -> tuple[Point, list[dict[str, Any]]]:
        """Make a draw, or hand out one that is stored."""
        recorder = self._recorder
        assert recorder is not None
        if self._done < self._stored:
            return self._replayed(recorder, point)
        if self._state is not None:
            self.inside.chain_state, self._state = self._state, None
        try:
            new_point, statistics = self._drawn(point)
        except BaseException:
            self.close()
            raise
        state = self.inside.chain_state.snapshot()
        recorder.add(new_point, statistics[0], state, self._moments)
        self._done += 1
        if self._done == self._total:
            self.close()
        elif recorder.due:
            recorder.write()
        return new_point, statistics

    def _drawn(self, point: Point) -> tuple[Point, list[dict[str, Any]]]:
        """Make the draws of which the last is stored, and count all of them in the moments."""
        thin = 1 if self._done < self._tune else self.thin
        point, statistics, self._moments = next_draw(
            self.inside, point, thin, self._moments, self.as_written
        )
        return point, [statistics]

    def close(self) -> None:
        """Write what is new of the chain, and let go of its folder."""
        recorder, lock = self._recorder, self._lock
        if recorder is not None:
            recorder.write()
            self._recorder = None
        if lock is not None:
            lock.release()
            self._lock = None

    def _replayed(self, recorder: Recorder, point: Point) -> tuple[Point, list[dict[str, Any]]]:
        number = self._done
        if self._block is None or number >= self._block.stop:
            blocks = recorder.folder.blocks(self._stored)
            first, stop = next(place for place in blocks if place[0] <= number < place[1])
            self._block = recorder.folder.read_block(first, stop)
        stored = self._block.point(number)
        self._done += 1
        if self._done == self._total:
            self.close()
        # in the order of the point that came: PyMC reads points by the order of their entries
        return {name: stored[name] for name in point}, [self._block.statistics_of(number)]


def next_draw(
    step: Any,
    point: Point,
    thin: int,
    moments: RunningSummary | RunningMoments | None,
    as_written: AsWritten | None,
) -> tuple[Point, dict[str, Any], RunningSummary | RunningMoments | None]:
    """Make the draws of which the last is stored; return it, their statistics, and the moments.

    Parameters
    ----------
    step : StochasticGradientStep
    point : dict of array
    thin : int
        How many draws; of one, as in the tune phase, no moments are taken.
    moments : RunningSummary or RunningMoments, optional
        Of the draws before.
    as_written : AsWritten, optional
        For the moments.
    """
    if thin == 1 or moments is None or as_written is None:
        new_point, [statistics] = step.step(point)
        return new_point, statistics, moments
    of_draws = []
    for _ in range(thin):
        point, [of_draw] = step.step(point)
        of_draws.append(of_draw)
        moments = moments.with_draw(as_written.all_of(point))
    return point, records.of_several(of_draws), moments


def given_to_states(settings: Any) -> dict[str, Any]:
    """Return what a state refers to and does not hold: step sizes and temperatures of the user."""
    functions = {"step_size": settings.step_size, "temperature": settings.temperature}
    return {name: value for name, value in functions.items() if callable(value)}


def _end_with_the_run(step: CheckpointedStep) -> None:
    """Write and end when the process of the run is killed; PyMC's would wait for ever."""
    run = parent_process()
    assert run is not None
    run.join()
    step.close()
    os._exit(1)


def continued(state: Any, tune: int, draws: int, settings: Any) -> Any:
    """Return a state for a chain of another length.

    Raises
    ------
    ValueError
        Where it cannot have that length.
    """
    if state.tune != tune:
        raise ValueError(f"The run has tune={state.tune}, and tune={tune} is asked for.")
    if state.draw_number > tune + draws:
        raise ValueError(
            f"draws={draws} are asked for, a total, and {state.draw_number - tune} are stored. "
            "Ask for as many or more."
        )
    if state.draws == draws:
        return state
    if _depends_on_length(settings):
        raise ValueError(
            f"The run was begun with draws={state.draws}, and its step sizes, temperatures or "
            f"cycles are laid out for that. With draws={draws} it would be another run: begin that."
        )
    return replace(state, draws=draws)


def _depends_on_length(settings: Any) -> bool:
    """Whether the steps of a chain are laid out for its number of draws."""
    step_size, temperature = settings.step_size, settings.temperature
    binds = hasattr(step_size, "bind") or hasattr(temperature, "bind")
    # a step size that is chosen follows a temperature over the whole of the chain
    follows = step_size is None and not isinstance(temperature, schedules.constant)
    return settings.cycles is not None or binds or follows
