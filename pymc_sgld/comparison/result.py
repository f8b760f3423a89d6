"""What a comparison found, to print, plot, save, and send to others."""

from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pymc as pm

from rich import box
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text
from xarray import Dataset, DataTree

from pymc_sgld.comparison import html_report, plots, predictions
from pymc_sgld.comparison.agreement import CLOSE, OFF, TOLERANCE, UNSURE
from pymc_sgld.comparison.columns import Column, known_columns, verdict_of
from pymc_sgld.comparison.files import check_folder, folder_at, require, save_draws
from pymc_sgld.comparison.parameters import flat_posterior
from pymc_sgld.comparison.progress import shown
from pymc_sgld.posterior.weighted_draws import plain_draws
from pymc_sgld.printing import Printed
from pymc_sgld.validate import check_instance

_STYLES = {CLOSE: "green", UNSURE: "yellow", OFF: "bold red"}


@dataclass(frozen=True, repr=False)
class Comparison(Printed):
    """What :func:`compare` found.

    Parameters
    ----------
    results : dict of str to DataTree
        The draws of each method, as ArviZ takes them, with warm-up groups where it was run here.
    table : DataFrame
        One row a method. ``verdict`` ("close", "off", "cannot tell"; "reference"); ``mean_error``,
        the largest distance of a mean from the reference's, in the reference's standard deviations;
        ``sd_ratio_min``, ``sd_ratio_max``; ``wasserstein``, the largest distance between the
        marginals, and ``wasserstein_noise``, what Monte Carlo error alone would make of it; the
        parameters where each of these stands (``mean_error_at``, ...), and whether it is within
        the tolerance (``mean_error_verdict``, ...); ``ksd`` and ``ksd_of_exact_draws``, the kernel
        Stein discrepancy; ``r_hat`` (largest), ``ess_bulk`` (smallest), ``ess_per_second`` (of tune
        and draw together), ``draws`` (of all chains), ``data_passes``, ``compile_seconds``,
        ``tune_seconds``, ``draw_seconds``, ``total_seconds``. NaN where a figure is not defined or
        was not recorded.
    parameters : DataFrame
        One row for each method and parameter: means, sds, their errors and distances.
    elpd : DataFrame or None
        One row for each method and observed variable, see :func:`compare_elpd`; None if it was not
        asked for, or there is no model or no reading its rows (a note says which).
    reference : str
        The label of the method that the others are measured against.
    var_names : tuple of str
        The variables compared.
    notes : tuple of str
        What has to be known to read the table.
    tolerance : float
        What "close" means, see :func:`compare`.
    model : pm.Model or None
    """

    results: dict[str, DataTree]
    table: pd.DataFrame
    parameters: pd.DataFrame
    elpd: pd.DataFrame | None
    reference: str
    var_names: tuple[str, ...]
    notes: tuple[str, ...] = field(default=())
    tolerance: float = TOLERANCE
    model: pm.Model | None = None

    def render(self) -> Table:
        """Return the figures as a rich table, one column a method."""
        table = Table(box=box.SIMPLE_HEAD, title=f"Compared with {self.reference}")
        table.add_column("")
        for label in self.table.index:
            table.add_column(label, justify="right", no_wrap=True)
        for column in known_columns(self.table):
            _add(table, column, self.table, self.reference)
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
        return save_draws(self.results, directory)

    def figures(self, backend: str = "matplotlib") -> list[plots.Figure]:
        """Return the plots, each with a name, a caption and ArviZ's ``PlotCollection``.

        Forest, densities, difference of the distribution functions (PIT); for chains ranks and
        traces, tuning marked; for samplers with noise of batches, that noise against the injected
        one; posterior predictive draws, if there are any (:meth:`predict`). Weighted draws are
        resampled first.

        Parameters
        ----------
        backend : {"matplotlib", "plotly", "bokeh", "none"}
            One of ArviZ's plotting backends, which must be installed.
        """
        flat = {label: self._flat(result) for label, result in self.results.items()}
        return plots.all_figures(flat, self.results, self.reference, backend)

    def plot(self, directory: str | Path, backend: str = "matplotlib") -> list[Path]:
        """Write the plots of :meth:`figures`: as PNG, or as HTML with plotly and bokeh."""
        check_folder(directory)
        return plots.save_figures(self.figures(backend), folder_at(directory))

    def predict(
        self, draws: int = 100, random_seed: int | None = 0, *, progressbar: bool = False
    ) -> None:
        """Draw from the posterior predictive of every method, in chunks of rows.

        Adds the groups ``posterior_predictive`` and ``observed_data`` to each of the results,
        from at most `draws` evenly spaced draws of the posterior, and fewer where there are many
        rows: at most 20 million numbers a method.

        Parameters
        ----------
        draws : int
        random_seed : int, optional
        progressbar : bool, default False

        Raises
        ------
        ValueError
            If the comparison was made without a model.
        RowError
            If an observed variable cannot be drawn by rows.
        """
        predictions.add(self.results, self.model, draws, random_seed, progressbar)

    def to_html(self, path: str | Path, title: str = "Comparison of samplers") -> Path:
        """Write a report in one file, with tables, pictures and what every column means.

        It needs neither Python nor a network to be read: pictures and styles are inside, and there
        are no scripts.

        Parameters
        ----------
        path : str or Path
            Where to; folders that are not there are made.
        title : str
        """
        check_instance("path", path, str | Path, "a path")
        check_folder(Path(path).parent)
        figures = self.figures()
        target = html_report.write(self, Path(path), title, figures)
        plots.close(figures)
        return target

    def write(
        self,
        directory: str | Path,
        title: str = "Comparison of samplers",
        *,
        progressbar: bool = False,
    ) -> list[Path]:
        """Write all there is: the report, ``report.html``, the plots as PNG, and the draws.

        Parameters
        ----------
        directory : str or Path
        title : str
            Of the report.
        progressbar : bool, default False
        """
        require("netCDF4", "to write netCDF files")
        folder, figures = folder_at(directory), self.figures()
        for figure in shown(figures, "Plots", progressbar):
            _ = figure.png  # drawn here, for the report and for the file
        report = html_report.write(self, folder / "report.html", title, figures)
        return [report, *plots.save_figures(figures, folder), *self.save(folder)]

    def _flat(self, result: DataTree) -> Dataset:
        return flat_posterior(plain_draws(result), self.var_names)


def _add(table: Table, column: Column, figures: pd.DataFrame, reference: str) -> None:
    """Add a figure of all methods as a row."""
    cells = []
    for label in figures.index:
        style = _STYLES.get(verdict_of(column, figures.loc[label]), "")
        cells.append(Text(column.cell(figures.loc[label]), style=style))
    table.add_row(column.heading.format(reference=reference), *cells)
