"""How far each method is from the reference after so many seconds."""

from collections.abc import Mapping
from typing import Any

import arviz_plots
import numpy as np

from xarray import Dataset, DataTree

from pymc_sgld import records
from pymc_sgld.comparison.parameters import is_chain
from pymc_sgld.comparison.phase_plots import layout
from pymc_sgld.types import Array

_POINTS = 60  # of a line
_FIRST = 2  # draws of a chain


def errors_over_time(
    flat: Mapping[str, Dataset], results: Mapping[str, DataTree], reference: str
) -> dict[str, tuple[Array, Array]]:
    r"""Return seconds since a method began, and the error of its means by then.

    The error is the root mean square over all parameters of the distance from the reference's mean,
    in its sds. Of chains it is that of the first k draws of each; draws are taken to come evenly
    over the seconds of drawing, after those of compiling and tuning. A method without chains has
    the error of all its draws from the end of its fit on.

    Parameters
    ----------
    flat : mapping of str to Dataset
        A variable for each parameter, by label of the method.
    results : mapping of str to DataTree
    reference : str
        Is left out.

    Returns
    -------
    dict of str to (array, array)
        Of the methods that say how long they took.
    """
    mean, sd = flat[reference].mean(), flat[reference].std()
    found = {}
    for label, own in flat.items():
        attrs = results[label]["posterior"].attrs
        if label == reference or any(name not in attrs for name in records.PHASES):
            continue
        compiling, tuning, drawing = (float(attrs[name]) for name in records.PHASES)
        before = compiling + tuning
        apart = ((own - mean) / sd).to_array().transpose("variable", "chain", "draw").to_numpy()
        n_draws = apart.shape[2]
        if is_chain(own):
            kept = np.unique(np.geomspace(min(_FIRST, n_draws), n_draws, _POINTS).astype(int))
            means = np.cumsum(apart.mean(axis=1), axis=1)[:, kept - 1] / kept
            seconds = before + drawing * kept / n_draws
        else:
            means = np.repeat(apart.mean(axis=(1, 2))[:, None], 2, axis=1)
            seconds = np.array([before, before + drawing])
        found[label] = seconds, np.sqrt(np.mean(means**2, axis=0))
    return found


def plot_error_over_time(
    flat: Mapping[str, Dataset], results: Mapping[str, DataTree], reference: str, backend: str
) -> Any:
    """Plot :func:`errors_over_time`, both axes logarithmic.

    Returns
    -------
    PlotCollection or None
        None if no method but the reference says how long it took.
    """
    curves = errors_over_time(flat, results, reference)
    if not curves:
        return None
    last = max(seconds[-1] for seconds, _ in curves.values())
    lines = np.array([_line(*curve, last) for curve in curves.values()])
    data = Dataset(
        {"error": (("method", "plot_axis", "point"), lines)},
        coords={"method": list(curves), "plot_axis": ["x", "y"]},
    )
    plot = arviz_plots.PlotCollection.wrap(
        data,
        cols=["__variable__"],
        aes={"color": ["method"]},
        backend=backend,
        figure_kwargs=layout(backend, 7, 4),
    )
    plot.map(arviz_plots.visuals.line_xy, "line")
    for scale in (arviz_plots.visuals.set_xscale, arviz_plots.visuals.set_yscale):
        plot.map(scale, scale.__name__, scale="log", ignore_aes="all")
    words = {"x": "seconds, compiling and tuning included", "y": f"error of means, {reference} sds"}
    plot.map(arviz_plots.visuals.labelled_x, "xlabel", text=words["x"], ignore_aes="all")
    plot.map(arviz_plots.visuals.labelled_y, "ylabel", text=words["y"], ignore_aes="all")
    if backend != "none":
        options = {"loc": "outside right upper"} if backend == "matplotlib" else {}
        plot.add_legend("method", title="", **options)
    return plot


def _line(seconds: Array, errors: Array, last: float) -> Array:
    """Return a line of as many points as all have, level from its end to the last of all."""
    seconds, errors = np.append(seconds, last), np.append(errors, errors[-1])
    padding = _POINTS + 2 - len(seconds)
    return np.stack([np.pad(one, (0, padding), mode="edge") for one in (seconds, errors)])
