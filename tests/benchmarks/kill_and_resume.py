"""Runs that are killed twenty times, and whether their draws are those of a run that was not.

``python -m tests.benchmarks.kill_and_resume [kills]``
"""

import logging
import sys
import tempfile
import time
import warnings

from pathlib import Path

import numpy as np

from tests.checkpoints.processes import killed_often, same_draws
from tests.checkpoints.streamed import STREAMED, prepared_on_disk
from tests.checkpoints.test_kills import CASES, prepared


def runs():
    """Yield every run with its draws where it is not killed."""
    for label, (name, make, arguments) in CASES.items():
        yield label, prepared(name, make, arguments, draws=200, pause=2e-3)
    for kind in STREAMED:
        with tempfile.TemporaryDirectory() as folder:
            yield (
                f"{STREAMED[kind][0]}, rows on disk, {kind}",
                prepared_on_disk(kind, Path(folder), draws=200, pause=2e-3),
            )


def main():
    n_kills = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    warnings.simplefilter("ignore")
    logging.getLogger("pymc").setLevel(logging.ERROR)
    print("| sampler | processes | kills at work | draws and statistics | seconds |")
    print("|---|---|---|---|---|")
    for label, (run, whole) in runs():
        for cores in (1, 2):
            run.call["cores"] = cores
            started = time.perf_counter()
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder)
                kills = killed_often(run, path, n_kills, np.random.default_rng(cores))
                equal = same_draws(whole, run.go_on(path))
            seconds = time.perf_counter() - started
            verdict = "equal, bit for bit" if equal else "NOT EQUAL"
            print(f"| {label} | {cores} | {kills} of {n_kills} | {verdict} | {seconds:.0f} |")


if __name__ == "__main__":
    main()
