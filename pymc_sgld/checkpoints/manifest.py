"""What a run was begun with, and in what another differs from it."""

import hashlib
import platform

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
import pymc as pm

from pymc_sgld.model_graph.fingerprint import fingerprint, fingerprint_of_rows

FORMAT = 1  # of the files of a run; another is refused
_PACKAGES = ("pymc-sgld", "pymc", "pytensor", "numpy", "scipy", "numba", "jax")
_MOST_SHOWN = 60  # letters of a value in a message


def contents(step: Any, model: pm.Model) -> dict[str, Any]:
    """Return what a run is continued with only if it is the same.

    Parameters
    ----------
    step : StochasticGradientStep
    model : pm.Model
    """
    density, data = fingerprint(model)
    elsewhere = _rows_of(step, set(data.values()))
    return {
        "sampler": step.name,
        "settings": described(_made_of(step)),
        "density": density,
        "data": data | elsewhere,
    }


def versions() -> dict[str, str]:
    """Return versions of packages, of Python, and the kind of machine."""
    found = {"python": platform.python_version(), "machine": platform.machine()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return in words in what contents differ, by entry."""
    old, new = dict(_flat(before)), dict(_flat(now))
    found = []
    for name in [*old, *(name for name in new if name not in old)]:
        if old.get(name, _ABSENT) != new.get(name, _ABSENT):
            found.append(f"{name}: {_shown(old, name)} in the run, {_shown(new, name)} now")
    return found


def differing_majors(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Return in words which packages have another major version; of 0.x, the minor one counts."""
    return [
        f"version of {name}: {before[name]} in the run, {now.get(name)} now"
        for name in before
        if name in _PACKAGES and _major(before[name]) != _major(now.get(name, ""))
    ]


def described(value: Any) -> Any:
    """Return an object for JSON, to be compared and not to be read back: of arrays a hash."""
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float | np.generic):
        return repr(value.item() if isinstance(value, np.generic) else value)
    if isinstance(value, np.ndarray):
        content = hashlib.blake2b(np.ascontiguousarray(value).tobytes(), digest_size=16)
        return f"{value.shape} {value.dtype} {content.hexdigest()}"
    if isinstance(value, Mapping):
        return {str(key): described(part) for key, part in value.items()}
    if hasattr(value, "_asdict"):
        return described(value._asdict())
    if isinstance(value, list | tuple):
        return [described(part) for part in value]
    name = getattr(value, "__qualname__", type(value).__qualname__)
    if is_dataclass(value):
        own = {field.name: described(getattr(value, field.name)) for field in fields(value)}
        return {"": name, **own}
    return name


class _Absent:
    """Stands for an entry that is not there."""


_ABSENT = _Absent()


def _made_of(step: Any) -> dict[str, Any]:
    """Return what a chain of a step method is made of, whatever has chosen it."""
    chain = step.chain
    return {
        **{field.name: getattr(chain.settings, field.name) for field in fields(chain.settings)},
        "batch_sizes": [int(size) for size in chain.batches.batch_sizes],
        "batches": chain.batches.scheme.name,
        "dtype": chain.block_function.dtype,
        "moves": chain.moves is not None,
    }


def _rows_of(step: Any, in_model: set[str]) -> dict[str, str]:
    """Return fingerprints of the rows that batches are taken from and that the model has not."""
    function = step.chain.block_function
    hashes = {
        f"rows {number + 1} of {len(function.arrays)}": fingerprint_of_rows(array)
        for number, array in enumerate(function.arrays)
    }
    return {name: content for name, content in hashes.items() if content not in in_model}


def _flat(tree: Any, name: str = "") -> list[tuple[str, Any]]:
    if not isinstance(tree, Mapping):
        return [(name, tree)]
    return [
        entry
        for key, part in tree.items()
        for entry in _flat(part, f"{name}.{key}".strip(".") if key else name)
    ]


def _shown(entries: Mapping[str, Any], name: str) -> str:
    if name not in entries:
        return "not there"
    text = str(entries[name])
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."


def _major(number: str) -> tuple[str, ...]:
    parts = number.split(".")
    return tuple(parts[:2] if parts[0] == "0" else parts[:1])
