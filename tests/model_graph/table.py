"""The table of named models: ``python -m tests.model_graph.table [--backends py,numba,jax]``."""

from __future__ import annotations

import argparse
import logging
import time
import warnings

import numpy as np

from pytensor.compile.mode import Mode
from rich.console import Console
from rich.table import Table

from pymc_sgld.model_graph import RowError, row_model, verify
from tests.model_graph import (  # the modules fill the two dictionaries
    accepted_coincident,  # noqa: F401
    accepted_special,  # noqa: F401
    accepted_structure,  # noqa: F401
    refused_structure,  # noqa: F401
)
from tests.model_graph.accepted_models import ACCEPTED
from tests.model_graph.refused_models import REFUSED

MODES = {"py": Mode(linker="py", optimizer=None), "numba": "NUMBA", "jax": "JAX"}
REASON = 90


def reason(error):
    """Return the start of a refusal, which names the variable and says why."""
    text = str(error)
    return text if len(text) <= REASON else f"{text[:REASON]}..."


def identity_errors(split, backends):
    """Return the identity error on each backend, as text."""
    found = []
    for backend in backends:
        try:
            error = verify(split, MODES[backend], rng=np.random.default_rng(1))
            found.append(f"{error:.0e}")
        except RowError as refusal:
            found.append(reason(refusal))
        except Exception as failure:  # what PyTensor itself cannot compile for a backend
            found.append(f"{type(failure).__name__} in PyTensor")
    return found


def rows(names, backends):
    """Yield one row of the table for each named model."""
    for name in names:
        make = ACCEPTED[name] if name in ACCEPTED else REFUSED[name][0]
        model, options = make()
        start = time.perf_counter()
        try:
            split = row_model(model, **options)
        except RowError as refusal:
            seconds = time.perf_counter() - start
            yield name, f"refused: {reason(refusal)}", *[""] * len(backends), f"{seconds:.2f}"
            continue
        seconds = time.perf_counter() - start
        yield name, "accepted", *identity_errors(split, backends), f"{seconds:.2f}"


def main(arguments=None):
    """Print the table; names given limit it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="of the models; all if none is given")
    parser.add_argument("--backends", default="py", help="of py, numba, jax; py if not given")
    options = parser.parse_args(arguments)
    backends = options.backends.split(",")
    unknown = [b for b in backends if b not in MODES]
    names = options.names or [*ACCEPTED, *REFUSED]
    unknown += [name for name in names if name not in ACCEPTED and name not in REFUSED]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}")
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    table = Table("model", "outcome", *(f"error, {b}" for b in backends), "build, s")
    n_accepted = 0
    for row in rows(names, backends):
        table.add_row(*row)
        n_accepted += row[1] == "accepted"
    console = Console(width=None if Console().is_terminal else 160)
    console.print(table)
    console.print(f"{n_accepted} accepted, {len(names) - n_accepted} refused")


if __name__ == "__main__":
    main()
