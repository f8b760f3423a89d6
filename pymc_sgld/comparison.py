"""Several samplers on one model: a table of times and errors, plots, and the draws as files."""

import importlib.util
import re

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import arviz as az
import numpy as np
import pandas as pd
import pymc as pm

from arviz_base import xarray_sel_iter
from arviz_base.labels import BaseLabeller
from pymc.model import modelcontext
from rich import box
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text
from xarray import Dataset, DataTree

from pymc_sgld.comparison_plots import plot_densities, plot_forest, plot_trace
from pymc_sgld.outside_samplers import OUTSIDE, PHASES
from pymc_sgld.presets import REGISTRY
from pymc_sgld.sampling import sample
from pymc_sgld.validate import check_integer, check_one_of

# A row of the printed table: the column of `Comparison.table`, its wording, its format.
ROWS = (
    ("compile_seconds", "compile, seconds", "{:.1f}"),
    ("tune_seconds", "tune, seconds", "{:.1f}"),
    ("draw_seconds", "draw, seconds", "{:.1f}"),
    ("total_seconds", "total, seconds", "{:.1f}"),
    ("draws", "draws, all chains", "{:,.0f}"),
    ("ess_bulk", "smallest bulk ESS", "{:,.0f}"),
    ("ess_per_second", "ESS per second (tune + draw)", "{:.1f}"),
    ("r_hat", "largest R-hat", "{:.3f}"),
    ("mean_gap", "largest |mean - {reference} mean| in {reference} sds", "{:.2f}"),
    ("sd_ratio_min", "smallest sd ratio to {reference}", "{:.2f}"),
    ("sd_ratio_max", "largest sd ratio to {reference}", "{:.2f}"),
)


@dataclass(frozen=True)
class Comparison:
    """What :func:`compare` found.

    Parameters
    ----------
    results : dict of str to DataTree
        The draws of each method, as ArviZ takes them.
    table : DataFrame
        One row a method. Columns ``compile_seconds``, ``tune_seconds``, ``draw_seconds``,
        ``total_seconds``, ``draws`` (of all chains), ``ess_bulk`` (smallest), ``ess_per_second``
        (of tune and draw together), ``r_hat`` (largest), ``mean_gap`` (largest distance of a mean
        from the reference's, in the reference's standard deviations), ``sd_ratio_min``,
        ``sd_ratio_max``, and the parameter where each of the last three stands
        (``mean_gap_at``, ...). NaN where a figure is not defined or was not recorded.
    reference : str
        The label of the method that the others are measured against.
    var_names : tuple of str
        The variables compared.
    notes : tuple of str
        What has to be known to read the table.
    """

    results: dict[str, DataTree]
    table: pd.DataFrame
    reference: str
    var_names: tuple[str, ...]
    notes: tuple[str, ...] = field(default=())

    def render(self) -> Table:
        """Return the figures as a rich table, one column a method."""
        table = Table(box=box.SIMPLE_HEAD, title=f"Compared with {self.reference}")
        table.add_column("")
        for label in self.table.index:
            table.add_column(label, justify="right")
        for column, wording, form in ROWS:
            cells = [_cell(form, value) for value in self.table[column]]
            table.add_row(wording.format(reference=self.reference), *cells)
        return table

    def __rich__(self) -> Group:
        """Return the table and the notes, as ``rich.print`` shows them."""
        return Group(self.render(), *(Text(f"- {note}") for note in self.notes))

    def print(self, console: Console | None = None) -> None:
        """Print the table and the notes."""
        (console or Console()).print(self)

    def save(self, directory: str | Path) -> list[Path]:
        """Write each method's draws as netCDF; ``xarray.open_datatree`` reads them.

        Statistics that netCDF has no type for, such as messages, are left out.
        """
        _require("netCDF4", "to write netCDF files")
        folder = _folder(directory)
        paths = []
        for label, result in self.results.items():
            paths.append(folder / f"{_file_name(label)}.nc")
            _storable(result).to_netcdf(paths[-1], engine="netcdf4")
        return paths

    def plot(self, directory: str | Path) -> list[Path]:
        """Write ArviZ plots as PNG: a forest, the densities, and the traces of each chain method.

        The forest shows each parameter as its distance from the reference's mean, in the
        reference's standard deviations: a method that agrees lies on the reference's intervals.
        """
        _require("matplotlib", "to plot")
        folder = _folder(directory)
        flat = {label: self._flat(label) for label in self.results}
        paths = plot_forest(flat, self.reference, folder) + plot_densities(flat, folder)
        for label, result in self.results.items():
            if _is_chain(result["posterior"]):
                paths += plot_trace(flat[label], folder / f"trace_{_file_name(label)}.png")
        return paths

    def _flat(self, label: str) -> Dataset:
        """Return the posterior with a variable for each parameter, named as in the table."""
        posterior = self.results[label]["posterior"].to_dataset()
        labeller = BaseLabeller()
        return Dataset(
            {
                labeller.make_label_flat(name, chosen, at): posterior[name].sel(chosen, drop=True)
                for name, chosen, at in xarray_sel_iter(
                    posterior, var_names=list(self.var_names), skip_dims={"chain", "draw"}
                )
            }
        )


def compare(
    samplers: Sequence[str] | Mapping[str, Any] = ("sgld", "nuts", "advi"),
    model: pm.Model | None = None,
    *,
    draws: int = 1000,
    tune: int | None = None,
    chains: int = 4,
    cores: int | None = None,
    random_seed: int | None = None,
    reference: str = "nuts",
    var_names: Sequence[str] | None = None,
    progressbar: bool = True,
) -> Comparison:
    """Run several samplers on one model and measure them against one of them.

    Parameters
    ----------
    samplers : sequence of str, or mapping
        Names: those of ``psg.samplers()``, ``"nuts"`` (``pm.sample``) and ``"advi"``. Or a mapping
        from labels to names, to draws made earlier (a DataTree), or to dictionaries of options
        that override those below, such as
        ``{"nuts": {"draws": 500}, "small steps": {"sampler": "sgld", "step_size": 1e-3}}``; without
        ``"sampler"`` the label is the name.
    model : pm.Model, optional
        The model; that of the context if not given.
    draws, chains : int
        Draws kept per chain, and chains. ADVI has no chains and makes ``draws * chains`` draws.
    tune : int, optional
        Tuning steps of the samplers; each sampler's own default if not given.
    cores : int, optional
        Processes to run chains in.
    random_seed : int, optional
        Seed of every method.
    reference : str
        Label of the method that means and standard deviations are compared with.
    var_names : sequence of str, optional
        Variables to compare; those that every result has in common if not given.
    progressbar : bool
        Show progress.

    Returns
    -------
    Comparison
        The draws, the table, and methods to print, plot and save them.

    Notes
    -----
    Seconds are wall time. "Compile" is everything before the first step, "tune" is tuning or
    optimisation, "draw" the rest. NUTS reports one time for tuning and drawing together; it is
    split by the number of gradient evaluations. ADVI's draws are independent by construction, hence
    it has neither an effective sample size nor an R-hat that would say anything about it.
    """
    runs = _runs(samplers)
    check_one_of("reference", reference, runs, hint="It is a label of `samplers`.")
    if any(not isinstance(run, DataTree) for run in runs.values()):
        model = modelcontext(model)
    shared = {
        "draws": check_integer("draws", draws, at_least=4),
        "tune": tune,
        "chains": check_integer("chains", chains, at_least=1),
        "cores": cores,
        "random_seed": random_seed,
        "progressbar": progressbar,
    }
    results = {
        label: run if isinstance(run, DataTree) else _run(shared | run, model)
        for label, run in runs.items()
    }
    return summarise(results, reference=reference, var_names=var_names)


def summarise(
    results: Mapping[str, DataTree], *, reference: str, var_names: Sequence[str] | None = None
) -> Comparison:
    """Return the comparison of draws that exist already; see :func:`compare`."""
    names, notes = _common_variables(results, var_names)
    summaries = {label: _summary(result, names) for label, result in results.items()}
    rows = {
        label: _figures(label, result, summaries, reference) for label, result in results.items()
    }
    table = pd.DataFrame.from_dict(rows, orient="index")
    notes += _notes(results, table, summaries[reference], reference)
    return Comparison(dict(results), table, reference, tuple(names), tuple(notes))


# -- what to run ------------------------------------------------------------------------------


def _runs(samplers: Sequence[str] | Mapping[str, Any]) -> dict[str, Any]:
    """Map each label to a DataTree or to options that hold the name of a sampler."""
    if isinstance(samplers, str):
        samplers = [samplers]
    named = samplers if isinstance(samplers, Mapping) else {name: name for name in samplers}
    if not named:
        raise ValueError("samplers is empty: name at least one, such as ['sgld', 'nuts'].")
    return {str(label): _one_run(str(label), what) for label, what in named.items()}


def _one_run(label: str, what: Any) -> Any:
    if isinstance(what, DataTree):
        return what
    if isinstance(what, str):
        what = {"sampler": what}
    if not isinstance(what, Mapping):
        raise TypeError(
            f"samplers[{label!r}] must be a sampler's name, a dictionary of options or a DataTree "
            f"of draws, got {type(what).__name__}."
        )
    options = {"sampler": label, **what}
    check_one_of(f"the sampler of {label!r}", options["sampler"], [*REGISTRY, *OUTSIDE])
    return options


def _run(options: dict[str, Any], model: pm.Model) -> DataTree:
    name = options.pop("sampler")
    if name in OUTSIDE:
        return OUTSIDE[name](model, **options)
    result: DataTree = sample(name, model=model, **options)
    return result


# -- figures ----------------------------------------------------------------------------------


def _common_variables(
    results: Mapping[str, DataTree], var_names: Sequence[str] | None
) -> tuple[list[str], list[str]]:
    """Return the variables to compare, and a note on those that some result lacks."""
    present = {label: list(result["posterior"].data_vars) for label, result in results.items()}
    known = list(dict.fromkeys(name for names in present.values() for name in names))
    common = [name for name in known if all(name in names for names in present.values())]
    if var_names is not None:
        for name in var_names:
            lacking = [label for label, names in present.items() if name not in names]
            if lacking:
                raise ValueError(
                    f"var_names holds {name!r}, which {', '.join(lacking)} did not draw. "
                    f"Every result has: {', '.join(common) or 'no variable in common'}."
                )
        return list(var_names), []
    if not common:
        listing = "; ".join(f"{label}: {', '.join(names)}" for label, names in present.items())
        raise ValueError(f"The results have no variable in common ({listing}).")
    left_out = [name for name in known if name not in common]
    note = f"Not compared, because not every method drew it: {', '.join(left_out)}."
    return common, [note] if left_out else []


def _summary(result: DataTree, var_names: Sequence[str]) -> pd.DataFrame:
    summary = az.summary(result, var_names=list(var_names), kind="all", round_to="none")
    return pd.DataFrame(summary).astype(float)


def _figures(
    label: str,
    result: DataTree,
    summaries: Mapping[str, pd.DataFrame],
    reference: str,
) -> dict[str, Any]:
    own, other = summaries[label], summaries[reference]
    if set(own.index) != set(other.index):
        odd = ", ".join(sorted(set(own.index) ^ set(other.index))[:5])
        raise ValueError(
            f"{label!r} and {reference!r} drew different elements of their variables ({odd}): "
            "they come from different models or data."
        )
    own = own.loc[other.index]
    posterior = result["posterior"]
    times = {f"{phase}_seconds": _seconds(posterior, phase) for phase in PHASES}
    total = sum(times.values())
    if np.isnan(total):
        total = float(posterior.attrs.get("sampling_time", np.nan))
    is_chain = _is_chain(posterior)
    gap = (own["mean"] - other["mean"]).abs() / other["sd"]
    ratio = own["sd"] / other["sd"]
    ess = own["ess_bulk"].min(skipna=False) if is_chain else np.nan
    has_chains = is_chain and posterior.sizes["chain"] > 1
    return {
        **times,
        "total_seconds": total,
        "draws": posterior.sizes["chain"] * posterior.sizes["draw"],
        "ess_bulk": ess,
        "ess_per_second": ess / (times["tune_seconds"] + times["draw_seconds"]),
        "r_hat": own["r_hat"].max(skipna=False) if has_chains else np.nan,
        "mean_gap": gap.max(skipna=False),
        "sd_ratio_min": ratio.min(skipna=False),
        "sd_ratio_max": ratio.max(skipna=False),
        "mean_gap_at": gap.idxmax() if gap.notna().all() else "",
        "sd_ratio_min_at": ratio.idxmin() if ratio.notna().all() else "",
        "sd_ratio_max_at": ratio.idxmax() if ratio.notna().all() else "",
    }


def _is_chain(posterior: Any) -> bool:
    return not posterior.attrs.get("independent_draws", 0)


def _seconds(posterior: Any, phase: str) -> float:
    return float(posterior.attrs.get(f"{phase}_seconds", np.nan))


def _notes(
    results: Mapping[str, DataTree], table: pd.DataFrame, other: pd.DataFrame, reference: str
) -> list[str]:
    error = (other["mcse_mean"] / other["sd"]).max()
    notes = [
        f"{reference} has a Monte Carlo error of its own: its means are uncertain by up to "
        f"{2 * error:.2f} of its sds (two standard errors)."
    ]
    for label, figures in table.iterrows():
        if label != reference and figures["mean_gap_at"]:
            notes.append(
                f"{label}: the largest gap of a mean is at {figures['mean_gap_at']}, the smallest "
                f"sd ratio at {figures['sd_ratio_min_at']}, the largest at "
                f"{figures['sd_ratio_max_at']}."
            )
    for label, result in results.items():
        notes += _notes_on(label, result["posterior"].attrs)
    return notes


def _notes_on(label: str, attrs: Mapping[Any, Any]) -> list[str]:
    if attrs.get("sampler") == "nuts":
        library = attrs.get("inference_library", "pymc")
        return [
            f"{label} ({library}) times tuning and drawing together; split here by the number of "
            "gradient evaluations."
        ]
    if attrs.get("sampler") == "advi":
        end = "its loss was level" if attrs["converged"] else "its loss was STILL FALLING"
        return [
            f"{label} stopped after {attrs['iterations']:,} iterations, when {end}. Its draws are "
            "independent by construction: effective sample size and R-hat would say nothing."
        ]
    if "compile_seconds" not in attrs:
        return [f"{label}: the draws were made elsewhere, without times of its phases."]
    return []


def _cell(form: str, value: Any) -> str:
    return "-" if pd.isna(value) else form.format(value)


# -- files ------------------------------------------------------------------------------------


def _require(module: str, purpose: str) -> None:
    if importlib.util.find_spec(module) is None:
        raise ImportError(
            f"{module} is needed {purpose}, and is not installed. "
            'Install it with: pip install "pymc-sgld[models]"'
        )


def _folder(directory: str | Path) -> Path:
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _file_name(label: str) -> str:
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", label)


def _storable(result: DataTree) -> DataTree:
    """Return the groups without the attributes and statistics that netCDF has no type for."""
    groups = {}
    for name, node in result.children.items():
        dataset = node.to_dataset()
        odd = [key for key, values in dataset.data_vars.items() if values.dtype == object]
        dataset = dataset.drop_vars(odd)
        attrs = {key: _storable_attr(value) for key, value in dataset.attrs.items()}
        dataset.attrs = {key: value for key, value in attrs.items() if value is not None}
        groups[name] = dataset
    return DataTree.from_dict(groups)


def _storable_attr(value: Any) -> Any:
    if isinstance(value, bool | np.bool_):
        return int(value)
    if isinstance(value, list | tuple):
        value = list(value)
        return value if value and all(isinstance(item, str) for item in value) else str(value)
    if isinstance(value, str | int | float | np.number | np.ndarray):
        return value
    return None if value is None else str(value)
