"""The figures as JSON, as a page, and as they are printed."""

import json

from pathlib import Path

from rich.console import Console
from rich.markdown import Markdown

DOCS = Path(__file__).parents[3] / "docs"
JSON, PAGE = DOCS / "benchmarks.json", DOCS / "benchmarks.md"

NAMES = {
    "psg_auto": "`psg.sample()`",
    "psg_auto_long": "`psg.sample(20_000)`",
    "blackjax_sgld_cv": "blackjax SGLD-CV, mode and steps given",
    "numpyro_hmcecs": "NumPyro HMCECS, mode given",
    "nutpie": "nutpie, 1 x (300 + 300)",
    "advi": "PyMC ADVI, 30,000 iterations",
}

HEAD = """# Benchmarks

`make benchmark` prints and writes this page and `docs/benchmarks.json`. Figures are CPU seconds
of all processes, of one run each on a machine that may have other work beside it: compare figures
of one table with each other, not with those of other machines. Failures stand in the tables.
"""

WORDS = {
    "steps": """## A step

Nanoseconds a step on regressions of 100,000 rows, median of 7 turns in one process: the step
methods as PyMC calls them, Python, random numbers and statistics included, beside loops written
by hand in numba that draw their random numbers in bulk. `sgld`: batches of 100. `auto`: control
variate, dense metric, Leimkuhler-Matthews steps, batches of 256. By hand the likelihood's
gradient is written out; "table" takes the rows' gradient at the centre from running sums.
""",
    "end_to_end": """## End to end

Logistic regression with 20 coefficients; CPU seconds without imports and data, with building,
compiling, tuning and checks. "Cold" is from an empty compile cache; otherwise the cache is that
of a run with other data. ESS is the smallest bulk ESS of a coefficient; errors are against the
normal law at the mode, in posterior sds, and ratios of sds. blackjax is given mode, step size,
batch size and thinning; HMCECS the mode, 2 x (300 + 500) draws; ADVI's draws are independent, of
the law it ended in, so that an ESS would say nothing.
""",
    "first_draws": """## Until the first draw

CPU seconds of `psg.sample()` on models of `models/` until the first draw of the first chain,
imports and data apart: from an empty compile cache, and in a new process that finds it filled.
""",
    "scales": """## As rows grow

`psg.Auto` on logistic regression with 5 coefficients: CPU seconds until the first draw (building,
checking, tuning), microseconds a draw and a step, and peak memory over that of the process with
the data.
""",
}


def read():
    """Return the figures of earlier runs, by part."""
    return json.loads(JSON.read_text()) if JSON.exists() else {}


def write(results):
    """Write both files."""
    JSON.write_text(json.dumps(_rounded(results), indent=1, sort_keys=True) + "\n")
    PAGE.write_text(page(read()))


def _rounded(value):
    """Return the same with four digits: more of a time mean nothing."""
    if isinstance(value, dict):
        return {name: _rounded(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_rounded(one) for one in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def show(results):
    """Print the page."""
    Console(width=120).print(Markdown(page(results)))


def page(results):
    """Return the page as Markdown."""
    parts = [HEAD]
    for name, words in WORDS.items():
        if name in results:
            parts += [words, TABLES[name](results[name]["rows"]), _origin(results[name]["machine"])]
    return "\n".join(parts)


def _origin(machine):
    packages = ", ".join(f"{name} {number}" for name, number in machine["packages"].items())
    return (
        f"*{machine['date']}, commit {machine['commit']}, {machine['cores']} cores, load "
        f"{machine['load']:.1f}, Python {machine['python']}, {packages}.*\n"
    )


def _table(heads, rows, left=1):
    rule = ["---"] * left + ["---:"] * (len(heads) - left)
    lines = [heads, rule, *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + "\n"


def _steps(rows):
    heads = ["regression", "D", "type", "sgld", "by hand", "ratio", "auto",
             "by hand, two gradients", "ratio", "by hand, table", "ratio"]  # fmt: skip
    lines = []
    for row in rows:
        line = [row["family"], row["n_dim"], row["dtype"]]
        if "failed" in row:
            lines.append([*line, row["failed"], *[""] * 7])
            continue
        line += [f"{row['sgld']:,.0f}", f"{row['sgld, by hand']:,.0f}",
                 f"{row['sgld, by hand'] / row['sgld']:.2f}", f"{row['auto']:,.0f}"]  # fmt: skip
        for name in ("auto, by hand, two gradients", "auto, by hand, table of the centre"):
            line += [f"{row[name]:,.0f}", f"{row[name] / row['auto']:.2f}"]
        lines.append(line)
    return _table(heads, lines)


def _end_to_end(rows):
    heads = ["rows", "method", "CPU s", "draws", "ESS", "ESS per CPU s", "mean error", "sd ratios"]
    lines = []
    for row in rows:
        name = NAMES[row["method"]] + (", cold" if row["state"] == "cold" else "")
        line = [f"{row['rows']:,}", name]
        if "failed" in row:
            lines.append([*line, row["failed"], *[""] * 5])
            continue
        ess = row.get("ess")
        per_second = "-" if ess is None else f"{ess / row['cpu_seconds']:,.0f}"
        lines.append([
            *line, f"{row['cpu_seconds']:.1f}", f"{row['draws']:,}",
            "-" if ess is None else f"{ess:,.0f}", per_second, f"{row['mean_error']:.2f}",
            f"{row['sd_ratio_min']:.2f}-{row['sd_ratio_max']:.2f}",
        ])  # fmt: skip
    return _table(heads, lines, left=2)


def _first_draws(rows):
    by_model = {}
    for row in rows:
        said = row.get("failed") or f"{row['cpu_seconds']:.1f}"
        by_model.setdefault(row["model"], {})[row["state"]] = said
    lines = [
        [name, found.get("cold", "-"), found.get("warm", "-")] for name, found in by_model.items()
    ]
    return _table(["model", "cold", "warm"], lines)


def _rounded_or_dash(value):
    return "-" if value is None else f"{value:.0f}"


def _scales(rows):
    heads = ["rows", "data, MB", "until the first draw", "µs a draw", "µs a step", "batch",
             "peak memory over data, MB"]  # fmt: skip
    lines = []
    for row in rows:
        if "failed" in row:
            lines.append([f"{row['rows']:,}", row["failed"], *[""] * 5])
            continue
        lines.append([
            f"{row['rows']:,}", f"{row['data_megabytes']:,.0f}",
            f"{row['first_draw_cpu_seconds']:.1f}", _rounded_or_dash(row["microseconds_a_draw"]),
            _rounded_or_dash(row["microseconds_a_step"]), row["batch_size"],
            f"{row['peak_over_data_megabytes']:,.0f}",
        ])  # fmt: skip
    return _table(heads, lines)


TABLES = {
    "steps": _steps,
    "end_to_end": _end_to_end,
    "first_draws": _first_draws,
    "scales": _scales,
}
