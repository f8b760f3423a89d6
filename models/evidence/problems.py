"""The problems by name, and what they share.

A problem is a function that builds a plain PyMC model, in the words that a user would choose; no
word of batches, step sizes or modes. The functions are in one file per family.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pymc as pm

REFERENCES = ("importance", "nuts", "nutpie", "grid", "posteriordb", "exact", "none")


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
    sampling : dict
        Arguments of `psg.sample` that are the matter of the problem; none: as it is with none.
    """

    name: str
    build: Callable[[], pm.Model]
    reference: str = "importance"
    var_names: tuple[str, ...] = ()
    rewritten: Callable[[], pm.Model] | None = None
    log_concave: bool = False
    details: dict[str, Any] = field(default_factory=dict)
    sampling: dict[str, Any] = field(default_factory=dict)

    def names_in(self, model: pm.Model) -> list[str]:
        """Return the variables to compare."""
        return list(self.var_names) or [variable.name for variable in model.free_RVs]


def problems() -> dict[str, Problem]:
    """Return all problems by name."""
    from models.evidence import hierarchies, latents, posteriordb, real, regressions, structured

    of_families = (regressions, structured, posteriordb, hierarchies, real, latents)
    found = [problem for family in of_families for problem in family.PROBLEMS]
    return {problem.name: problem for problem in found}


SLOW = ("logistic-1e6x20", "logistic-1e6x100", "logistic-1e5x100")


def chosen(names: str) -> list[Problem]:
    """Return the problems that a command line names, or those of one of the words for several."""
    known = problems()
    if names == "all":
        return list(known.values())
    from models.evidence import hierarchies, latents, real

    families = {
        "hierarchies": hierarchies.PROBLEMS,
        "real": real.PROBLEMS,
        "latents": latents.PROBLEMS,
    }
    if names in families:
        return families[names]
    if names == "quick":
        apart = {problem.name for family in families.values() for problem in family} | {*SLOW}
        return [problem for name, problem in known.items() if name not in apart]
    wrong = [name for name in names.split(",") if name not in known]
    if wrong:
        raise ValueError(
            f"There is no problem {', '.join(wrong)}. Choose from {', '.join(known)}, or write "
            '"all", "quick", "hierarchies", "real" or "latents".'
        )
    return [known[name] for name in names.split(",")]
