"""The folder of a run: its manifest, its arguments, and a folder for each chain."""

import logging
import os
import shutil

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pymc as pm

from filelock import FileLock, Timeout

from pymc_sgld.checkpoints.atomic_files import (
    UNREADABLE,
    read_arrays,
    read_json,
    write_arrays,
    write_json,
)
from pymc_sgld.checkpoints.manifest import (
    FORMAT,
    contents,
    differences,
    differing_majors,
    versions,
)
from pymc_sgld.checkpoints.plain_data import NotPlain, from_plain, to_plain
from pymc_sgld.validate import check_path

_log = logging.getLogger("pymc.sgld")

_DATA = "data"  # the argument that is too large to be stored once more
_MANIFEST, _ARGUMENTS, _LOCK = "manifest.json", "arguments.npz", "lock"
_PATIENCE = 20.0  # seconds for a process that is about to end to let go of a folder


@dataclass
class RunFolder:
    """The folder of a run.

    Parameters
    ----------
    path : Path
    manifest : dict
    """

    path: Path
    manifest: dict[str, Any] = field(default_factory=dict)

    def chain_path(self, key: Sequence[int]) -> Path:
        """Return the folder of the chain with these random numbers."""
        keys = [list(known) for known in self.manifest.get("keys", [])]
        first, second = key
        named = keys.index([first, second]) if [first, second] in keys else None
        return self.path / (
            f"chain-{first:016x}{second:016x}" if named is None else f"chain-{named}"
        )

    def chain_paths(self) -> list[Path]:
        """Return the folders of chains that have begun, in order."""
        return sorted(self.path.glob("chain-*"), key=lambda path: (len(path.name), path.name))

    def write(self) -> None:
        """Write the manifest."""
        write_json(self.path / _MANIFEST, self.manifest)

    def write_arguments(self, arguments: dict[str, Any]) -> None:
        """Write what ``psg.sample`` was called with; what files cannot hold, by its name only."""
        given = {
            name: value
            for name, value in arguments.items()
            if not _is_plain(value) or (name == _DATA and value is not None)
        }
        tree, arrays = to_plain(arguments, given)
        write_arrays(self.path / _ARGUMENTS, arrays, tree)
        self.manifest["given"] = sorted(given)

    def arguments(self, given: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return what ``psg.sample`` was called with; None where ``pm.sample`` runs the chains.

        Parameters
        ----------
        given : mapping of str to object
            Those that are not in the folder.

        Raises
        ------
        TypeError
            Where it is not these that are missing.
        """
        path = self.path / _ARGUMENTS
        if not path.exists():
            return None
        missing = self.manifest["given"]
        if set(missing) != set(given):
            wanted = ", ".join(missing) or "none"
            raise TypeError(
                f"Give again what no file holds, and nothing else of the run: {wanted}; found "
                f"{', '.join(sorted(given)) or 'none'}. A run goes on with what it was begun with."
            )
        arrays, tree = read_arrays(path)
        read: dict[str, Any] = from_plain(tree, arrays, given)
        return read

    def check_same(self, step: Any, model: pm.Model, thin: int) -> None:
        """Refuse another model, other data or settings; warn of other versions."""
        now, before = versions(), self.manifest["versions"]
        current = {**contents(step, model), "thin": thin}
        old = {name: self.manifest[name] for name in current}
        found = differing_majors(before, now) + differences(old, current)
        if found:
            listed = "\n".join(f"- {entry}" for entry in found)
            raise ValueError(
                f"The run in {self.path} cannot be continued, because it was begun with something "
                f"else:\n{listed}\nPass what it was begun with, or begin another run in another "
                "folder."
            )
        other = differences(before, now)
        if other:
            _log.warning(
                f"The run in {self.path} was begun with other versions, and may not continue bit "
                f"for bit: {'; '.join(other)}."
            )


def locked(folder: Path) -> FileLock:
    """Return the lock of a folder, held.

    Raises
    ------
    RuntimeError
        Where another process holds it.
    """
    lock = FileLock(folder / _LOCK)
    try:
        lock.acquire(timeout=_PATIENCE)
    except Timeout:
        raise RuntimeError(
            f"{folder} is being written by another process. Wait until that has ended, or "
            "stop it; two runs cannot share a folder."
        ) from None
    return lock


def holds_run(path: Path) -> bool:
    """Whether a folder holds a run."""
    return (path / _MANIFEST).exists()


def open_folder(path: str | os.PathLike[str]) -> RunFolder:
    """Return the folder of a run that was begun.

    Raises
    ------
    FileNotFoundError
        Where there is none.
    ValueError
        Where its manifest cannot be read, or its files are of another format.
    """
    folder = Path(check_path("path", path))
    if not holds_run(folder):
        raise FileNotFoundError(
            f"{folder} holds no run: there is no {_MANIFEST} in it. A run is begun by "
            f"psg.sample(..., checkpoint={str(path)!r})."
        )
    try:
        manifest = read_json(folder / _MANIFEST)
    except UNREADABLE as error:
        raise ValueError(f"{folder / _MANIFEST} cannot be read: {error}") from error
    if manifest.get("format") != FORMAT:
        raise ValueError(
            f"The run in {folder} has files of format {manifest.get('format')}, and this version "
            f"reads format {FORMAT}. It was written by pymc-sgld "
            f"{manifest.get('versions', {}).get('pymc-sgld')}: continue it with that."
        )
    return RunFolder(folder, manifest)


def check_empty(path: str | os.PathLike[str], overwrite: bool) -> Path:
    """Return a path where a run may begin.

    Raises
    ------
    FileExistsError
        Where there is one already.
    ValueError
        Where there is a file.
    """
    folder = Path(path)
    if holds_run(folder) and not overwrite:
        raise FileExistsError(
            f"{folder} holds a run already. Continue it by psg.resume({str(path)!r}), read it by "
            f"psg.open_run({str(path)!r}), or pass overwrite=True to remove it and begin anew."
        )
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file; checkpoint takes a folder, such as 'run/'.")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def begin_folder(path: Path, step: Any, model: pm.Model, more: dict[str, Any]) -> RunFolder:
    """Remove what run there is in a folder, and begin another."""
    (path / _MANIFEST).unlink(missing_ok=True)
    (path / _ARGUMENTS).unlink(missing_ok=True)
    for chain in path.glob("chain-*"):
        shutil.rmtree(chain)
    about = {
        "format": FORMAT,
        "versions": versions(),
        **contents(step, model),
        **layout_of(step, model),
        **more,
    }
    return RunFolder(path, about)


def layout_of(step: Any, model: pm.Model) -> dict[str, Any]:
    """Return dims and coords of the variables of a model, for JSON."""
    coords = {
        name: [_plain_label(label) for label in labels]
        for name, labels in model.coords.items()
        if labels is not None and name not in step.row_dims
    }
    dims = {
        name: [str(dim) for dim in dims]
        for name, dims in model.named_vars_to_dims.items()
        if all(dim is not None for dim in dims)
    }
    return {"coords": coords, "dims": dims}


def _plain_label(label: Any) -> Any:
    plain = label.item() if isinstance(label, np.generic) else label
    return plain if isinstance(plain, str | int | float | bool) else str(plain)


def _is_plain(value: Any) -> bool:
    try:
        to_plain(value)
    except NotPlain:
        return False
    return True
