"""ArviZ plots of several methods side by side, laid out to be read, as PNG files."""

import warnings

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import arviz_plots
import numpy as np

from xarray import Dataset, DataTree

MAX_PARAMETERS = 40
COLUMNS = 3
STYLE = {"backend": "matplotlib"}

# Posteriors with a variable for each parameter and no dims but chain and draw.
Flat = Mapping[str, Dataset]


def plot_forest(posteriors: Flat, reference: str, folder: Path) -> list[Path]:
    """Plot intervals of all methods, in standard deviations from the reference's mean."""
    other = posteriors[reference]
    mean, sd = other.mean(), other.std()
    trees = _trees(_pooled({label: (own - mean) / sd for label, own in posteriors.items()}))
    n_rows = len(_first(trees)) * len(trees)
    plot = arviz_plots.plot_forest(
        trees,
        combined=True,
        visuals={"point_estimate": {"size": 12}},
        figure_kwargs={"figsize": (9, 1.5 + 0.22 * n_rows), "layout": "constrained"},
        **STYLE,
    )
    plot.add_legend("model", loc="outside right upper", title="")
    axis = plot.viz["plot"].sel(column="forest").item()
    axis.set_xlabel(f"distance from the mean of {reference}, in its standard deviations")
    axis.axvline(0.0, color="0.8", linewidth=0.8, zorder=0)
    return [_save(plot, folder / "forest.png")]


def plot_densities(posteriors: Flat, folder: Path) -> list[Path]:
    """Plot the marginal densities of all methods over each other."""
    trees = _trees(_pooled(posteriors))
    n_rows = -(-len(_first(trees)) // COLUMNS)
    plot = arviz_plots.plot_dist(
        trees,
        kind="kde",
        col_wrap=COLUMNS,
        visuals={"point_estimate": False, "point_estimate_text": False, "credible_interval": False},
        figure_kwargs={"figsize": (10, 0.5 + 1.9 * n_rows), "layout": "constrained"},
        **STYLE,
    )
    plot.add_legend("model", loc="outside right upper", title="")
    return [_save(plot, folder / "densities.png")]


def plot_trace(posterior: Dataset, path: Path) -> list[Path]:
    """Plot the trace of each parameter, a colour a chain, of one method."""
    tree = _trees({"": posterior})[""]
    n_rows = -(-len(tree["posterior"].data_vars) // COLUMNS)
    plot = arviz_plots.plot_trace(
        tree,
        col_wrap=COLUMNS,
        visuals={"xlabel": False},
        figure_kwargs={"figsize": (13, 0.5 + 1.9 * n_rows), "layout": "constrained"},
        **STYLE,
    )
    return [_save(plot, path)]


def _trees(posteriors: Flat) -> dict[str, DataTree]:
    """Return what ArviZ plots: a picture holds no more than `MAX_PARAMETERS`."""
    trees = {}
    for label, posterior in posteriors.items():
        names = list(posterior.data_vars)
        if len(names) > MAX_PARAMETERS:
            warnings.warn(
                f"The model has {len(names):,} parameters; the plots show the first "
                f"{MAX_PARAMETERS}. Pass var_names to choose.",
                UserWarning,
                stacklevel=4,
            )
        trees[label] = DataTree.from_dict({"posterior": posterior[names[:MAX_PARAMETERS]]})
    return trees


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


def _first(trees: Mapping[str, DataTree]) -> Any:
    return next(iter(trees.values()))["posterior"].data_vars


def _save(plot: Any, path: Path) -> Path:
    import matplotlib.pyplot as plt

    plot.savefig(path, dpi=120)
    plt.close("all")
    return path
