"""Count the outcomes: ``python -m tests.bad_input``; -v shows all messages, words choose lines."""

import os
import sys
import tempfile

from collections import Counter
from pathlib import Path

from rich.console import Console

from tests.bad_input.entries import call
from tests.bad_input.table import CLEAR, judge, write_outputs
from tests.bad_input.tables import LINES


def main() -> int:
    """Print what is not clear, and the count by outcome; return how many are not."""
    show = Console(width=160, soft_wrap=True, markup=False, highlight=False).print
    counts = Counter()
    wanted = [argument for argument in sys.argv[1:] if argument != "-v"]
    chosen = [line for line in LINES if not wanted or any(w in line.label for w in wanted)]
    started_in = os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        write_outputs(Path(folder))
        os.chdir(folder)
        outcomes = [judge(line, call) for line in chosen]
        os.chdir(started_in)
    for line, outcome in zip(chosen, outcomes, strict=True):
        counts[outcome.kind] += 1
        if outcome.kind != CLEAR or "-v" in sys.argv:
            show(f"{outcome.kind:8}{line.label}\n        {outcome.message[:400]}")
    show(f"{len(chosen)} bad inputs: " + ", ".join(f"{n} {kind}" for kind, n in counts.items()))
    return len(chosen) - counts[CLEAR]


if __name__ == "__main__":
    sys.exit(min(main(), 1))
