"""What ``python -m models run`` and ``compare`` do with the files of this folder."""

import contextlib
import sys

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

import arviz as az
import pandas as pd

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import track
from rich.table import Table
from xarray import DataTree

import models
import pymc_sgld as psg

from pymc_sgld.comparison.files import distinct_names, folder_at, save_draws, written_aside

COMPARED = ("auto", "nuts", "advi")
MOST_ROWS = 40  # of a printed table
_SIZES = ("draws", "tune", "chains")
_ADDED = {"r_hat": "R-hat", "ess_bulk": "bulk ESS"}  # column of ArviZ: heading
Item = TypeVar("Item")


class NotAModel(ValueError):
    """A file of this folder declares no model."""


@dataclass(frozen=True)
class Options:
    """What the command line says; None is what the model, or the sampler, has of its own.

    Parameters
    ----------
    sampler : str, optional
        A name of :func:`pymc_sgld.samplers`.
    draws, tune, chains, cores : int, optional
        As in :func:`pymc_sgld.sample`.
    rows : int, optional
        Rows of data: see :mod:`models`.
    seed : int, default 1
    progress : bool, default True
        Whether to show progress bars.
    """

    sampler: str | None = None
    draws: int | None = None
    tune: int | None = None
    chains: int | None = None
    cores: int | None = None
    rows: int | None = None
    seed: int = 1
    progress: bool = True

    def sampling(self, defaults: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return arguments of :func:`pymc_sgld.sample`: those given here, then the defaults."""
        own = dict(defaults or {})
        if self.sampler not in (None, own.get("sampler", "auto")):
            own = {name: own[name] for name in _SIZES if name in own}  # the rest was not for it
        own.setdefault("chains", 4)
        given = {name: getattr(self, name) for name in ("sampler", *_SIZES, "cores")}
        own |= {name: value for name, value in given.items() if value is not None}
        return own | {"random_seed": self.seed, "progressbar": self.progress}

    def track(self, items: Iterable[Item], description: str) -> Iterator[Item]:
        """Yield the items one by one, with a progress bar if there are to be any."""
        items = list(items)
        yield from track(items, description, disable=not self.progress)


@dataclass
class Result:
    """What a run has found.

    Parameters
    ----------
    tables : dict of str to DataFrame
        By title. The index is printed as the first column.
    figures : dict of str to Figure, optional
        By the name of the file, without ending.
    notes : list of str, optional
        What has to be known to read them, one line each.
    draws : DataTree, optional
        Written as netCDF.
    """

    tables: dict[str, pd.DataFrame]
    figures: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    draws: DataTree | None = None

    def print(self, console: Console | None = None) -> None:
        """Print the tables and the notes."""
        console = console or Console(width=None if sys.stdout.isatty() else 120)
        for title, frame in self.tables.items():
            console.print(_rendered(title, frame))
            if len(frame) > MOST_ROWS:
                console.print(f"... and {len(frame) - MOST_ROWS:,} rows more, in the file\n")
        for note in self.notes:
            console.print(f"- {note}", markup=False, highlight=False)

    def save(self, folder: Path) -> list[Path]:
        """Write figures as PNG, tables as CSV and draws as netCDF; return the files."""
        import matplotlib.pyplot as plt

        folder_at(folder)
        written = []
        for name, figure in self.figures.items():
            written.append(folder / f"{name}.png")
            with written_aside(written[-1]) as aside:
                figure.savefig(aside, dpi=120)
            plt.close(figure)
        for name, frame in zip(distinct_names(self.tables), self.tables.values(), strict=True):
            written.append(folder / f"{name}.csv")
            with written_aside(written[-1]) as aside:
                frame.to_csv(aside)
        if self.draws is not None:
            written += save_draws({"draws": self.draws}, folder)
        return written


def run(name: str, options: Options) -> Result:
    """Run a model, or the experiment that its file declares."""
    module = models.load(name)
    if hasattr(module, "run"):
        found: Result = module.run(options)
        return found
    data = module.load_data(options.rows)
    with module.build_model(data):
        draws = psg.sample(**options.sampling(getattr(module, "SAMPLING", None)))
    table = parameters(module, draws, data)
    result = Result({"parameters": table}, notes=_worst(table), draws=draws)
    if hasattr(module, "tables"):
        result.tables |= module.tables(draws, data)
    if hasattr(module, "show"):
        result.figures |= module.show(draws, data)
    return result


def parameters(module: ModuleType, draws: DataTree, data: Any) -> pd.DataFrame:
    """Return the moments of the draws by parameter, and beside them those of the reference.

    Variables with few entries come first: of long tables the first rows are printed.
    """
    posterior = draws["posterior"]
    shown = sorted(_variables(module) or posterior.data_vars, key=lambda name: posterior[name].size)
    summary = az.summary(draws, var_names=shown, kind="all", round_to="none", fmt="wide")
    table = pd.DataFrame(summary)[["mean", "sd", *_ADDED]].astype(float).rename(columns=_ADDED)
    if draws["posterior"].sizes["chain"] == 1:
        table = table.drop(columns=_ADDED["r_hat"])  # ArviZ says NaN
    if not hasattr(module, "reference"):
        return table
    known: pd.DataFrame = module.reference(data)
    table = table.join(known[["mean", "sd"]].add_prefix("reference "))
    gap = table["mean"] - table["reference mean"]
    table["gap in its sds"] = gap / table["reference sd"]
    table["sd ratio"] = table["sd"] / table["reference sd"]
    return table


def _worst(table: pd.DataFrame) -> list[str]:
    """Return the least favourable figures of a table that is too long to be printed whole."""
    if len(table) <= MOST_ROWS:
        return []
    said = []
    for column, words in (("R-hat", "at most"), ("bulk ESS", "at least")):
        if column in table:
            label = table[column].idxmax() if words == "at most" else table[column].idxmin()
            said.append(f"{column} {words} {_cell(table.loc[label, column])} ({label})")
    return [f"Over all {len(table):,} parameters: {', '.join(said)}."]


def compare(
    name: str, options: Options, samplers: Any = None, reference: str | None = None
) -> psg.Comparison:
    """Run several samplers on a model."""
    module = models.load(name)
    own = samplers is None and hasattr(module, "REFERENCE")
    if not hasattr(module, "build_model"):
        raise NotAModel(
            f"{name} is an experiment of its own, not a model to compare samplers on. Write "
            f"python -m models run {name}."
        )
    found = psg.compare(
        samplers or getattr(module, "COMPARED", COMPARED),
        module.build_model(module.load_data(options.rows)),
        draws=500 if options.draws is None else options.draws,
        tune=options.tune,
        chains=4 if options.chains is None else options.chains,
        cores=options.cores,
        random_seed=options.seed,
        reference=reference or (module.REFERENCE if own else "nuts"),
        var_names=_variables(module),
        progressbar=options.progress,
    )
    with contextlib.suppress(psg.RowError):  # predictions are drawn where they can be by rows
        found.predict(random_seed=options.seed, progressbar=options.progress)
    return found


def _variables(module: ModuleType) -> list[str] | None:
    return list(module.VARIABLES) if hasattr(module, "VARIABLES") else None


def _rendered(title: str, frame: pd.DataFrame) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title=escape(title))
    table.add_column(str(frame.index.name or ""), no_wrap=True)
    for column in frame.columns:
        text = frame[column].dtype == object or pd.api.types.is_string_dtype(frame[column])
        table.add_column(escape(str(column)), justify="left" if text else "right")
    for label, row in frame.head(MOST_ROWS).iterrows():
        table.add_row(escape(str(label)), *(_cell(value) for value in row))
    return table


def _cell(value: Any) -> str:
    if isinstance(value, str):
        return escape(value)
    if value is None or pd.isna(value):
        return "-"
    if isinstance(value, bool) or float(value).is_integer():
        return f"{value:,.0f}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
