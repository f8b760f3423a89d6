"""Plots over the time of a run: traces with tuning marked, and the noise of batches."""

from collections.abc import Mapping
from typing import Any

import arviz_plots
import numpy as np

from arviz_base.labels import BaseLabeller
from xarray import Dataset, DataTree, concat

from pymc_sgld import records
from pymc_sgld.comparison.parameters import flat_posterior, is_chain

COLUMNS = 3
INJECTED, OF_BATCHES = "injected", "of the batches"
_MOST_POINTS = 500


def plot_trace(posterior: Dataset, result: DataTree, backend: str) -> tuple[Any, bool]:
    """Plot the trace of each parameter, the draws of tuning before 0.

    Parameters
    ----------
    posterior : Dataset
        With a variable for each parameter.
    result : DataTree
        May have the group ``warmup_posterior``.
    backend : str

    Returns
    -------
    PlotCollection
    has_tuning : bool
    """
    shown = posterior.assign_coords(draw=np.arange(posterior.sizes["draw"]))
    n_tune = 0
    if "warmup_posterior" in result:
        n_tune = result["warmup_posterior"].sizes.get("draw", 0)
    if n_tune:
        tuning = _flat_tuning(result, list(posterior.data_vars))
        tuning = tuning.assign_coords(draw=np.arange(-n_tune, 0), chain=shown["chain"])
        shown = concat([tuning, shown], dim="draw", join="override")
    n_rows = -(-len(shown.data_vars) // COLUMNS)
    plot = arviz_plots.plot_trace(
        DataTree.from_dict({"posterior": shown}),
        col_wrap=COLUMNS,
        visuals={"xlabel": False},
        figure_kwargs=layout(backend, 13, 0.5 + 1.9 * n_rows),
        backend=backend,
    )
    if n_tune:
        arviz_plots.add_bands(plot, [(-n_tune, 0)], orientation="vertical")
    return plot, bool(n_tune)


def _flat_tuning(result: DataTree, labels: list[Any]) -> Dataset:
    tuning = DataTree.from_dict({"posterior": result["warmup_posterior"].to_dataset()})
    names = [str(name) for name in tuning["posterior"].data_vars]
    names = [name for name in names if _shown(name, labels)]
    return flat_posterior(tuning, names)[labels]


def _shown(name: str, labels: list[Any]) -> bool:
    return any(label == name or str(label).startswith(f"{name}[") for label in labels)


def noise_variances(result: DataTree) -> Dataset | None:
    r"""Return the variances of injected noise and of the batches' noise, over the draws.

    The injected noise of a step has variance :math:`2 h T`, and that of the batches
    :math:`h^2 v = 2 h T \alpha` in the direction where it is largest, with the statistic
    ``gradient_noise_ratio`` :math:`\alpha`. Means over the chains.

    Returns
    -------
    Dataset or None
        ``variance`` with dims ``noise`` and ``draw``, tuning before 0; None where the ratio was not
        recorded or means something else: without gradient noise, injected noise, or with momentum.
    """
    if not is_chain(result["posterior"]) or "sample_stats" not in result:
        return None
    groups = [result[name] for name in ("warmup_sample_stats", "sample_stats") if name in result]
    if any(records.GRADIENT_NOISE_RATIO not in group for group in groups):
        return None
    stats = [group.to_dataset() for group in groups]
    sizes = [one.sizes["draw"] for one in stats]
    step, temperature, ratio = (
        np.concatenate([one[name].to_numpy() for one in stats], axis=1)
        for name in (records.STEP_SIZE, records.TEMPERATURE, records.GRADIENT_NOISE_RATIO)
    )
    ratio = np.where(np.isfinite(ratio), ratio, np.nan)
    known = np.isfinite(ratio).any(axis=0)
    if not (known.any() and np.nanmax(ratio) > 0):
        return None
    injected = (2 * step * temperature).mean(axis=0)
    batches = np.full_like(injected, np.nan)
    batches[known] = injected[known] * np.nanmean(ratio[:, known], axis=0)
    first = -sizes[0] if len(sizes) > 1 else 0
    draws = np.arange(len(injected)) + first
    return Dataset(
        {"variance": (("noise", "draw"), np.array([injected, batches]))},
        coords={"noise": [INJECTED, OF_BATCHES], "draw": draws},
    )


def plot_noise_phases(results: Mapping[str, DataTree], backend: str) -> Any:
    """Plot injected noise and that of the batches over time, a panel for each sampler that has it.

    Returns
    -------
    PlotCollection or None
        None if there is no such sampler.

    References
    ----------
    .. [1] Welling, M. and Teh, Y. W. (2011). Bayesian learning via stochastic gradient Langevin
       dynamics. ICML, figure 2. https://dl.acm.org/doi/10.5555/3104482.3104568
    """
    found = {label: noise_variances(result) for label, result in results.items()}
    curves = {label: _curve(one) for label, one in found.items() if one is not None}
    if not curves:
        return None
    data = Dataset(curves, coords={"noise": [INJECTED, OF_BATCHES], "plot_axis": ["x", "y"]})
    columns = min(COLUMNS, len(curves))
    plot = arviz_plots.PlotCollection.wrap(
        data,
        cols=["__variable__"],
        col_wrap=columns,
        aes={"color": ["noise"]},
        backend=backend,
        figure_kwargs=layout(backend, 1.5 + 3.5 * columns, 0.5 + 2.4 * -(-len(curves) // columns)),
    )
    plot.map(arviz_plots.visuals.line_xy, "variance")
    plot.map(arviz_plots.visuals.set_yscale, "scale", scale="log", ignore_aes="all")
    title(plot)
    plot.map(arviz_plots.visuals.labelled_x, "xlabel", text="draw", ignore_aes="all")
    plot.map(arviz_plots.visuals.labelled_y, "ylabel", text="variance of a step", ignore_aes="all")
    if backend != "none":
        options = {"loc": "outside right upper"} if backend == "matplotlib" else {}
        plot.add_legend("noise", title="noise", **options)
    return plot


def _curve(variances: Dataset) -> tuple[tuple[str, ...], Any]:
    """Return x and y of both lines, all of one length."""
    n_draws = variances.sizes["draw"]
    kept = np.linspace(0, n_draws - 1, _MOST_POINTS).astype(int)
    values = variances["variance"].to_numpy()[:, kept]
    draws = variances["draw"].to_numpy()[kept].astype(float)
    return ("noise", "plot_axis", "point"), np.stack([np.tile(draws, (2, 1)), values], axis=1)


def title(plot: Any) -> None:
    """Write the name of its variable over each panel."""
    options = {"labeller": BaseLabeller(), "subset_info": True, "ignore_aes": "all"}
    plot.map(arviz_plots.visuals.labelled_title, "title", **options)


def layout(backend: str, width: float, height: float) -> dict[str, Any]:
    """Return the options of a figure of a size in inches."""
    options: dict[str, Any] = {"figsize": (width, height), "figsize_units": "inches"}
    if backend == "matplotlib":
        options["layout"] = "constrained"
    return options
