"""ArviZ plots of several methods side by side, laid out to be read, on any of its backends."""

import importlib.util
import io
import warnings

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import arviz_plots
import numpy as np

from xarray import Dataset, DataTree

from pymc_sgld.comparison.error_over_time import plot_error_over_time
from pymc_sgld.comparison.files import distinct_names, file_name, written_aside
from pymc_sgld.comparison.parameters import is_chain
from pymc_sgld.comparison.phase_plots import COLUMNS, layout, plot_noise_phases, plot_trace, title
from pymc_sgld.validate import check_one_of

MAX_PARAMETERS = 40
BACKENDS = ("matplotlib", "plotly", "bokeh", "none")

# Posteriors with a variable for each parameter and no dims but chain and draw.
Flat = Mapping[str, Dataset]


AGREEMENT, CHAINS, SIMULATED = "Agreement", "Chains and noise", "Simulated data"
_DOTS_PER_INCH = 110


@dataclass(frozen=True)
class Figure:
    """A plot with the words that go with it."""

    name: str  # of the file, without its ending
    title: str
    caption: str
    plot: Any  # arviz_plots.PlotCollection
    part: str = AGREEMENT

    @cached_property
    def png(self) -> bytes:
        """The picture as matplotlib draws it: once, for the report and for the file."""
        stream = io.BytesIO()
        self.plot.viz["figure"].item().savefig(stream, format="png", dpi=_DOTS_PER_INCH)
        return stream.getvalue()


def all_figures(
    flat: Flat, results: Mapping[str, DataTree], reference: str, backend: str
) -> list[Figure]:
    """Return every plot that the draws allow; see `Comparison.figures`."""
    check_one_of("backend", backend, BACKENDS)
    if backend != "none" and importlib.util.find_spec(backend) is None:
        raise ImportError(
            f"backend={backend!r} is not installed. Install it, with pip install {backend}, or "
            "leave backend out for matplotlib."
        )
    over_time = plot_error_over_time(flat, results, reference, backend)
    flat = _first_parameters(flat)
    found = [_forest(flat, reference, backend), _densities(flat, backend)]
    if len(flat) > 1:
        found.append(_ecdf_difference(flat, reference, backend))
    if over_time is not None:
        found.append(Figure("error_over_time", TIME_TITLE, TIME_CAPTION, over_time))
    for label, posterior in flat.items():
        if is_chain(posterior):
            if posterior.sizes["chain"] > 1:
                found.append(_rank(label, posterior, backend))
            found.append(_trace(label, posterior, results[label], backend))
    noise = plot_noise_phases(results, backend)
    if noise is not None:
        found.append(Figure("noise_phases", NOISE_TITLE, NOISE_CAPTION, noise, CHAINS))
    found += _predictive(results, backend)
    return found


def save_figures(figures: list[Figure], folder: Path) -> list[Path]:
    """Write figures into a folder, and close them."""
    paths = []
    names = distinct_names(figure.name for figure in figures)
    for figure, name in zip(figures, names, strict=True):
        drawn = figure.plot.backend == "matplotlib"
        paths.append(folder / f"{name}.{'png' if drawn else 'html'}")
        with written_aside(paths[-1]) as aside:
            if drawn:
                aside.write_bytes(figure.png)
            else:
                figure.plot.savefig(aside)
    close(figures)
    return paths


def close(figures: list[Figure]) -> None:
    """Let go of the memory of figures that matplotlib keeps."""
    for figure in figures:
        if figure.plot.backend == "matplotlib":
            import matplotlib.pyplot as plt

            plt.close(figure.plot.viz["figure"].item())


def _legend(plot: Any, dim: str) -> None:
    options = {"loc": "outside right upper"} if plot.backend == "matplotlib" else {}
    if plot.backend != "none":
        plot.add_legend(dim, title="", **options)


def _forest(flat: Flat, reference: str, backend: str) -> Figure:
    other = flat[reference]
    mean, sd = other.mean(), other.std()
    trees = _trees(_pooled({label: (own - mean) / sd for label, own in flat.items()}))
    n_rows = len(other.data_vars) * len(trees)
    plot = arviz_plots.plot_forest(
        trees,
        combined=True,
        visuals={"point_estimate": {"size": 12}},
        figure_kwargs=layout(backend, 9, 1.5 + 0.22 * n_rows),
        backend=backend,
    )
    _legend(plot, "model")
    if backend == "matplotlib":
        axis = plot.viz["plot"].sel(column="forest").item()
        axis.set_xlabel(f"distance from the mean of {reference}, in its standard deviations")
        axis.axvline(0.0, color="0.8", linewidth=0.8, zorder=0)
    caption = (
        f"Each parameter as its distance from the mean of {reference}, in the standard deviations "
        f"of {reference}: point estimates, 50 % and 89 % intervals. A method that agrees lies on "
        f"the intervals of {reference}."
    )
    return Figure("forest", "Intervals", caption, plot)


def _densities(flat: Flat, backend: str) -> Figure:
    trees = _trees(_pooled(flat))
    n_rows = -(-len(next(iter(flat.values())).data_vars) // COLUMNS)
    plot = arviz_plots.plot_dist(
        trees,
        kind="kde",
        col_wrap=COLUMNS,
        visuals={"point_estimate": False, "point_estimate_text": False, "credible_interval": False},
        figure_kwargs=layout(backend, 10, 0.5 + 1.9 * n_rows),
        backend=backend,
    )
    _legend(plot, "model")
    caption = "Marginal density of every parameter under each method. Curves should coincide."
    return Figure("densities", "Densities", caption, plot)


def _ecdf_difference(flat: Flat, reference: str, backend: str) -> Figure:
    """Plot the distribution of each method's draws within the reference's own."""
    ranks = {}
    for name, values in flat[reference].items():
        ordered = np.sort(values.to_numpy().ravel())
        below = [
            np.searchsorted(ordered, own[name].to_numpy().ravel()) / len(ordered)
            for label, own in _pooled(flat).items()
            if label != reference
        ]
        ranks[str(name)] = (("sampler", "draw"), np.array(below))
    others = [label for label in flat if label != reference]
    points = np.linspace(0, 1, 201)
    curves = {
        name: (
            ("sampler", "plot_axis", "point"),
            [[points, (one[:, None] <= points).mean(axis=0) - points] for one in values],
        )
        for name, (_, values) in ranks.items()
    }
    data = Dataset(curves, coords={"sampler": others, "plot_axis": ["x", "y"]})
    n_rows = -(-len(curves) // COLUMNS)
    plot = arviz_plots.PlotCollection.wrap(
        data,
        cols=["__variable__"],
        col_wrap=COLUMNS,
        aes={"color": ["sampler"]},
        color=[f"C{list(flat).index(label) % 10}" for label in others],  # as in other plots
        backend=backend,
        figure_kwargs=layout(backend, 10, 0.5 + 1.9 * n_rows) | {"sharex": True, "sharey": True},
    )
    plot.map(arviz_plots.visuals.line_xy, "difference")
    title(plot)
    arviz_plots.add_lines(plot, 0, orientation="horizontal", visuals={"ref_text": False})
    _legend(plot, "sampler")
    caption = (
        f"Difference of the distribution functions, method minus {reference}, over the quantiles "
        f"of {reference} (0 to 1 from left to right). Zero everywhere is agreement; a wave that is "
        "first above and then below zero is a method that is too wide, the opposite one that is "
        "too narrow; a single arch is a shift."
    )
    return Figure("ecdf_difference", "Difference of distribution functions", caption, plot)


def _rank(label: str, posterior: Dataset, backend: str) -> Figure:
    n_rows = -(-len(posterior.data_vars) // COLUMNS)
    plot = arviz_plots.plot_rank(
        DataTree.from_dict({"posterior": posterior}),
        col_wrap=COLUMNS,
        figure_kwargs=layout(backend, 10, 0.5 + 1.9 * n_rows),
        backend=backend,
    )
    caption = (
        f"Ranks of the draws of each chain of {label} among those of all its chains, as the "
        "difference of their distribution function from a uniform one. Chains that agree stay "
        "near zero; points that make the chains differ significantly are marked."
    )
    return Figure(
        f"rank_{file_name(label)}", f"Ranks of the chains of {label}", caption, plot, CHAINS
    )


def _trace(label: str, posterior: Dataset, result: DataTree, backend: str) -> Figure:
    plot, has_tuning = plot_trace(posterior, result, backend)
    caption = f"The draws of {label} in the order of time, a colour for each chain."
    if has_tuning:
        caption += " The shaded phase, with negative numbers, is tuning; its draws are not used."
    return Figure(f"trace_{file_name(label)}", f"Trace of {label}", caption, plot, CHAINS)


TIME_TITLE = "Error over time"
TIME_CAPTION = (
    "Root mean square, over all parameters, of the distance of the mean of the draws so far from "
    "that of the reference, in the reference's sds, over the seconds since the method began. A "
    "line is level from where the method had ended. It does not fall below the Monte Carlo error "
    "of the reference."
)
NOISE_TITLE = "Noise of the batches"
NOISE_CAPTION = (
    "Variance of what a step adds to the fastest direction: by the noise that is injected on "
    "purpose, and by that of the batches, over the steps of a chain (Welling and Teh 2011, figure "
    "2). Where the noise of batches lies well below the injected one, draws are from the "
    "posterior; where it does not, they are too wide, unless the sampler takes it into account."
)


def _predictive(results: Mapping[str, DataTree], backend: str) -> list[Figure]:
    found = []
    for label, result in results.items():
        if "posterior_predictive" not in result or not result["observed_data"].data_vars:
            continue
        names = list(result["observed_data"].data_vars)
        few = _few_rows(result, names)
        binary = [n for n in names if np.isin(few["observed_data"][n], (0, 1)).all()]
        others = [n for n in names if n not in binary]
        for kind, chosen in (("", others), ("calibration_", binary)):
            if chosen:
                plot, caption = _of_data(few, chosen, label, backend, bool(kind))
                name = f"predictive_{kind}{file_name(label)}"
                found.append(Figure(name, f"Predictions of {label}", caption, plot, SIMULATED))
    return found


def _of_data(
    few: DataTree, names: list[str], label: str, backend: str, binary: bool
) -> tuple[Any, str]:
    """Plot predictions against data: yes or no by calibration, others by distribution."""
    options = {
        "var_names": names,
        "figure_kwargs": layout(backend, 4.5 * len(names) + 1, 3.3),
        "backend": backend,
    }
    if binary:
        plot = arviz_plots.plot_ppc_pava(few, data_type="binary", **options)
        return plot, (
            f"Share of ones in the data against the probability predicted from draws of {label}. A "
            "calibrated model lies on the diagonal; where it does not the model does not "
            "describe the data, whatever the sampler."
        )
    return arviz_plots.plot_ppc_dist(few, kind="ecdf", **options), (
        f"Distribution function of the data (dark) and of data simulated from draws of {label} "
        "(light). Where they part the model does not describe the data, whatever the sampler."
    )


def _few_rows(result: DataTree, names: list[str], most: int = 5_000) -> DataTree:
    """Return predictions and data of evenly spaced rows: a curve cannot show more."""
    groups = {}
    for group in ("posterior_predictive", "observed_data"):
        dataset = result[group].to_dataset()[names]
        for dim in set(dataset.dims) - {"chain", "draw"}:
            kept = np.linspace(0, dataset.sizes[dim] - 1, min(most, dataset.sizes[dim]))
            dataset = dataset.isel({dim: kept.astype(int)})
        groups[group] = dataset
    return DataTree.from_dict(groups)


def _first_parameters(flat: Flat) -> Flat:
    """Keep what a picture can hold."""
    names = list(next(iter(flat.values())).data_vars)
    if len(names) > MAX_PARAMETERS:
        warnings.warn(
            f"The model has {len(names):,} parameters; the plots show the first "
            f"{MAX_PARAMETERS}. Pass var_names to choose.",
            UserWarning,
            stacklevel=4,
        )
    return {label: own[names[:MAX_PARAMETERS]] for label, own in flat.items()}


def _trees(posteriors: Flat) -> dict[str, DataTree]:
    return {label: DataTree.from_dict({"posterior": own}) for label, own in posteriors.items()}


def _pooled(posteriors: Flat) -> dict[str, Dataset]:
    """Lay each method's chains end to end and thin to one number of draws, as ArviZ needs."""
    n_draws = min(own.sizes["chain"] * own.sizes["draw"] for own in posteriors.values())
    pooled = {}
    for label, own in posteriors.items():
        stacked = own.drop_vars(["chain", "draw"], errors="ignore")
        stacked = stacked.stack(sample=("chain", "draw"), create_index=False)
        kept = np.linspace(0, stacked.sizes["sample"] - 1, n_draws).astype(int)
        thinned = stacked.isel(sample=kept).rename(sample="draw")
        pooled[label] = thinned.assign_coords(draw=np.arange(n_draws)).expand_dims(chain=[0])
    return pooled
