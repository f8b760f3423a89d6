"""Writes draws and states of a chain as it runs, every so many seconds."""

import logging
import threading
import time

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from pymc_sgld.checkpoints.chain_folder import ChainFolder, DrawBlock, SavedState
from pymc_sgld.checkpoints.plain_data import NotPlain
from pymc_sgld.checkpoints.running_moments import RunningMoments, RunningSummary
from pymc_sgld.types import Array, Point

_log = logging.getLogger("pymc.sgld")


class Recorder:
    """What a chain has done since it was last written.

    Parameters
    ----------
    folder : ChainFolder
    every : float
        Seconds between two writings.
    written : int
        Draws that are in the folder already.
    tune : int
        Draws of the tune phase of the chain.
    as_written : callable
        Returns, of a point, the variables as the model has them that are no value variables.
    given : mapping of str to object
        What a state names and does not hold.
    """

    def __init__(
        self,
        folder: ChainFolder,
        every: float,
        written: int,
        tune: int,
        as_written: Callable[[Point], dict[str, Array]],
        given: Mapping[str, Any],
    ) -> None:
        self.folder, self.every, self.written = folder, every, written
        self._tune = tune
        self._as_written, self._given = as_written, given
        self._draws: list[tuple[Point, dict[str, Any]]] = []
        self._saved: SavedState | None = None
        self._last = -np.inf  # the first draw is written at once: tuning lies before it
        self._begins = True
        self._busy = threading.RLock()  # whoever sees the run end writes, too

    def add(
        self,
        point: Point,
        statistics: dict[str, Any],
        state: Any,
        moments: RunningSummary | RunningMoments | None = None,
    ) -> None:
        """Take in a draw, and the state and the moments after it.

        The state comes last: an interrupt between the two leaves the draw out.
        """
        with self._busy:
            self._draws.append((point, statistics))
            self._saved = SavedState(self.written + len(self._draws), state, moments)

    def add_block(self, block: DrawBlock, saved: SavedState) -> None:
        """Take in draws that were made elsewhere, and the state after the last."""
        draws = [
            (block.point(number), block.statistics_of(number))
            for number in range(block.first, block.stop)
        ]
        with self._busy:
            self._draws += draws
            self._saved = saved

    @property
    def due(self) -> bool:
        """Whether it is time to write."""
        return time.monotonic() - self._last >= self.every

    def write(self) -> None:
        """Write what is new.

        A disk that is full, or a state that files cannot hold, is said, tried again, and does no
        harm to the chain.
        """
        with self._busy:
            self._write()

    def _write(self) -> None:
        self._last = time.monotonic()
        saved = self._saved
        if saved is None or saved.n_draws == self.written:
            return
        n_new = saved.n_draws - self.written
        try:
            if self._begins:
                self.folder.forget_after(self.written)
                self._begins = False
            self.folder.write_block(self._block(n_new))
            self.folder.write_state(saved, self._given)
        except (OSError, NotPlain) as error:
            _log.warning(
                f"No checkpoint could be written to {self.folder.path}: {error}. The chain goes "
                f"on and it is tried again; the folder has the first {self.written} draws."
            )
            return
        del self._draws[:n_new]
        self.written = saved.n_draws

    def _block(self, n_draws: int) -> DrawBlock:
        points = [point for point, _ in self._draws[:n_draws]]
        return DrawBlock(
            self.written,
            stacked(points),
            stacked([self._as_written(point) for point in points]),
            stacked([statistics for _, statistics in self._draws[:n_draws]]),
            self._tune,
        )


def stacked(rows: list[dict[str, Any]]) -> dict[str, Array]:
    """Return the entries of draws by name, one row a draw."""
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}
