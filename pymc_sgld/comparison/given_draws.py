"""Whether draws that were made elsewhere belong to a model, and to each other."""

from collections.abc import Mapping, Sequence

import numpy as np
import pymc as pm

from xarray import DataTree

from pymc_sgld.model_graph import RowError
from pymc_sgld.posterior import posterior_of
from pymc_sgld.posterior.draws import check_draws_of


def check_draws_of_model(label: str, result: DataTree, model: pm.Model | None) -> None:
    """Raise where draws cannot be from a model: by its variables, their shapes, their coords.

    Parameters
    ----------
    label : str
        What the draws are called in messages.
    result : DataTree
    model : pm.Model or None
        None: only that there are draws.
    """
    try:
        posterior = posterior_of(result)
        if model is None:
            return
        check_draws_of(model, posterior)
    except RowError as error:
        raise ValueError(f"samplers[{label!r}]: {error}") from None
    for name in (var.name for var in model.free_RVs):
        for dim in model.named_vars_to_dims.get(name, ()) or ():
            labels = model.coords.get(dim)
            if dim not in posterior[name].coords or labels is None:
                continue
            if not np.array_equal(posterior[name].coords[dim].to_numpy(), np.asarray(labels)):
                raise ValueError(
                    f"samplers[{label!r}] are draws of another model or other data: the coords of "
                    f"{dim!r} are {_few(posterior[name].coords[dim].to_numpy())} in them and "
                    f"{_few(np.asarray(labels))} in the model."
                )


def check_coords_agree(
    results: Mapping[str, DataTree], var_names: Sequence[str], reference: str
) -> None:
    """Raise where a variable of some result has other dims or coords than the reference's."""
    other = posterior_of(results[reference])
    for label, result in results.items():
        own = posterior_of(result)
        for name in var_names:
            for dim in other[name].dims[2:]:
                if dim not in own[name].dims:
                    raise ValueError(
                        f"{name!r} has the dims {own[name].dims[2:]} in {label!r}, and "
                        f"{other[name].dims[2:]} in {reference!r}. Compare draws of one model."
                    )
                pair = own[name][dim].to_numpy(), other[name][dim].to_numpy()
                if set(pair[0].tolist()) != set(pair[1].tolist()):
                    raise ValueError(
                        f"The coords of {dim!r} differ: {_few(pair[0])} in {label!r} and "
                        f"{_few(pair[1])} in {reference!r}. They come from different models or "
                        "data; name variables that agree in var_names, or rename the coords."
                    )


def _few(labels: np.ndarray) -> str:
    shown = ", ".join(map(str, labels[:4]))
    return f"[{shown}{', ...' if len(labels) > 4 else ''}] ({len(labels)})"
