"""A piece of a chain as a pure function: state and range of draws in, state and draws out.

A piece depends on nothing but what it is given: random numbers belong to steps, so that it comes
out bit for bit the same wherever, and however often, it is run. So what a worker needs is a step
method, which travels once and is compiled once in each process; and a piece that was lost with its
worker is simply run again.
"""

import copy
import io
import os
import pickle
import platform
import socket
import threading
import time

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import cloudpickle
import numpy as np

from threadpoolctl import threadpool_limits

from pymc_sgld.checkpoints import AsWritten, DrawBlock, SavedState, given_to_states, next_draw
from pymc_sgld.checkpoints.cluster.rows_here import PagesHeld, contents_of, find_rows
from pymc_sgld.checkpoints.manifest import differences, versions
from pymc_sgld.checkpoints.recorder import stacked
from pymc_sgld.checkpoints.running_moments import RunningMoments, RunningSummary
from pymc_sgld.model_graph import count_rows_from, rows_asked
from pymc_sgld.types import Point

_KEPT = 3  # works that a process keeps: each may hold rows
_PASSING = (OSError, MemoryError)  # errors that another try, or another worker, may not have


class ClusterError(RuntimeError):
    """A worker cannot do its part; the message says which one and what to do."""


@dataclass
class Work:
    """What all pieces of a run have in common.

    Parameters
    ----------
    step : StochasticGradientStep
    thin : int
        Draws that are made for each that is stored, after the tune phase.
    as_written : AsWritten, optional
        For the moments of all draws, where not all are stored.
    """

    step: Any
    thin: int
    as_written: AsWritten | None
    _by_row: Any = field(default=None, init=False, repr=False)

    _contents: dict[int, str] = field(default_factory=dict, init=False, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        """Send along what step methods leave out of pickles: how rows are evaluated at once."""
        function = self.step.chain.block_function
        by_row = function.by_row.sent() if hasattr(function.by_row, "sent") else None
        return {**self.__dict__, "_by_row": by_row, "_contents": contents_of(function.arrays)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over what was sent, and see that the rows are here."""
        self.__dict__.update(state)
        find_rows(self.step.chain.block_function.arrays, self._contents)
        if self._by_row is not None:
            self.step.chain.block_function.by_row.take(self._by_row)

    def run(self, piece: "Piece") -> "Made":
        """Make the draws of a piece."""
        return _made(self, piece)


class Parcel(NamedTuple):
    """The work as it travels.

    Attributes
    ----------
    token : str
        Tells the work of a run from that of others.
    versions : dict of str to str
        Of the packages that have packed it.
    content : bytes
    """

    token: str
    versions: dict[str, str]
    content: bytes

    @classmethod
    def of(cls, work: Any) -> "Parcel":
        """Pack the work of a run."""
        return cls(os.urandom(16).hex(), versions(), cloudpickle.dumps(work))


class Piece(NamedTuple):
    """Draws ``first, ..., first + n_draws - 1`` of a chain, those of the tune phase counted.

    Attributes
    ----------
    chain : int
    rng : Generator
        Of the chain, as PyMC has spawned it.
    tune, draws : int
        Of the whole chain.
    point : dict of array
        Where the chain is before the first draw.
    saved : bytes or None
        State and moments before the first draw; None where the chain begins.
    first, n_draws : int
    rows_asked : dict or None
        See :class:`RowGradients`; None where the chain begins.
    """

    chain: int
    rng: np.random.Generator
    tune: int
    draws: int
    point: Point
    saved: bytes | None
    first: int
    n_draws: int
    rows_asked: dict[int, int] | None = None


class Made(NamedTuple):
    """What came of a piece.

    Attributes
    ----------
    block : DrawBlock
    saved : bytes
        State and moments after the last draw.
    pace : float
        Seconds of a draw.
    seconds : float
        Of the piece.
    where : str
        The worker.
    rows_asked : dict
    """

    block: DrawBlock
    saved: bytes
    pace: float
    seconds: float
    where: str
    rows_asked: dict[int, int]


class Refused(NamedTuple):
    """An error that would come again, wherever the piece is run."""

    error: Exception


_busy = threading.Lock()  # of a process: step methods run one chain at a time
_works: OrderedDict[str, Any] = OrderedDict()


def run_piece(parcel: Parcel, piece: Any, content: Callable[[], bytes] | None = None) -> Any:
    """Make the draws of a piece, or what else the work in a parcel is done by.

    Parameters
    ----------
    parcel : Parcel
    piece : Piece or Chunks
    content : callable, optional
        Returns the content of the parcel, where it did not travel with it.
    """
    with _busy, threadpool_limits(limits=1):
        try:
            return _unpacked(parcel, content).run(piece)
        except FileNotFoundError as error:
            return Refused(
                ClusterError(
                    f"The worker {_here()} does not see {error.filename}: files of a run have to "
                    "be where all workers see them."
                )
            )
        except _PASSING:
            raise
        except Exception as error:
            return Refused(_portable(error))


def pack_state(saved: SavedState, given: Mapping[str, Any]) -> bytes:
    """Return a state as bytes; what it refers to and does not hold, by name."""
    packed = io.BytesIO()
    _Packer(packed, given).dump(saved)
    return packed.getvalue()


def unpack_state(packed: bytes, given: Mapping[str, Any]) -> SavedState:
    """Return the state that was packed."""
    saved: SavedState = _Unpacker(io.BytesIO(packed), given).load()
    return saved


class _Packer(cloudpickle.Pickler):
    def __init__(self, file: io.BytesIO, given: Mapping[str, Any]) -> None:
        super().__init__(file)
        self.names = {id(value): name for name, value in given.items()}

    def persistent_id(self, value: Any) -> str | None:
        return self.names.get(id(value))


class _Unpacker(pickle.Unpickler):
    def __init__(self, file: io.BytesIO, given: Mapping[str, Any]) -> None:
        super().__init__(file)
        self.given = given

    def persistent_load(self, name: str) -> Any:
        return self.given[name]


def _unpacked(parcel: Parcel, content: Callable[[], bytes] | None) -> Any:
    """Return the work of a run; it is made once in each process."""
    if parcel.token not in _works:
        other = differences(parcel.versions, versions())
        if other:
            raise ClusterError(
                f"The worker {_here()} has other versions than the client, with which draws would "
                f"differ: {'; '.join(other).replace('in the run', 'at the client')}. Install the "
                "same everywhere."
            )
        _works[parcel.token] = pickle.loads(content() if content else parcel.content)
        while len(_works) > _KEPT:
            _works.popitem(last=False)
    return _works[parcel.token]


def _made(work: Work, piece: Piece) -> Made:
    step, given = work.step, given_to_states(work.step.chain.settings)
    started = time.perf_counter()
    step.setup_chain(copy.deepcopy(piece.rng), piece.tune, piece.draws * work.thin)
    moments: RunningSummary | RunningMoments | None
    moments = RunningSummary() if work.thin > 1 else None
    if piece.saved is not None:
        _, step.chain_state, moments = unpack_state(piece.saved, given)
    if piece.rows_asked is not None:
        count_rows_from(step.chain.block_function, piece.rows_asked)
    point, made, began = piece.point, [], started
    held = PagesHeld(step.chain.block_function.arrays)
    for number in range(piece.first, piece.first + piece.n_draws):
        tuning = step.tune = number < piece.tune
        point, statistics, moments = next_draw(
            step, point, 1 if tuning else work.thin, moments, work.as_written
        )
        made.append((point, statistics))
        held.look()
        if number == piece.first:
            began = time.perf_counter()  # tuning and compiling lie before the first draw
    held.let_go()
    now = time.perf_counter()
    block = DrawBlock(
        piece.first,
        stacked([values for values, _ in made]),
        {},
        stacked([statistics for _, statistics in made]),
        piece.tune,
    )
    saved = SavedState(block.stop, step.chain_state.snapshot(), moments)
    pace = (now - began) / (len(made) - 1) if len(made) > 1 else now - started
    packed, asked = pack_state(saved, given), rows_asked(step.chain.block_function)
    return Made(block, packed, pace, now - started, _here(), asked)


def _here() -> str:
    return f"{socket.gethostname()} (process {os.getpid()}, {platform.machine()})"


def _portable(error: Exception) -> Exception:
    """Return an error that another process can read, with the worker it came from."""
    error.add_note(f"On the worker {_here()}.")
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return ClusterError(f"{type(error).__name__} on the worker {_here()}: {error}")
    return error
