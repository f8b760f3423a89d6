"""The model that a function is about: the one that is passed, or that of the context."""

from __future__ import annotations

from typing import Any

import pymc as pm

from pymc_sgld.validate import check_instance


def chosen_model(model: Any = None) -> pm.Model:
    """Return the model that was passed, or else the one on the context stack.

    Raises
    ------
    TypeError
        If what was passed is no `pm.Model`, or nothing was and there is none on the stack.
    """
    if model is None:
        model = pm.Model.get_context(error_if_none=False)
        if model is None:
            raise TypeError(
                "There is no model: pass model=..., or call this inside of `with model:`."
            )
    found: pm.Model = check_instance(
        "model", model, pm.Model, "a pm.Model", hint="Pass the model itself, as model=..."
    )
    return found
