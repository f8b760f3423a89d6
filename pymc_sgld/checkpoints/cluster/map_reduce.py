"""Passes through all rows as map-reduce: each worker has some chunks, and their parts are added.

The parts come back chunk by chunk and are added in the order of the chunks, so that value and
gradient, and whatever tuning makes of them, are those of one process to the last bit.
"""

import concurrent.futures
import logging

from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import Context
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from pymc_sgld.checkpoints.cluster.chain_piece import Parcel, Refused
from pymc_sgld.checkpoints.cluster.executors import DaskPieces, ExecutorPieces, executor_of
from pymc_sgld.checkpoints.cluster.rows_here import PagesHeld, contents_of, find_rows
from pymc_sgld.model_graph.density.full_passes import Part, passes_made_by
from pymc_sgld.model_graph.density.pass_counter import count
from pymc_sgld.row_sources import row_bytes
from pymc_sgld.types import Array

_log = logging.getLogger("pymc.sgld")

_WORTH = 2**28  # bytes of rows in files, below which a pass is quicker than its tasks
_TASKS_A_WORKER = 2  # so that a slow one is not waited for by all


@dataclass
class PassWork:
    """What the tasks of all passes of a function have in common.

    Parameters
    ----------
    function : BlockFunction
    """

    function: Any

    def __getstate__(self) -> dict[str, Any]:
        """Send along what tells the rows."""
        return {"function": self.function, "contents": contents_of(self.function.arrays)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """See that the rows are here."""
        self.function = state["function"]
        find_rows(self.function.arrays, state["contents"])

    def run(self, piece: "Chunks") -> list[Part]:
        """Evaluate chunks; what listens here, such as a count of passes, is not told."""
        return Context().run(self._evaluated, piece)

    def _evaluated(self, piece: "Chunks") -> list[Part]:
        held, parts = PagesHeld(self.function.arrays), []
        for part in self.function.parts(*piece):
            parts.append(part)
            held.look()
        held.let_go()
        return parts


@dataclass(frozen=True)
class Chunks:
    """Chunks ``first, ..., stop - 1`` of a pass, and where it is made."""

    position: Array
    chunk: int
    first: int
    stop: int

    def __iter__(self) -> Iterator[Any]:
        """Yield the arguments of ``BlockFunction.parts``."""
        return iter((self.position, self.chunk, self.first, self.stop))


@dataclass
class ClusterPasses:
    """Makes passes by the workers of a client or an executor.

    Parameters
    ----------
    client
    """

    client: Any
    made: int = field(default=0, init=False)  # passes
    _sent: dict[Any, DaskPieces | ExecutorPieces] = field(
        default_factory=dict, init=False, repr=False
    )
    _kept: list[Any] = field(default_factory=list, init=False, repr=False)
    _gave_up: bool = field(default=False, init=False, repr=False)

    def parts(self, function: Any, position: Array, chunk: int) -> Iterator[Part] | None:
        """Return value and gradient of each chunk; None where the rows are few, or in memory."""
        n_chunks = -(-max(function.total_sizes, default=1) // chunk)
        if self._gave_up or n_chunks < 2 or not _is_worth(function):
            return None
        return self._parts(function, np.asarray(position), chunk, n_chunks)

    def _parts(self, function: Any, position: Array, chunk: int, n_chunks: int) -> Iterator[Part]:
        totals, sent = function.total_sizes, []
        try:
            pieces = self._pieces_of(function)
            n_tasks = min(n_chunks, _TASKS_A_WORKER * pieces.n_workers)
            ends = np.linspace(0, n_chunks, n_tasks + 1).astype(int).tolist()
            for first, stop in pairwise(ends):
                task = Chunks(position, chunk, first, stop)
                sent.append((task, pieces.submit(task)))
            self.made += 1
        except Exception as error:
            self._give_up(error)
            yield from function.parts(position, chunk)
            return
        try:
            for task, future in sent:
                parts = self._result_of(future)
                if parts is None:
                    yield from function.parts(*task)
                    continue
                for number, part in enumerate(parts, task.first):
                    count(_rows_of(totals, chunk, number) / sum(totals))
                    yield part
        finally:
            for _, future in sent:
                future.cancel()

    def _pieces_of(self, function: Any) -> DaskPieces | ExecutorPieces:
        """Return what runs tasks on a function; it is sent once."""
        key = (id(function.function), *map(id, function.arrays))
        if key not in self._sent:
            pieces = executor_of(self.client)
            pieces.send(Parcel.of(PassWork(function)))
            self._sent[key] = pieces
            self._kept.append(function)  # so that nothing else gets its address
        return self._sent[key]

    def _result_of(self, future: "Future[Any]") -> list[Part] | None:
        """Return the parts of a task; None where it was lost, and they are to be made here."""
        try:
            result = future.result()
        except (Exception, concurrent.futures.CancelledError) as error:
            self._give_up(error)
            return None
        if isinstance(result, Refused):
            raise result.error
        parts: list[Part] = result
        return parts

    def _give_up(self, error: BaseException) -> None:
        if not self._gave_up:
            _log.warning(
                f"Passes through the rows are made here from now on, not by the workers: "
                f"{type(error).__name__}: {error}"
            )
        self._gave_up = True

    def close(self) -> None:
        """Let go of what was sent."""
        for pieces in self._sent.values():
            pieces.close()


@contextmanager
def passes_by(client: Any) -> Iterator[None]:
    """Let the workers of a client make the passes within that are worth it."""
    if client is None:
        yield
        return
    passes = ClusterPasses(client)
    try:
        with passes_made_by(passes):
            yield
    finally:
        passes.close()


def _is_worth(function: Any) -> bool:
    """Whether the rows travel as paths, and are many."""
    in_files = [array for array in function.arrays if not hasattr(array, "__array_interface__")]
    in_memory = [array for array in function.arrays if hasattr(array, "__array_interface__")]
    size = sum(len(array) * row_bytes(array) for array in in_files)
    return size >= _WORTH and sum(array.nbytes for array in in_memory) < size / 100


def _rows_of(totals: tuple[int, ...], chunk: int, number: int) -> int:
    """Return the rows of all groups that a chunk has."""
    return sum(max(0, min(chunk, total - number * chunk)) for total in totals)
