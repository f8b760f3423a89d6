"""What a model has besides its density: values that chains are to start at, coordinates."""

from typing import Any

import numpy as np
import pymc as pm
import pytensor

from pymc_sgld.validate import check_one_of, did_you_mean, shown


def check_coordinates(model: pm.Model) -> None:
    """Refuse coordinates that no result can hold: xarray would say so after the last draw."""
    for name, values in model.coords.items():
        for value in values or ():
            if isinstance(value, tuple | list | np.ndarray) and np.ndim(value):
                raise ValueError(
                    f"The coordinate {name!r} has {shown(value)} among its values, which results "
                    "cannot hold: write one text or number for each, such as "
                    f"{', '.join(map(str, value))!r}."
                )


def check_initvals(model: pm.Model, initvals: Any, chains: int | None = None) -> None:
    """Refuse initial values of variables that are not there, or that these cannot have."""
    if initvals is None:
        return
    if not isinstance(initvals, dict) and chains is not None and len(initvals) != chains:
        raise ValueError(
            f"initvals has {len(initvals)} dictionaries for chains={chains}: give one for each "
            "chain, or one dictionary for all."
        )
    given = [initvals] if isinstance(initvals, dict) else [one for one in initvals if one]
    if not given:
        return
    shapes = model.eval_rv_shapes()
    for key, value in ((key, value) for one in given for key, value in one.items()):
        name = str(getattr(key, "name", key))  # PyMC takes the variables themselves, too
        if name not in shapes:
            raise ValueError(
                f"initvals name {name!r}, but the free variables are {', '.join(shapes)}."
                + did_you_mean(name, shapes)
            )
        if isinstance(value, pytensor.graph.basic.Variable):
            continue
        if isinstance(value, str):
            check_one_of(f"initvals of {name!r}, as text,", value, ("support_point", "prior"))
            continue
        _check_initial_value(name, value, tuple(map(int, shapes[name])))
        _check_in_support(model, name, value)


def _check_initial_value(name: str, value: Any, shape: tuple[int, ...]) -> None:
    try:
        numbers = np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        raise TypeError(
            f"initvals of {name!r} must be numbers of shape {shape}, got {shown(value)}."
        ) from None
    if numbers.shape != shape:
        raise ValueError(
            f"initvals of {name!r} have shape {numbers.shape}, but the variable has shape "
            f"{shape}. Pass an array of that shape."
        )
    if not np.isfinite(numbers).all():
        raise ValueError(
            f"initvals of {name!r} hold {numbers[~np.isfinite(numbers)][0]}: pass finite numbers "
            "within the support of the variable, or leave it out."
        )


def _check_in_support(model: pm.Model, name: str, value: Any) -> None:
    """Refuse a value that has no place in unconstrained space."""
    variable = model[name]
    transform, inputs = model.rvs_to_transforms[variable], variable.owner.inputs
    random = set(model.basic_RVs)
    if transform is None or random & set(pytensor.graph.traversal.ancestors(inputs)):
        return  # of bounds that are variables themselves the density at the start decides
    numbers = np.asarray(value, dtype=variable.type.dtype)
    with np.errstate(all="ignore"):
        place = transform.forward(pytensor.tensor.constant(numbers), *inputs)
        place = place.eval(mode="FAST_COMPILE")
    if not np.isfinite(place).all():
        raise ValueError(
            f"initvals of {name!r} are outside of its support: {name} has the distribution "
            f"{variable.owner.op.name or variable.owner.op}, got {shown(value)}. Pass values "
            "inside, or leave it out."
        )
