"""The problems by name, and what they share.

A problem is a function that builds a plain PyMC model, in the words that a user would choose; no
word of batches, step sizes or modes. The functions are in one file per family.
"""

import os

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pymc as pm

import models

Array = np.ndarray[Any, Any]
REFERENCES = ("importance", "nuts", "nutpie", "grid", "posteriordb", "none")


class MissingData(FileNotFoundError):
    """The data of a problem are not on this machine."""


@dataclass(frozen=True)
class Problem:
    """A model and how its posterior is known.

    Parameters
    ----------
    name : str
    build : callable
        Returns the model.
    reference : str
        Which kind of reference is tried first: see :mod:`models.evidence.references`.
    var_names : tuple of str
        Variables to compare; none: all free ones.
    rewritten : callable, optional
        Returns the same posterior in a form that the reference samples better.
    log_concave : bool
        Whether the bars for log-concave models of 1e4 rows and more apply.
    details : dict
        What the kind of reference needs to know.
    """

    name: str
    build: Callable[[], pm.Model]
    reference: str = "importance"
    var_names: tuple[str, ...] = ()
    rewritten: Callable[[], pm.Model] | None = None
    log_concave: bool = False
    details: dict[str, Any] = field(default_factory=dict)

    def names_in(self, model: pm.Model) -> list[str]:
        """Return the variables to compare."""
        return list(self.var_names) or [variable.name for variable in model.free_RVs]


def data_folder() -> Path:
    """Return the folder of the data: PYMC_SGLD_DATA, else beside the checkout."""
    beside = Path(models.__file__).parents[2] / "shared" / "data"
    return Path(os.environ.get("PYMC_SGLD_DATA", beside))


def load_arrays(file: str) -> dict[str, Array]:
    """Return the arrays of a file of the folder."""
    path = data_folder() / file
    if not path.exists():
        raise MissingData(f"no {file} in {data_folder()}: set PYMC_SGLD_DATA")
    with np.load(path) as arrays:
        return {name: arrays[name] for name in arrays.files}


def standardised(columns: Array) -> Array:
    """Return columns of mean 0 and sd 1."""
    columns = np.asarray(columns, dtype=float)
    return np.asarray((columns - columns.mean(axis=0)) / columns.std(axis=0))


def problems() -> dict[str, Problem]:
    """Return all problems by name."""
    from models.evidence import posteriordb, regressions, structured

    found = [*regressions.PROBLEMS, *structured.PROBLEMS, *posteriordb.PROBLEMS]
    return {problem.name: problem for problem in found}


SLOW = ("logistic-1e6x20", "logistic-1e6x100", "logistic-1e5x100")


def chosen(names: str) -> list[Problem]:
    """Return the problems that a command line names: "all", "quick", or names with commas."""
    known = problems()
    if names == "all":
        return list(known.values())
    if names == "quick":
        return [problem for name, problem in known.items() if name not in SLOW]
    wrong = [name for name in names.split(",") if name not in known]
    if wrong:
        raise ValueError(
            f"There is no problem {', '.join(wrong)}. Choose from {', '.join(known)}, or write "
            '"all" or "quick".'
        )
    return [known[name] for name in names.split(",")]
