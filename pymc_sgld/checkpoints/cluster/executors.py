"""What pieces are run by: a client of Dask, or any executor of concurrent.futures' kind.

The one file that knows of Dask.
"""

import logging
import os
import tempfile
import time

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pymc_sgld.checkpoints.cluster.chain_piece import Parcel, run_piece
from pymc_sgld.validate import shown

_log = logging.getLogger("pymc.sgld")

_RETRIES = 3  # of a task, by Dask
_SENT_ALONG = 2**20  # bytes of a state, beyond which it does not travel through the scheduler
_SENDS, _PAUSE = 4, 1.0  # how often the work of a run is sent, and seconds between
_WORKERS = 4  # of an executor that does not say
_TEMPORARY = "pymc-sgld-work-"


def executor_of(client: Any) -> "DaskPieces | ExecutorPieces":
    """Return what runs pieces.

    Raises
    ------
    TypeError
        Where it is neither a client of Dask nor an executor.
    """
    if callable(getattr(client, "scatter", None)) and callable(
        getattr(client, "get_executor", None)
    ):
        return DaskPieces(client)
    if callable(getattr(client, "submit", None)) and not isinstance(client, type):
        return ExecutorPieces(client)
    raise TypeError(
        f"client is {shown(client)}. Pass dask.distributed.Client(), or an executor whose submit "
        "returns a concurrent.futures.Future, such as ProcessPoolExecutor()."
    )


@dataclass
class DaskPieces:
    """Runs pieces on the workers of Dask.

    The parcel is scattered to all workers. A task is never pinned to one, and its key is its own,
    so that a task whose worker is lost is run again elsewhere.

    Parameters
    ----------
    client : distributed.Client
    """

    client: Any
    name: str = "Dask"
    _scattered: Any = field(default=None, init=False, repr=False)
    _executor: Any = field(default=None, init=False, repr=False)

    def send(self, parcel: Parcel) -> None:
        """Send the work of a run to the workers; once more, where it was lost with them."""
        self._executor = self.tasks()
        for attempt in range(_SENDS):
            if not self.client.nthreads():
                _log.info("Waiting for a worker of Dask: there is none yet, or none any more.")
                self.client.wait_for_workers(1)  # else Dask sends to nobody, and gives up
            try:
                self._scattered = self._scatter(parcel, broadcast=attempt == 0)
                return
            except Exception:  # Dask's own, where a worker is lost while it sends
                if attempt == _SENDS - 1:
                    raise
                time.sleep(_PAUSE)

    def submit(self, piece: Any) -> "Future[Any]":
        """Have a piece run."""
        if len(getattr(piece, "saved", None) or b"") > _SENT_ALONG:
            state = self._scatter(piece.saved)
            future: Future[Any] = self._executor.submit(
                run_piece_with, self._scattered, piece._replace(saved=None), state
            )
        else:
            future = self._executor.submit(run_piece, self._scattered, piece)
        return future

    @property
    def n_workers(self) -> int:
        """Threads of all workers, of which there is at least to be one."""
        return max(1, sum(map(int, self.client.nthreads().values())))

    def tasks(self) -> Any:
        """Return an executor for tasks of any kind."""
        return self.client.get_executor(pure=False, retries=_RETRIES)

    def _scatter(self, value: Any, **how: Any) -> Any:
        """Send an object as a whole: Dask takes tuples apart."""
        [future] = self.client.scatter([value], hash=False, **how)
        return future

    def close(self) -> None:
        """Let go of the work."""
        self._scattered = self._executor = None


@dataclass
class ExecutorPieces:
    """Runs pieces by an executor, whose workers read the parcel from a file.

    Parameters
    ----------
    executor : Executor
    """

    executor: Any
    _path: Path | None = field(default=None, init=False, repr=False)

    @property
    def name(self) -> str:
        """Of the executor."""
        return type(self.executor).__name__

    def send(self, parcel: Parcel) -> None:
        """Write the work of a run where the workers find it."""
        self.close()
        number, name = tempfile.mkstemp(prefix=_TEMPORARY)
        with os.fdopen(number, "wb") as file:
            file.write(parcel.content)
        self._path, self._parcel = Path(name), parcel._replace(content=b"")

    def submit(self, piece: Any) -> "Future[Any]":
        """Have a piece run."""
        submit: Callable[..., Future[Any]] = self.executor.submit
        return submit(run_piece_of_file, str(self._path), self._parcel, piece)

    def tasks(self) -> Any:
        """Return an executor for tasks of any kind."""
        return self.executor

    @property
    def n_workers(self) -> int:
        """Processes or threads; a guess where the executor does not say."""
        return int(getattr(self.executor, "_max_workers", _WORKERS))

    def close(self) -> None:
        """Remove the file."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)
            self._path = None


def run_piece_with(parcel: Parcel, piece: Any, saved: bytes) -> Any:
    """Make the draws of a piece whose state came apart."""
    return run_piece(parcel, piece._replace(saved=saved))


def run_piece_of_file(path: str, parcel: Parcel, piece: Any) -> Any:
    """Make the draws of a piece; the work is in a file."""
    return run_piece(parcel, piece, Path(path).read_bytes)
