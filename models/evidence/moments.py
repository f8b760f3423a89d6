"""Means and standard deviations with their Monte Carlo errors."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import arviz as az
import numpy as np
import xarray as xr

from models._datasets import Array
from pymc_sgld.comparison.files import written_aside


class Moments(NamedTuple):
    """Of each parameter, as the user sees it: label, mean, sd, and the errors of both."""

    labels: list[str]
    mean: Array
    sd: Array
    mean_error: Array  # standard errors
    sd_error: Array
    how: str  # where they come from
    seconds: float = 0.0

    @property
    def variables(self) -> list[str]:
        """The variables that the labels are entries of."""
        return list(dict.fromkeys(label.split("[")[0] for label in self.labels))

    def save(self, path: Path) -> None:
        """Write to an npz file."""
        arrays: dict[str, Any] = {name: np.asarray(one) for name, one in self._asdict().items()}
        with written_aside(path) as aside:
            np.savez(aside, **arrays)

    @classmethod
    def load(cls, path: Path) -> "Moments":
        """Read what :meth:`save` wrote."""
        with np.load(path) as arrays:
            found = {name: arrays[name] for name in arrays.files}
        found["labels"] = [str(label) for label in found["labels"]]
        found["how"], found["seconds"] = str(found["how"]), float(found["seconds"])
        return cls(**found)


def labels_of(name: str, shape: Sequence[int]) -> list[str]:
    """Return ``name[0]``, ``name[1]``, ...; the name alone of a scalar."""
    return [
        name + (f"[{', '.join(map(str, index))}]" if index else "") for index in np.ndindex(*shape)
    ]


def columns_of(posterior: xr.Dataset, names: Sequence[str]) -> tuple[list[str], Array]:
    """Return labels, and draws of shape (n_chains, n_draws, n_parameters)."""
    labels, draws = [], []
    for name in names:
        values = posterior[name].transpose("chain", "draw", ...).to_numpy()
        labels += labels_of(name, values.shape[2:])
        draws.append(values.reshape(*values.shape[:2], -1))
    return labels, np.concatenate(draws, axis=2)


def by_parameter(draws: Array, statistic: str, **options: str) -> Array:
    """Return what ArviZ says of each parameter, one after the other."""
    function = getattr(az, statistic)
    each = [function(draws[..., j], **options) for j in range(draws.shape[2])]
    return np.array(each, dtype=float)


def moments_of(posterior: xr.Dataset, names: Sequence[str], how: str) -> Moments:
    """Return the moments of draws."""
    labels, draws = columns_of(posterior, names)
    return Moments(
        labels,
        draws.mean(axis=(0, 1)),
        draws.std(axis=(0, 1)),
        by_parameter(draws, "mcse", method="mean"),
        by_parameter(draws, "mcse", method="sd"),
        how,
    )
