"""The model of a step method: looked at before PyMC does, and sampled by whom it is named for."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from pymc.step_methods.compound import Competence
from pytensor.graph.basic import Variable

from pymc_sgld.model_graph.context import chosen_model
from pymc_sgld.validate import check_flag, check_instance, check_seed


def _check_variables(variables: Any) -> None:
    """Refuse what are no variables, nor names of some."""
    if variables is None:
        return
    several = isinstance(variables, list | tuple) or np.ndim(variables) == 1
    for one in variables if several else [variables]:
        allowed = "variables of the model, or left out: all continuous ones move together"
        check_instance("vars", one, Variable | str, allowed)
    if several and not len(variables):
        raise ValueError("vars is empty. Leave it out: all continuous variables move together.")


class ChecksModel:
    """A step method whose model is a `pm.Model`, given or on the context stack."""

    def __new__(cls, *args: Any, model: Any = None, **arguments: Any) -> Any:
        """Refuse what is no model, and what PyMC's own step methods look into right away."""
        _check_variables(args[0] if args else arguments.get("vars"))
        check_flag("blocked", arguments.get("blocked", True))
        check_seed("rng", arguments.get("rng"))
        point = arguments.get("initial_point")
        if point is not None:
            check_instance("initial_point", point, Mapping, "a dictionary of values by name")
        chosen: Any = chosen_model(model)
        if not chosen.free_RVs:
            raise ValueError(
                "The model has no free variables: there is nothing to sample. Leave out observed= "
                "of those that are not data."
            )
        return super().__new__(cls, *args, model=chosen, **arguments)  # type: ignore[call-arg]

    @staticmethod
    def competence(var: Any, has_grad: bool = False) -> Competence:
        """Be chosen for no model: whoever wants this sampler names it."""
        return Competence.INCOMPATIBLE
