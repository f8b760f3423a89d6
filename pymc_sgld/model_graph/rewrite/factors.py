"""Read a PyMC model: its log-density as separate factors, before any is split by rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytensor.tensor as pt

from pymc.model import Model
from pytensor.graph.basic import Apply, Constant, Variable
from pytensor.graph.traversal import ancestors, walk
from pytensor.tensor.elemwise import DimShuffle, Elemwise
from pytensor.tensor.shape import Shape, Shape_i
from pytensor.tensor.subtensor import Subtensor

from pymc_sgld.model_graph.rewrite.discrete import refuse_discrete
from pymc_sgld.model_graph.rewrite.errors import RowError
from pymc_sgld.model_graph.rewrite.evaluator import Evaluator
from pymc_sgld.model_graph.rewrite.named_dims import dims_of, lowered
from pymc_sgld.model_graph.rewrite.naming import listed
from pymc_sgld.model_graph.rewrite.private_api import (
    MinibatchOp,
    MinibatchRandomVariable,
    PartialObservedRV,
    transformed_conditional_logp,
)


@dataclass(frozen=True, eq=False)
class Observed:
    """One observed variable: its elementwise log-likelihood and what is known of its rows."""

    name: str
    logp: Variable
    value: Variable
    op_name: str
    dims: tuple[str | None, ...]
    total_size: tuple[int | None, ...] | None
    minibatch: Apply | None


@dataclass(frozen=True, eq=False)
class Factors:
    """The factors of a model's log-density; their sum is ``model.logp()`` without scaling."""

    values: dict[str, Variable]  # free variables, in the space they are given in
    free: tuple[tuple[str, Variable], ...]
    observed: tuple[Observed, ...]
    potentials: tuple[tuple[str, Variable], ...]
    jacobians: tuple[Variable, ...] = ()  # where they were asked to be apart from `free`


def read_factors(
    model: Model, *, transformed: bool = True, jacobian: bool = True, rows: bool = True
) -> Factors:
    """Split a model's log-density into its factors, without any ``total_size`` scaling.

    Parameters
    ----------
    model : pm.Model
    transformed : bool, default True
        In the unconstrained space of the value variables and with Jacobians; else in the
        space of the variables themselves, as a posterior holds them, and without potentials.
    jacobian : bool, default True
        Whether `free` holds the Jacobians of the transforms, or `jacobians` does.
    rows : bool, default True
        Refuse a model that has neither observed variables nor potentials.

    Raises
    ------
    RowError
        If the model has nothing to minibatch or free variables that are discrete.
    """
    if transformed:
        _check_supported(model, rows)
    for rv in model.basic_RVs:
        _refuse_length_as_number(rv)
    inner = {rv: _unwrapped(rv) for rv in model.basic_RVs}
    values = {inner[rv]: model.rvs_to_values[rv] for rv in model.basic_RVs}
    transforms = {inner.get(rv, rv): transform for rv, transform in model.rvs_to_transforms.items()}
    if not transformed:
        values |= {inner[rv]: rv.type(name=rv.name) for rv in model.free_RVs}
        transforms = {}
    logps = transformed_conditional_logp(
        list(values), rvs_to_values=values, rvs_to_transforms=transforms, jacobian=jacobian
    )
    apart = [] if jacobian else _jacobians(logps, values, transforms)
    dims = dict(zip(model.basic_RVs, map(dims_of, logps), strict=True))
    kept = model.potentials if transformed else []
    potentials = model.replace_rvs_by_values(kept) if kept else []
    plain = lowered([_as_tensor(var) for var in [*logps, *potentials, *apart]])
    by_rv = dict(zip(model.basic_RVs, plain[: len(logps)], strict=True))
    potentials = plain[len(logps) : len(plain) - len(apart)]
    return Factors(
        values={rv.name: values[inner[rv]] for rv in model.free_RVs},
        free=tuple((rv.name, by_rv[rv]) for rv in model.free_RVs),
        observed=tuple(
            _observed(model, rv, inner[rv], by_rv[rv], dims[rv]) for rv in model.observed_RVs
        ),
        potentials=tuple((p.name, q) for p, q in zip(kept, potentials, strict=True)),
        jacobians=tuple(plain[len(plain) - len(apart) :]),
    )


def _jacobians(
    logps: list[Variable], values: dict[Variable, Variable], transforms: dict[Variable, Any]
) -> list[Variable]:
    """Return what the transforms add to log-densities that were made without their Jacobians."""
    both = transformed_conditional_logp(
        list(values), rvs_to_values=values, rvs_to_transforms=transforms, jacobian=True
    )
    return [
        whole - part
        for rv, whole, part in zip(values, both, logps, strict=True)
        if transforms.get(rv) is not None
    ]


def _check_supported(model: Model, rows: bool) -> None:
    if rows and not model.observed_RVs and not model.potentials:
        raise RowError(
            "Nothing to minibatch: the model has no observed variable. Give the likelihood "
            "observed=..., or use pm.sample() for a model without data."
        )
    missing = [
        v.name.removesuffix("_unobserved")
        for v in model.free_RVs
        if v.name.endswith("_unobserved") and v.dtype not in ("float64", "float32")
    ]
    if missing:
        raise RowError(
            f"{listed(missing)} has missing values to impute, but is discrete and has no gradient. "
            "Drop the rows with missing values, or use pm.sample(), which combines NUTS with "
            "discrete steps."
        )
    refuse_discrete(model)
    if not model.free_RVs:
        raise RowError(
            "Nothing to sample: the model has no free variable. Add priors for the parameters."
        )


def _unwrapped(rv: Variable) -> Variable:
    is_scaled = rv.owner is not None and isinstance(rv.owner.op, MinibatchRandomVariable)
    return rv.owner.inputs[0] if is_scaled else rv


def _as_tensor(var: Variable) -> Variable:
    return pt.as_tensor(var, allow_xtensor_conversion=True)


def _observed(
    model: Model, rv: Variable, inner: Variable, logp: Variable, named: tuple[str, ...] | None
) -> Observed:
    total_size: tuple[int | None, ...] | None = None
    if inner is not rv:
        given = rv.owner.inputs[1:]
        total_size = tuple(
            None if t.type.__class__.__name__ == "NoneTypeT" else _number(t) for t in given
        )
    dims = named or model.named_vars_to_dims.get(rv.name, ())
    partly = isinstance(inner.owner.op, PartialObservedRV)
    return Observed(
        name=rv.name,
        logp=logp,
        # With named dimensions the order of the axes is that of the log-density; partly
        # observed vectors have one log-density each, but a flat value.
        value=logp if named or partly else model.rvs_to_values[rv],
        op_name=type(inner.owner.op).__name__,
        dims=tuple(dims),
        total_size=total_size,
        minibatch=minibatch_of(rv.name, logp),
    )


def _number(var: Variable) -> int:
    return int(var.data) if isinstance(var, Constant) else int(np.asarray(var.eval()))


def minibatch_of(name: str, logp: Variable) -> Apply | None:
    """Return the `pm.Minibatch` node a log-likelihood is written on, if any."""
    nodes = minibatch_nodes([logp])
    n_calls = len({draw_of(node) for node in nodes})
    if n_calls > 1:
        raise RowError(
            f"Cannot minibatch '{name}': its data come from {n_calls} separate pm.Minibatch "
            "calls, which draw different rows. Write one call: "
            "X, y = pm.Minibatch(X, y, batch_size=...)."
        )
    return nodes[0] if nodes else None


def draw_of(node: Apply) -> Variable:
    """Return what identifies a `pm.Minibatch` call: its random generator.

    The log-likelihood graph may hold several copies of one call's node.
    """
    return node.inputs[-1]


def minibatch_nodes(variables: list[Variable]) -> list[Apply]:
    """Return the `pm.Minibatch` nodes whose values (not only shapes) enter expressions."""

    def expand(var: Variable) -> Any:
        node = var.owner
        return None if node is None or isinstance(node.op, Shape | Shape_i) else node.inputs

    found = [
        v.owner
        for v in walk(variables, expand)
        if v.owner is not None and isinstance(v.owner.op, MinibatchOp)
    ]
    return list(dict.fromkeys(found))


def _refuse_length_as_number(rv: Variable) -> None:
    """Refuse arithmetic on ``x.shape[0]`` of a `pm.Minibatch`: it is not the number of rows.

    Must be seen here: the log-probability rewrites of PyMC turn it into a plain constant.
    """
    for var in ancestors([rv]):
        node = var.owner
        if node is None or not isinstance(node.op, Elemwise):
            continue
        if any(_is_batch_length(x) for x in node.inputs):
            raise RowError(
                f"Cannot minibatch '{rv.name}': the length of a pm.Minibatch enters as a number "
                "(x.shape[0], or a mean over the rows of the batch); it is not the number of rows. "
                "Compute it beforehand from the full data."
            )


def _is_batch_length(var: Variable) -> bool:
    """Whether a variable is the first entry of the shape of minibatch rows."""
    while var.owner is not None and isinstance(var.owner.op, DimShuffle):
        var = var.owner.inputs[0]
    node = var.owner
    if node is None or not isinstance(node.op, Subtensor) or var.type.ndim != 0:
        return False
    shape, *position = node.inputs
    first = all(isinstance(p, Constant) and p.data == 0 for p in position)
    while shape.owner is not None and isinstance(shape.owner.op, Elemwise):
        shape = shape.owner.inputs[0]
    if not first or shape.owner is None or not isinstance(shape.owner.op, Shape):
        return False
    return bool(minibatch_nodes([shape.owner.inputs[0]]))


def uses_minibatch(model: Model) -> bool:
    """Whether a model is written on `pm.Minibatch`."""
    graphs = [*model.basic_RVs, *model.potentials, *model.rvs_to_values.values()]
    return any(
        v.owner is not None and isinstance(v.owner.op, MinibatchOp) for v in ancestors(graphs)
    )


def minibatch_length(node: Apply, evaluator: Evaluator) -> tuple[int, int]:
    """Return (batch size, number of rows of the source) of a `pm.Minibatch` node."""
    batch = node.outputs[0].type.shape[0]
    return int(batch), evaluator.length(node.inputs[0], 0)
