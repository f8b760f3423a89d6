"""Files of results: checked before the work, written aside and renamed, each with its own name."""

import importlib.util
import os
import re

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from xarray import DataTree

from pymc_sgld.validate import check_instance


class OutputError(OSError):
    """Nothing can be written where a result is to go."""


def save_draws(results: dict[str, DataTree], directory: str | Path) -> list[Path]:
    """Write each method's draws as netCDF; see :meth:`Comparison.save`."""
    require("netCDF4", "to write netCDF files")
    folder = folder_at(directory)
    paths = []
    for label, name in zip(results, distinct_names(results), strict=True):
        paths.append(folder / f"{name}.nc")
        with written_aside(paths[-1]) as aside:
            _storable(results[label]).to_netcdf(aside, engine="netcdf4")
    return paths


def require(module: str, purpose: str) -> None:
    """Raise if a module is not installed."""
    if importlib.util.find_spec(module) is None:
        raise ImportError(
            f"{module} is needed {purpose}, and is not installed. "
            'Install it with: pip install "pymc-sgld[models]"'
        )


def folder_at(directory: str | Path) -> Path:
    """Return a folder, made if it was not there.

    Raises
    ------
    OutputError
    """
    folder = check_folder(directory)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def check_folder(directory: str | Path) -> Path:
    """Return the path of a folder that can be written to, or made; make nothing.

    Raises
    ------
    OutputError
    """
    folder = Path(check_instance("directory", directory, str | Path, "a path"))
    above = folder
    while not above.exists() and above != above.parent:
        above = above.parent
    if not above.is_dir():
        raise OutputError(f"{folder} cannot be a folder: {above} is a file. Name another folder.")
    if not os.access(above, os.W_OK | os.X_OK):
        raise OutputError(
            f"Nothing can be written to {folder}: {above} is not writable. Name another folder."
        )
    return folder


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Yield a path to write to, whose file takes the place of ``path`` once it is complete.

    Where writing fails, what was there before is left as it was and nothing new is left behind.

    Raises
    ------
    OutputError
        Where the disk is full, or the place cannot be written to.
    """
    folder_at(path.parent)
    if path.is_dir():
        raise OutputError(f"{path} is a folder: name a file in it.")
    aside = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        yield aside
        os.replace(aside, path)
    except OSError as error:
        raise OutputError(f"{path} could not be written: {error.strerror or error}.") from error
    finally:
        aside.unlink(missing_ok=True)


def file_name(label: str) -> str:
    """Return a label without what file names may not hold."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", label)


def distinct_names(labels: Iterable[str]) -> list[str]:
    """Return a file name for each label, no two of them the same."""
    names: list[str] = []
    for label in labels:
        first = name = file_name(label)
        number = 2
        while name.lower() in map(str.lower, names):  # some file systems know no case
            name, number = f"{first}_{number}", number + 1
        names.append(name)
    return names


def _storable(result: DataTree) -> DataTree:
    """Return the groups without the attributes and statistics that netCDF has no type for."""
    groups = {}
    for name, node in result.children.items():
        dataset = node.to_dataset()
        odd = [key for key, values in dataset.data_vars.items() if values.dtype == object]
        dataset = dataset.drop_vars(odd)
        attrs = {key: _storable_attr(value) for key, value in dataset.attrs.items()}
        dataset.attrs = {key: value for key, value in attrs.items() if value is not None}
        groups[name] = dataset
    return DataTree.from_dict(groups)


def _storable_attr(value: Any) -> Any:
    if isinstance(value, bool | np.bool_):
        return int(value)
    if isinstance(value, list | tuple):
        value = list(value)
        return value if value and all(isinstance(item, str) for item in value) else str(value)
    if isinstance(value, str | int | float | np.number | np.ndarray):
        return value
    return None if value is None else str(value)
