"""Files that are there as a whole or not at all: a temporary name, fsync, and a rename."""

import json
import os
import zipfile

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from pymc_sgld.types import Array

TEMPORARY = ".part"
_TREE = "tree"  # of the JSON among the arrays of a file
UNREADABLE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)


def write_json(path: Path, content: Any) -> None:
    """Write JSON."""
    text = json.dumps(content, indent=1, allow_nan=False)
    _write(path, lambda file: file.write(text.encode()))


def read_json(path: Path) -> Any:
    """Read JSON."""
    return json.loads(path.read_text())


def write_arrays(path: Path, arrays: Mapping[str, Array], tree: Any = None) -> None:
    """Write arrays by name, and a tree for JSON beside them, as an ``.npz`` file.

    Raises
    ------
    OSError
        Where the disk does not take it; a file of that name is then left as it was.
    """
    encoded = np.frombuffer(json.dumps(tree, allow_nan=False).encode(), dtype=np.uint8)

    def write(file: BinaryIO) -> None:
        with zipfile.ZipFile(file, "w") as archive:
            for name, array in {_TREE: encoded, **arrays}.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)

    _write(path, write)


def read_arrays(path: Path) -> tuple[dict[str, Array], Any]:
    """Return the arrays of a file, and its tree.

    Raises
    ------
    OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile
        Where the file is not as it was written: its checksums are compared.
    """
    with open(path, "rb") as file, np.load(file, allow_pickle=False) as archive:
        arrays = {name: archive[name] for name in archive.files}
    return arrays, json.loads(arrays.pop(_TREE).tobytes())


def _write(path: Path, write: Callable[[BinaryIO], Any]) -> None:
    temporary = path.with_name(path.name + TEMPORARY)
    with open(temporary, "wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Make a rename last; not on systems where folders cannot be opened."""
    try:
        number = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(number)
    finally:
        os.close(number)
