"""Discrete free variables: refused, with the sum over their values in the user's own names."""

from __future__ import annotations

from pymc import Model
from pytensor.graph.basic import Variable
from pytensor.graph.traversal import ancestors

from pymc_sgld.model_graph.rewrite.errors import RowError
from pymc_sgld.model_graph.rewrite.naming import listed
from pymc_sgld.model_graph.rewrite.private_api import RandomVariable

_CONTINUOUS = ("float64", "float32")


def refuse_discrete(model: Model) -> None:
    """Refuse free variables that have no gradient, and print what sums them out.

    Raises
    ------
    RowError
    """
    discrete = [v for v in model.free_RVs if v.dtype not in _CONTINUOUS]
    if not discrete:
        return
    names = listed([v.name for v in discrete])
    written = [line for variable in discrete for line in _mixtures(model, variable)]
    sums = f" Or write the sum over its values: {'; '.join(written)}." if written else ""
    raise RowError(
        f"Cannot take gradients with respect to {names}: discrete free variables have no "
        f"gradient. Marginalise them with pymc_extras.marginalize(model, [{names}]), or use "
        f"pm.sample(), which combines NUTS with discrete steps.{sums}"
    )


def _mixtures(model: Model, variable: Variable) -> list[str]:
    """Return a line for each observed variable that depends on one of few values by row."""
    weights = _weights(model, variable)
    shapes = model.eval_rv_shapes()
    if weights is None or not shapes[variable.name]:
        return []
    [probabilities, values] = weights
    lines = []
    for observed in model.observed_RVs:
        by_row = shapes[variable.name] == model.rvs_to_values[observed].eval().shape
        if not by_row or variable not in ancestors([observed]):
            continue
        kind = _distribution(observed)
        dims = model.named_vars_to_dims.get(observed.name)
        size = f", dims={dims!r}" if dims else ""
        lines.append(
            f'pm.Mixture("{observed.name}", w={probabilities}, comp_dists=[pm.{kind}.dist(...) '
            f"for {variable.name} in {values}], observed=...{size}), with the parameters of "
            f"'{observed.name}' at each value of '{variable.name}' for the dots"
        )
    return lines


def _weights(model: Model, variable: Variable) -> tuple[str, str] | None:
    """Return what has the probabilities of the values, and these, as one would write them."""
    if variable.owner is None or not isinstance(variable.owner.op, RandomVariable):
        return None
    name, [p, *_] = variable.owner.op.name, variable.owner.op.dist_params(variable.owner) or [None]
    if p is None:
        return None
    behind = [one.name for one in ancestors([p]) if model.named_vars.get(one.name) is one]
    own = behind[0] if len(behind) == 1 else f"(probabilities of {variable.name})"
    if name == "bernoulli":
        return f"pm.math.stack([1 - {own}, {own}], axis=-1)", "(0, 1)"
    if name == "categorical":
        number = p.type.shape[-1]
        return own, f"range({number if number is not None else f'len({own})'})"
    return None


def _distribution(observed: Variable) -> str:
    """Return the name of a distribution, as PyMC has it."""
    op = observed.owner.op if observed.owner is not None else None
    printed = getattr(op, "_print_name", None)
    return printed[0] if printed else type(op).__name__.removesuffix("RV")
