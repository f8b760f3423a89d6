"""The table of all runs, printed and as files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from rich import box
from rich.console import Console
from rich.table import Table

from pymc_sgld.comparison.files import written_aside

# Heading, and how a cell is made of a row.
_COLUMNS: tuple[tuple[str, str], ...] = (
    ("problem", "{problem}"),
    ("seed", "{seed}"),
    ("N", "{rows:,}"),
    ("D", "{parameters}"),
    ("chosen", "{chosen}"),
    ("mean err", "{mean_error:.3f}"),
    ("sd min", "{sd_ratio_min:.3f}"),
    ("sd max", "{sd_ratio_max:.3f}"),
    ("measured", "{measured_min:.2f}-{measured_max:.2f}"),
    ("R-hat", "{r_hat:.3f}"),
    ("ESS", "{ess_min:.0f}"),
    ("passes tune", "{passes_tune:.0f}"),
    ("draw", "{passes_draw:.0f}"),
    ("wall compile", "{wall_compile:.0f}"),
    ("tune", "{wall_tune:.1f}"),
    ("draw", "{wall_draw:.1f}"),
    ("CPU s", "{cpu_seconds:.0f}"),
    ("ESS/CPU s", "{ess_per_cpu_second:.1f}"),
    ("nutpie", "{nutpie_ess_per_cpu_second:.2g}"),
    ("verdict", "{verdict}"),
)
_STYLES = {"met": "green", "warned": "yellow", "SILENT FAILURE": "bold red", "raised": "red"}
_SHORT = 110


def cell(form: str, row: dict[str, Any]) -> str:
    """Return a cell; a dash where the row lacks a figure."""
    try:
        return form.format(**row)
    except KeyError:
        return "-"


def render(rows: Sequence[dict[str, Any]]) -> Table:
    """Return the table of runs."""
    table = Table(box=box.SIMPLE_HEAD, title="auto, against references", padding=(0, 1, 0, 0))
    for heading, _ in _COLUMNS:
        side = "left" if heading in ("problem", "chosen", "verdict") else "right"
        table.add_column(heading, justify=side, no_wrap=heading in ("problem", "chosen"))  # type: ignore[arg-type]
    for row in rows:
        cells = [cell(form, row) for _, form in _COLUMNS]
        table.add_row(*cells, style=_STYLES.get(row["verdict"], ""))
    return table


def notes(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return what was said in the runs, a line each."""
    lines = []
    for row in rows:
        name = f"{row['problem']}, seed {row['seed']}"
        if row.get("note"):
            lines.append(f"{name}: {row['note'].splitlines()[0][: 2 * _SHORT]}")
        if row.get("integrated_out"):
            lines.append(f"{name} said: {row['integrated_out']}")
        if row["verdict"] not in ("met", "skipped", "raised"):
            worst = "mean {mean_error:.3f} at {mean_error_at}, sd {sd_ratio_min:.3f} at "
            worst += "{sd_ratio_min_at} to {sd_ratio_max:.3f} at {sd_ratio_max_at}"
            worst += " (allowed for error: mean {mean_allowance:.3f}, sd {sd_allowance:.3f})"
            lines.append(f"{name}: {row['verdict']}; {cell(worst, row)}")
        for warning in row.get("warnings", ()):
            lines.append(f"{name} warned: {' '.join(warning.split())[:_SHORT]}")
    return lines


def tally(rows: Sequence[dict[str, Any]]) -> str:
    """Return how many runs came to each verdict."""
    counts = pd.Series([row["verdict"] for row in rows]).value_counts()
    met_yet_warned = sum(row["verdict"] == "met" and bool(row.get("warnings")) for row in rows)
    told = ", ".join(f"{name} {number}" for name, number in counts.items())
    return f"{len(rows)} runs: {told}; met, yet with a warning: {met_yet_warned}"


def show(rows: Sequence[dict[str, Any]], console: Console | None = None) -> None:
    """Print the table, the notes and the tally."""
    console = console or Console(width=220)
    console.print(render(rows))
    for line in notes(rows):
        console.print(f"- {line}", markup=False, highlight=False)
    console.print(tally(rows), markup=False)
    commits = sorted({str(row.get("commit", "unknown")) for row in rows})
    console.print(f"Run at commit {'; '.join(commits)}.", markup=False, highlight=False)


def write(rows: Sequence[dict[str, Any]], folder: Path) -> list[Path]:
    """Write all figures as JSON and as CSV."""
    table = pd.DataFrame(list(rows)).drop(columns="choice", errors="ignore")
    with written_aside(folder / "tuning.csv") as aside:
        table.to_csv(aside, index=False)
    with written_aside(folder / "tuning.json") as aside:
        table.to_json(aside, orient="records", indent=1)
    return [folder / "tuning.csv", folder / "tuning.json"]
