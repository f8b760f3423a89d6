"""Find mixtures whose components can change places: a posterior has a mode for each order."""

from __future__ import annotations

from typing import Any

import pymc as pm

from pymc.distributions.mixture import MixtureRV
from pymc.distributions.transforms import Ordered
from pytensor.graph.traversal import ancestors


def exchangeable_components(model: pm.Model) -> str:
    """Return what to say of mixtures of components of one kind, none of which is ordered, or "".

    Of such a mixture the likelihood is the same in each order of the components; where the priors
    are too, chains settle in different orders and R-hat is far above 1, whatever the sampler.
    """
    ordered = {rv for rv, transform in model.rvs_to_transforms.items() if _orders(transform)}
    for rv in model.observed_RVs:
        n_components = _components_of_one_kind(rv)
        if n_components == 0 or ordered & set(ancestors([rv])):
            continue
        return (
            f"'{rv.name}' is a mixture of {n_components} components of one kind. Where their "
            "priors are the same too, the posterior has a mode for each order of them, and chains "
            "in different ones disagree. Order a parameter of theirs: "
            "transform=pm.distributions.transforms.ordered, with initval in that order."
        )
    return ""


def _orders(transform: Any) -> bool:
    parts = getattr(transform, "transform_list", [transform])
    return any(isinstance(part, Ordered) for part in parts)


def _components_of_one_kind(rv: Any) -> int:
    if not isinstance(rv.owner.op, MixtureRV):
        return 0
    _, weights, *components = rv.owner.inputs
    if len(components) == 1:
        return int(weights.type.shape[-1] or 0)
    kinds = {(type(one.owner.op), getattr(one.owner.op, "name", "")) for one in components}
    return len(components) if len(kinds) == 1 else 0
