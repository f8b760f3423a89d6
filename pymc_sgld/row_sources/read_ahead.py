"""The windows of the steps to come, asked of the disk while the steps before them run.

Which windows a step takes is known before it runs: the random numbers belong to steps. So where the
rows are larger than memory the system is told early what will be read, in any order it likes, and
no thread is needed. Draws do not depend on it.
"""

from __future__ import annotations

import os

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from pymc_sgld.row_sources.in_pieces import row_bytes
from pymc_sgld.row_sources.shuffle_on_disk import ShuffledFile
from pymc_sgld.types import Array

_BYTES_AHEAD = 2**26  # of windows that are asked for before they are read
_GAPS = 4  # windows between two that are asked for together
_GROUPS, _GROUP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")  # all control groups, and mine


class Streams(Protocol):
    """What says where the windows of steps to come start."""

    @property
    def key(self) -> object:
        """Names the chain."""

    @property
    def block_length(self) -> int:
        """Steps of a block."""

    def block_of_starts(self, number: int) -> Array:
        """Return the starts of a block of steps, shape (block_length, n_groups)."""


@dataclass
class ReadAhead:
    """What is asked for of the rows on disk.

    Parameters
    ----------
    groups : sequence of sequences of row sources
        The sources of each group.
    batch_sizes : array, shape (n_groups,)
    """

    groups: Sequence[Sequence[object]]
    batch_sizes: Array
    _asked: tuple[object, int] = field(default=(None, 0), init=False, repr=False)
    _larger: bool | None = field(default=None, init=False, repr=False)

    @property
    def files(self) -> list[tuple[int, ShuffledFile]]:
        """The files, each with its group; those whose rows are read whole are left out."""
        return [
            (number, source)
            for number, sources in enumerate(self.groups)
            for source in sources
            if isinstance(source, ShuffledFile)
            and source.path is not None
            and self.batch_sizes[number] < source.total_size
        ]

    @property
    def larger_than_memory(self) -> bool:
        """Whether the files may not stay in memory while they are read."""
        if self._larger is None:
            size = sum(source.total_size * row_bytes(source) for _, source in self.files)
            self._larger = size > 0 and 2 * size > available_memory()
        return self._larger

    def before(self, streams: Streams, step: int) -> None:
        """Ask for the windows of the steps from one on, as far as they are not asked for yet.

        Parameters
        ----------
        streams : Streams
            Of the chain that runs them.
        step : int
            That is run next.
        """
        if not self.larger_than_memory:
            return
        files = self.files
        per_step = sum(int(self.batch_sizes[group]) * row_bytes(file) for group, file in files)
        ahead = max(16, _BYTES_AHEAD // max(1, per_step))
        asked = self._asked[1] if self._asked[0] == streams.key else step
        first = max(step, asked)
        if first > step + ahead // 2:
            return
        length = streams.block_length
        numbers = range(first // length, (step + ahead - 1) // length + 1)
        coming = np.concatenate([streams.block_of_starts(number) for number in numbers])
        coming = coming[first - numbers[0] * length :][: step + ahead - first]
        for group, file in files:
            for first, count in _together(np.sort(coming[:, group]), int(self.batch_sizes[group])):
                file.ask_for(first, count)
        self._asked = (streams.key, step + ahead)

    def __getstate__(self) -> dict[str, object]:
        """Another process has asked for nothing yet."""
        return {**self.__dict__, "_asked": (None, 0), "_larger": None}


def _together(starts: Array, batch: int) -> Iterator[tuple[int, int]]:
    """Yield first row and number of rows of stretches that hold all windows, given in order."""
    breaks = np.flatnonzero(np.diff(starts, prepend=-np.inf) > _GAPS * batch)
    for low, high in zip(breaks, [*breaks[1:], len(starts)], strict=True):
        yield int(starts[low]), int(starts[high - 1] - starts[low]) + batch


def available_memory() -> float:
    """Return the bytes of memory that this process may have, at most."""
    try:
        sizes = [float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))]
    except (ValueError, OSError):
        return float(np.inf)
    for limit in _limits():
        try:
            sizes.append(float(limit.read_text()))
        except (OSError, ValueError):  # none, or "max"
            continue
    return min(sizes)


def _limits() -> Iterator[Path]:
    """Yield where the limits of this process's control group are, and of those it is in."""
    yield from (_GROUPS / "memory/memory.limit_in_bytes", _GROUPS / "memory.max")
    try:
        lines = _GROUP.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        number, kinds, path = line.split(":", 2)
        version = "memory.max" if number == "0" else "memory.limit_in_bytes"
        if number == "0" or "memory" in kinds.split(","):
            top = _GROUPS if number == "0" else _GROUPS / "memory"
            group = top / path.strip("/")
            while group != top:
                yield group / version
                group = group.parent
