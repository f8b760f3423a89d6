"""Rows in random order where a worker is: the file that is shared, or a copy of its own."""

import time

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock

from pymc_sgld.model_graph.fingerprint import fingerprint_of_rows
from pymc_sgld.row_sources import RowSourceError, Scratch, ShuffledFile, row_bytes

_LARGE = 2**28  # bytes of files, of which the pages that were read are let go
_SECONDS_HELD = 1.0


@dataclass
class PagesHeld:
    """Lets pages of files go every second: Dask ends workers by all that is mapped.

    Parameters
    ----------
    arrays : sequence
    """

    arrays: Sequence[Any]
    _last: float = field(default_factory=time.monotonic, init=False, repr=False)

    def look(self) -> None:
        """Let go, where it is time."""
        if time.monotonic() - self._last > _SECONDS_HELD:
            self.let_go()

    def let_go(self) -> None:
        """Let go of what was read."""
        self._last = time.monotonic()
        files = [one for one in self.arrays if isinstance(one, ShuffledFile)]
        if sum(len(one) * row_bytes(one) for one in files) >= _LARGE:
            for file in files:
                file.let_go()


def contents_of(arrays: Sequence[Any]) -> dict[int, str]:
    """Return hashes of the rows that lie in scratch files, by their number among the arrays."""
    return {
        number: fingerprint_of_rows(array)
        for number, array in enumerate(arrays)
        if isinstance(array, ShuffledFile) and array.path is not None
    }


def find_rows(arrays: Sequence[Any], contents: dict[int, str]) -> None:
    """See that the rows are there; write those that are not from their source.

    Parameters
    ----------
    arrays : sequence
    contents : dict of int to str
        Hashes of the rows where the run was begun.

    Raises
    ------
    RowSourceError
        Where they neither lie here nor can be made here, or come out as others.
    """
    for number, content in contents.items():
        file = arrays[number]
        if not file.is_there:
            file.take(_copied(file))
            if fingerprint_of_rows(file) != content:
                raise RowSourceError(
                    f"The rows that were written to {file.path} are not those of the run: the "
                    f"source there is another. {_WHAT_TO_DO}"
                )


_WHAT_TO_DO = (
    "Put the source, or the scratch folder (scratch='/shared/rows'), where all workers see it."
)


def _copied(file: ShuffledFile) -> ShuffledFile:
    """Write rows to the scratch folder of this machine; once, for all of its processes."""
    if file.made_of is None:
        raise RowSourceError(
            f"There is no {file.path} (or not the whole of it), and rows that are in no file of "
            f"their own cannot be written once more. {_WHAT_TO_DO}"
        )
    source, order = file.made_of
    try:
        scratch = Scratch.at()
        path = scratch.path_of(source, order)
        with FileLock(f"{path}.lock"):
            return scratch.file_of(source, order, path)
    except OSError as error:
        raise RowSourceError(
            f"There is no {Path(str(file.path))} (or not the whole of it), and no copy could be "
            f"made: {error}. {_WHAT_TO_DO}"
        ) from error
