"""The folder of one chain: blocks of draws, and the last two states it can be continued from."""

import logging

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pymc_sgld.checkpoints.atomic_files import (
    TEMPORARY,
    UNREADABLE,
    read_arrays,
    write_arrays,
)
from pymc_sgld.checkpoints.plain_data import UnknownClass, from_plain, to_plain
from pymc_sgld.checkpoints.running_moments import RunningMoments, RunningSummary
from pymc_sgld.types import Array, Point

_log = logging.getLogger("pymc.sgld")

_DIGITS = 12  # of a draw's number in the name of a file
_STATES_KEPT = 2
_KINDS = ("values", "posterior", "statistics")


@dataclass(frozen=True)
class DrawBlock:
    """Draws that follow each other, those of the tune phase included.

    Parameters
    ----------
    first : int
        Number of the first.
    values : dict of array, shape (n, ...)
        The value variables: PyMC's points.
    posterior : dict of array, shape (n, ...)
        Variables as they are written, where they are not value variables.
    statistics : dict of array, shape (n,)
    tune : int
        Draws of the tune phase of the chain.
    """

    first: int
    values: dict[str, Array]
    posterior: dict[str, Array]
    statistics: dict[str, Array]
    tune: int

    @property
    def stop(self) -> int:
        """Number of the draw that comes after the last."""
        return self.first + len(next(iter(self.values.values())))

    def point(self, number: int) -> Point:
        """Return the values of a draw by its number."""
        place = number - self.first
        return {name: np.array(array[place]) for name, array in self.values.items()}

    def statistics_of(self, number: int) -> dict[str, Any]:
        """Return the statistics of a draw by its number."""
        place = number - self.first
        return {name: array[place].item() for name, array in self.statistics.items()}


class SavedState(NamedTuple):
    """A state, and the draws that came before it."""

    n_draws: int
    state: Any
    moments: RunningSummary | RunningMoments | None = None  # of all draws, where not all are stored


class ChainFolder:
    """Reads and writes the folder of a chain.

    Parameters
    ----------
    path : Path
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def n_draws(self) -> int:
        """Draws that follow each other from the first on, by the names of the files."""
        blocks = self.blocks()
        return blocks[-1][1] if blocks else 0

    def write_block(self, block: DrawBlock) -> None:
        """Add draws."""
        names: dict[str, Any] = {"tune": block.tune}
        arrays = {}
        for kind in _KINDS:
            names[kind] = list(getattr(block, kind))
            for place, array in enumerate(getattr(block, kind).values()):
                arrays[f"{kind}_{place}"] = array
        write_arrays(self._block_path(block.first, block.stop), arrays, names)

    def write_state(self, saved: SavedState, given: Mapping[str, Any]) -> None:
        """Add a state; only after the draws before it."""
        tree, arrays = to_plain((saved.state, saved.moments), given)
        content = {"n_draws": saved.n_draws, "state": tree}
        write_arrays(self._state_path(saved.n_draws), arrays, content)
        for number in self._states()[:-_STATES_KEPT]:
            self._state_path(number).unlink(missing_ok=True)

    def last_state(self, given: Mapping[str, Any]) -> SavedState | None:
        """Return the last state that can be read, with all draws before it; None without one.

        Whatever cannot be read is named in a warning.

        Raises
        ------
        UnknownClass
            Where another version has written the state.
        """
        readable = self._readable_until()
        for number in reversed(self._states()):
            path = self._state_path(number)
            if number > readable:
                _log.warning(
                    f"{path} is passed over: of its {number} draws {readable} can be read."
                )
                continue
            try:
                arrays, content = read_arrays(path)
            except UNREADABLE as error:
                _log.warning(f"{path} cannot be read and is passed over: {error}")
                continue
            try:
                state, moments = from_plain(content["state"], arrays, given)
            except UnknownClass as error:
                raise UnknownClass(f"{path} was written by another version. {error}") from error
            return SavedState(number, state, moments)
        return None

    def last_moments(self) -> RunningSummary | RunningMoments | None:
        """Return the moments beside the last state; None where there are none.

        The state itself is not read, as it may name what only its step method has.
        """
        for number in reversed(self._states()):
            try:
                arrays, content = read_arrays(self._state_path(number))
            except UNREADABLE:
                continue
            moments: RunningSummary | RunningMoments | None = from_plain(
                content["state"]["tuple"][1], arrays
            )
            return moments
        return None

    def blocks(self, until: int | None = None) -> list[tuple[int, int]]:
        """Return first and stop of blocks that follow each other from the first draw on."""
        found: list[tuple[int, int]] = []
        stop = 0
        there = self._blocks()
        while True:
            ends = [
                end for first, end in there if first == stop and (until is None or end <= until)
            ]
            if not ends:
                return found
            found.append((stop, max(ends)))
            stop = max(ends)

    def read_block(self, first: int, stop: int) -> DrawBlock:
        """Return a block of draws."""
        arrays, names = read_arrays(self._block_path(first, stop))
        kinds = {
            kind: {name: arrays[f"{kind}_{place}"] for place, name in enumerate(names[kind])}
            for kind in _KINDS
        }
        block = DrawBlock(first, **kinds, tune=names["tune"])
        if block.stop != stop:
            raise ValueError(f"{block.stop - first} draws, not {stop - first}")
        return block

    def readable_blocks(self) -> list[DrawBlock]:
        """Return all blocks that follow each other and can be read."""
        found = []
        for first, stop in self.blocks():
            try:
                found.append(self.read_block(first, stop))
            except UNREADABLE:
                break
        return found

    def forget_after(self, n_draws: int) -> None:
        """Remove what was written beyond a draw, which is not continued, and unfinished files."""
        for first, stop in self._blocks():
            if stop > n_draws:
                self._block_path(first, stop).unlink()
        for number in self._states():
            if number > n_draws:
                self._state_path(number).unlink()
        for path in self.path.glob(f"*{TEMPORARY}"):
            path.unlink()

    def _readable_until(self) -> int:
        """Return how many draws can be read, from the first on."""
        until = 0
        for first, stop in self.blocks():
            try:
                self.read_block(first, stop)
            except UNREADABLE as error:
                path = self._block_path(first, stop)
                _log.warning(f"{path} cannot be read, and with it no later draw: {error}")
                break
            until = stop
        return until

    def _states(self) -> list[int]:
        return sorted(number for (number,) in self._numbers("state", 1))

    def _blocks(self) -> list[tuple[int, ...]]:
        return sorted(self._numbers("draws", 2))

    def _numbers(self, kind: str, count: int) -> list[tuple[int, ...]]:
        """Return the numbers in the names of files of a kind."""
        found = []
        for path in self.path.glob(f"{kind}-*.npz"):
            parts: Sequence[str] = path.stem.split("-")[1:]
            if len(parts) == count and all(part.isdigit() for part in parts):
                found.append(tuple(map(int, parts)))
        return found

    def _state_path(self, n_draws: int) -> Path:
        return self.path / f"state-{n_draws:0{_DIGITS}}.npz"

    def _block_path(self, first: int, stop: int) -> Path:
        return self.path / f"draws-{first:0{_DIGITS}}-{stop:0{_DIGITS}}.npz"
