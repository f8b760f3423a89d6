"""A comparison as one HTML file: tables, pictures, and what every column means."""

from __future__ import annotations

import base64
import importlib.metadata

from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd

from pymc_sgld import records
from pymc_sgld.comparison.agreement import CLOSE, OFF, UNSURE, verdicts, worst
from pymc_sgld.comparison.columns import Column, known_columns, verdict_of
from pymc_sgld.comparison.figures import REFERENCE
from pymc_sgld.comparison.files import written_aside
from pymc_sgld.comparison.html_style import STYLE
from pymc_sgld.validate import check_instance

if TYPE_CHECKING:
    import pymc as pm

    from xarray import DataTree

    from pymc_sgld.comparison.plots import Figure

_CLASSES = {CLOSE: "close", UNSURE: "unsure", OFF: "off", REFERENCE: "reference"}
_PACKAGES = ("pymc-sgld", "pymc", "arviz", "nutpie", "numpy")
_MOST_PARAMETERS = 200  # rows of the table of parameters
_PARAMETER_COLUMNS = (
    ("mean", "mean", "{:.4g}"),
    ("sd", "sd", "{:.3g}"),
    ("mean_error", "error of the mean, sds", "{:+.3f}"),
    ("mean_error_se", "± its standard error", "{:.3f}"),
    ("sd_ratio", "sd ratio", "{:.3f}"),
    ("sd_ratio_se", "± its standard error", "{:.3f}"),
    ("wasserstein", "Wasserstein distance, sds", "{:.3f}"),
    ("ess_bulk", "bulk ESS", "{:,.0f}"),
    ("r_hat", "R-hat", "{:.3f}"),
)


class Compared(Protocol):
    """What a report is made of; see `Comparison`."""

    @property
    def results(self) -> dict[str, DataTree]: ...  # noqa: D102

    @property
    def table(self) -> pd.DataFrame: ...  # noqa: D102

    @property
    def parameters(self) -> pd.DataFrame: ...  # noqa: D102

    @property
    def elpd(self) -> pd.DataFrame | None: ...  # noqa: D102

    @property
    def reference(self) -> str: ...  # noqa: D102

    @property
    def notes(self) -> tuple[str, ...]: ...  # noqa: D102

    @property
    def tolerance(self) -> float: ...  # noqa: D102

    @property
    def model(self) -> pm.Model | None: ...  # noqa: D102


def write(comparison: Compared, path: Path, title: str, figures: list[Figure]) -> Path:
    """Write the document; see `Comparison.to_html`.

    Parameters
    ----------
    comparison : Compared
    path : Path
    title : str
    figures : list of Figure
        Drawn by matplotlib.
    """
    check_instance("title", title, str, "text")
    with written_aside(path) as aside:
        aside.write_text(render(comparison, title, figures), encoding="utf-8")
    return path


def render(comparison: Compared, title: str, figures: list[Figure]) -> str:
    """Return the whole document."""
    sections = [
        ("Verdicts", _verdicts(comparison)),
        ("Figures of each method", _main_table(comparison)),
        ("What has to be known to read them", _list(comparison.notes)),
        ("Predictions", _elpd(comparison)),
        ("Parameters", _parameters(comparison)),
        *_pictures(figures),
        ("How this was made", _origin(comparison)),
    ]
    kept = [(heading, body) for heading, body in sections if body]
    links = "".join(
        f'<a href="#part-{i}">{escape(heading)}</a>' for i, (heading, _) in enumerate(kept)
    )
    parts = "".join(
        f'<section id="part-{i}"><h2>{escape(heading)}</h2>{body}</section>'
        for i, (heading, body) in enumerate(kept)
    )
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>"
        f"<header><h1>{escape(title)}</h1>{_subject(comparison)}<nav>{links}</nav></header>"
        f"<main>{parts}</main></body></html>"
    )


def _subject(comparison: Compared) -> str:
    n_parameters = len(comparison.parameters.loc[comparison.reference])
    words = (
        f"{len(comparison.results)} methods on one model, {n_parameters:,} parameters compared. "
        f"Reference: {comparison.reference}."
    )
    if comparison.model is not None and comparison.model.observed_RVs:
        names = ", ".join(str(var.name) for var in comparison.model.observed_RVs)
        words += f" Data: {names}."
    return f"<p>{escape(words)}</p>"


def _verdicts(comparison: Compared) -> str:
    cards = []
    for label, row in comparison.table.iterrows():
        verdict = str(row["verdict"])
        words = "what the others are measured against"
        if verdict != REFERENCE:
            words = (
                f"means within {row['mean_error']:.2f} sds, sds {row['sd_ratio_min']:.2f} to "
                f"{row['sd_ratio_max']:.2f} times the reference's"
            )
        if row["total_seconds"] > 0:
            words += f"; {row['total_seconds']:,.1f} s"
        cards.append(
            f'<div class="card {_CLASSES[verdict]}"><h3>{escape(str(label))}</h3>'
            f'<span class="pill">{escape(verdict)}</span><p>{escape(words)}</p></div>'
        )
    legend = (
        f"<p>Close: means within {comparison.tolerance:g} posterior standard deviations of "
        f"{escape(comparison.reference)}'s, and standard deviations within "
        f"{comparison.tolerance:.0%}. Off: surely not, Monte Carlo errors allowed for. Cannot "
        "tell: too few draws to say.</p>"
    )
    return f'<div class="cards">{"".join(cards)}</div>{legend}'


def _main_table(comparison: Compared) -> str:
    table, columns = comparison.table, known_columns(comparison.table)
    head = "".join(f"<th>{escape(str(label))}</th>" for label in table.index)
    body = "".join(_main_row(column, comparison) for column in columns)
    meanings = "".join(
        f"<dt>{escape(_heading(column, comparison))}</dt><dd>{escape(column.meaning)}</dd>"
        for column in columns
    )
    return (
        f'<div class="wide"><table><thead><tr><th></th>{head}</tr></thead><tbody>{body}</tbody>'
        f"</table></div><h3>What each line means</h3><dl>{meanings}</dl>"
    )


def _heading(column: Column, comparison: Compared) -> str:
    return column.heading.format(reference=comparison.reference)


def _main_row(column: Column, comparison: Compared) -> str:
    cells = []
    for _, row in comparison.table.iterrows():
        at = row.get(f"{column.name}_at", "")
        is_reference = row["verdict"] == REFERENCE
        small = f"<small>{escape(str(at))}</small>" if at and not is_reference else ""
        chosen = _CLASSES.get(verdict_of(column, row), "")
        cells.append(f'<td class="{chosen}">{escape(column.cell(row))}{small}</td>')
    return f"<tr><th>{escape(_heading(column, comparison))}</th>{''.join(cells)}</tr>"


def _elpd(comparison: Compared) -> str:
    if comparison.elpd is None:
        return ""
    forms = {
        "elpd": "{:,.1f}",
        "se": "{:,.1f}",
        "difference": "{:+.2f}",
        "difference_se": "{:.2f}",
        "p_loo": "{:.1f}",
        "rows": "{:,.0f}",
        "rows_looked_at": "{:,.0f}",
        "bad_pareto_k": "{:,.0f}",
    }
    words = (
        "elpd", "standard error", f"minus that of {comparison.reference}", "standard error",
        "effective parameters", "rows", "rows looked at", "bad Pareto shapes",
    )  # fmt: skip
    rows = [
        ([str(label), str(name)], [form.format(row[key]) for key, form in forms.items()])
        for (label, name), row in comparison.elpd.iterrows()
    ]
    intro = (
        "Expected log predictive density of new data, by Pareto-smoothed leave-one-out. "
        "Differences are taken row by row, so their errors are smaller than those of the values. "
        "Bad Pareto shapes are rows whose contribution is not reliable."
    )
    return f"<p>{intro}</p>" + _table(["method", "observed", *words], rows)


def _parameters(comparison: Compared) -> str:
    names = [name for name, _, _ in _PARAMETER_COLUMNS]
    heads = ["method", "parameter", *(heading for _, heading, _ in _PARAMETER_COLUMNS)]
    blocks = []
    for label in comparison.table.index:
        own = comparison.parameters.loc[label]
        judged = verdicts(own, comparison.tolerance)
        rows = []
        for name, row in own.head(_MOST_PARAMETERS).iterrows():
            cells = [_cell(form, row[key]) for key, _, form in _PARAMETER_COLUMNS]
            marks = {"mean_error": judged.loc[name, "mean"], "sd_ratio": judged.loc[name, "sd"]}
            is_reference = label == comparison.reference
            classes = ["" if is_reference else _CLASSES.get(marks.get(n, ""), "") for n in names]
            rows.append(([str(label), str(name)], cells, classes))
        left = len(own) - _MOST_PARAMETERS
        more = f"<p>{left:,} more parameters are not shown.</p>" if left > 0 else ""
        state = "reference" if label == comparison.reference else worst([*judged.to_numpy().flat])
        blocks.append(
            f"<details><summary>{escape(str(label))}: {escape(state)}</summary>"
            f"{_table(heads, rows)}{more}</details>"
        )
    words = (
        f"Errors and ratios are against {comparison.reference}, in its standard deviations. "
        "Click a method to see its parameters."
    )
    return f"<p>{escape(words)}</p>{''.join(blocks)}"


def _cell(form: str, value: Any) -> str:
    return "-" if pd.isna(value) else form.format(value)


def _table(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a table; a row is its headings, its cells, and maybe a class for each cell."""
    head = "".join(f"<th>{escape(one)}</th>" for one in heads)
    body = ""
    for headings, cells, *classes in rows:
        marks = classes[0] if classes else [""] * len(cells)
        pairs = zip(cells, marks, strict=True)
        first = "".join(f"<th>{escape(one)}</th>" for one in headings)
        rest = "".join(f'<td class="{mark}">{escape(one)}</td>' for one, mark in pairs)
        body += f"<tr>{first}{rest}</tr>"
    whole = f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody>"
    return f'<div class="wide"><table>{whole}</table></div>'


def _pictures(figures: list[Figure]) -> list[tuple[str, str]]:
    """Return the parts of the report that show pictures, each with all of its own."""
    parts: dict[str, str] = {}
    for figure in figures:
        data = base64.b64encode(figure.png).decode()
        shown = (
            f'<figure><h3>{escape(figure.title)}</h3><img alt="{escape(figure.title)}" '
            f'src="data:image/png;base64,{data}"><figcaption>{escape(figure.caption)}</figcaption>'
            "</figure>"
        )
        parts[figure.part] = parts.get(figure.part, "") + shown
    return list(parts.items())


def _list(lines: Sequence[str]) -> str:
    shown = [_emphasised(escape(line)) for line in lines]
    return f"<ul>{''.join(f'<li>{line}</li>' for line in shown)}</ul>" if lines else ""


def _emphasised(line: str) -> str:
    for words in ("NOT CONVERGED", "FAILED", "POOR REFERENCE"):
        line = line.replace(words, f'<strong class="alarm">{words}</strong>')
    return line


def _origin(comparison: Compared) -> str:
    rows = []
    for label, result in comparison.results.items():
        attrs = result["posterior"].attrs
        sizes = result["posterior"].sizes
        words = f"{sizes['chain']} x {sizes['draw']:,} draws"
        if records.BATCH_SIZE in attrs:
            words += f", batches of {int(attrs[records.BATCH_SIZE]):,} rows"
        elif "sample_stats" in result and records.BATCH_SIZE in result["sample_stats"]:
            size = int(np.max(result["sample_stats"][records.BATCH_SIZE].to_numpy()))
            words += f", batches of {size:,} rows"
        sampler = str(attrs.get(records.SAMPLER, "draws made elsewhere"))
        rows.append(([str(label)], [sampler, words]))
    versions = []
    for package in _PACKAGES:
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            continue
    return _table(["method", "sampler", "draws"], rows) + f"<p>{escape(', '.join(versions))}.</p>"
