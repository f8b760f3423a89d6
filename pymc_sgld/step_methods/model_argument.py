"""The model of a step method: looked at before PyMC does, and sampled by whom it is named for."""

from typing import Any

from pymc.step_methods.compound import Competence

from pymc_sgld.model_graph.context import chosen_model


class ChecksModel:
    """A step method whose model is a `pm.Model`, given or on the context stack."""

    def __new__(cls, *args: Any, model: Any = None, **arguments: Any) -> Any:
        """Refuse what is no model; PyMC's own step methods look into it right away."""
        chosen: Any = chosen_model(model)
        return super().__new__(cls, *args, model=chosen, **arguments)  # type: ignore[call-arg]

    @staticmethod
    def competence(var: Any, has_grad: bool = False) -> Competence:
        """Be chosen for no model: whoever wants this sampler names it."""
        return Competence.INCOMPATIBLE
