"""Draws as netCDF files, and names of files."""

import importlib.util
import re

from pathlib import Path
from typing import Any

import numpy as np

from xarray import DataTree


def save_draws(results: dict[str, DataTree], directory: str | Path) -> list[Path]:
    """Write each method's draws as netCDF; see :meth:`Comparison.save`."""
    require("netCDF4", "to write netCDF files")
    folder = folder_at(directory)
    paths = []
    for label, result in results.items():
        paths.append(folder / f"{file_name(label)}.nc")
        _storable(result).to_netcdf(paths[-1], engine="netcdf4")
    return paths


def require(module: str, purpose: str) -> None:
    """Raise if a module is not installed."""
    if importlib.util.find_spec(module) is None:
        raise ImportError(
            f"{module} is needed {purpose}, and is not installed. "
            'Install it with: pip install "pymc-sgld[models]"'
        )


def folder_at(directory: str | Path) -> Path:
    """Return a folder, made if it was not there."""
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def file_name(label: str) -> str:
    """Return a label without what file names may not hold."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", label)


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
