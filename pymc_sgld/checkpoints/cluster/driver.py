"""Chains that run piece by piece on workers: one piece of each under way at a time."""

import concurrent.futures
import logging
import time

from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, field
from typing import Any

from pymc_sgld.checkpoints import DrawBlock
from pymc_sgld.checkpoints.cluster.chain_piece import Made, Parcel, Piece, Refused
from pymc_sgld.checkpoints.cluster.executors import DaskPieces, ExecutorPieces
from pymc_sgld.checkpoints.cluster.starts import Start
from pymc_sgld.checkpoints.recorder import Recorder
from pymc_sgld.types import Point

_log = logging.getLogger("pymc.sgld")

_SECONDS = 20.0  # of a piece: against the milliseconds that a task costs
_FIRST = 4  # draws of the first piece of a chain, while it is not known how long one takes
_GROWTH = 8  # from one piece to the next, at most
_MOST_LOST = 3  # times that a piece is lost in a row, after what the executor itself has tried
_LOOK = 1.0  # seconds between two looks at what is under way
_STRAGGLES = 5.0  # times as long as the pieces of others, after which a piece is run again
_FEWEST_SECONDS = 30.0  # before that
_MOST_TWINS = 5  # of a piece


@dataclass
class ChainUnderWay:
    """A chain, and what has come of it.

    Parameters
    ----------
    number : int
    start : Start
    tune, draws : int
    saved : bytes, optional
        What it goes on from.
    blocks : list of DrawBlock
        Those that are there.
    recorder : Recorder, optional
        Writes them to a folder.
    """

    number: int
    start: Start
    tune: int
    draws: int
    saved: bytes | None = None
    blocks: list[DrawBlock] = field(default_factory=list)
    recorder: Recorder | None = None
    unpack: Callable[[bytes], Any] | None = None
    pace: float | None = None
    rows_asked: dict[int, int] | None = None
    lost: int = 0
    died: str = ""

    @property
    def done(self) -> int:
        """Draws there are, those of the tune phase counted."""
        return self.blocks[-1].stop if self.blocks else 0

    @property
    def whole(self) -> bool:
        """Whether all of its draws are there."""
        return self.done >= self.tune + self.draws

    @property
    def point(self) -> Point:
        """Where it is."""
        return self.blocks[-1].point(self.done - 1) if self.blocks else self.start.point

    def next_piece(self) -> Piece:
        """Return the piece that comes next."""
        wanted = _FIRST
        if self.pace is not None:
            before = self.blocks[-1].stop - self.blocks[-1].first
            wanted = min(int(_SECONDS / max(self.pace, 1e-9)), _GROWTH * before)
        n_draws = max(1, min(wanted, self.tune + self.draws - self.done))
        rng, saved = self.start.rng, self.saved
        return Piece(
            self.number, rng, self.tune, self.draws, self.point, saved, self.done, n_draws,
            self.rows_asked,
        )  # fmt: skip

    def take(self, made: Made) -> None:
        """Take in what came of a piece."""
        self.saved, self.pace, self.lost = made.saved, made.pace, 0
        self.rows_asked = made.rows_asked
        self.blocks.append(made.block)
        if self.recorder is not None and self.unpack is not None:
            self.recorder.add_block(made.block, self.unpack(made.saved))
            if self.recorder.due or self.whole:
                self.recorder.write()


@dataclass
class Task:
    """A piece under way.

    Parameters
    ----------
    chain : ChainUnderWay
    first : int
        Of its draws.
    began : float
    """

    chain: ChainUnderWay
    first: int
    began: float


@dataclass
class Driver:
    """Runs chains until they are whole, or an interrupt.

    Parameters
    ----------
    pieces : DaskPieces or ExecutorPieces
    parcel : Parcel
    chains : sequence of ChainUnderWay
    show : callable
        Told of the draws that came, by chain.
    """

    pieces: DaskPieces | ExecutorPieces
    parcel: Parcel
    chains: Sequence[ChainUnderWay]
    show: Callable[[ChainUnderWay, Made], None]
    tasks: dict["Future[Made | Refused]", Task] = field(default_factory=dict, init=False)
    n_pieces: int = field(default=0, init=False)
    busy: float = field(default=0.0, init=False)  # seconds of work that came back
    waited: float = field(default=0.0, init=False)  # beside it, from sending to coming back
    _longest: float = field(default=0.0, init=False)  # from sending to coming back, of late

    def run(self) -> bool:
        """Run the chains; return whether they were interrupted.

        Raises
        ------
        Exception
            What a chain said of why it cannot be sampled.
        """
        try:
            self.pieces.send(self.parcel)
            for chain in self.chains:
                self._go_on(chain)
            while self.tasks:
                self._look()
        except KeyboardInterrupt:
            return True
        finally:
            for future in self.tasks:
                future.cancel()
            for chain in self.chains:
                if chain.recorder is not None:
                    chain.recorder.write()
            self.pieces.close()
        return False

    def _look(self) -> None:
        """Take in what has come, and see to what has not."""
        done, _ = concurrent.futures.wait(
            self.tasks, _LOOK, return_when=concurrent.futures.FIRST_COMPLETED
        )
        for future in done:
            task = self.tasks.pop(future, None)
            if task is not None:  # else its twin came first
                self._came(future, task)
        self._run_stragglers_again()

    def _came(self, future: "Future[Made | Refused]", task: Task) -> None:
        chain = task.chain
        try:
            made = future.result()
        except (Exception, CancelledError) as error:
            self._lost(chain, error)
            return
        if isinstance(made, Refused):
            made.error.add_note(f"Of chain {chain.number}.")
            raise made.error
        for other in [one for one, of in self.tasks.items() if of.chain is chain]:
            del self.tasks[other]
            other.cancel()
        self.n_pieces += 1
        took = time.monotonic() - task.began
        self.busy, self.waited = self.busy + made.seconds, self.waited + took - made.seconds
        self._longest = max(0.5 * self._longest, took)
        chain.take(made)
        self.show(chain, made)
        if not chain.whole:
            self._go_on(chain)

    def _go_on(self, chain: ChainUnderWay) -> None:
        """Send the next piece of a chain."""
        if chain.whole:
            return
        piece = chain.next_piece()
        try:
            future = self.pieces.submit(piece)
        except Exception as error:  # the executor is gone, and with it all of its workers
            chain.died = _in_words(error)
            return
        self.tasks[future] = Task(chain, piece.first, time.monotonic())

    def _lost(self, chain: ChainUnderWay, error: BaseException) -> None:
        """Run a piece again that was lost with its worker; what it needs may have been, too."""
        if any(task.chain is chain for task in self.tasks.values()):
            return  # its twin is under way
        chain.lost += 1
        _log.warning(
            f"Draws {chain.done} and on of chain {chain.number} were lost: {_in_words(error)}."
        )
        if chain.lost > _MOST_LOST:
            chain.died = f"{_in_words(error)}, {chain.lost} times in a row"
            return
        try:
            self.pieces.send(self.parcel)
        except Exception as gone:
            chain.died = _in_words(gone)
            return
        self._go_on(chain)

    def _run_stragglers_again(self) -> None:
        """Send a piece once more that takes much longer than those of others: the first counts.

        It may come to the worker that is stuck, and is then sent again.
        """
        limit = max(_FEWEST_SECONDS, _STRAGGLES * self._longest)
        latest: dict[int, list[Task]] = {}
        for task in self.tasks.values():
            latest.setdefault(task.chain.number, []).append(task)
        for twins in latest.values():
            waited = time.monotonic() - max(task.began for task in twins)
            if self._longest and waited > limit and len(twins) < _MOST_TWINS:
                _log.info(
                    f"Draws {twins[0].first} and on of chain {twins[0].chain.number} take long, "
                    "and are given to another worker as well."
                )
                self._go_on(twins[0].chain)


def _in_words(error: BaseException) -> str:
    first = (str(error).splitlines() or [""])[0]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__
