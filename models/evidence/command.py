"""The commands ``python -m models evidence tuning``, ``hierarchies``, ``latents``, ``check``..."""

import argparse

from pathlib import Path
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


def add_parser(commands: Any) -> None:
    """Add the command to those of ``python -m models``."""
    evidence = commands.add_parser("evidence", help="what is claimed of the samplers, measured")
    kinds = evidence.add_subparsers(dest="kind", required=True)
    told = "the sampler that tunes itself, against references"
    _add_kind(kinds, "tuning", told, "quick")
    _add_kind(kinds, "hierarchies", f"{told}: group effects written non-centred", "hierarchies")
    _add_kind(kinds, "real", f"{told}: data that nobody designed", "real")
    _add_kind(kinds, "latents", f"{told}: rows with latent variables of their own", "latents")
    check = kinds.add_parser(
        "check",
        help="the inflation of sds that psg.check reads, against the true one",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    check.add_argument("--models", default="all", help='names, with commas; "all"')
    check.add_argument("--seed", type=int, default=1)
    check.add_argument("--out", type=Path, default=Path("results", "evidence"), help="folder")


def _add_kind(kinds: Any, name: str, told: str, problems: str) -> None:
    kind = kinds.add_parser(name, help=told, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    kind.add_argument(
        "--problems",
        default=problems,
        help='names, with commas; "all"; "quick"; "hierarchies"; "real"; "latents"',
    )
    kind.add_argument("--seeds", default="1", help="numbers, with commas, or a range such as 1-5")
    kind.add_argument("--draws", type=int, help="draws per chain; none: the sampler's own")
    kind.add_argument("--chains", type=int, default=4)
    kind.add_argument("--cores", type=int, default=2, help="processes")
    kind.add_argument(
        "--nutpie-seconds", type=float, default=0.0, help="for nutpie beside it; 0: not run"
    )
    kind.add_argument(
        "--no-new-references",
        action="store_true",
        help="judge by those in the folder alone; other runs are judged when there is one",
    )
    kind.add_argument("--again", action="store_true", help="repeat runs that are in the folder")
    kind.add_argument("--out", type=Path, default=Path("results", "evidence"), help="folder")


def seeds_of(text: str) -> list[int]:
    """Return the seeds that ``1,4`` or ``1-5`` means."""
    found: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        if not first.isdigit() or not (last.isdigit() or not last):
            raise ValueError(
                f"--seeds must be numbers, with commas, or a range such as 1-5, got {text!r}."
            )
        found += range(int(first), int(last or first) + 1)
    return found


def run(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Run what was asked for, print the table, and return its rows."""
    if options.kind == "check":
        from models.evidence import check_evidence, step_size_example

        step_size_example.run(options.seed)
        return check_evidence.run(options.seed, options.out, check_evidence.chosen(options.models))
    from models.evidence.problems import chosen
    from models.evidence.report import show, write
    from models.evidence.runs import Options, judged, load, measure, save

    own = Options(
        folder=options.out,
        draws=options.draws,
        chains=options.chains,
        cores=options.cores,
        nutpie_seconds=options.nutpie_seconds,
        new_references=not options.no_new_references,
    )
    tasks = [
        (problem, seed) for seed in seeds_of(options.seeds) for problem in chosen(options.problems)
    ]
    rows = []
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()
    with Progress(*columns, TimeElapsedColumn()) as progress:
        bar = progress.add_task("", total=len(tasks))
        for problem, seed in tasks:
            progress.update(bar, description=f"{problem.name}, seed {seed}")
            row = None if options.again else load(problem, seed, options.out)
            if row is None:
                row = measure(problem, seed, own)
                save(row, options.out)
            rows.append(judged(row, problem, own))
            save(rows[-1], options.out)
            progress.console.print(_line(rows[-1]), markup=False, highlight=False)
            progress.advance(bar)
    rows.sort(key=lambda row: str(row["problem"]))
    show(rows)
    paths = write(rows, options.out)
    print(f"Written: {', '.join(map(str, paths))}")
    return rows


def _line(row: dict[str, Any]) -> str:
    from models.evidence.report import cell

    figures = cell("mean {mean_error:.3f}, sd {sd_ratio_min:.3f} to {sd_ratio_max:.3f}", row)
    passes = cell("passes {passes_tune:.0f} + {passes_draw:.0f}", row)
    chosen, verdict = row.get("chosen", "-"), row["verdict"]
    return f"{row['problem']}, seed {row['seed']}: {chosen}; {figures}; {passes}; {verdict}"
