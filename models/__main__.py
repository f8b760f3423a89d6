"""Command line: ``python -m models list``, ``compare NAME`` and ``evidence tuning``."""

import argparse
import os
import time

from pathlib import Path

import models

from models.evidence import command


def main(arguments: list[str] | None = None) -> None:
    """Run the command that the arguments ask for."""
    options = _parser().parse_args(arguments)
    if options.command == "list":
        _list()
    elif options.command == "evidence":
        command.run(options)
    else:
        _compare(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m models", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="the models, one line each")
    compare = commands.add_parser(
        "compare",
        help="run several samplers on a model",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    compare.add_argument("model", choices=models.names())
    compare.add_argument(
        "--samplers", default="sgld,sgld_cv,nuts,advi", help="names, with commas between"
    )
    compare.add_argument("--reference", default="nuts", help="the one to measure the others by")
    compare.add_argument("--draws", type=int, default=500, help="draws kept per chain")
    compare.add_argument(
        "--tune", type=int, help="tuning steps per chain; none: each sampler's own"
    )
    compare.add_argument("--chains", type=int, default=4)
    compare.add_argument("--cores", type=int, default=os.cpu_count(), help="processes")
    compare.add_argument("--seed", type=int, default=20_190)
    compare.add_argument("--out", type=Path, help="folder to write to; none: results/MODEL")
    compare.add_argument("--no-progress", action="store_true", help="without progress bars")
    command.add_parser(commands)
    return parser


def _list() -> None:
    width = max(len(name) for name in models.names())
    for name in models.names():
        first_line = (models.load(name).__doc__ or "").splitlines()[0]
        print(f"{name:<{width}}  {first_line}")


def _compare(options: argparse.Namespace) -> None:
    from pymc_sgld.comparison import compare

    start = time.perf_counter()
    module = models.load(options.model)
    data = module.load_data()
    print(f"{options.model}: {len(data):,} rows", flush=True)
    comparison = compare(
        options.samplers.split(","),
        module.build_model(data),
        draws=options.draws,
        tune=options.tune,
        chains=options.chains,
        cores=options.cores,
        random_seed=options.seed,
        reference=options.reference,
        progressbar=not options.no_progress,
    )
    comparison.print()
    folder = options.out or Path("results", options.model)
    written = [*comparison.plot(folder), *comparison.save(folder)]
    print(f"Plots and draws are in {folder}: {', '.join(path.name for path in written)}")
    print(f"{time.perf_counter() - start:.0f} seconds in all")


if __name__ == "__main__":
    main()
