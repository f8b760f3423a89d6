"""Command line: ``python -m models list | run NAME | compare NAME | evidence tuning``."""

import argparse
import os
import sys
import time

from pathlib import Path
from typing import Any, NoReturn

from rich.console import Console

import models

from models.evidence import command

_LEAST = {"draws": 1, "tune": 0, "chains": 1, "cores": 1, "rows": 1, "seed": 0}
_FORM: dict[str, Any] = {"formatter_class": argparse.ArgumentDefaultsHelpFormatter}


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage before it."""

    def error(self, message: str) -> NoReturn:
        """End with status 2."""
        self.exit(2, f"{self.prog}: {message}\n")


def main(arguments: list[str] | None = None) -> None:
    """Run the command that the arguments ask for; end with one line and status 2 if that fails."""
    parser = _parser()
    options = parser.parse_args(arguments)
    commands = {"list": _list, "run": _run, "compare": _compare, "evidence": command.run}
    try:
        _check(options)
        commands[options.command](options)
    except Exception as error:
        if options.traceback or not _is_for_users(error):
            raise
        parser.error(" ".join(str(error).split()))


def _is_for_users(error: Exception) -> bool:
    """Whether an error has a text that says what to do: of the library, of PyMC, of files."""
    from pymc.exceptions import SamplingError

    return isinstance(error, ValueError | TypeError | OSError | ImportError | SamplingError)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="python -m models", description=__doc__)
    parser.add_argument("--traceback", action="store_true", help="show where an error comes from")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="the models, one line each")
    run = commands.add_parser("run", help="sample a model, or run an experiment", **_FORM)
    run.add_argument("model", choices=models.names())
    run.add_argument("--sampler", help="a name of psg.samplers(); none: the model's own")
    compare = commands.add_parser("compare", help="run several samplers on a model", **_FORM)
    compare.add_argument("model", choices=models.names())
    compare.add_argument(
        "--samplers", help="names, with commas between; none: the model's own, or auto,nuts,advi"
    )
    compare.add_argument(
        "--reference", help="the one to measure the others by; none: the model's own, or nuts"
    )
    for either in (run, compare):
        _add_sizes(either)
    command.add_parser(commands)
    return parser


def _check(options: argparse.Namespace) -> None:
    """Refuse sizes that are none, samplers that there are not, and places to write to."""
    if options.command == "list":
        return
    from pymc_sgld.comparison.files import check_folder
    from pymc_sgld.comparison.methods import OUTSIDE
    from pymc_sgld.step_methods.registry import REGISTRY
    from pymc_sgld.validate import check_integer, check_one_of

    for name, least in _LEAST.items():
        value = getattr(options, name, None)
        if value is not None:
            check_integer(f"--{name}", value, at_least=least)
    if getattr(options, "sampler", None) is not None:
        check_one_of("--sampler", options.sampler, REGISTRY)
    if getattr(options, "samplers", None) is not None:
        named = options.samplers.split(",")
        for name in named:
            check_one_of("every name of --samplers", name, [*REGISTRY, *OUTSIDE])
        reference = "nuts" if options.reference is None else options.reference
        check_one_of("--reference", reference, named, hint="It is one of --samplers.")
    if options.out is not None:
        check_folder(options.out)
    else:
        check_folder(Path("results"))


def _add_sizes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--draws", type=int, help="draws kept per chain; none: the model's own")
    parser.add_argument("--tune", type=int, help="tuning steps per chain; none: the sampler's own")
    parser.add_argument("--chains", type=int, help="none: 4, or the model's own")
    parser.add_argument("--cores", type=int, default=os.cpu_count(), help="processes")
    parser.add_argument("--rows", type=int, help="rows of data; none: the usual number, or all")
    parser.add_argument("--seed", type=int, default=20_190)
    parser.add_argument("--out", type=Path, help="folder to write to; none: results/MODEL")
    parser.add_argument("--no-progress", action="store_true", help="without progress bars")


def _list(options: argparse.Namespace) -> None:
    del options
    width = max(len(name) for name in models.names())
    for name in models.names():
        first_line = (models.load(name).__doc__ or "").splitlines()[0]
        print(f"{name:<{width}}  {first_line}")


def _options(options: argparse.Namespace) -> Any:
    from models._running import Options

    return Options(
        sampler=getattr(options, "sampler", None),
        draws=options.draws,
        tune=options.tune,
        chains=options.chains,
        cores=options.cores,
        rows=options.rows,
        seed=options.seed,
        progress=not options.no_progress,
    )


def _run(options: argparse.Namespace) -> None:
    from models._running import run

    start = time.perf_counter()
    result = run(options.model, _options(options))
    result.print()
    folder = options.out or Path("results", options.model)
    _say(result.save(folder), folder, start)


def _compare(options: argparse.Namespace) -> None:
    from models._running import compare

    start = time.perf_counter()
    samplers = options.samplers.split(",") if options.samplers else None
    comparison = compare(options.model, _options(options), samplers, options.reference)
    comparison.print(Console(width=None if sys.stdout.isatty() else 140))
    folder = options.out or Path("results", options.model)
    title = f"Samplers on {options.model}"
    _say(comparison.write(folder, title, progressbar=not options.no_progress), folder, start)


def _say(written: list[Path], folder: Path, start: float) -> None:
    print(f"Written to {folder}: {', '.join(path.name for path in written)}")
    print(f"{time.perf_counter() - start:.0f} seconds in all")


if __name__ == "__main__":
    main()
