"""The folder in which rows lie in random order, from one run to the next."""

from __future__ import annotations

import atexit
import getpass
import hashlib
import json
import os
import shutil
import tempfile
import uuid

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pymc_sgld.row_sources.errors import RowSourceError
from pymc_sgld.row_sources.in_pieces import fingerprint_of
from pymc_sgld.row_sources.random_order import RandomOrder
from pymc_sgld.row_sources.rows_in_file import Progress
from pymc_sgld.row_sources.shuffle_on_disk import (
    ShuffledFile,
    rows_again,
    shuffled_file,
    size_of_file,
)

_VERSION = 1  # of order and layout: a file of another one is not taken


@dataclass(frozen=True)
class Scratch:
    """Where the files are.

    Parameters
    ----------
    folder : Path
    """

    folder: Path

    @classmethod
    def at(cls, folder: str | Path | None = None) -> Scratch:
        """Return the scratch folder of that path, made if it is not there.

        Parameters
        ----------
        folder : path, optional
            Default: one of this user's among the temporary files.
        """
        given = folder is not None
        path = Path(folder) if folder is not None else _default_folder()
        try:
            path.mkdir(mode=0o777 if given else 0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise RowSourceError(
                f"The folder for rows in random order, {path}, cannot be made ({error}). Give "
                "scratch=<a folder that can be written to>."
            ) from None
        if not os.access(path, os.W_OK) or (not given and path.stat().st_uid != os.getuid()):
            raise RowSourceError(
                f"The folder for rows in random order, {path}, cannot be written to. Give "
                "scratch=<another folder>."
            )
        return cls(path)

    def path_of(self, source: Any, order: RandomOrder) -> Path:
        """Return where a source lies in that order, or would."""
        known = fingerprint_of(source)
        if known is None:
            return self.folder / f"unnamed-{uuid.uuid4().hex}.npy"
        again = rows_again(order.total)
        what = [_VERSION, known, order.total, order.rows_of_bucket, order.seed, again]
        name = hashlib.blake2b(json.dumps(what).encode(), digest_size=16).hexdigest()
        return self.folder / f"rows-{name}.npy"

    def check_space(self, needed: int) -> None:
        """Refuse to write more bytes than are free."""
        free = shutil.disk_usage(self.folder).free
        if needed > free:
            raise RowSourceError(
                f"Rows in random order take {needed / 1e9:.3g} GB in {self.folder}, where "
                f"{free / 1e9:.3g} GB are free. Give scratch=<a folder on another disk>."
            )

    def file_of(
        self, source: Any, order: RandomOrder, path: Path, progress: Progress | None = None
    ) -> ShuffledFile:
        """Return the rows of a source in that order, written where they are not there yet.

        The file of a source that nothing tells from others goes with this process.
        """
        self.check_space(0 if path.exists() else size_of_file(source))
        shuffled = shuffled_file(source, order, path, progress)
        if path.name.startswith("unnamed-"):
            atexit.register(_remove, path, os.getpid())
        return shuffled


def _default_folder() -> Path:
    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):  # a number without a name, as in containers
        user = str(os.getuid())
    return Path(tempfile.gettempdir()) / f"pymc-sgld-rows-{user}"


def _remove(path: Path, process: int) -> None:
    if os.getpid() == process:
        path.unlink(missing_ok=True)
